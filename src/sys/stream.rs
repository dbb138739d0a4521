//! Reading and writing connected sockets in several pieces at once (`readv(2)`, `writev(2)`), and looking at what there is to read
//! before it is taken (`recv(2)`).

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd as _};

use nix::sys::socket::{MsgFlags, recv};

/// Reads into the pieces in order; 0 at the end.
///
/// # Errors
/// As `readv(2)`.
pub fn read(socket: &impl AsFd, pieces: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
    match pieces {
        [one] => nix::unistd::read(socket, one),
        pieces => nix::sys::uio::readv(socket, pieces),
    }
    .map_err(io::Error::from)
}

/// Reads what comes next and leaves it there; 0 at the end.
///
/// # Errors
/// As `recv(2)`.
pub fn peek(socket: &impl AsFd, buffer: &mut [u8]) -> io::Result<usize> {
    receive(socket, buffer, MsgFlags::MSG_PEEK)
}

/// Drops as many bytes of a TCP connection as the buffer is long, without copying them (`MSG_TRUNC`, tcp(7)). They must have been
/// [seen](peek).
///
/// # Errors
/// As `recv(2)`; [`io::ErrorKind::UnexpectedEof`] when there are fewer.
pub fn skip(socket: &impl AsFd, mut seen: &mut [u8]) -> io::Result<()> {
    while !seen.is_empty() {
        match receive(socket, seen, MsgFlags::MSG_TRUNC)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            dropped => seen = &mut seen[dropped..],
        }
    }
    Ok(())
}

fn receive(socket: &impl AsFd, buffer: &mut [u8], how: MsgFlags) -> io::Result<usize> {
    Ok(recv(socket.as_fd().as_raw_fd(), buffer, how | MsgFlags::MSG_DONTWAIT)?)
}

/// Writes the pieces in order; says how much of them.
///
/// # Errors
/// As `writev(2)`.
pub fn write(socket: &impl AsFd, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
    match pieces {
        [one] => nix::unistd::write(socket, one),
        pieces => nix::sys::uio::writev(socket, pieces),
    }
    .map_err(io::Error::from)
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::{TcpListener, TcpStream};

    use super::*;

    const SOON: std::time::Duration = std::time::Duration::from_secs(10);

    fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let dialled = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (dialled, listener.accept().unwrap().0)
    }

    #[test]
    fn what_was_seen_is_still_there_and_what_was_skipped_is_not() {
        let (mut from, mut to) = pair();
        from.write_all(b"one two").unwrap();
        drop(from);
        let mut buffer = [0; 16];
        to.set_read_timeout(Some(SOON)).unwrap();
        assert!(to.peek(&mut buffer).unwrap() > 0, "it has come");
        assert_eq!(peek(&to, &mut buffer).unwrap(), 7);
        assert_eq!(&buffer[..7], b"one two");
        skip(&to, &mut buffer[..4]).unwrap();
        assert_eq!(peek(&to, &mut buffer).unwrap(), 3);
        assert_eq!(&buffer[..3], b"two");
        let mut rest = String::new();
        to.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "two");
    }

    #[test]
    fn nothing_is_skipped_that_is_not_there() {
        let (from, to) = pair();
        let mut buffer = [0; 4];
        assert_eq!(peek(&to, &mut buffer).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        assert_eq!(skip(&to, &mut buffer).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        drop(from);
        to.set_read_timeout(Some(SOON)).unwrap();
        assert_eq!(to.peek(&mut buffer).unwrap(), 0, "the end has come");
        assert_eq!(skip(&to, &mut buffer).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }
}
