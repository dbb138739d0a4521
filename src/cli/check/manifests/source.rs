//! Which files there are, and what is written in them.
//!
//! Goes in: what somebody named: files, directories, `-`. Come out: texts by name, one at a time, none longer than [`LONGEST`]; and
//! whatever is in a directory and not looked at, by name as well. Deliberately absent: following links out of a directory that was
//! named, and waiting for what was found in one: pipes and devices are read only when they are named themselves.

use std::collections::HashSet;
use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// Where a text is to be had.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Source {
    Input,
    /// Named: it is read whatever it is.
    Named(PathBuf),
    /// Found in a directory, and called like manifests.
    Found(PathBuf),
    /// A directory that cannot be searched, and why.
    Closed(PathBuf, String),
    /// A link that is not followed.
    Link(PathBuf),
}

/// Why a text is not looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Unread {
    /// What is wrong with it as a whole.
    Broken(String),
    /// It is a link to somewhere else.
    Elsewhere,
}

/// What a cluster of some ten thousand objects comes to.
const LONGEST: u64 = 128 << 20;
/// How deep directories may be in each other.
const DEEPEST: usize = 32;
const ENDINGS: [&str; 3] = ["yaml", "yml", "json"];

impl Source {
    /// Finds what these names stand for: what is named itself whatever it is called, and in directories what is called like manifests.
    /// What can be come by in several ways is there once.
    ///
    /// # Errors
    /// When what is named is not there, or a directory that is named cannot be searched.
    pub(super) fn all(named: &[PathBuf]) -> Result<Vec<Self>, (PathBuf, io::Error)> {
        let mut found = Vec::new();
        for path in named {
            let failed = |error| (path.clone(), error);
            if path.as_os_str() == "-" {
                found.push(Self::Input);
            } else if fs::metadata(path).map_err(failed)?.is_dir() {
                let root = path.canonicalize().map_err(failed)?;
                let entries = listed(path).map_err(failed)?;
                search(&root, entries, DEEPEST, &mut found);
            } else {
                found.push(Self::Named(path.clone()));
            }
        }
        let mut known = HashSet::new();
        found.retain(|source| known.insert(source.really()));
        Ok(found)
    }

    /// What people know it by.
    pub(super) fn name(&self) -> String {
        self.path().map_or_else(|| "stdin".to_owned(), |path| path.display().to_string())
    }

    /// Reads it.
    pub(super) fn text(&self) -> Result<String, Unread> {
        let read = match self {
            Self::Input => limited(io::stdin().lock()),
            Self::Named(path) => File::open(path).and_then(limited),
            Self::Found(path) => fs::metadata(path).and_then(|it| open(path, &it)).and_then(limited),
            Self::Closed(_, why) => return Err(Unread::Broken(why.clone())),
            Self::Link(_) => return Err(Unread::Elsewhere),
        };
        let bytes = read.map_err(|error| Unread::Broken(format!("the file cannot be read: {error}")))?;
        let broken = |why: String| Err(Unread::Broken(why));
        if bytes.len() as u64 > LONGEST {
            return broken(format!("the file is longer than {} MiB", LONGEST >> 20));
        }
        if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
            return broken("the file is written in UTF-16, and has to be in UTF-8".to_owned());
        }
        String::from_utf8(bytes).or_else(|_| broken("the file is no UTF-8 text".to_owned()))
    }

    fn path(&self) -> Option<&Path> {
        match self {
            Self::Input => None,
            Self::Named(path) | Self::Found(path) | Self::Closed(path, _) | Self::Link(path) => Some(path),
        }
    }

    /// What is the same for all the ways it can be come by. A link that is not followed stands for itself.
    fn really(&self) -> Option<PathBuf> {
        let path = self.path()?;
        let followed = Some(path).filter(|_| !matches!(self, Self::Link(_))).map(Path::canonicalize);
        followed.and_then(Result::ok).or_else(|| Some(path.to_owned()))
    }
}

fn limited(from: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(LONGEST + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Opens a file; opening a pipe that nobody writes to would take forever.
fn open(path: &Path, it: &Metadata) -> io::Result<File> {
    if it.is_file() { File::open(path) } else { Err(io::Error::other("it is a pipe, a socket or a device")) }
}

/// Gives what is in a directory, in the order of names.
fn listed(directory: &Path) -> io::Result<Vec<fs::DirEntry>> {
    let mut entries = fs::read_dir(directory)?.collect::<io::Result<Vec<_>>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    Ok(entries)
}

/// Searches a directory below `root`. What is hidden is nobody's manifest, and links to directories may lead in circles.
fn search(root: &Path, entries: Vec<fs::DirEntry>, depth: usize, found: &mut Vec<Source>) {
    for entry in entries {
        let path = entry.path();
        let kind = entry.file_type();
        if entry.file_name().as_encoded_bytes().starts_with(b".") {
            continue;
        }
        if kind.is_ok_and(|kind| kind.is_dir()) {
            match (depth.checked_sub(1), listed(&path)) {
                (Some(depth), Ok(entries)) => search(root, entries, depth, found),
                (None, Ok(_)) => {
                    found.push(Source::Closed(path, format!("the directory is more than {DEEPEST} deep")));
                }
                (_, Err(error)) => {
                    found.push(Source::Closed(path, format!("the directory cannot be searched: {error}")));
                }
            }
        } else if leads_away(root, &path) {
            found.push(Source::Link(path));
        } else if is_called_like_manifests(&path) {
            found.push(Source::Found(path));
        }
    }
}

/// Tells whether a link leads to a directory, or a file called like manifests is in truth outside of `root`. Where a link leads that
/// leads nowhere is told when it is read.
fn leads_away(root: &Path, path: &Path) -> bool {
    let is_directory = fs::metadata(path).is_ok_and(|it| it.is_dir());
    let outside = || path.canonicalize().is_ok_and(|real| !real.starts_with(root));
    is_directory || (is_called_like_manifests(path) && outside())
}

fn is_called_like_manifests(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ENDINGS.iter().any(|known| ending == *known))
}

#[cfg(test)]
mod tests;
