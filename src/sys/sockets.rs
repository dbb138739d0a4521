//! The sockets of a network namespace, as the kernel's socket statistics tell (`sock_diag(7)`).
//!
//! The kernel looks through what is asked for alone: listeners, or one port. `/proc/net/tcp` and `udp` list all there is, and
//! whoever may make sockets in the namespace decides how long that takes.

mod connections;

use std::collections::BTreeSet;
use std::io::{self, Read as _};
use std::ops::ControlFlow;

use socket2::{Domain, Protocol, Socket as Netlink, Type};

use crate::netlink::{self, DONE, DUMP, ERROR, HEADER, Message, REQUEST};
use crate::netns::Netns;

pub use connections::{Connection, connections};

/// One socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Socket {
    /// Its own port.
    pub port: u16,
    /// `TCP_LISTEN` and the like, by number.
    pub state: u8,
    /// Whether some process has it open.
    pub is_held: bool,
    /// The number by which `/proc/PID/fd` names it; 0 when nobody has it open.
    pub inode: u32,
}

/// TCP states, as far as anybody asks for them (`tcp_states.h`).
pub mod state {
    /// Both ends may speak.
    pub const ESTABLISHED: u8 = 1;
    /// One end has said that it has no more to say, and waits for the other to hear it.
    pub const FIN_WAIT_1: u8 = 4;
    /// The other has heard it.
    pub const FIN_WAIT_2: u8 = 5;
    /// Both have ended, and late packets are waited for.
    pub const TIME_WAIT: u8 = 6;
    /// The other ended first, and waits to hear that this end has ended too.
    pub const LAST_ACK: u8 = 9;
    /// The other has ended, and this end may still speak.
    pub const CLOSE_WAIT: u8 = 8;
    /// Not connected, perhaps bound.
    pub const CLOSE: u8 = 7;
    /// Waiting for clients.
    pub const LISTEN: u8 = 10;
    /// Both ended at once.
    pub const CLOSING: u8 = 11;
}

/// All TCP ports somebody listens on, at whatever address.
///
/// # Errors
/// When the namespace cannot be entered, or the kernel has no socket statistics (`inet_diag`).
pub fn listening_ports(netns: &Netns) -> io::Result<BTreeSet<u16>> {
    let mut ports = BTreeSet::new();
    ask(netns, Question { protocol: TCP, states: 1 << state::LISTEN, port: 0 }, |socket| {
        ports.insert(socket.port);
    })?;
    Ok(ports)
}

/// The TCP sockets with this port at their own end, in whatever state.
///
/// # Errors
/// As [`listening_ports`].
pub fn tcp_at(netns: &Netns, port: u16) -> io::Result<Vec<Socket>> {
    at(netns, TCP, port)
}

/// The UDP sockets with this port at their own end.
///
/// # Errors
/// As [`listening_ports`]; for UDP it is `udp_diag`.
pub fn udp_at(netns: &Netns, port: u16) -> io::Result<Vec<Socket>> {
    at(netns, UDP, port)
}

fn at(netns: &Netns, protocol: u8, port: u16) -> io::Result<Vec<Socket>> {
    let mut sockets = Vec::new();
    ask(netns, Question { protocol, states: u32::MAX, port }, |socket| {
        // Who has never bound one has none, and is not left out by every kernel.
        if socket.port == port {
            sockets.push(socket);
        }
    })?;
    Ok(sockets)
}

#[derive(Clone, Copy)]
struct Question {
    protocol: u8,
    /// One bit for each state.
    states: u32,
    /// 0 for any.
    port: u16,
}

fn ask(netns: &Netns, question: Question, mut take: impl FnMut(Socket)) -> io::Result<()> {
    let mut found = Vec::new();
    let asked = netns.run(open)?.and_then(|mut netlink| dump(&mut netlink, question, &mut found));
    match asked {
        Ok(()) => found.into_iter().for_each(take),
        Err(error) if error.kind() == io::ErrorKind::NotFound => list(netns, question, &mut take)?,
        Err(error) => return Err(error),
    }
    Ok(())
}

