//! Which iptables rules this namespace has: of one backend or of both, and who holds the tools' common lock.

use std::os::linux::fs::MetadataExt as _;
use std::path::Path;

use super::catalogue::Family;
use super::finding::{Check, Finding, Verdict};
use super::processes::Process;
use super::{Context, in_pod};

pub(crate) const FAMILY: Family = Family { name: "iptables", checks: &[&MIXED, &LOCK, &POD_MIXED], look };

const MIXED: Check = Check {
    name: "iptables-mixed",
    why: "the kernel runs nft and legacy rules one after the other; what one accepts, the other may still drop",
};
const LOCK: Check = Check {
    name: "xtables-lock",
    why: "who holds it for long keeps everybody else who programs legacy rules waiting",
};
const POD_MIXED: Check = Check {
    name: "pod-iptables-mixed",
    why: "rules of two backends in one pod have no order among each other, so capture may come too late",
};

const LOCK_FILE: &str = "/run/xtables.lock";

fn look(context: &Context<'_>) -> Vec<Finding> {
    let lock = MIXED.judged(context.filters.counts(), |[nft, legacy]| mixed(nft, legacy, "this namespace"));
    let mut findings = vec![lock, LOCK.finding(held(holder(context)))];
    findings.extend(in_pod(context, &[&POD_MIXED], |pod| {
        let counts = super::packets::Filters::read(pod).counts();
        vec![POD_MIXED.judged(counts, |[nft, legacy]| mixed(nft, legacy, "the pod"))]
    }));
    findings
}

fn mixed(nft: usize, legacy: usize, place: &str) -> Verdict {
    let found = format!("{place} has {nft} rules of iptables-nft and {legacy} of iptables-legacy");
    if nft > 0 && legacy > 0 {
        return Verdict::warning(
            found,
            "move all to one backend (update-alternatives --config iptables), or set FORCE_IPTABLES_BINARY for the agent",
        );
    }
    Verdict::ok(found)
}

/// Who holds the lock, as the kernel lists locks: device and inode say which file is locked.
fn holder(context: &Context<'_>) -> Option<Process> {
    let file = std::fs::metadata(Path::new(LOCK_FILE)).ok()?;
    let locks = context.here.read("/proc/locks").ok()?;
    let number = locks.lines().find_map(|line| locker(line, file.st_ino()))?;
    let known = context.processes.iter().find(|process| process.number == number);
    Some(known.cloned().unwrap_or(Process { number, name: "a process that has ended".to_owned() }))
}

/// Reads `1: FLOCK  ADVISORY  WRITE 708 08:02:1234 0 EOF` (`proc_locks(5)`).
fn locker(line: &str, inode: u64) -> Option<u32> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [_, _, _, _, process, file, ..] = words[..] else { return None };
    let is_it = file.rsplit(':').next()?.parse() == Ok(inode);
    is_it.then(|| process.parse().ok())?
}

fn held(holder: Option<Process>) -> Verdict {
    match holder {
        None => Verdict::ok(format!("nobody holds {LOCK_FILE}")),
        Some(holder) => Verdict::warning(
            format!("{LOCK_FILE} is held by {holder}"),
            format!(
                "look again in a moment; if it still is, see what it does: cat /proc/{}/stack",
                holder.number
            ),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::finding::State;

    #[test]
    fn rules_of_both_backends_are_a_warning_with_both_numbers() {
        for (nft, legacy, state) in
            [(0, 0, State::Ok), (9, 0, State::Ok), (0, 9, State::Ok), (7, 2, State::Warning)]
        {
            let verdict = mixed(nft, legacy, "this namespace");
            assert_eq!(verdict.state, state, "{nft} {legacy}");
            assert!(
                verdict.found.contains(&format!("{nft} rules"))
                    && verdict.found.contains(&format!("{legacy} of"))
            );
        }
    }

    #[test]
    fn the_holder_of_the_lock_is_read_from_the_kernels_list() {
        let line = "1: FLOCK  ADVISORY  WRITE 708 00:1a:1234 0 EOF";
        assert_eq!(locker(line, 1234), Some(708));
        assert_eq!(locker(line, 1235), None);
        assert_eq!(locker("1: -> FLOCK", 1234), None);
        let held_by = held(Some(Process { number: 7, name: "iptables".into() }));
        assert!(held_by.state == State::Warning && held_by.found.contains("iptables (pid 7)"));
    }
}
