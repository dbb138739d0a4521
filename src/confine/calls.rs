//! Which system calls are answered (seccomp).
//!
//! A call that is not on the program's [list](lists) is refused, and the program goes on: with `ENOSYS` when the call is younger than Linux
//! 5.1, because who knows such a call knows how to do without it, and so a new C library takes no node down; with `EPERM` otherwise.
//! Nobody is killed but a process that calls as one of another architecture: no part of these programs does.
//!
//! It deliberately does not look at what pointers lead to; the kernel could be told something else a moment later.

mod lists;

use std::collections::BTreeMap;

use nix::libc;
use seccompiler::{
    BpfProgram, Error, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch, sock_filter,
};

use crate::switches::Switch;

/// The calls of one kind of program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Calls {
    /// Of one that carries bytes, in namespaces it is handed.
    DataPlane,
    /// Of one that serves, and starts nothing.
    Server,
    /// Of one that looks at other processes, enters their networks, and has the packet tools do something there. These have
    /// the same calls.
    Programmer,
}

/// What is in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filtered {
    /// What is not on the list is refused.
    Enforced,
    /// What is not on the list is written down by the kernel.
    Logged,
    /// Nothing.
    Off,
}

/// A call, and what of its arguments.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Call {
    number: libc::c_long,
    when: When,
}

/// With what arguments.
#[derive(Debug, Clone, Copy)]
pub(crate) enum When {
    /// Whatever they are.
    Always,
    /// When this one is so.
    Is(Argument),
    /// When both are.
    Both(Argument, Argument),
}

/// What an argument has to be: its bits under the mask.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Argument {
    index: u8,
    mask: u32,
    value: u32,
}

/// The first call with the same number on all architectures, of Linux 5.1. What is younger has a number above.
const YOUNG: libc::c_long = libc::SYS_pidfd_send_signal;

impl Calls {
    /// Refuses all others, from here on.
    pub(crate) fn filter(self, switch: Switch) -> Result<Filtered, Error> {
        let filtered = match switch {
            Switch::Off => return Ok(Filtered::Off),
            Switch::Log => Filtered::Logged,
            Switch::Enforce => Filtered::Enforced,
        };
        seccompiler::apply_filter_all_threads(&self.program(filtered)?)?;
        Ok(filtered)
    }

    fn program(self, filtered: Filtered) -> Result<BpfProgram, Error> {
        let refusal = match filtered {
            Filtered::Enforced => SeccompAction::Errno(libc::EPERM.unsigned_abs()),
            Filtered::Logged | Filtered::Off => SeccompAction::Log,
        };
        let architecture = TargetArch::try_from(std::env::consts::ARCH).map_err(Error::Backend)?;
        let rules = self.rules().map_err(Error::Backend)?;
        let young: Vec<_> = rules.keys().copied().filter(|number| *number >= YOUNG).collect();
        let filter = SeccompFilter::new(rules, refusal, SeccompAction::Allow, architecture);
        let listed: BpfProgram = filter.and_then(TryInto::try_into).map_err(Error::Backend)?;
        Ok(match filtered {
            Filtered::Enforced => [unknown(&young), listed].concat(),
            Filtered::Logged | Filtered::Off => listed,
        })
    }

    fn rules(self) -> Result<BTreeMap<i64, Vec<SeccompRule>>, seccompiler::BackendError> {
        let mut rules: BTreeMap<i64, Vec<SeccompRule>> = BTreeMap::new();
        let mut always = Vec::new();
        for call in self.calls() {
            let of_call = rules.entry(call.number).or_default();
            match call.when {
                When::Always => always.push(call.number),
                When::Is(one) => of_call.push(SeccompRule::new(vec![one.condition()?])?),
                When::Both(one, other) => {
                    of_call.push(SeccompRule::new(vec![one.condition()?, other.condition()?])?);
                }
            }
        }
        // A call without any rule is one that is always answered.
        for number in always {
            rules.insert(number, Vec::new());
        }
        Ok(rules)
    }
}

impl Argument {
    fn condition(self) -> Result<SeccompCondition, seccompiler::BackendError> {
        let Self { index, mask, value } = self;
        SeccompCondition::new(
            index,
            SeccompCmpArgLen::Dword,
            SeccompCmpOp::MaskedEq(mask.into()),
            value.into(),
        )
    }
}

/// Instructions that answer young calls with `ENOSYS`, all but these, and go on with the others.
fn unknown(but: &[i64]) -> BpfProgram {
    let narrow = |number: i64| u32::try_from(number).unwrap_or(u32::MAX);
    let instruction = |code, jt, jf, k| sock_filter { code, jt, jf, k };
    let jump = |code: u32, jt, jf, k| {
        instruction(code as u16 | libc::BPF_JMP as u16 | libc::BPF_K as u16, jt, jf, k)
    };
    // How many instructions follow the comparison with the first one that is in `but`.
    let rest = u8::try_from(but.len()).unwrap_or(u8::MAX);
    let number = instruction((libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16, 0, 0, 0);
    let old = jump(libc::BPF_JGE, 0, rest + 1, narrow(YOUNG));
    let known = (0..rest).zip(but).map(|(at, known)| jump(libc::BPF_JEQ, rest - at, 0, narrow(*known)));
    let answer = libc::SECCOMP_RET_ERRNO | libc::ENOSYS.unsigned_abs();
    let refuse = instruction((libc::BPF_RET | libc::BPF_K) as u16, 0, 0, answer);
    [number, old].into_iter().chain(known).chain([refuse]).collect()
}
