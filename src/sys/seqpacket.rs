//! `SOCK_SEQPACKET` Unix sockets: whole packets, in order, with descriptors attached (`unix(7)`, `cmsg(3)`).

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, Backlog, ControlMessage, ControlMessageOwned, MsgFlags, SockFlag, SockType, UnixAddr,
    accept4, bind, connect, getsockopt, listen, recvmsg, sendmsg, socket, sockopt,
};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// A listening socket; its file goes when it is dropped.
#[derive(Debug)]
pub struct Listener {
    fd: AsyncFd<OwnedFd>,
    path: PathBuf,
}

/// One end of a connection.
#[derive(Debug)]
pub struct Channel {
    fd: AsyncFd<OwnedFd>,
}

/// What one packet carried.
#[derive(Debug)]
pub struct Packet {
    /// The bytes, at most as many as the receiver asked for.
    pub bytes: Vec<u8>,
    /// The descriptors, close-on-exec.
    pub fds: Vec<OwnedFd>,
    /// Whether bytes or descriptors were cut off for want of room.
    pub truncated: bool,
}

impl Listener {
    /// Binds a socket file that only the owner can open (mode 0600), replacing one that nobody listens on.
    ///
    /// # Errors
    /// `AddrInUse` when somebody listens there already.
    pub fn bind(path: &Path) -> io::Result<Self> {
        let address = UnixAddr::new(path)?;
        let probe = new_socket()?;
        match connect(probe.as_raw_fd(), &address) {
            Ok(()) | Err(Errno::EAGAIN) => return Err(io::ErrorKind::AddrInUse.into()),
            Err(Errno::ECONNREFUSED) => std::fs::remove_file(path)?,
            Err(_) => {}
        }
        let fd = new_socket()?;
        // The umask would leave a moment in which others can connect; the mode of the descriptor does not.
        nix::sys::stat::fchmod(&fd, nix::sys::stat::Mode::from_bits_truncate(0o600))?;
        bind(fd.as_raw_fd(), &address)?;
        listen(&fd, Backlog::new(16)?)?;
        Ok(Self { fd: registered(fd)?, path: path.to_owned() })
    }

    /// Waits for the next connection. Cancel safe.
    ///
    /// # Errors
    /// When the process is out of descriptors.
    pub async fn accept(&self) -> io::Result<Channel> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let raw = self.fd.async_io(Interest::READABLE, |fd| Ok(accept4(fd.as_raw_fd(), flags)?)).await?;
        Channel::new(owned(raw))
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // Best effort: the file may be gone already, and the next bind replaces it anyway.
        let _ = std::fs::remove_file(&self.path);
    }
}

impl Channel {
    fn new(fd: OwnedFd) -> io::Result<Self> {
        Ok(Self { fd: registered(fd)? })
    }

    /// Connects to a listening socket file.
    ///
    /// # Errors
    /// When nobody listens there.
    pub async fn connect(path: &Path) -> io::Result<Self> {
        let fd = new_socket()?;
        let pending = match connect(fd.as_raw_fd(), &UnixAddr::new(path)?) {
            Ok(()) => false,
            Err(Errno::EAGAIN | Errno::EINPROGRESS) => true,
            Err(error) => return Err(error.into()),
        };
        let channel = Self::new(fd)?;
        if pending {
            channel.fd.writable().await?.retain_ready();
            let error = getsockopt(channel.fd.get_ref(), sockopt::SocketError)?;
            if error != 0 {
                return Err(io::Error::from_raw_os_error(error));
            }
        }
        Ok(channel)
    }

    /// A connected pair.
    ///
    /// # Errors
    /// When the process is out of descriptors.
    pub fn pair() -> io::Result<(Self, Self)> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let (a, b) = nix::sys::socket::socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags)?;
        Ok((Self::new(a)?, Self::new(b)?))
    }

    /// Sends one packet, with a descriptor if given. Cancel safe: the packet was sent whole or not at all.
    ///
    /// # Errors
    /// When the other end is gone.
    pub async fn send(&self, bytes: &[u8], fd: Option<BorrowedFd<'_>>) -> io::Result<()> {
        let fds: Vec<_> = fd.iter().map(AsRawFd::as_raw_fd).collect();
        let rights = [ControlMessage::ScmRights(&fds)];
        let control = if fds.is_empty() { &rights[..0] } else { &rights[..] };
        let flags = MsgFlags::MSG_NOSIGNAL;
        self.fd
            .async_io(Interest::WRITABLE, |socket| {
                sendmsg::<UnixAddr>(socket.as_raw_fd(), &[IoSlice::new(bytes)], control, flags, None)?;
                Ok(())
            })
            .await
    }

    /// Receives one packet of at most `limit` bytes; `None` when the other end has closed. Cancel safe.
    ///
    /// # Errors
    /// When the connection is broken.
    pub async fn receive(&self, limit: usize) -> io::Result<Option<Packet>> {
        self.fd.async_io(Interest::READABLE, |socket| receive(socket.as_raw_fd(), limit)).await
    }
}

