//! Files with secrets: who may read them, and how they come into being whole.
//!
//! A file is written under another name, made durable, and then renamed, so that nobody ever sees half of it, not after a
//! power cut either.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// Permissions nobody but the owner has.
pub(crate) const OWNER_ONLY: u32 = 0o077;

/// Permissions nobody but the owner and its group has: a Kubernetes Secret in a pod that is not root needs its group.
pub(crate) const OWNER_AND_GROUP: u32 = 0o007;

/// A file with a secret has permissions it must not have.
#[derive(Debug, thiserror::Error)]
#[error("{} can be read by others (mode {mode:04o}); run: chmod 600 {}", path.display(), path.display())]
pub(crate) struct Exposed {
    path: PathBuf,
    mode: u32,
}

/// Refuses a file of which one of the `forbidden` permissions is set.
///
/// A file that cannot be looked at is not refused here: reading it fails and says why.
pub(crate) fn refuse_exposed(path: &Path, forbidden: u32) -> Result<(), Exposed> {
    let Ok(metadata) = fs::metadata(path) else { return Ok(()) };
    let mode = metadata.permissions().mode() & 0o7777;
    if mode & forbidden == 0 { Ok(()) } else { Err(Exposed { path: path.to_owned(), mode }) }
}

/// Makes a directory, and those above it, for its owner alone. One that is there stays as it is.
pub(crate) fn make_private_dir(dir: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir)
}

/// Writes a file with exactly these permissions, whole or not at all.
pub(crate) fn write_whole(path: &Path, mode: u32, text: &str) -> io::Result<()> {
    let dir = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    let unfinished = path.with_extension("pem.unfinished");
    // One that a crash left behind may have other permissions.
    match fs::remove_file(&unfinished) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&unfinished)?;
    file.write_all(text.as_bytes())?;
    file.set_permissions(fs::Permissions::from_mode(mode))?;
    file.sync_all()?;
    fs::rename(&unfinished, path)?;
    File::open(dir)?.sync_all()
}
