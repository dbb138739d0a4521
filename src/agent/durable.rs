//! Files that are whole after a power loss: each is either as it was or as it shall be, never empty and never half.
//!
//! In go paths and contents; what happens is always the same: a draft beside the file, synced, renamed over it, and the directory
//! synced. What the files mean is decided elsewhere. Blocking.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown};
use std::path::{Path, PathBuf};

#[cfg(test)]
pub(crate) mod tests;

/// What drafts are called: a dot before and this behind the name, which neither container runtimes nor other plugins read.
const DRAFT: &str = ".culvert-draft";

/// Who may do what with a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Access {
    mode: u32,
    /// User and group, if they are to be others than ours.
    owner: Option<(u32, u32)>,
}

impl Access {
    /// A file of ours.
    pub(crate) fn mode(mode: u32) -> Self {
        Self { mode, owner: None }
    }

    /// As it is of another file.
    pub(crate) fn of(metadata: &fs::Metadata) -> Self {
        let mode = metadata.permissions().mode() & 0o7777;
        Self { mode, owner: Some((metadata.uid(), metadata.gid())) }
    }
}

/// The few things that are done to a disk, so that a test can pull the plug between any two of them.
pub(crate) trait Disk: std::fmt::Debug + Send + Sync {
    /// Makes a file that does not exist yet, with all its content on the disk.
    fn create(&self, path: &Path, content: &mut dyn Read, access: Access) -> io::Result<()>;
    /// Gives a file another name in its directory, which may be that of another file.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Takes a file away.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Puts the names in a directory on the disk.
    fn sync_directory(&self, directory: &Path) -> io::Result<()>;
}

/// The disk of this machine.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct LocalDisk;

impl Disk for LocalDisk {
    fn create(&self, path: &Path, content: &mut dyn Read, access: Access) -> io::Result<()> {
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        io::copy(content, &mut file)?;
        if let Some((user, group)) = access.owner {
            match fchown(&file, Some(user), Some(group)) {
                // It is ours then, and can be read all the same: runtimes are root's.
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
                settled => settled?,
            }
        }
        // Not left to the mode at creation: the umask would take bits of it, and so does a new owner.
        file.set_permissions(fs::Permissions::from_mode(access.mode))?;
        file.sync_all()
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn sync_directory(&self, directory: &Path) -> io::Result<()> {
        File::open(directory)?.sync_all()
    }
}

/// New content of a file, on the disk but under another name.
#[derive(Debug)]
pub(crate) struct Draft<'d> {
    disk: &'d dyn Disk,
    from: PathBuf,
    to: PathBuf,
}

impl<'d> Draft<'d> {
    /// Writes down what the file shall be.
    pub(crate) fn write(
        disk: &'d dyn Disk,
        path: &Path,
        content: &mut dyn Read,
        access: Access,
    ) -> io::Result<Self> {
        let from = draft_of(path)?;
        // What an earlier process has left.
        absent_is_fine(disk.remove(&from))?;
        let draft = Self { disk, from, to: path.to_owned() };
        match disk.create(&draft.from, content, access) {
            Ok(()) => Ok(draft),
            Err(error) => {
                draft.discard();
                Err(error)
            }
        }
    }

    /// Makes the file be that.
    pub(crate) fn commit(self) -> io::Result<()> {
        if let Err(error) = self.disk.rename(&self.from, &self.to) {
            self.discard();
            return Err(error);
        }
        sync_parent(self.disk, &self.to)
    }

    /// Leaves the file as it is.
    pub(crate) fn discard(self) {
        // Best effort: the next draft or sweep takes it away.
        let _ = self.disk.remove(&self.from);
    }
}

/// Replaces a file, or makes it.
pub(crate) fn replace(
    disk: &dyn Disk,
    path: &Path,
    content: &mut dyn Read,
    access: Access,
) -> io::Result<()> {
    Draft::write(disk, path, content, access)?.commit()
}

/// Gives a file another name in the same directory.
pub(crate) fn rename(disk: &dyn Disk, from: &Path, to: &Path) -> io::Result<()> {
    disk.rename(from, to)?;
    sync_parent(disk, to)
}

/// Takes a file away, if it is there.
pub(crate) fn remove(disk: &dyn Disk, path: &Path) -> io::Result<()> {
    match disk.remove(path) {
        Ok(()) => sync_parent(disk, path),
        missing => absent_is_fine(missing),
    }
}

/// Takes away the drafts that a crash has left in a directory.
pub(crate) fn sweep(disk: &dyn Disk, directory: &Path) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let name = entry?.file_name();
        let name = name.to_string_lossy();
        if name.starts_with('.') && name.ends_with(DRAFT) {
            absent_is_fine(disk.remove(&directory.join(&*name)))?;
        }
    }
    Ok(())
}

fn draft_of(path: &Path) -> io::Result<PathBuf> {
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    Ok(path.with_file_name(format!(".{}{DRAFT}", name.to_string_lossy())))
}

fn sync_parent(disk: &dyn Disk, path: &Path) -> io::Result<()> {
    disk.sync_directory(path.parent().ok_or(io::ErrorKind::InvalidInput)?)
}

fn absent_is_fine(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
