//! What a process has of the kernel's: open files by kind, and the network namespaces it keeps alive.
//!
//! In goes a process; out comes a value. It judges nothing: what is too much depends on what else there is.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::Path;

use culvert_sys::netns::Netns;

use crate::Error;
use crate::error::Doing as _;
use crate::program::Program;

/// A process at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Belongings {
    /// How many descriptors of a kind are open: `socket`, `pipe`, `net`, `file`, `[eventpoll]` and the like.
    pub files: BTreeMap<String, usize>,
    /// The network namespaces it has open, or a thread of it is in, as `net:[INODE]`.
    pub namespaces: BTreeSet<String>,
}

impl Belongings {
    /// Looks at a program.
    ///
    /// # Errors
    /// When it has ended.
    pub fn of(program: &Program) -> Result<Self, Error> {
        Self::of_process(program.pid()).doing(|| format!("see what {} has open", program.name()))
    }

    fn of_process(pid: u32) -> io::Result<Self> {
        let (process, mut all) = (format!("/proc/{pid}"), Self::default());
        for link in links(&Path::new(&process).join("fd"))? {
            let kind = kind(&link);
            if kind == "net" {
                all.namespaces.insert(link);
            }
            *all.files.entry(kind).or_default() += 1;
        }
        for task in fs::read_dir(Path::new(&process).join("task"))? {
            // Threads come and go.
            if let Ok(link) = fs::read_link(task?.path().join("ns/net")) {
                all.namespaces.insert(link.to_string_lossy().into_owned());
            }
        }
        Ok(all)
    }

    /// The namespaces it keeps that are none of these.
    #[must_use]
    pub fn namespaces_beside<'n>(&self, known: impl IntoIterator<Item = &'n Netns>) -> Vec<String> {
        let known: BTreeSet<_> = known.into_iter().map(|netns| netns.id().to_string()).collect();
        self.namespaces.difference(&known).cloned().collect()
    }

    /// How many descriptors are open.
    #[must_use]
    pub fn open_files(&self) -> usize {
        self.files.values().sum()
    }
}

/// Where the links of a directory lead; those that went meanwhile are left out.
fn links(directory: &Path) -> io::Result<Vec<String>> {
    let mut all = Vec::new();
    for entry in fs::read_dir(directory)? {
        if let Ok(link) = fs::read_link(entry?.path()) {
            all.push(link.to_string_lossy().into_owned());
        }
    }
    Ok(all)
}

/// Reads what a descriptor is: `socket:[123]`, `anon_inode:[eventpoll]`, or a path.
fn kind(link: &str) -> String {
    match link.split_once(':') {
        Some(("anon_inode", name)) => name.to_owned(),
        Some((kind, _)) if !link.starts_with('/') => kind.to_owned(),
        Some(_) | None => "file".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors_are_told_apart() {
        for (link, expected) in [
            ("socket:[123]", "socket"),
            ("pipe:[1]", "pipe"),
            ("net:[4026531840]", "net"),
            ("anon_inode:[eventpoll]", "[eventpoll]"),
            ("/dev/null", "file"),
            ("/tmp/a:b", "file"),
        ] {
            assert_eq!(kind(link), expected);
        }
    }

    #[test]
    fn a_namespace_is_seen_while_it_is_held() {
        let (own, other) = (Netns::current().unwrap(), Netns::create().unwrap());
        let seen = |known: &[&Netns]| {
            let all = Belongings::of_process(std::process::id()).unwrap();
            all.namespaces_beside(known.iter().copied()).contains(&other.id().to_string())
        };
        assert!(seen(&[&own]));
        assert!(!seen(&[&own, &other]));
    }
}
