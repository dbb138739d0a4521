//! One non-blocking attempt to read or write a socket that tokio watches.
//!
//! tokio remembers that a socket was ready until an attempt has failed. A read that did not fill its buffer has emptied the
//! socket, too (edge-triggered `epoll(7)`, question 9), so its readiness is taken back at once, which saves the read that
//! would fail. Readiness can also be taken back before an attempt, to be told of the next change.

use std::io;
use std::task::{Context, Poll};

use tokio::io::Interest;

use crate::tunnel::socket::Socket;

/// Attempts to read; `emptied` says of a result whether nothing is left for now.
pub(super) fn read<T>(
    socket: &Socket,
    read: impl FnOnce() -> io::Result<T>,
    emptied: impl FnOnce(&T) -> bool,
) -> io::Result<T> {
    once(socket, Interest::READABLE, read, emptied)
}

/// What a socket took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Written {
    pub(super) bytes: usize,
    /// It takes no more at present; whoever asked is told when it does.
    pub(super) blocked: bool,
}

/// Attempts to write `all` bytes. When the socket takes fewer, `cx` is told when it takes more.
pub(super) fn write(
    socket: &Socket,
    cx: &mut Context<'_>,
    all: usize,
    mut write: impl FnMut() -> io::Result<usize>,
) -> io::Result<Written> {
    loop {
        let bytes = match once(socket, Interest::WRITABLE, &mut write, |written| *written < all) {
            Ok(bytes) if bytes == all => return Ok(Written { bytes, blocked: false }),
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        match socket.poll_write_ready(cx) {
            Poll::Ready(ready) => ready?,
            Poll::Pending => return Ok(Written { bytes, blocked: true }),
        }
        if bytes > 0 {
            return Ok(Written { bytes, blocked: false });
        }
    }
}

/// Forgets that the socket was ready.
pub(super) fn forget(socket: &Socket, interest: Interest) {
    let nothing: io::Result<()> = socket.try_io(interest, || Err(io::ErrorKind::WouldBlock.into()));
    debug_assert!(nothing.is_err(), "nothing was attempted");
}

fn once<T>(
    socket: &Socket,
    interest: Interest,
    operation: impl FnOnce() -> io::Result<T>,
    emptied: impl FnOnce(&T) -> bool,
) -> io::Result<T> {
    let mut operation = Some(operation);
    let mut result = None;
    // What this returns only tells tokio what to remember.
    let _ = socket.try_io(interest, || {
        let Some(operation) = operation.take() else { return Ok(()) };
        let done = operation();
        let blocked = match &done {
            Ok(value) => emptied(value),
            Err(error) => error.kind() == io::ErrorKind::WouldBlock,
        };
        result = Some(done);
        if blocked { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(()) }
    });
    match (result, operation) {
        (Some(result), _) => result,
        // tokio knows of no readiness: it was taken back. The kernel is asked.
        (None, Some(operation)) => operation(),
        (None, None) => Err(io::ErrorKind::WouldBlock.into()),
    }
}
