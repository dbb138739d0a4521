//! `SOCK_SEQPACKET` Unix sockets: whole packets, in order, with descriptors attached (`unix(7)`, `cmsg(3)`).

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, Backlog, ControlMessage, MsgFlags, SockFlag, SockType, UnixAddr, accept4, bind, connect,
    getsockopt, listen, recvmsg, sendmsg, socket, sockopt,
};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// How many descriptors a packet can carry: `SCM_MAX_FD` of `unix(7)`.
const MOST_FDS: usize = 253;

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
    /// Whether bytes were cut off for want of room.
    pub truncated: bool,
    /// Whether descriptors were sent that are not here: this process has as many files open as it may.
    pub lost_fds: bool,
}

impl Listener {
    /// Binds a socket file that only the owner can open (mode 0600), replacing one that nobody listens on.
    ///
    /// # Errors
    /// `AddrInUse` when somebody listens there already, `AlreadyExists` when there is a file of another kind.
    pub fn bind(path: &Path) -> io::Result<Self> {
        let address = UnixAddr::new(path)?;
        let probe = new_socket()?;
        match connect(probe.as_raw_fd(), &address) {
            Ok(()) | Err(Errno::EAGAIN) => return Err(io::ErrorKind::AddrInUse.into()),
            // A file that was never a socket is somebody's.
            Err(Errno::ECONNREFUSED) if !std::fs::symlink_metadata(path)?.file_type().is_socket() => {
                let what = "there is a file that is no socket";
                return Err(io::Error::new(io::ErrorKind::AlreadyExists, what));
            }
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

    /// Connects to a listening socket file, at once: nothing of that takes time (`unix(7)`).
    ///
    /// # Errors
    /// When nobody listens there; `WouldBlock` when whoever listens has not accepted those who came before.
    pub fn connect(path: &Path) -> io::Result<Self> {
        let fd = new_socket()?;
        connect(fd.as_raw_fd(), &UnixAddr::new(path)?)?;
        Self::new(fd)
    }

    /// The user who connected, or who listened, when it was done (`SO_PEERCRED`).
    ///
    /// # Errors
    /// When the kernel does not say.
    pub fn peer_user(&self) -> io::Result<u32> {
        Ok(getsockopt(self.fd.get_ref(), sockopt::PeerCredentials)?.uid())
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
    // The kernel sends no more at a time, so that none is cut off for want of room.
    let mut control = nix::cmsg_space!([RawFd; MOST_FDS]);
    let mut buffers = [IoSliceMut::new(&mut bytes)];
    let message = recvmsg::<UnixAddr>(fd, &mut buffers, Some(&mut control), MsgFlags::MSG_CMSG_CLOEXEC)?;
    let (length, flags) = (message.bytes, message.flags);
    // Read here: of a message that is not complete, nix gives no descriptors, and those that came would stay open.
    let fds: Vec<_> = rights(&control).into_iter().map(owned).collect();
    let (truncated, lost_fds) = (flags.contains(MsgFlags::MSG_TRUNC), flags.contains(MsgFlags::MSG_CTRUNC));
    if length == 0 && fds.is_empty() && !lost_fds {
        return Ok(None);
    }
    bytes.truncate(length);
    Ok(Some(Packet { bytes, fds, truncated, lost_fds }))
}

/// The descriptors in control messages as `cmsg(3)` lays them out; what the kernel did not write is zero.
fn rights(mut control: &[u8]) -> Vec<RawFd> {
    const WORD: usize = size_of::<usize>();
    /// Length, level and type.
    const HEADER: usize = WORD + 2 * size_of::<i32>();
    let mut all = Vec::new();
    while let Some((length, rest)) = control.split_first_chunk::<WORD>() {
        let length = usize::from_ne_bytes(*length);
        let (Some(body), true) = (rest.get(..length.saturating_sub(WORD)), length >= HEADER) else { break };
        let int = |piece: &[u8]| piece.try_into().map(i32::from_ne_bytes).unwrap_or_default();
        let [level, kind] = [&body[..4], &body[4..8]].map(int);
        if (level, kind) == (nix::libc::SOL_SOCKET, nix::libc::SCM_RIGHTS) {
            all.extend(body[8..].chunks_exact(size_of::<RawFd>()).map(int));
        }
        control = control.get(length.next_multiple_of(WORD)..).unwrap_or_default();
    }
    all
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
fn owned(raw: RawFd) -> OwnedFd {
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
    async fn all_descriptors_come_however_many() {
        let (a, b) = Channel::pair().unwrap();
        let file = std::fs::File::open("/proc/self/ns/net").unwrap();
        let fds = [file.as_raw_fd(); MOST_FDS];
        let rights = [ControlMessage::ScmRights(&fds)];
        let socket = a.fd.as_raw_fd();
        sendmsg::<UnixAddr>(socket, &[IoSlice::new(b"x")], &rights, MsgFlags::empty(), None).unwrap();
        let packet = b.receive(10).await.unwrap().unwrap();
        assert_eq!((packet.fds.len(), packet.lost_fds), (MOST_FDS, false));
        let distinct: std::collections::BTreeSet<_> = packet.fds.iter().map(AsRawFd::as_raw_fd).collect();
        assert_eq!(distinct.len(), MOST_FDS);
    }

    /// In a process of its own, whose descriptors are few and known.
    #[tokio::test]
    async fn descriptors_for_which_there_is_no_place_are_missed_and_those_that_came_are_closed() {
        const NAME: &str = "CULVERT_TEST_WITH_FEW_DESCRIPTORS";
        if std::env::var_os(NAME).is_none() {
            let test = std::thread::current().name().unwrap().to_owned();
            let mut again = std::process::Command::new("prlimit");
            again.arg("--nofile=20:20").arg(std::env::current_exe().unwrap());
            let output = again.args(["--exact", "--nocapture", &test]).env(NAME, "1").output().unwrap();
            let said = String::from_utf8_lossy(&output.stdout);
            assert!(output.status.success() && said.contains("1 passed"), "{said}");
            return;
        }
        let (a, b) = Channel::pair().unwrap();
        let own = || std::fs::read_dir("/proc/self/fd").unwrap().count();
        let before = own();
        let file = std::fs::File::open("/proc/self/ns/net").unwrap();
        for _ in 0..3 {
            let fds = [file.as_raw_fd(); 20];
            let rights = [ControlMessage::ScmRights(&fds)];
            let socket = a.fd.as_raw_fd();
            sendmsg::<UnixAddr>(socket, &[IoSlice::new(b"x")], &rights, MsgFlags::empty(), None).unwrap();
            let packet = b.receive(10).await.unwrap().unwrap();
            assert_eq!(
                (packet.bytes.as_slice(), packet.truncated, packet.lost_fds),
                (&b"x"[..], false, true)
            );
            assert!(!packet.fds.is_empty() && packet.fds.len() < 20, "{packet:?}");
        }
        drop(file);
        assert_eq!(own(), before, "they were closed");
    }

    #[tokio::test]
    async fn the_end_is_seen() {
        let (a, b) = Channel::pair().unwrap();
        drop(a);
        assert!(b.receive(10).await.unwrap().is_none());
    }

    #[tokio::test]
    async fn a_file_that_was_never_a_socket_stays() {
        let path = std::env::temp_dir().join(format!("culvert-seqpacket-file-{}", std::process::id()));
        std::fs::write(&path, "precious").unwrap();
        let error = Listener::bind(&path).unwrap_err();
        let left = std::fs::read_to_string(&path);
        std::fs::remove_file(&path).unwrap();
        assert_eq!((error.kind(), left.unwrap().as_str()), (io::ErrorKind::AlreadyExists, "precious"));
    }

    #[tokio::test]
    async fn who_comes_while_too_many_wait_is_told_so() {
        let path = std::env::temp_dir().join(format!("culvert-seqpacket-full-{}", std::process::id()));
        let listener = Listener::bind(&path).unwrap();
        let mut waiting = Vec::new();
        let error = loop {
            match Channel::connect(&path) {
                Ok(channel) => waiting.push(channel),
                Err(error) => break error,
            }
            assert!(waiting.len() < 1000, "nobody is refused");
        };
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        drop(listener.accept().await.unwrap());
        waiting.push(Channel::connect(&path).unwrap());
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
        let (dialled, accepted) = (Channel::connect(&path), second.accept().await);
        dialled.unwrap().send(b"hello", None).await.unwrap();
        assert_eq!(accepted.unwrap().receive(64).await.unwrap().unwrap().bytes, b"hello");
    }
}
