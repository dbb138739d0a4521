//! How all TCP connections of a network namespace fare, asked at once: no descriptor of any of them is needed.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::ops::ControlFlow;

use super::{INET, INET6, Question, TCP, collect, open, request, state};
use crate::netlink::{attribute, long};
use crate::netns::Netns;
use crate::tcp::{Info, canonical};

/// A TCP connection, as one of its ends has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Connection {
    /// Its own address.
    pub local: SocketAddr,
    /// The other end's.
    pub remote: SocketAddr,
    /// `SO_MARK`; 0 also for who may not see it.
    pub mark: u32,
    /// Bytes that have come and were not read.
    pub unread: u32,
    /// Whether some process has it open. What nobody has, the kernel brings to its end.
    pub is_held: bool,
    /// What the kernel knows of it.
    pub info: Info,
}

/// Connected, be it in one direction.
const CONNECTED: u32 = 1 << state::ESTABLISHED
    | 1 << state::FIN_WAIT_1
    | 1 << state::FIN_WAIT_2
    | 1 << state::CLOSE_WAIT
    | 1 << state::LAST_ACK
    | 1 << state::CLOSING;

// linux/inet_diag.h
const INFO: u16 = 2;
const MARK: u16 = 15;
const WITH_INFO: u8 = 1 << (INFO - 1);
const MESSAGE: usize = 72;

