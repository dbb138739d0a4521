//! A listening socket that has a file, whose directory is made when there is none. Where the disk has no room for the file, room is
//! waited for: whoever has a socket has other work to do meanwhile.
//!
//! In go a path and what listens there; out comes the listener, once there is one. Who may connect, and what is said, is the
//! listener's affair, as is taking the file away.

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::sleep;
use tracing::{info, warn};

#[cfg(test)]
mod tests;

/// How often it is looked whether there is room on the disk.
const ROOM: Duration = Duration::from_secs(1);

/// A socket that cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Somebody listens there.
    #[error("another program is listening on {}; stop it, or choose another path", path.display())]
    InUse {
        /// The socket.
        path: PathBuf,
    },
    /// Its directory is not there.
    #[error("cannot create the directory of the socket {}; create it, or choose another path", path.display())]
    Directory {
        /// The socket.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The kernel refuses.
    #[error("cannot listen on {}; choose another path", path.display())]
    Listen {
        /// The socket.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

/// Makes a socket and its file; `AddrInUse` when somebody listens there. It waits for nobody.
pub type Listen<L> = fn(&Path) -> io::Result<L>;

/// The socket.
#[derive(Debug)]
pub struct SocketFile<L> {
    path: PathBuf,
    listen: Listen<L>,
    /// None while there is no room for its file.
    listener: Option<L>,
}

impl<L> SocketFile<L> {
    /// Opens the socket. When the disk is full nobody can connect until there is room.
    ///
    /// # Errors
    /// When somebody listens there already, or the kernel refuses for any other reason.
    pub fn bind(path: &Path, listen: Listen<L>) -> Result<Self, Error> {
        let mut socket = Self { path: path.to_owned(), listen, listener: None };
        match socket.open() {
            Err(error) if error.is_want_of_room() => {
                warn!(socket = %path.display(), error = told(&error), "nobody can connect until there is room on the disk");
            }
            opened => socket.listener = Some(opened?),
        }
        Ok(socket)
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether there was room for its file.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.listener.is_some()
    }

    /// What listens, once there is room for its file. Cancel safe.
    ///
    /// # Panics
    /// Never.
    pub async fn listener(&mut self) -> &L {
        while self.listener.is_none() {
            match self.open() {
                Ok(listener) => {
                    info!(socket = %self.path.display(), "there is room on the disk, listening");
                    self.listener = Some(listener);
                }
                Err(error) => {
                    if !error.is_want_of_room() {
                        warn!(error = told(&error), "{error}; trying again");
                    }
                    sleep(ROOM).await;
                }
            }
        }
        self.listener.as_ref().expect("it was opened above")
    }

    fn open(&self) -> Result<L, Error> {
        let named = || self.path.clone();
        if let Some(directory) = self.path.parent() {
            fs::DirBuilder::new()
                .recursive(true)
                .mode(0o755)
                .create(directory)
                .map_err(|source| Error::Directory { path: named(), source })?;
        }
        (self.listen)(&self.path).map_err(|source| {
            if source.kind() == io::ErrorKind::AddrInUse {
                Error::InUse { path: named() }
            } else {
                Error::Listen { path: named(), source }
            }
        })
    }
}

impl Error {
    /// Whether it passes when somebody clears away.
    fn is_want_of_room(&self) -> bool {
        match self {
            Self::InUse { .. } => false,
            Self::Directory { source, .. } | Self::Listen { source, .. } => {
                matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
            }
        }
    }
}

/// What the kernel said.
fn told(error: &Error) -> String {
    std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string)
}
