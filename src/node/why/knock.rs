//! Knocks at the ports of a host: who answers, whatever it says, is there.
//!
//! Goes in: a pod, a host, two of its ports. Comes out: which of them answer, now. It is done only when somebody asks why nobody had
//! answered, and says nothing: the connection is reset as soon as it is there.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

use culvert_sys::tcp::{self, Dial};

use crate::ledger::Book;

/// What two ports of a host answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Knocked {
    pub(super) host: SocketAddr,
    pub(super) tunnel: Answer,
    /// The application's own port.
    pub(super) application: Answer,
    pub(super) port: u16,
}

/// What a port answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    Open,
    /// Nobody listens, but the host is there.
    Closed,
    /// Nothing came within [`PATIENCE`].
    Silence,
    /// The kernel says that there is no way.
    Unreachable,
}

/// How long to wait for an answer: longer than a packet that was lost once takes.
const PATIENCE: Duration = Duration::from_secs(2);

/// Knocks from within the pod, with the mark that keeps its own capture away; nothing when the pod is gone.
pub(super) fn at(book: &Book, mark: Option<u32>, host: SocketAddr, port: u16) -> Option<Knocked> {
    let doors = [host, SocketAddr::new(host.ip(), port)];
    let sockets = || doors.map(|to| tcp::dial(to, &Dial { mark, source: None }));
    let sockets = match book.netns() {
        Some(netns) => netns.run(sockets).ok()?,
        None if book.is_here() => sockets(),
        None => return None,
    };
    let [one, other] = sockets;
    let (tunnel, application) = thread::scope(|scope| {
        let first = scope.spawn(|| answer(one, doors[0]));
        let second = answer(other, doors[1]);
        (first.join().unwrap_or(Answer::Unreachable), second)
    });
    Some(Knocked { host, tunnel, application, port })
}

fn answer(socket: io::Result<TcpStream>, door: SocketAddr) -> Answer {
    let connected = socket.and_then(|socket| tcp::knock(socket, door, PATIENCE));
    match connected.map_err(|error| error.kind()) {
        Ok(()) => Answer::Open,
        Err(io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset) => Answer::Closed,
        Err(io::ErrorKind::TimedOut) => Answer::Silence,
        Err(_) => Answer::Unreachable,
    }
}

impl Answer {
    /// Whether the host has said anything.
    pub(super) fn is_there(self) -> bool {
        matches!(self, Self::Open | Self::Closed)
    }

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Open => "answers",
            Self::Closed => "answers that nobody listens",
            Self::Silence => "says nothing",
            Self::Unreachable => "cannot be reached",
        }
    }
}
