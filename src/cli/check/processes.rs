//! The processes of this machine: what they are called, what they hold, and with which settings they run.
//!
//! In goes `/proc`; out come facts. What may not be read is as if it were not there: who asks says whether that matters.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::sight;

/// A process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Process {
    pub(crate) number: u32,
    /// As the kernel shortens it.
    pub(crate) name: String,
}

impl std::fmt::Display for Process {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} (pid {})", self.name, self.number)
    }
}

/// All that run, in the order of their numbers.
pub(crate) fn all() -> Vec<Process> {
    let mut all: Vec<Process> =
        sight::names(Path::new("/proc")).unwrap_or_default().iter().filter_map(|it| one(it)).collect();
    all.sort_by_key(|process| process.number);
    all
}

fn one(number: &str) -> Option<Process> {
    let number = number.parse().ok()?;
    let name = fs::read_to_string(format!("/proc/{number}/comm")).ok()?;
    Some(Process { number, name: name.trim_end().to_owned() })
}

impl Process {
    /// A file of its directory.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        Path::new("/proc").join(self.number.to_string()).join(name)
    }

    /// A variable of its environment; `None` also when its environment may not be read.
    pub(crate) fn variable(&self, name: &str) -> Option<String> {
        environment(self.number).ok()?.remove(name)
    }

    /// What it was started with.
    pub(crate) fn arguments(&self) -> Vec<String> {
        let line = fs::read(self.file("cmdline")).unwrap_or_default();
        line.split(|byte| *byte == 0)
            .filter(|it| !it.is_empty())
            .map(|it| String::from_utf8_lossy(it).into_owned())
            .collect()
    }

    fn holds(&self, link: &str) -> bool {
        let Ok(open) = fs::read_dir(self.file("fd")) else { return false };
        open.flatten().any(|entry| fs::read_link(entry.path()).is_ok_and(|to| to.as_os_str() == link))
    }
}

/// Who has a socket open; `None` when nobody that may be looked at.
pub(crate) fn owner_of_socket(inode: u32) -> Option<Process> {
    let link = format!("socket:[{inode}]");
    all().into_iter().find(|process| process.holds(&link))
}

/// The environment a process was started with.
pub(crate) fn environment(number: u32) -> io::Result<BTreeMap<String, String>> {
    let bytes = fs::read(format!("/proc/{number}/environ"))?;
    let text = String::from_utf8_lossy(&bytes);
    let pair = |entry: &str| entry.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
    Ok(text.split('\0').filter_map(pair).collect())
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use culvert_sys::netns::Netns;
    use culvert_sys::sockets::tcp_at;

    use super::*;

    #[test]
    fn the_owner_of_a_socket_is_found() {
        let netns = Netns::create().unwrap();
        let _listener = netns.run(|| TcpListener::bind("0.0.0.0:15000")).unwrap().unwrap();
        let sockets = tcp_at(&netns, 15000).unwrap();
        let owner = owner_of_socket(sockets[0].inode).unwrap();
        assert_eq!(owner.number, std::process::id());
        assert_eq!(owner_of_socket(u32::MAX), None);
    }
}
