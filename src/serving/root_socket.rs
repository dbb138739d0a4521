//! A Unix socket, and who may connect to it: processes of root, in whatever container.
//!
//! Where the disk has no room for its file, room is waited for; whoever has a socket has other work to do meanwhile.

use std::fs::{self, File, Permissions};
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::{DirBuilderExt as _, FileTypeExt as _, PermissionsExt as _};
use std::os::unix::net;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures::future::BoxFuture;
use socket2::{Domain, SockAddr, Socket, Type};
use tokio::net::{UnixListener, UnixStream};
use tokio::time::sleep;
use tracing::{debug, info, warn};

use super::Accept;

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

/// Connections that wait for being accepted: as many pods as are started at once.
const BACKLOG: i32 = 256;

/// How often it is looked whether there is room on the disk.
const ROOM: Duration = Duration::from_secs(1);

/// The listening socket. The file goes with it.
#[derive(Debug)]
pub struct RootSocket {
    /// None while there is no room for its file.
    listener: Option<UnixListener>,
    path: PathBuf,
}

impl RootSocket {
    /// Opens the socket, and makes its directory if there is none. A file that nobody listens behind is replaced. When the disk is full
    /// nobody can connect until there is room: who accepts waits for it.
    ///
    /// # Errors
    /// When somebody listens there already, or the kernel refuses for any other reason.
    pub fn bind(path: &Path) -> Result<Self, Error> {
        let listener = match open(path) {
            Ok(listener) => Some(listener),
            Err(error) if error.is_want_of_room() => {
                warn!(path = %path.display(), error = told(&error), "nobody can connect until there is room on the disk");
                None
            }
            Err(error) => return Err(error),
        };
        Ok(Self { listener, path: path.to_owned() })
    }

    /// The socket, once there is room for its file. Cancel safe.
    async fn listener(&mut self) -> Result<&UnixListener, Error> {
        while self.listener.is_none() {
            match open(&self.path) {
                Ok(listener) => {
                    info!(path = %self.path.display(), "there is room on the disk, listening");
                    self.listener = Some(listener);
                }
                Err(error) if error.is_want_of_room() => sleep(ROOM).await,
                Err(error) => return Err(error),
            }
        }
        Ok(self.listener.as_ref().expect("it was opened above"))
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

fn open(path: &Path) -> Result<UnixListener, Error> {
    let named = || path.to_owned();
    if let Some(directory) = path.parent() {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o755)
            .create(directory)
            .map_err(|source| Error::Directory { path: named(), source })?;
    }
    if !is_free(path) {
        return Err(Error::InUse { path: named() });
    }
    listen(path).map_err(|source| Error::Listen { path: named(), source })
}

/// Whether nobody listens there.
fn is_free(path: &Path) -> bool {
    match net::UnixStream::connect(path) {
        Ok(_) => false,
        // A full queue is somebody's.
        Err(error) => error.kind() != io::ErrorKind::WouldBlock,
    }
}

fn listen(path: &Path) -> io::Result<UnixListener> {
    if fs::symlink_metadata(path).is_ok_and(|metadata| metadata.file_type().is_socket()) {
        fs::remove_file(path)?;
    }
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    // The umask would leave a moment in which others can connect; the mode of the descriptor does not.
    let file = File::from(OwnedFd::from(socket));
    file.set_permissions(Permissions::from_mode(0o600))?;
    let socket = Socket::from(OwnedFd::from(file));
    socket.bind(&SockAddr::unix(path)?)?;
    socket.listen(BACKLOG)?;
    UnixListener::from_std(OwnedFd::from(socket).into())
}

impl Accept for RootSocket {
    type Stream = UnixStream;

    fn accept(&mut self) -> BoxFuture<'_, io::Result<(UnixStream, Option<IpAddr>)>> {
        Box::pin(async {
            loop {
                let (stream, _) = self.listener().await.map_err(io::Error::other)?.accept().await?;
                match stream.peer_cred() {
                    Ok(peer) if peer.uid() == 0 => return Ok((stream, None)),
                    Ok(peer) => {
                        warn!(
                            uid = peer.uid(),
                            pid = peer.pid(),
                            "somebody who is not root has called, and is not answered"
                        );
                    }
                    Err(error) => debug!(%error, "somebody has called and gone"),
                }
            }
        })
    }

    fn descriptor(connection: &UnixStream) -> Option<OwnedFd> {
        connection.as_fd().try_clone_to_owned().ok()
    }
}

impl Drop for RootSocket {
    fn drop(&mut self) {
        if self.listener.is_some() {
            // Best effort: whoever comes next replaces it anyway.
            let _ = fs::remove_file(&self.path);
        }
    }
}
