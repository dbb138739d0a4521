//! What the kernel can do that node and agent cannot be without, tried in a namespace of its own.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use culvert_sys::netns::Netns;
use culvert_sys::tcp::{self, Listen, Transparent};
use culvert_sys::{child, interfaces};

use super::Context;
use super::catalogue::Family;
use super::finding::{Check, Finding, Verdict};

pub(crate) const FAMILY: Family =
    Family { name: "kernel", checks: &[&VERSION, &NAMESPACES, &SOCKETS, &PIDFD], look };

const VERSION: Check = Check {
    name: "kernel-version",
    why: "the agent waits for its tools by pidfd_open, which is there since Linux 5.3",
};
const NAMESPACES: Check = Check {
    name: "network-namespaces",
    why: "agent and node work inside the network namespaces of pods (setns)",
};
const SOCKETS: Check = Check {
    name: "socket-options",
    why: "the node marks what it sends (SO_MARK) and speaks with its clients' addresses (IP_TRANSPARENT)",
};
const PIDFD: Check =
    Check { name: "pidfd", why: "without it the agent cannot wait for its tools with a deadline" };

/// The first version with all system calls that are used.
const OLDEST: (u32, u32) = (5, 3);
/// As the node marks what it sends.
const MARK: u32 = ebpf_free_iptables::PACKET_MARK;

fn look(context: &Context<'_>) -> Vec<Finding> {
    let release = context.here.read("/proc/sys/kernel/osrelease");
    let scratch = scratch();
    let sockets = scratch.as_ref().map_err(again).and_then(sockets);
    vec![
        VERSION.judged(release, |release| version(release.trim())),
        NAMESPACES
            .judged(scratch.as_ref().map(|_| ()).map_err(again), |()| Verdict::ok("can be made and entered")),
        SOCKETS.judged(sockets, |refused| options(&refused)),
        PIDFD.finding(pidfd(waiting())),
    ]
}

/// A namespace that nobody else sees and that goes with its last user, with its loopback interface up.
pub(super) fn scratch() -> io::Result<Netns> {
    let netns = Netns::create()?;
    interfaces::raise_loopback(&netns)?;
    Ok(netns)
}

/// The same error for another finding.
pub(super) fn again(error: &io::Error) -> io::Error {
    error
        .raw_os_error()
        .map_or_else(|| io::Error::new(error.kind(), error.to_string()), io::Error::from_raw_os_error)
}

fn version(release: &str) -> Verdict {
    let mut numbers = release.split(['.', '-']).map_while(|part| part.parse::<u32>().ok());
    let (Some(major), Some(minor)) = (numbers.next(), numbers.next()) else {
        return Verdict::unknown(format!("Linux {release}"), "see that it is 5.3 or newer");
    };
    let (found, (old_major, old_minor)) = (format!("Linux {release}"), OLDEST);
    if (major, minor) < OLDEST {
        return Verdict::problem(found, format!("boot a kernel of version {old_major}.{old_minor} or newer"));
    }
    Verdict::ok(found)
}

/// Tries each option; gives those that were refused, with the kernel's words.
fn sockets(scratch: &Netns) -> io::Result<Vec<String>> {
    scratch.run(|| {
        let mut refused = Vec::new();
        let address = (Ipv4Addr::LOCALHOST, 0).into();
        let how = Listen { address, mark: None, reuse_port: true, transparent: Transparent::Never };
        note(&mut refused, "SO_REUSEPORT", tcp::listen(&how));
        note(&mut refused, "SO_MARK", tcp::listen(&Listen { mark: Some(MARK), ..how }));
        note(
            &mut refused,
            "IP_TRANSPARENT",
            tcp::listen(&Listen { transparent: Transparent::Require, ..how }),
        );
        let v6 =
            Listen { address: (Ipv6Addr::UNSPECIFIED, 0).into(), transparent: Transparent::Require, ..how };
        if std::path::Path::new("/proc/thread-self/net/if_inet6").exists() {
            note(&mut refused, "IPV6_TRANSPARENT", tcp::listen(&v6));
        }
        refused
    })
}

fn note<T>(refused: &mut Vec<String>, what: &str, outcome: io::Result<T>) {
    refused.extend(outcome.err().map(|error| format!("{what} ({error})")));
}

fn options(refused: &[String]) -> Verdict {
    if refused.is_empty() {
        return Verdict::ok("SO_MARK, SO_REUSEPORT, IP_TRANSPARENT for both IP versions");
    }
    let found = format!("refused: {}", refused.join(", "));
    Verdict::problem(
        found,
        "give the container the capabilities NET_ADMIN and SYS_ADMIN, or boot a stock kernel",
    )
}

/// Waits for a program as the agent does.
fn waiting() -> io::Result<()> {
    let mut command = Command::new("/proc/self/exe");
    command.arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut program = child::die_with_parent(&mut command).spawn()?;
    let ended = child::wait_until(&mut program, Instant::now() + Duration::from_secs(10));
    if !matches!(ended, Ok(Some(_))) {
        program.kill()?;
        program.wait()?;
    }
    ended.map(|_| ())
}

fn pidfd(waited: io::Result<()>) -> Verdict {
    match waited {
        Ok(()) => Verdict::ok("pidfd_open works"),
        Err(error) => Verdict::problem(
            format!("pidfd_open is refused: {error}"),
            "boot Linux 5.3 or newer, and allow pidfd_open in the seccomp profile of the agent's container",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::finding::State;

    #[test]
    fn versions_are_judged() {
        let check = |release, state| assert_eq!(version(release).state, state, "{release}");
        check("5.3.0", State::Ok);
        check("6.18.44-fc-v657", State::Ok);
        check("5.10-rc1", State::Ok);
        check("5.2.21-generic", State::Problem);
        check("4.18.0-553.el8.x86_64", State::Problem);
        check("what", State::Unknown);
        check("", State::Unknown);
    }

    #[test]
    fn a_refused_option_is_named() {
        assert_eq!(options(&[]).state, State::Ok);
        let verdict = options(&["SO_MARK (EPERM)".to_owned(), "SO_REUSEPORT (no)".to_owned()]);
        assert_eq!(verdict.state, State::Problem);
        assert!(verdict.found.contains("SO_MARK (EPERM), SO_REUSEPORT"), "{verdict:?}");
    }

    #[test]
    fn this_kernel_has_every_option() {
        assert_eq!(sockets(&scratch().unwrap()).unwrap(), Vec::<String>::new());
        assert_eq!(pidfd(waiting()).state, State::Ok);
        assert_eq!(pidfd(Err(io::ErrorKind::Unsupported.into())).state, State::Problem);
    }
}
