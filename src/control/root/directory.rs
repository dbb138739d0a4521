//! A root that is kept in the files of a directory.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use crate::files;

use super::Error;
use super::leaves::Leaves;
use super::texts::{Part, Problem, Texts};

/// Where it is noted until when certificates live.
const LEAVES: &str = "leaves.json";

/// How long another process is waited for that changes the directory, and how often is looked whether it is done.
const BUSY: Duration = Duration::from_secs(1);
const LOOK: Duration = Duration::from_millis(10);

/// The directory of a root.
#[derive(Debug)]
pub(super) struct Directory(PathBuf);

impl Directory {
    pub(super) fn new(dir: &Path) -> Self {
        Self(dir.to_owned())
    }

    /// Where one of the texts is.
    pub(super) fn file(&self, part: Part) -> PathBuf {
        self.0.join(match part {
            Part::Certificate => "root-cert.pem",
            Part::Key => "root-key.pem",
            Part::NextKey => "next-key.pem",
            Part::Cross => "cross-cert.pem",
        })
    }

    /// Says where a problem is.
    pub(super) fn at(&self, problem: Problem) -> Error {
        Error::of(problem, |part| self.file(part).display().to_string())
    }

    /// Keeps other processes from changing the directory for as long as the result lives. Who is about to be done is waited for.
    pub(super) fn lock(&self) -> Result<File, Error> {
        let lock = File::open(&self.0).map_err(|error| self.unusable(error))?;
        let until = Instant::now() + BUSY;
        loop {
            match lock.try_lock() {
                Ok(()) => return Ok(lock),
                Err(TryLockError::WouldBlock) if Instant::now() < until => std::thread::sleep(LOOK),
                Err(TryLockError::WouldBlock) => return Err(Error::Busy { dir: self.0.clone() }),
                Err(TryLockError::Error(source)) => return Err(self.unusable(source)),
            }
        }
    }

    /// What is noted of certificates that its roots have signed.
    pub(super) fn leaves(&self) -> Result<Leaves, Error> {
        let path = self.0.join(LEAVES);
        match fs::read_to_string(&path) {
            Ok(text) => Ok(Leaves::read(&text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Leaves::default()),
            Err(source) => Err(Error::Unreadable { path, source }),
        }
    }

    /// Notes what there is to note; `bound` counts for roots nothing is known of.
    pub(super) fn keep_leaves(&self, new: &Leaves, bound: SystemTime) -> Result<(), Error> {
        let _lock = self.lock()?;
        let trusted = self.load()?.trusted().map_err(|problem| self.at(problem))?;
        let before = self.leaves()?;
        let mut after = before.clone();
        after.merge(new);
        after.bound(&trusted, bound);
        if after == before { Ok(()) } else { self.store_leaves(&after) }
    }

    pub(super) fn store_leaves(&self, leaves: &Leaves) -> Result<(), Error> {
        let path = self.0.join(LEAVES);
        files::write_whole(&path, 0o644, &leaves.text()).map_err(|source| Error::Unwritable { path, source })
    }

    /// Makes the directory and a root in it, if there is none; half of one is an error.
    pub(super) fn make_if_empty(&self, now: SystemTime) -> Result<(), Error> {
        files::make_private_dir(&self.0).map_err(|error| self.unusable(error))?;
        let _lock = self.lock()?;
        let there = self.load()?;
        if !there.is_there().map_err(|problem| self.at(problem))? {
            let new = Texts::new(now).map_err(|problem| self.at(problem))?;
            let mut leaves = Leaves::default();
            leaves.follow(&[], &new.trusted().map_err(|problem| self.at(problem))?, now);
            self.store_leaves(&leaves)?;
            self.store(&there, &new)?;
            tracing::info!(certificate = %self.file(Part::Certificate).display(), "new root made");
        }
        Ok(())
    }

    /// Reads all texts there are.
    pub(super) fn load(&self) -> Result<Texts, Error> {
        Ok(Texts {
            certificate: self.read(Part::Certificate)?,
            key: self.read_secret(Part::Key)?,
            next_key: self.read_secret(Part::NextKey)?,
            cross: self.read(Part::Cross)?,
        })
    }

    /// Makes `new` of `old`. One rename decides, that of the certificate: cut short before it, nothing has changed that counts. A first
    /// key comes before its certificate, as a certificate whose key is lost is worse than a key without certificate; a key that
    /// replaces another one comes after.
    pub(super) fn store(&self, old: &Texts, new: &Texts) -> Result<(), Error> {
        let first = old.key.is_none();
        let write = |part, mode, old: &Option<String>, new: &Option<String>| match new {
            Some(text) if old != new => self.write(part, mode, text),
            Some(_) | None => Ok(()),
        };
        if first {
            write(Part::Key, 0o600, &old.key, &new.key)?;
        }
        write(Part::NextKey, 0o600, &old.next_key, &new.next_key)?;
        write(Part::Cross, 0o644, &old.cross, &new.cross)?;
        write(Part::Certificate, 0o644, &old.certificate, &new.certificate)?;
        if !first {
            write(Part::Key, 0o600, &old.key, &new.key)?;
        }
        for (part, text) in [(Part::NextKey, &new.next_key), (Part::Cross, &new.cross)] {
            if text.is_none() {
                self.remove(part)?;
            }
        }
        Ok(())
    }

    fn unusable(&self, source: io::Error) -> Error {
        Error::Dir { dir: self.0.clone(), source }
    }

    /// Reads a text that nobody else may read.
    fn read_secret(&self, part: Part) -> Result<Option<String>, Error> {
        files::refuse_exposed(&self.file(part), files::OWNER_ONLY)?;
        self.read(part)
    }

    /// Reads a text, if it is there.
    fn read(&self, part: Part) -> Result<Option<String>, Error> {
        let path = self.file(part);
        match fs::read_to_string(&path) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(Error::Unreadable { path, source }),
        }
    }

    fn write(&self, part: Part, mode: u32, text: &str) -> Result<(), Error> {
        let path = self.file(part);
        files::write_whole(&path, mode, text).map_err(|source| Error::Unwritable { path, source })
    }

    fn remove(&self, part: Part) -> Result<(), Error> {
        match fs::remove_file(self.file(part)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(self.unusable(error)),
            Ok(()) | Err(_) => Ok(()),
        }
    }
}
