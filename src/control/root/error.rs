//! What can be wrong with a root.

use std::io;
use std::path::PathBuf;

use crate::files::Exposed;

use super::texts::{Part, Problem};

/// Why there is no root.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("the directory {} cannot be used", dir.display())]
    Dir { dir: PathBuf, source: io::Error },
    #[error("another process is changing the root in {}; start again when it is done", dir.display())]
    Busy { dir: PathBuf },
    #[error(
        "{present} is there but {missing} is not; restore it from a backup, or remove both to start a new mesh"
    )]
    Half { present: String, missing: String },
    #[error("{} cannot be read", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("{} cannot be written", path.display())]
    Unwritable { path: PathBuf, source: io::Error },
    #[error("the root key is not kept secret")]
    Exposed(#[from] Exposed),
    #[error("{name} is not {expected}; restore it from a backup")]
    Malformed { name: String, expected: &'static str },
    #[error("{key} and {certificate} do not belong together; restore both from one backup")]
    Mismatch { key: String, certificate: String },
    #[error("the root certificate {name} has expired")]
    Expired { name: String },
    #[error("a new root cannot be made")]
    Generate(#[from] rcgen::Error),
}

impl Error {
    /// Says where a problem is, by what its parts are called there.
    pub(crate) fn of(problem: Problem, name: impl Fn(Part) -> String) -> Self {
        match problem {
            Problem::Half { present, missing } => {
                Self::Half { present: name(present), missing: name(missing) }
            }
            Problem::Malformed { part, expected } => Self::Malformed { name: name(part), expected },
            Problem::Mismatch { key } => {
                Self::Mismatch { key: name(key), certificate: name(Part::Certificate) }
            }
            Problem::Expired => Self::Expired { name: name(Part::Certificate) },
            Problem::Generate(error) => Self::Generate(error),
        }
    }
}