fn dump(netlink: &mut Netlink, question: Question, found: &mut Vec<Socket>) -> io::Result<()> {
    for family in [INET, INET6] {
        netlink.send(&request(family, question, 0))?;
        collect(netlink, |body| {
            found.extend(socket(body));
            ControlFlow::Continue(())
        })?;
    }
    Ok(())
}

fn open() -> io::Result<Netlink> {
    let kind = Type::RAW.cloexec().nonblocking();
    Netlink::new(Domain::from(nix::libc::AF_NETLINK), kind, Some(Protocol::from(SOCK_DIAG)))
}

/// Reads answers until the kernel says that these were all, or nobody wants more. It has them ready: a dump is made as it is read.
fn collect(netlink: &mut Netlink, mut take: impl FnMut(&[u8]) -> ControlFlow<()>) -> io::Result<()> {
    let mut buffer = vec![0; ANSWERS];
    loop {
        let length = netlink.read(&mut buffer)?;
        let mut rest = &buffer[..length];
        while let Some((message, next)) = Message::split(rest) {
            match message.kind {
                // With the error that has ended the dump, if one has.
                DONE if message.code().is_some_and(|code| code < 0) => return Err(message.failure()),
                DONE => return Ok(()),
                ERROR => return Err(message.failure()),
                _ => {
                    if take(message.body).is_break() {
                        return Ok(());
                    }
                }
            }
            rest = next;
        }
        if length == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

/// A `nlmsghdr` and an `inet_diag_req_v2`, with one bit for each attribute that is wanted.
fn request(family: u8, question: Question, extensions: u8) -> Vec<u8> {
    let mut request = Vec::with_capacity(LENGTH);
    request.extend(netlink::header(LENGTH, BY_FAMILY, REQUEST | DUMP, 0));
    request.extend([family, question.protocol, extensions, 0]);
    request.extend(question.states.to_ne_bytes());
    request.extend(question.port.to_be_bytes());
    request.resize(LENGTH, 0);
    request
}

/// Reads an `inet_diag_msg`: family, state, timer, retransmissions, the local port; at its end, behind addresses and counters, the
/// inode, which only an open socket has.
fn socket(body: &[u8]) -> Option<Socket> {
    let port = u16::from_be_bytes(body.get(4..6)?.try_into().ok()?);
    let inode = u32::from_ne_bytes(body.get(68..72)?.try_into().ok()?);
    Some(Socket { port, state: *body.get(1)?, is_held: inode != 0, inode })
}

/// The same from `/proc/net`, for kernels without socket statistics of a protocol: everything is listed, and most of it thrown away.
fn list(netns: &Netns, question: Question, mut take: impl FnMut(Socket)) -> io::Result<()> {
    let names = if question.protocol == UDP { ["udp", "udp6"] } else { ["tcp", "tcp6"] };
    let read = |name| match std::fs::read_to_string(format!("/proc/thread-self/net/{name}")) {
        // A version of IP the kernel does not have.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        table => table,
    };
    for table in netns.run(|| names.map(read))? {
        let table = table?;
        let asked = |socket: &Socket| {
            question.states & (1_u32 << (socket.state & 31)) != 0
                && (question.port == 0 || question.port == socket.port)
        };
        table.lines().skip(1).filter_map(listed).filter(asked).for_each(&mut take);
    }
    Ok(())
}

/// Reads `number: local-address:port remote-address:port state queues timer retransmissions uid timeout inode`, below a line of
/// headings; addresses, ports and states are hexadecimal (`proc_net_tcp.rst`).
fn listed(line: &str) -> Option<Socket> {
    let mut words = line.split_whitespace().skip(1);
    let (_, port) = words.next()?.rsplit_once(':')?;
    let state = u8::from_str_radix(words.nth(1)?, 16).ok()?;
    let inode = words.nth(5)?.parse().ok()?;
    Some(Socket { port: u16::from_str_radix(port, 16).ok()?, state, is_held: inode != 0, inode })
}

const SOCK_DIAG: i32 = nix::libc::NETLINK_SOCK_DIAG;
const INET: u8 = 2;
const INET6: u8 = 10;
const TCP: u8 = 6;
const UDP: u8 = 17;
// linux/sock_diag.h
const BY_FAMILY: u16 = 20;
/// Of a request.
const LENGTH: usize = HEADER + 56;
const ANSWERS: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpListener, TcpStream};
    use std::process::Command;

    use super::*;

    #[test]
    fn ports_are_seen_for_as_long_as_somebody_listens_on_them() {
        let netns = Netns::create().unwrap();
        assert!(
            netns
                .run(|| Command::new("ip").args(["link", "set", "lo", "up"]).status())
                .unwrap()
                .unwrap()
                .success()
        );
        assert!(listening_ports(&netns).unwrap().is_empty());
        let listen = |ip: IpAddr, port: u16| netns.run(|| TcpListener::bind((ip, port))).unwrap().unwrap();
        let four = listen(Ipv4Addr::LOCALHOST.into(), 4000);
        let six = listen(Ipv6Addr::UNSPECIFIED.into(), 6000);
        assert_eq!(listening_ports(&netns).unwrap(), [4000, 6000].into());
        let client = netns.run(|| TcpStream::connect(("127.0.0.1", 4000))).unwrap().unwrap();
        let (server, _) = four.accept().unwrap();
        drop(four);
        assert_eq!(listening_ports(&netns).unwrap(), [6000].into(), "a connection is no listener");
        drop((six, client, server));
        assert!(listening_ports(&netns).unwrap().is_empty());
    }

    #[test]
    fn many_listeners_are_all_seen() {
        let netns = Netns::create().unwrap();
        let listeners: Vec<_> = (1..=2000)
            .map(|port| netns.run(|| TcpListener::bind(("0.0.0.0", port))).unwrap().unwrap())
            .collect();
        assert_eq!(listening_ports(&netns).unwrap().len(), listeners.len());
    }

    #[test]
    fn what_the_kernel_has_no_statistics_of_is_an_error_and_not_nothing() {
        let netns = Netns::create().unwrap();
        let mut netlink = netns.run(open).unwrap().unwrap();
        // No kernel has any for this protocol.
        let question = Question { protocol: 200, states: u32::MAX, port: 0 };
        let error = dump(&mut netlink, question, &mut Vec::new()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn the_list_of_all_sockets_says_the_same() {
        let netns = Netns::create().unwrap();
        let up = || Command::new("ip").args(["link", "set", "lo", "up"]).status();
        assert!(netns.run(up).unwrap().unwrap().success());
        let listener = netns.run(|| TcpListener::bind("127.0.0.1:4000")).unwrap().unwrap();
        let _client = netns.run(|| TcpStream::connect("127.0.0.1:4000")).unwrap().unwrap();
        let _server = listener.accept().unwrap();
        let _udp = netns.run(|| std::net::UdpSocket::bind("[::1]:53")).unwrap().unwrap();
        for (protocol, port) in [(TCP, 4000), (TCP, 1), (UDP, 53)] {
            let question = Question { protocol, states: u32::MAX, port };
            let (mut asked, mut all) = (Vec::new(), Vec::new());
            ask(&netns, question, |socket| asked.push(socket)).unwrap();
            list(&netns, question, |socket| all.push(socket)).unwrap();
            let key = |socket: &Socket| (socket.state, socket.inode);
            asked.sort_by_key(key);
            all.sort_by_key(key);
            assert_eq!(asked, all, "{protocol} {port}");
        }
    }
}
