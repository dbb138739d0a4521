//! A Unix socket, and who may connect to it: processes of root, in whatever container.
//!
//! Where the disk has no room for its file, room is waited for ([`SocketFile`]).

use std::fs::{self, File, Permissions};
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::Path;

use futures::future::BoxFuture;
use socket2::{Domain, SockAddr, Socket, Type};
use tokio::net::{UnixListener, UnixStream};
use tracing::{debug, warn};

use super::Accept;
use super::socket_file::{Error, SocketFile};

/// Connections that wait for being accepted: as many pods as are started at once.
const BACKLOG: i32 = 256;

/// The listening socket. The file goes with it.
#[derive(Debug)]
pub struct RootSocket(SocketFile<UnixListener>);

impl RootSocket {
    /// Opens the socket, and makes its directory if there is none. A file that nobody listens behind is replaced. When the disk is full
    /// nobody can connect until there is room: who accepts waits for it.
    ///
    /// # Errors
    /// When somebody listens there already, or the kernel refuses for any other reason.
    pub fn bind(path: &Path) -> Result<Self, Error> {
        SocketFile::bind(path, listen).map(Self)
    }
}

fn listen(path: &Path) -> io::Result<UnixListener> {
    if !is_free(path)? {
        return Err(io::ErrorKind::AddrInUse.into());
    }
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.file_type().is_socket() => fs::remove_file(path)?,
        Ok(_) => {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, "there is a file that is no socket"));
        }
        Err(_) => {}
    }
    let socket = unconnected()?;
    // The umask would leave a moment in which others can connect; the mode of the descriptor does not.
    let file = File::from(OwnedFd::from(socket));
    file.set_permissions(Permissions::from_mode(0o600))?;
    let socket = Socket::from(OwnedFd::from(file));
    socket.bind(&SockAddr::unix(path)?)?;
    socket.listen(BACKLOG)?;
    UnixListener::from_std(OwnedFd::from(socket).into())
}

/// Whether nobody listens there.
fn is_free(path: &Path) -> io::Result<bool> {
    match unconnected()?.connect(&SockAddr::unix(path)?) {
        Ok(()) => Ok(false),
        // Whatever else is said, somebody says it: a full queue, or a socket of another kind.
        Err(error) => Ok(matches!(error.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound)),
    }
}

fn unconnected() -> io::Result<Socket> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

impl Accept for RootSocket {
    type Stream = UnixStream;

    fn accept(&mut self) -> BoxFuture<'_, io::Result<(UnixStream, Option<IpAddr>)>> {
        Box::pin(async {
            loop {
                let (stream, _) = self.0.listener().await.accept().await?;
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
        if self.0.is_open() {
            // Best effort: whoever comes next replaces it anyway.
            let _ = fs::remove_file(self.0.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread;
    use std::time::Duration;

    use super::*;

    #[test]
    fn who_listens_and_accepts_nobody_is_not_waited_for() {
        let path = std::env::temp_dir().join(format!("culvert-root-socket-{}", std::process::id()));
        let (address, socket) =
            (SockAddr::unix(&path).unwrap(), || Socket::new(Domain::UNIX, Type::STREAM, None).unwrap());
        let stuck = socket();
        stuck.bind(&address).unwrap();
        stuck.listen(0).unwrap();
        let waiting: Vec<_> = (0..4).map(|_| socket()).collect();
        for waits in &waiting {
            waits.set_nonblocking(true).unwrap();
            // Those that find the queue full have filled it.
            let _ = waits.connect(&address);
        }
        let (say, said) = mpsc::channel();
        let looked_at = path.clone();
        thread::spawn(move || say.send(is_free(&looked_at)));
        let free = said.recv_timeout(Duration::from_secs(20));
        fs::remove_file(&path).unwrap();
        assert!(!free.expect("nobody is waited for").unwrap());
    }
}
