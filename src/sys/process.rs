//! Processes as `proc(5)` shows them: which there are, and what one of them is.
//!
//! A number means a process only until that one has ended, then perhaps another. So a [`Process`] is its directory, held open:
//! whatever is read through it is of that one process, or an error when it has ended.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};

use nix::fcntl::{AtFlags, OFlag, openat};
use nix::sys::stat::{Mode, fstatat};

use crate::netns::{Netns, NetnsId};

/// No file that is read here is longer.
const LONGEST_FILE: u64 = 64 << 10;

/// A mounted `proc` file system.
#[derive(Debug)]
pub struct Processes {
    path: PathBuf,
    root: OwnedFd,
}

/// One process, alive or not.
#[derive(Debug)]
pub struct Process(OwnedFd);

impl Processes {
    /// Opens the one that is mounted there.
    ///
    /// # Errors
    /// When there is no such directory.
    pub fn open(path: &Path) -> io::Result<Self> {
        let root = nix::fcntl::open(path, DIRECTORY, Mode::empty())?;
        Ok(Self { path: path.to_owned(), root })
    }

    /// The numbers of all processes. Some will have ended when they are looked at.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn numbers(&self) -> io::Result<impl Iterator<Item = io::Result<u32>> + use<>> {
        let number = |entry: io::Result<fs::DirEntry>| match entry {
            Ok(entry) => entry.file_name().to_str().and_then(|name| name.parse().ok()).map(Ok),
            Err(error) => Some(Err(error)),
        };
        Ok(fs::read_dir(&self.path)?.filter_map(number))
    }

    /// Takes hold of the process that has this number now.
    ///
    /// # Errors
    /// When there is none, or the calling process is out of descriptors.
    pub fn process(&self, number: u32) -> io::Result<Process> {
        let name = number.to_string();
        Ok(Process(openat(self.root.as_fd(), name.as_str(), DIRECTORY, Mode::empty())?))
    }
}

impl Process {
    /// The control groups it is in, as `cgroups(7)` lists them.
    ///
    /// # Errors
    /// When it has ended.
    pub fn control_groups(&self) -> io::Result<String> {
        self.read("cgroup")
    }

    /// When it started, in ticks since the system did. With its number this means one process for ever.
    ///
    /// # Errors
    /// When it has ended.
    pub fn started(&self) -> io::Result<u64> {
        started(&self.read("stat")?).ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    /// Which network namespace it is in, without opening that.
    ///
    /// # Errors
    /// When it has ended, or may not be looked at (`ptrace(2)`).
    pub fn netns_id(&self) -> io::Result<NetnsId> {
        Ok(NetnsId::of_file(&fstatat(self.0.as_fd(), NETNS, AtFlags::empty())?))
    }

    /// Opens the network namespace it is in.
    ///
    /// # Errors
    /// When it has ended, or may not be looked at (`ptrace(2)`).
    pub fn netns(&self) -> io::Result<Netns> {
        Netns::from_fd(openat(self.0.as_fd(), NETNS, OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty())?)
    }

    fn read(&self, file: &str) -> io::Result<String> {
        let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC;
        let file = File::from(openat(self.0.as_fd(), file, flags, Mode::empty())?);
        let mut bytes = Vec::with_capacity(1 << 10);
        file.take(LONGEST_FILE).read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}

const NETNS: &str = "ns/net";

const DIRECTORY: OFlag = OFlag::O_PATH.union(OFlag::O_DIRECTORY).union(OFlag::O_CLOEXEC);

/// Field 22 of `stat`. The name before it may contain anything.
fn started(stat: &str) -> Option<u64> {
    let (_, behind_name) = stat.rsplit_once(')')?;
    behind_name.split_ascii_whitespace().nth(22 - 3)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command};

    use super::*;
    use crate::child;

    fn here() -> Processes {
        Processes::open(Path::new("/proc")).unwrap()
    }

    fn sleeper(netns: &Netns) -> Child {
        let mut command = Command::new("sleep");
        child::die_with_parent(child::start_in(command.arg("600"), netns).unwrap()).spawn().unwrap()
    }

    #[test]
    fn a_process_is_listed_with_its_namespace_and_its_start() {
        let netns = Netns::create().unwrap();
        let (mut first, mut second) = (sleeper(&netns), sleeper(&netns));
        let all = here();
        let numbers: Vec<u32> = all.numbers().unwrap().map(Result::unwrap).collect();
        assert!(numbers.contains(&first.id()) && numbers.contains(&second.id()), "{numbers:?}");
        let found = all.process(first.id()).unwrap();
        assert_eq!(found.netns_id().unwrap(), netns.id());
        assert_eq!(found.netns().unwrap().id(), netns.id());
        assert!(found.control_groups().unwrap().contains(":/"));
        let of_this = all.process(std::process::id()).unwrap().started().unwrap();
        assert!(of_this <= found.started().unwrap());
        assert!(found.started().unwrap() <= all.process(second.id()).unwrap().started().unwrap());
        for child in [&mut first, &mut second] {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    #[test]
    fn a_process_that_has_ended_says_nothing_more() {
        let mut child = sleeper(&Netns::current().unwrap());
        let process = here().process(child.id()).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(process.control_groups().is_err());
        assert!(process.started().is_err());
        assert!(process.netns_id().is_err());
        assert!(process.netns().is_err());
        assert!(here().process(child.id()).is_err());
    }

    #[test]
    fn the_start_is_found_behind_any_name() {
        let fields = "S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4242 20";
        for name in ["sleep", "a b", ")", ") S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 1 20", ""] {
            assert_eq!(started(&format!("7 ({name}) {fields}\n")), Some(4242), "{name}");
        }
        for broken in
            ["", "7 (sleep", "7 (sleep) S 1", "7 (sleep) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 x"]
        {
            assert_eq!(started(broken), None, "{broken}");
        }
    }
}
