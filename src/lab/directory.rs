//! The lab's directory: removed with the lab, unless somebody will want to read the logs.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use crate::Error;
use crate::error::Doing as _;

/// Setting this variable keeps the directories of all labs.
const KEEP: &str = "CULVERT_LAB_KEEP";

#[derive(Debug)]
pub(crate) struct Directory {
    path: PathBuf,
    keep: AtomicBool,
}

impl Directory {
    /// Makes a directory that only the owner can enter.
    pub(crate) fn create(name: &str) -> Result<Self, Error> {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("culvert-lab-{name}-{}-{number}", std::process::id()));
        make(&path)?;
        Ok(Self { path, keep: AtomicBool::new(std::env::var_os(KEEP).is_some()) })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn subdirectory(&self, name: &str) -> Result<PathBuf, Error> {
        let path = self.path.join(name);
        make(&path)?;
        Ok(path)
    }

    pub(crate) fn keep(&self) {
        self.keep.store(true, Ordering::Relaxed);
    }
}

fn make(path: &Path) -> Result<(), Error> {
    DirBuilder::new().mode(0o700).create(path).doing(|| format!("make the directory {}", path.display()))
}

/// Replaces a file as a whole, readable for its owner only: whoever follows it never sees half of it. A file that says
/// the same already is left alone, and the answer is false.
pub(crate) fn replace(path: &Path, text: &str) -> Result<bool, Error> {
    if fs::read_to_string(path).is_ok_and(|old| old == text) {
        return Ok(false);
    }
    let draft = path.with_extension("draft");
    let write = || -> io::Result<()> {
        let mut options = OpenOptions::new();
        options
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&draft)?
            .write_all(text.as_bytes())?;
        fs::rename(&draft, path)
    };
    write().doing(|| format!("write {}", path.display()))?;
    Ok(true)
}

impl Drop for Directory {
    fn drop(&mut self) {
        if self.keep.load(Ordering::Relaxed) || std::thread::panicking() {
            eprintln!("the logs of the lab are in {}", self.path.display());
        } else if let Err(error) = fs::remove_dir_all(&self.path) {
            eprintln!("cannot remove {}: {error}", self.path.display());
        }
    }
}