fn receive(fd: i32, limit: usize) -> io::Result<Option<Packet>> {
    let mut bytes = vec![0; limit];
    let mut control = nix::cmsg_space!([std::os::fd::RawFd; 4]);
    let (length, fds, truncated) = {
        let mut buffers = [IoSliceMut::new(&mut bytes)];
        let flags = MsgFlags::MSG_CMSG_CLOEXEC;
        let message = recvmsg::<UnixAddr>(fd, &mut buffers, Some(&mut control), flags)?;
        let mut fds = Vec::new();
        for part in message.cmsgs()? {
            if let ControlMessageOwned::ScmRights(raw) = part {
                fds.extend(raw.into_iter().map(owned));
            }
        }
        (message.bytes, fds, message.flags.intersects(MsgFlags::MSG_TRUNC | MsgFlags::MSG_CTRUNC))
    };
    if length == 0 && fds.is_empty() {
        return Ok(None);
    }
    bytes.truncate(length);
    Ok(Some(Packet { bytes, fds, truncated }))
}

fn new_socket() -> io::Result<OwnedFd> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    Ok(socket(AddressFamily::Unix, SockType::SeqPacket, flags, None)?)
}

#[expect(unsafe_code, reason = "the reactor cannot know who owns a descriptor")]
fn registered(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: the AsyncFd owns the descriptor, so that it stays open and the same for as long as the AsyncFd lives.
    unsafe { Ok(AsyncFd::register(fd)?) }
}

#[expect(unsafe_code, reason = "the kernel hands out raw descriptors")]
fn owned(raw: std::os::fd::RawFd) -> OwnedFd {
    // SAFETY: accept4 and SCM_RIGHTS give fresh descriptors that nobody else owns.
    unsafe { OwnedFd::from_raw_fd(raw) }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;

    #[tokio::test]
    async fn packets_keep_their_borders_and_their_descriptors() {
        let (a, b) = Channel::pair().unwrap();
        let file = std::fs::File::open("/proc/self/ns/net").unwrap();
        a.send(b"one", None).await.unwrap();
        a.send(b"two", Some(file.as_fd())).await.unwrap();
        let one = b.receive(64).await.unwrap().unwrap();
        assert_eq!((one.bytes.as_slice(), one.fds.len(), one.truncated), (&b"one"[..], 0, false));
        let two = b.receive(64).await.unwrap().unwrap();
        assert_eq!((two.bytes.as_slice(), two.fds.len()), (&b"two"[..], 1));
    }

    #[tokio::test]
    async fn a_packet_that_does_not_fit_says_so() {
        let (a, b) = Channel::pair().unwrap();
        a.send(&[7; 100], None).await.unwrap();
        let packet = b.receive(10).await.unwrap().unwrap();
        assert_eq!((packet.bytes.len(), packet.truncated), (10, true));
    }

    #[tokio::test]
    async fn the_end_is_seen() {
        let (a, b) = Channel::pair().unwrap();
        drop(a);
        assert!(b.receive(10).await.unwrap().is_none());
    }

    #[tokio::test]
    async fn a_second_listener_is_refused_and_a_stale_file_is_replaced() {
        let path = std::env::temp_dir().join(format!("culvert-seqpacket-{}", std::process::id()));
        let first = Listener::bind(&path).unwrap();
        assert_eq!(Listener::bind(&path).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        // What a killed process leaves: the file, and nobody listening.
        let kept = std::fs::hard_link(&path, path.with_extension("kept"));
        kept.unwrap();
        drop(first);
        std::fs::rename(path.with_extension("kept"), &path).unwrap();
        let second = Listener::bind(&path).unwrap();
        let (dialled, accepted) = tokio::join!(Channel::connect(&path), second.accept());
        dialled.unwrap().send(b"hello", None).await.unwrap();
        assert_eq!(accepted.unwrap().receive(64).await.unwrap().unwrap().bytes, b"hello");
    }
}
