//! A connection for each request: connect, ask, read the answer, close.
//!
//! Who closes first is left with the connection in TIME_WAIT. It is the client unless a job says otherwise: through a
//! proxy that leaves one in the client's pod and one, of the proxy's own connection, in the server's.

use std::io::{self, Read as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::echo::exchange;
use super::tally::Tally;
use super::window::Window;
use super::{Side, socket};

/// The first byte of a request after which the client closes.
const CLIENT_CLOSES: u8 = b'c';
/// The first byte of a request after which the server closes.
const SERVER_CLOSES: u8 = b's';
/// Keeps a failing client from spinning.
const PAUSE: Duration = Duration::from_millis(1);
/// How many connect at once to fill a pod with TIME_WAIT sockets.
const FILLERS: usize = 8;

/// Runs clients until the window closes.
pub(super) fn run(to: SocketAddr, clients: usize, window: &Window) -> Tally {
    side_by_side(clients, || {
        let mut tally = Tally::default();
        loop {
            let began = Instant::now();
            let go_on = match once(to, None, Side::Client) {
                Ok(()) => tally.done(began, window),
                Err(error) => {
                    tally.failed(error);
                    thread::sleep(PAUSE);
                    !window.is_over(Instant::now())
                }
            };
            if !go_on {
                return tally;
            }
        }
    })
}

/// Makes a number of connections; `skip` of the client's odd ports are not used.
///
/// Connections that the server closes come from odd ports, chosen here. The kernel prefers even ones for those that just
/// connect, and would take the same few again and again: nothing in the client's pod tells it that the server still
/// remembers them.
pub(super) fn fill(to: SocketAddr, connections: usize, closes: Side, skip: usize) -> io::Result<Tally> {
    let ports = OddPorts::of_this_namespace()?;
    let next = AtomicUsize::new(0);
    Ok(side_by_side(FILLERS, || {
        let mut tally = Tally::default();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= connections {
                return tally;
            }
            let from = (closes == Side::Server).then(|| ports.at(skip + number));
            match once(to, from, closes) {
                Ok(()) => tally.done_untimed(),
                Err(error) => {
                    tally.failed(error);
                    thread::sleep(PAUSE);
                }
            }
        }
    }))
}

/// The odd half of the ports that connections are made from (`ip_local_port_range`, `ip(7)`).
#[derive(Debug, PartialEq, Eq)]
struct OddPorts {
    first: u16,
    count: usize,
}

impl OddPorts {
    fn of_this_namespace() -> io::Result<Self> {
        let text = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range")?;
        Self::of_range(&text).ok_or_else(|| io::Error::other(format!("`{}` is no range", text.trim())))
    }

    /// Reads two numbers: the first port and the last.
    fn of_range(text: &str) -> Option<Self> {
        let mut numbers = text.split_whitespace().map(str::parse::<u16>);
        let (low, high) = (numbers.next()?.ok()?, numbers.next()?.ok()?);
        let first = low | 1;
        let count = high.checked_sub(first)? / 2 + 1;
        Some(Self { first, count: count.into() })
    }

    /// One of them; they repeat in the end.
    fn at(&self, number: usize) -> u16 {
        let offset = u16::try_from(2 * (number % self.count)).expect("a difference of ports");
        self.first + offset
    }
}

fn side_by_side(workers: usize, work: impl Fn() -> Tally + Sync) -> Tally {
    let mut sum = Tally::default();
    thread::scope(|scope| {
        let workers: Vec<_> = (0..workers).map(|_| scope.spawn(&work)).collect();
        for worker in workers {
            match worker.join() {
                Ok(tally) => sum.add(tally),
                Err(_) => sum.failed("a client's thread panicked"),
            }
        }
    });
    sum
}

pub(super) fn once(to: SocketAddr, from: Option<u16>, closes: Side) -> io::Result<()> {
    let mut stream = socket::connect_from(from, to)?;
    let request = if closes == Side::Client { [CLIENT_CLOSES] } else { [SERVER_CLOSES] };
    exchange(&mut stream, &request, &mut [0])?;
    if closes == Side::Server { until_end(&mut stream) } else { Ok(()) }
}

/// The server's side.
pub(super) fn serve(mut stream: TcpStream) -> io::Result<()> {
    let mut request = [0];
    stream.read_exact(&mut request)?;
    io::Write::write_all(&mut stream, &request)?;
    if request[0] == SERVER_CLOSES { Ok(()) } else { until_end(&mut stream) }
}

fn until_end(stream: &mut TcpStream) -> io::Result<()> {
    match stream.read(&mut [0])? {
        0 => Ok(()),
        _ => Err(io::Error::new(io::ErrorKind::InvalidData, "more than one byte where one was expected")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_ports_are_within_the_range() {
        let ports = OddPorts::of_range("32768\t60999\n").unwrap();
        assert_eq!(ports, OddPorts { first: 32769, count: 14116 });
        assert_eq!((ports.at(0), ports.at(14_115), ports.at(14_116)), (32769, 60999, 32769));
        assert_eq!(OddPorts::of_range("1001 1001"), Some(OddPorts { first: 1001, count: 1 }));
        assert_eq!(OddPorts::of_range("1000 1000"), None);
        assert_eq!(OddPorts::of_range(""), None);
    }
}
