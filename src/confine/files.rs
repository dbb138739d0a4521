//! Which files can be seen (Landlock).
//!
//! A place is a directory or a file, and everything below it. What is there later under the same name is below the directory it is in, so
//! of files that are replaced (tokens, certificates, lists) the [directory](Files::file) is allowed. Nothing can be executed. Sockets,
//! pipes and namespaces that somebody hands over are no matter of paths; connecting to a socket is none, either.
//!
//! A process that is restricted in its files cannot look at others in `/proc` (their namespaces, their memory), whatever its
//! capabilities are; so who has to is not ([`Files::All`]).

use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access as _, AccessFs, CompatLevel, Compatible as _, PathBeneath, PathFd, Ruleset, RulesetAttr as _,
    RulesetCreatedAttr as _, RulesetError, RulesetStatus, Scope,
};

use crate::switches::Switch;

/// The newest version of the interface that is made use of: with scopes, that is signals and abstract sockets.
const NEWEST: ABI = ABI::V6;

/// What every program reads: the resolver's files, libraries and what they are configured by, roots of trust, the kernel's own.
const COMMON: [&str; 10] = [
    "/etc",
    "/lib",
    "/lib64",
    "/usr/lib",
    "/usr/lib64",
    "/usr/share",
    "/usr/local/share",
    "/proc",
    "/sys",
    "/dev/urandom",
];

/// What a program opens.
#[derive(Debug, Clone)]
pub enum Files {
    /// Whatever there is: its work is with other processes.
    All,
    /// These places.
    Of(Places),
}

/// Places in the file system.
#[derive(Debug, Clone, Default)]
pub struct Places {
    read: Vec<PathBuf>,
    write: Vec<PathBuf>,
}

/// What is in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Restricted {
    /// All of it.
    Enforced,
    /// What the kernel knows of it.
    Partly,
    /// Nothing: the kernel does not know it.
    Unknown,
    /// Nothing, because the operator wants it so.
    Off,
    /// Nothing, because the program needs all files.
    Unsuited,
}

impl Places {
    /// What every program reads, and its own executable.
    #[must_use]
    pub fn common() -> Self {
        let resolver = std::fs::canonicalize("/etc/resolv.conf").ok();
        let trusted =
            ["SSL_CERT_FILE", "SSL_CERT_DIR"].iter().filter_map(std::env::var_os).map(PathBuf::from);
        let mut places = Self::default().directory("/proc/self/exe");
        places.read.extend(COMMON.iter().map(PathBuf::from));
        resolver.into_iter().chain(trusted).fold(places, |places, file| places.file(file))
    }

    /// A file that is read, and whatever takes its place: everything in its directory.
    #[must_use]
    pub fn file(mut self, path: impl AsRef<Path>) -> Self {
        self.read.push(home(path.as_ref()));
        self
    }

    /// A directory that is read, and all below.
    #[must_use]
    pub fn directory(mut self, path: impl AsRef<Path>) -> Self {
        self.read.push(existing(path.as_ref()));
        self
    }

    /// A directory in which files and sockets are made, replaced and removed.
    #[must_use]
    pub fn workshop(mut self, path: impl AsRef<Path>) -> Self {
        self.write.push(existing(path.as_ref()));
        self
    }
}

/// The directory a file is in; the file itself when that would be everything.
fn home(path: &Path) -> PathBuf {
    let directory = match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => path,
    };
    if directory == Path::new("/") && path.exists() { path.to_owned() } else { existing(directory) }
}

/// The place itself, or what is there of the way to it: it may come later.
fn existing(path: &Path) -> PathBuf {
    path.ancestors()
        .map(|place| if place.as_os_str().is_empty() { Path::new(".") } else { place })
        .find(|place| place.exists())
        .unwrap_or(Path::new("/"))
        .to_owned()
}

impl Files {
    /// Leaves the others out of sight.
    pub(crate) fn restrict(&self, switch: Switch) -> Result<Restricted, RulesetError> {
        match self {
            Self::All => Ok(Restricted::Unsuited),
            Self::Of(_) if switch == Switch::Off => Ok(Restricted::Off),
            Self::Of(places) => places.restrict(),
        }
    }
}

impl Places {
    fn restrict(&self) -> Result<Restricted, RulesetError> {
        let read = AccessFs::from_read(NEWEST) & !AccessFs::Execute;
        let write = read | (AccessFs::from_write(NEWEST) & !(AccessFs::MakeBlock | AccessFs::MakeChar));
        let mut rules = Ruleset::default()
            .set_compatibility(CompatLevel::BestEffort)
            .handle_access(AccessFs::from_all(NEWEST))?
            .scope(Scope::from_all(NEWEST))?
            .create()?;
        // Whoever throws something away writes there.
        let null = (Path::new("/dev/null"), AccessFs::ReadFile | AccessFs::WriteFile);
        let readable = self.read.iter().map(|place| (place.as_path(), read));
        let writable = self.write.iter().map(|place| (place.as_path(), write));
        for (place, access) in readable.chain(writable).chain([null]) {
            let access = if place.is_dir() { access } else { access & AccessFs::from_file(NEWEST) };
            // What is not there cannot be opened.
            if let Ok(place) = PathFd::new(place) {
                rules = rules.add_rule(PathBeneath::new(place, access))?;
            }
        }
        Ok(match rules.restrict_self()?.ruleset {
            RulesetStatus::FullyEnforced => Restricted::Enforced,
            RulesetStatus::PartiallyEnforced => Restricted::Partly,
            RulesetStatus::NotEnforced => Restricted::Unknown,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_file_its_directory_is_meant() {
        for (file, place) in [
            ("/etc/hosts", "/etc"),
            ("/etc/there/is/no/such", "/etc"),
            ("Cargo.toml", "."),
            ("no/such/file", "."),
            ("/no/such/file", "/"),
            ("/proc", "/proc"),
        ] {
            assert_eq!(home(Path::new(file)), Path::new(place), "{file}");
        }
    }
}
