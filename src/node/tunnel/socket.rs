//! What tunnels read and write: TCP connections, and the two ends of a pipe where one tunnel runs inside another.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::task::{Context, Poll};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, Interest};
use tokio::net::{TcpStream, UnixStream};

/// A connected byte stream that tokio watches.
#[derive(Debug)]
pub(crate) enum Socket {
    /// A connection of an application, or what carries a tunnel.
    Tcp(TcpStream),
    /// One end of a pipe inside this process.
    Pipe(UnixStream),
}

macro_rules! either {
    ($socket:expr, $it:ident => $does:expr) => {
        match $socket {
            Socket::Tcp($it) => $does,
            Socket::Pipe($it) => $does,
        }
    };
}

impl Socket {
    /// Both ends of a new pipe.
    pub(super) fn pipe() -> io::Result<(Self, Self)> {
        UnixStream::pair().map(|(one, other)| (Self::Pipe(one), Self::Pipe(other)))
    }

    /// The connection, if it is one.
    pub(super) fn tcp(&self) -> Option<&TcpStream> {
        match self {
            Self::Tcp(tcp) => Some(tcp),
            Self::Pipe(_) => None,
        }
    }

    /// The same, given away.
    pub(crate) fn into_tcp(self) -> Option<TcpStream> {
        match self {
            Self::Tcp(tcp) => Some(tcp),
            Self::Pipe(_) => None,
        }
    }

    pub(super) fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, it => it.poll_read_ready(cx))
    }

    pub(super) fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, it => it.poll_write_ready(cx))
    }

    pub(super) async fn readable(&self) -> io::Result<()> {
        either!(self, it => it.readable().await)
    }

    pub(super) async fn writable(&self) -> io::Result<()> {
        either!(self, it => it.writable().await)
    }

    pub(super) fn try_io<T>(
        &self,
        interest: Interest,
        operation: impl FnOnce() -> io::Result<T>,
    ) -> io::Result<T> {
        either!(self, it => it.try_io(interest, operation))
    }

    pub(super) fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        either!(self, it => it.try_read(buffer))
    }

    pub(super) fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        either!(self, it => it.try_write(bytes))
    }

    pub(super) fn take_error(&self) -> io::Result<Option<io::Error>> {
        either!(self, it => it.take_error())
    }

    pub(super) async fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        either!(self, it => it.read(buffer).await)
    }

    pub(super) async fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        either!(self, it => it.write(bytes).await)
    }

    pub(super) async fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        either!(self, it => it.write_all(bytes).await)
    }

    /// Says that there will be no more.
    pub(super) async fn shutdown(&mut self) -> io::Result<()> {
        either!(self, it => it.shutdown().await)
    }
}

impl From<TcpStream> for Socket {
    fn from(tcp: TcpStream) -> Self {
        Self::Tcp(tcp)
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        either!(self, it => it.as_fd())
    }
}
