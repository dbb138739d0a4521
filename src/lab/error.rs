//! What can go wrong in a lab. Every message stands alone: it is often all that a failed test or demo shows.

use std::fmt;
use std::io;
use std::net::Ipv4Addr;
use std::time::Duration;

/// Why the lab could not do what it was asked.
///
/// Its `Debug` form is the readable chain of causes, because that is what a test returning `Err` prints.
#[derive(thiserror::Error)]
pub enum Error {
    /// Without root nobody can make network namespaces and packet rules.
    #[error("a lab makes network namespaces and packet rules, which takes root; run this with sudo")]
    NotRoot,
    /// A program the lab runs is missing.
    #[error("`{tool}` is missing or does not run; install it: apt-get install {package}")]
    MissingTool {
        /// The program.
        tool: &'static str,
        /// The Debian package that has it.
        package: &'static str,
    },
    /// The lab was told to start programs, but not where they are.
    #[error(
        "the lab does not know where the programs are; give it some: `Lab::with_programs(Programs::build()?)`"
    )]
    NoPrograms,
    /// A name the kernel or Kubernetes would not take.
    #[error("`{name}` cannot be the name of a {what}: use 1 to {longest} of a-z, 0-9 and `-`")]
    Name {
        /// What was to be named.
        what: &'static str,
        /// The name.
        name: String,
        /// How long it may be.
        longest: usize,
    },
    /// There are only so many addresses.
    #[error("no address is left for another {what}; a lab has {limit} of them at most")]
    Exhausted {
        /// What was to be added.
        what: &'static str,
        /// How many there can be.
        limit: usize,
    },
    /// An address was to be given again that somebody still has.
    #[error("the address {address} is still that of pod {owner}; delete that one first")]
    AddressTaken {
        /// The address.
        address: Ipv4Addr,
        /// The pod.
        owner: String,
    },
    /// A tool such as `ip` or `iptables` said no.
    #[error("`{command}` failed ({outcome}): {output}")]
    Tool {
        /// The whole command, with what it was fed.
        command: String,
        /// How it ended.
        outcome: String,
        /// What it wrote to stderr, or else to stdout.
        output: String,
    },
    /// The kernel said no.
    #[error("cannot {doing}")]
    Io {
        /// What the lab was doing.
        doing: String,
        /// What the kernel answered.
        #[source]
        source: io::Error,
    },
    /// Something that should have happened did not.
    #[error("waited {after:?} in vain until {what}{evidence}")]
    Timeout {
        /// What was awaited.
        what: String,
        /// For how long.
        after: Duration,
        /// The ends of the logs, or nothing.
        evidence: String,
    },
    /// A program does not take the mesh file.
    #[error("{program} refuses the mesh file: {line}")]
    Refused {
        /// The program.
        program: String,
        /// What it logged.
        line: String,
    },
    /// A program ended that should be running.
    #[error("{program} ended ({outcome}) while waiting until {what}{evidence}")]
    Ended {
        /// The program.
        program: String,
        /// How it ended.
        outcome: String,
        /// What was awaited.
        what: String,
        /// The end of its log.
        evidence: String,
    },
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")?;
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

/// Says what was being done when the kernel refused.
pub(crate) trait Doing<T> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T, Error>;
}

impl<T> Doing<T> for io::Result<T> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T, Error> {
        self.map_err(|source| Error::Io { doing: what(), source })
    }
}

/// Refuses names that would break an interface name, a file name or a host name.
pub(crate) fn check_name(what: &'static str, name: &str, longest: usize) -> Result<(), Error> {
    let fits = (1..=longest).contains(&name.len());
    let plain = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
    if fits && name.bytes().all(plain) {
        return Ok(());
    }
    Err(Error::Name { what, name: name.to_owned(), longest })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_short_and_plain() {
        for good in ["a", "node-1", "0123456789ab"] {
            check_name("node", good, 12).unwrap();
        }
        for bad in ["", "Node", "a_b", "a/b", "a b", "0123456789abc"] {
            assert!(check_name("node", bad, 12).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_debug_form_is_the_chain() {
        let error = Err::<(), _>(io::Error::other("no")).doing(|| "open the door".into()).unwrap_err();
        assert_eq!(format!("{error:?}"), "cannot open the door: no");
    }
}
