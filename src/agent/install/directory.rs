//! What is in the directory of the CNI configuration, and how one tells that it has changed.
//!
//! Looks at metadata instead of using inotify: a node can run out of inotify instances.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use super::Settings;
use crate::durable::Access;

/// What container runtimes read; the second holds lists, the others single plugins.
const SUFFIXES: [&str; 3] = [".conf", ".conflist", ".json"];

/// A file that is longer is no configuration.
const MAX_SIZE: u64 = 1 << 20;

/// More files than any node has, of which the rest is not looked at.
const MAX_FILES: usize = 256;

/// What changes when a file is replaced or rewritten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
}

/// All that matters at one moment: the configuration by name, the plugin's executable, and what the plugin goes by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fingerprint {
    files: Vec<(String, Option<Mark>)>,
    executable: Option<Mark>,
    has_state: bool,
}

/// A file of the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) name: String,
    /// `None` for what is no text, is too long, or cannot be read.
    pub(super) text: Option<String>,
    pub(super) access: Access,
    pub(super) mark: Mark,
}

/// What the state of a file is, if it is there.
pub(super) fn mark(path: &Path) -> Option<Mark> {
    fs::metadata(path).ok().map(|metadata| Mark::of(&metadata))
}

impl Mark {
    fn of(metadata: &fs::Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
        }
    }
}

pub(super) fn fingerprint(settings: &Settings) -> Fingerprint {
    let names = names(&settings.conf).unwrap_or_default();
    let files = names.into_iter().map(|name| (name.clone(), mark(&settings.conf.join(name)))).collect();
    let has_state = settings.wanted.entry.state_file.exists();
    Fingerprint { files, executable: mark(&settings.executable()), has_state }
}

/// Reads all files a runtime would read, in the order in which it does.
pub(super) fn read(conf: &Path) -> io::Result<Vec<Seen>> {
    let mut seen = Vec::new();
    for name in names(conf)? {
        // Others may rename or remove files at any time.
        let Ok(file) = open(&conf.join(&name)) else { continue };
        let metadata = file.metadata()?;
        let mut bytes = Vec::new();
        let read = file.take(MAX_SIZE + 1).read_to_end(&mut bytes);
        let whole = read.is_ok_and(|length| length as u64 <= MAX_SIZE);
        let text = String::from_utf8(bytes).ok().filter(|_| whole);
        seen.push(Seen { name, text, access: Access::of(&metadata), mark: Mark::of(&metadata) });
    }
    Ok(seen)
}

/// The names a runtime would read that are links to what is not there, or cannot be seen from here.
pub(super) fn dangling(conf: &Path) -> io::Result<Vec<String>> {
    let leads_nowhere = |name: &String| {
        let path = conf.join(name);
        fs::symlink_metadata(&path).is_ok_and(|metadata| metadata.is_symlink())
            && fs::metadata(&path).is_err()
    };
    Ok(names(conf)?.into_iter().filter(leads_nowhere).collect())
}

/// The names of all files beside the configuration that a runtime does not read.
pub(super) fn others(conf: &Path) -> io::Result<Vec<String>> {
    all(conf, |name| !is_read(name))
}

fn names(conf: &Path) -> io::Result<Vec<String>> {
    all(conf, is_read)
}

fn all(conf: &Path, wanted: impl Fn(&str) -> bool) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(conf)? {
        if let Ok(name) = entry?.file_name().into_string()
            && wanted(&name)
        {
            names.push(name);
        }
    }
    names.sort();
    names.truncate(MAX_FILES);
    Ok(names)
}

/// Whether a runtime reads what is called so.
pub(super) fn is_read(name: &str) -> bool {
    SUFFIXES.iter().any(|suffix| name.ends_with(suffix))
}

fn open(path: &Path) -> io::Result<File> {
    // Opening a named pipe would wait for a writer for ever.
    if !fs::metadata(path)?.is_file() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    File::open(path)
}
