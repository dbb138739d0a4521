//! The program `ipset`: found once, then run inside a namespace.
//!
//! In go lines for it to read; out come sets as values. What is in them is decided in [`super::sets`].

use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use culvert_sys::netns::Netns;

use super::error::HostError;
use super::sets::{self, Set};
use crate::rule::Family;
use crate::run::{Ended, Job, Lock};
use crate::tool;

/// How long one run may take.
const DEADLINE: Duration = Duration::from_secs(10);
/// How long the kernel may go on using a set whose last rule is gone: it lets go of it in the background.
const LET_GO: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(20);

const NAME: &str = "ipset";

/// The program.
#[derive(Debug, Clone)]
pub(super) struct Ipset(PathBuf);

impl Ipset {
    /// Finds it, and sees that the kernel has sets.
    pub(super) fn find(directories: &[PathBuf]) -> Result<Self, HostError> {
        let found = directories.iter().map(|directory| directory.join(NAME)).find(|path| path.is_file());
        let Some(path) = found else {
            let directories: Vec<_> = directories.iter().map(|path| path.to_string_lossy()).collect();
            return Err(HostError::NoIpset { directories: directories.join(":") });
        };
        let ipset = Self(path);
        ipset.names(&Netns::create().map_err(HostError::Namespace)?)?;
        Ok(ipset)
    }

    /// The set of a family, if there is one.
    pub(super) fn read(&self, host: &Netns, family: Family) -> Result<Option<Set>, HostError> {
        let name = sets::name(family);
        if !self.names(host)?.iter().any(|there| there == name) {
            return Ok(None);
        }
        let text = self.succeed(host, &["save", name], "")?;
        Set::parse(&text).map(Some).map_err(|line| {
            let text = text.lines().nth(line.saturating_sub(1)).unwrap_or_default();
            HostError::Output { name, line, text: tool::shortened(text) }
        })
    }

    /// Does what the lines say, one after the other. Adding what is there and deleting what is not are fine.
    pub(super) fn restore(&self, host: &Netns, lines: &str) -> Result<(), HostError> {
        if lines.is_empty() {
            return Ok(());
        }
        self.succeed(host, &["-exist", "restore"], lines).map(drop)
    }

    /// Removes a set, if it is there.
    pub(super) fn destroy(&self, host: &Netns, name: &'static str) -> Result<(), HostError> {
        let deadline = Instant::now() + LET_GO;
        while self.names(host)?.iter().any(|there| there == name) {
            let ended = self.run(host, &["destroy", name], "")?;
            if ended.status.success() {
                return Ok(());
            }
            if !ended.complaint.contains("in use") {
                return Err(HostError::Ipset(tool::failed(NAME.to_owned(), &ended)));
            }
            if Instant::now() >= deadline {
                return Err(HostError::InUse { name, said: tool::said(&ended) });
            }
            sleep(PAUSE);
        }
        Ok(())
    }

    fn names(&self, host: &Netns) -> Result<Vec<String>, HostError> {
        let text = self.succeed(host, &["list", "-name"], "")?;
        Ok(text.lines().map(str::to_owned).collect())
    }

    fn succeed(&self, host: &Netns, arguments: &[&str], input: &str) -> Result<String, HostError> {
        let ended = self.run(host, arguments, input)?;
        if ended.status.success() {
            return Ok(ended.output);
        }
        Err(HostError::Ipset(tool::failed(NAME.to_owned(), &ended)))
    }

    fn run(&self, host: &Netns, arguments: &[&str], input: &str) -> Result<Ended, HostError> {
        let program: &Path = &self.0;
        let job = Job { program, arguments, input, within: DEADLINE, lock: Lock::Common };
        tool::run(job, NAME, host).map_err(HostError::Ipset)
    }
}