/// The TCP connections of a namespace, or of that of this process; `most` of each version of IP at most, whichever come first.
///
/// # Errors
/// When the namespace cannot be entered, or the kernel has no socket statistics (`tcp_diag`).
pub fn connections(netns: Option<&Netns>, most: usize) -> io::Result<Vec<Connection>> {
    let question = Question { protocol: TCP, states: CONNECTED, port: 0 };
    let mut found = Vec::new();
    for family in [INET, INET6] {
        // Each on a socket of its own: what is left of a list that is not read to its end goes with it.
        let mut netlink = match netns {
            Some(netns) => netns.run(open)??,
            None => open()?,
        };
        netlink.send(&request(family, question, WITH_INFO))?;
        let full = found.len() + most;
        collect(&mut netlink, |body| {
            found.extend(read(body));
            if found.len() < full { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
    }
    Ok(found)
}

/// Reads an `inet_diag_msg` and what is behind it: family, state, timer, retransmissions, ports, addresses, interface, cookie, expiry,
/// queues, user, inode.
fn read(body: &[u8]) -> Option<Connection> {
    let family = *body.first()?;
    let port = |at: usize| Some(u16::from_be_bytes(body.get(at..at + 2)?.try_into().ok()?));
    let address =
        |at: usize, port| Some(canonical(SocketAddr::new(ip(family, body.get(at..at + 16)?)?, port)));
    let (local, remote) = (address(8, port(4)?)?, address(24, port(6)?)?);
    let (unread, unacknowledged, inode) = (long(body, 56)?, long(body, 60)?, long(body, 68)?);
    let attributes = body.get(MESSAGE..)?;
    let mark = attribute(attributes, MARK).and_then(|mark| long(mark, 0)).unwrap_or(0);
    let mut info = Info::read(attribute(attributes, INFO)?);
    // The queue has what was written and not acknowledged, sent or not.
    info.bytes_unacknowledged = u64::from(unacknowledged.saturating_sub(info.bytes_unsent));
    Some(Connection { local, remote, mark, unread, is_held: inode != 0, info })
}

fn ip(family: u8, bytes: &[u8]) -> Option<IpAddr> {
    match family {
        INET => <[u8; 4]>::try_from(bytes.get(..4)?).map(IpAddr::from).ok(),
        INET6 => <[u8; 16]>::try_from(bytes).map(IpAddr::from).ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::{TcpListener, TcpStream};
    use std::process::Command;

    use super::*;

    fn netns() -> Netns {
        let netns = Netns::create().unwrap();
        let up = || Command::new("ip").args(["link", "set", "lo", "up"]).status();
        assert!(netns.run(up).unwrap().unwrap().success());
        netns
    }

    fn pair(netns: &Netns, address: &str) -> (TcpStream, TcpStream) {
        let connect = || {
            let listener = TcpListener::bind(address).unwrap();
            let port = listener.local_addr().unwrap().port();
            let to =
                if address.contains('.') { format!("127.0.0.1:{port}") } else { format!("[::1]:{port}") };
            (TcpStream::connect(to).unwrap(), listener.accept().unwrap().0)
        };
        netns.run(connect).unwrap()
    }

    fn of(socket: &TcpStream, all: &[Connection]) -> Connection {
        let is_it = |it: &&Connection| {
            it.local == canonical(socket.local_addr().unwrap())
                && it.remote == canonical(socket.peer_addr().unwrap())
        };
        *all.iter().find(is_it).unwrap()
    }

    #[test]
    fn both_ends_are_seen_with_what_waits_in_them() {
        let netns = netns();
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let (mut client, mut server) = pair(&netns, address);
            socket2::SockRef::from(&client).set_mark(0x539).unwrap();
            client.write_all(b"hello").unwrap();
            server.read_exact(&mut [0; 2]).unwrap();
            let all = connections(Some(&netns), 100).unwrap();
            let (near, far) = (of(&client, &all), of(&server, &all));
            assert_eq!((near.mark, far.mark, near.unread, far.unread), (0x539, 0, 0, 3));
            assert_eq!((near.info.state, far.info.bytes_received), (state::ESTABLISHED, 5));
            assert!(near.info.rtt > 0, "{near:?}");
            assert_eq!((near.info.bytes_unacknowledged, near.info.bytes_unsent), (0, 0));
            assert_eq!(all.len(), 2);
        }
    }

    #[test]
    fn what_nobody_has_open_is_told_apart() {
        let netns = netns();
        let (client, server) = pair(&netns, "127.0.0.1:0");
        let ends = [&client, &server].map(|end| end.local_addr().unwrap());
        drop(client);
        let all = connections(Some(&netns), 100).unwrap();
        let held = ends.map(|end| all.iter().find(|it| it.local == end).map(|it| it.is_held));
        // It has sent its end, and waits for the other's.
        assert_eq!(held, [Some(false), Some(true)], "{all:?}");
    }

    #[test]
    fn what_a_reader_does_not_take_waits_at_both_ends() {
        let netns = netns();
        let (client, server) = pair(&netns, "127.0.0.1:0");
        client.set_nonblocking(true).unwrap();
        while (&client).write(&[7; 64 * 1024]).is_ok() {}
        let all = connections(Some(&netns), 100).unwrap();
        assert!(of(&client, &all).info.bytes_unsent > 0, "{all:?}");
        assert!(of(&server, &all).unread > 10_000, "{all:?}");
    }

    #[test]
    fn listeners_and_other_namespaces_are_not_seen_and_only_so_many_are() {
        let (netns, other) = (netns(), netns());
        let _listener = netns.run(|| TcpListener::bind("127.0.0.1:0")).unwrap().unwrap();
        let _elsewhere = pair(&other, "127.0.0.1:0");
        assert_eq!(connections(Some(&netns), 100).unwrap(), []);
        let _many: Vec<_> = (0..300).map(|nth| pair(&netns, ["127.0.0.1:0", "[::1]:0"][nth % 2])).collect();
        assert_eq!(connections(Some(&netns), 1000).unwrap().len(), 600);
        assert_eq!(connections(Some(&netns), 100).unwrap().len(), 200);
    }

    #[test]
    fn a_half_closed_connection_is_one() {
        let netns = netns();
        let (client, server) = pair(&netns, "127.0.0.1:0");
        client.shutdown(std::net::Shutdown::Write).unwrap();
        assert_eq!((&server).read(&mut [0; 1]).unwrap(), 0);
        let all = connections(Some(&netns), 100).unwrap();
        assert_eq!(of(&server, &all).info.state, state::CLOSE_WAIT);
        of(&client, &all);
    }

    #[test]
    fn what_is_cut_off_is_nothing() {
        let mut body = vec![0; MESSAGE];
        body[0] = INET;
        body.extend([8, 0, 2, 0, 1, 0, 0, 0]);
        assert!(read(&body).is_some());
        for cut in 0..body.len() {
            assert_eq!(read(&body[..cut]), None, "cut to {cut}");
        }
    }
}
