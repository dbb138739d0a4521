//! What can be wrong with the directory of a root.

use std::io;
use std::path::PathBuf;

use crate::files::Exposed;

/// Why there is no root.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("the directory {} cannot be used", dir.display())]
    Dir { dir: PathBuf, source: io::Error },
    #[error("another process is changing the root in {}; start again when it is done", dir.display())]
    Busy { dir: PathBuf },
    #[error(
        "{} is there but {} is not; restore it from a backup, or remove both to start a new mesh",
        present.display(), missing.display()
    )]
    Half { present: PathBuf, missing: PathBuf },
    #[error("{} cannot be read", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("{} cannot be written", path.display())]
    Unwritable { path: PathBuf, source: io::Error },
    #[error("the root key is not kept secret")]
    Exposed(#[from] Exposed),
    #[error("{} is not {expected}; restore it from a backup", path.display())]
    Malformed { path: PathBuf, expected: &'static str },
    #[error("{} and {} do not belong together; restore both from one backup", key.display(), certificate.display())]
    Mismatch { key: PathBuf, certificate: PathBuf },
    #[error("the root certificate {} has expired", path.display())]
    Expired { path: PathBuf },
    #[error("a new root cannot be made")]
    Generate(#[from] rcgen::Error),
}
