//! The load generator: a server with an application for each kind of load, and a client that carries out one [`Job`].
//!
//! Both are this program again, as processes of their own inside a pod's network namespace. In goes a job as JSON on the
//! command line; out comes an [`Outcome`] as JSON on stdout. The client uses blocking threads: the fewest system calls
//! for each operation, and none of the pauses of a scheduler of its own. It knows nothing of proxies.
//!
//! Every answer is compared with what was sent. What fails is counted, and the first failure is told.

use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use self::tally::Tally;
use self::window::Window;

mod bulk;
mod connect;
mod echo;
mod idle;
mod pattern;
pub(crate) mod server;
mod socket;
mod tally;
mod window;

/// Sends everything back, connection by connection.
const ECHO: u16 = 7001;
/// Answers one request for each connection.
pub(crate) const SHORT: u16 = 7002;
/// Takes bulk data.
const SINK: u16 = 7003;
/// Sends bulk data.
const SOURCE: u16 = 7004;
/// Keeps thousands of connections.
const IDLE: u16 = 7005;
/// The first of the ports that do what [`SHORT`] does and that no other load uses.
pub(crate) const COLD: u16 = 7100;
/// How many of those there are.
pub(crate) const COLD_PORTS: u16 = 20;

/// How many bulk streams the small requests of [`Work::Beside`] have beside them.
const BESIDE: usize = 10;

/// What the client shall do.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Job {
    /// Where the applications are.
    pub(crate) server: IpAddr,
    pub(crate) work: Work,
    /// What is done in this time is checked, but not measured.
    pub(crate) warm: Duration,
    /// How long it is measured.
    pub(crate) length: Duration,
}

/// The kinds of load.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Work {
    /// As many bytes as possible, or as each stream may carry.
    Bulk { direction: Direction, streams: usize, speed: Speed },
    /// Requests and answers of one size on connections that stay.
    Echo { connections: usize, size: usize },
    /// A connection for each request, closed by the client.
    Connect { clients: usize },
    /// So many connections, one request each; nothing is measured.
    /// Those that the server closes leave out so many of the ports that they may come from.
    Fill { connections: usize, closes: Side, skip: usize },
    /// One-byte requests, on one connection that stays and on new ones, beside bulk streams in both directions.
    Beside { speed: Speed },
    /// Connections that do nothing until the process is asked to end.
    Idle { connections: usize },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Direction {
    /// From the client to the server.
    Up,
    Down,
}

/// How fast a bulk stream may be, in bytes a second; 0 is as fast as it can.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Speed(pub(crate) u32);

impl Speed {
    pub(crate) const ANY: Self = Self(0);

    /// The largest write: small enough that a limited stream is not a series of bursts.
    fn portion(self) -> usize {
        if self == Self::ANY { usize::MAX } else { 16 * 1024 }
    }

    /// How long a number of bytes must take at least.
    fn time_for(self, bytes: u64) -> Duration {
        if self == Self::ANY {
            Duration::ZERO
        } else {
            Duration::from_secs_f64(bytes as f64 / f64::from(self.0))
        }
    }
}

/// Who closes a connection first, and is left with it in TIME_WAIT.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Side {
    Client,
    Server,
}

/// What the client did.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Outcome {
    pub(crate) parts: Vec<Part>,
}

/// One kind of operation of a job.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Part {
    pub(crate) name: PartName,
    /// Operations a second, or bytes a second for bulk.
    pub(crate) rate: f64,
    /// Microseconds; none for bulk.
    pub(crate) p50: Option<f64>,
    pub(crate) p99: Option<f64>,
    /// All operations, or bytes, those of the warm-up included: what the proxies spent CPU on.
    pub(crate) total: u64,
    pub(crate) failures: u64,
    pub(crate) first_failure: Option<String>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum PartName {
    #[default]
    Bulk,
    Echo,
    Connect,
    Idle,
}

/// The line the client of [`Work::Idle`] writes when all connections are open.
pub(crate) const OPENED: &str = "opened";

/// Carries a job out.
pub(crate) fn drive(job: &Job) -> std::io::Result<Outcome> {
    let to = |port| SocketAddr::new(job.server, port);
    let window = Window::after(job.warm, job.length);
    let parts = match job.work {
        Work::Bulk { direction, streams: count, speed } => {
            let streams = bulk::Streams { direction, count, speed };
            vec![bulk::run(job.server, streams, &window)?.part(PartName::Bulk, &window)]
        }
        Work::Echo { connections, size } => {
            vec![echo::run(to(ECHO), connections, size, &window)?.part(PartName::Echo, &window)]
        }
        Work::Connect { clients } => {
            vec![connect::run(to(SHORT), clients, &window).part(PartName::Connect, &window)]
        }
        Work::Fill { connections, closes, skip } => {
            vec![connect::fill(to(SHORT), connections, closes, skip)?.part(PartName::Connect, &window)]
        }
        Work::Beside { speed } => beside(job.server, speed, &window)?,
        Work::Idle { connections } => {
            vec![idle::run(to(IDLE), connections)?.part(PartName::Idle, &window)]
        }
    };
    Ok(Outcome { parts })
}

fn beside(server: IpAddr, speed: Speed, window: &Window) -> std::io::Result<Vec<Part>> {
    let to = |port| SocketAddr::new(server, port);
    std::thread::scope(|scope| {
        let bulk = |direction| {
            let streams = bulk::Streams { direction, count: BESIDE / 2, speed };
            scope.spawn(move || bulk::run(server, streams, window))
        };
        let (up, down) = (bulk(Direction::Up), bulk(Direction::Down));
        let short = scope.spawn(|| connect::run(to(SHORT), 1, window));
        let echo = echo::run(to(ECHO), 1, 1, window)?;
        let mut moved = joined(up.join())?;
        moved.add(joined(down.join())?);
        let short = joined(short.join().map(Ok))?;
        Ok(vec![
            echo.part(PartName::Echo, window),
            short.part(PartName::Connect, window),
            moved.part(PartName::Bulk, window),
        ])
    })
}

/// Opens a connection that stays, for [`ask`].
pub(super) fn open(server: IpAddr) -> std::io::Result<TcpStream> {
    socket::connect(SocketAddr::new(server, ECHO))
}

/// Sends a request of one byte on a connection that stays, and waits for its answer.
pub(super) fn ask(stream: &mut TcpStream) -> std::io::Result<()> {
    echo::exchange(stream, b"?", &mut [0])
}

/// Connects to a port like [`SHORT`], sends a request of one byte, waits for its answer, and closes.
pub(super) fn ask_anew(to: SocketAddr) -> std::io::Result<()> {
    connect::once(to, None, Side::Client)
}

fn joined(worker: std::thread::Result<std::io::Result<Tally>>) -> std::io::Result<Tally> {
    worker.unwrap_or_else(|_| Err(std::io::Error::other("a worker panicked")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limited_stream_takes_its_time() {
        assert_eq!(Speed(1_000_000).time_for(2_500_000), Duration::from_millis(2500));
        assert_eq!(Speed::ANY.time_for(2_500_000), Duration::ZERO);
    }
}
