//! The TCP ports somebody listens on in a network namespace, as the kernel's socket statistics tell (`sock_diag(7)`).
//!
//! The kernel looks through its listeners alone, so the cost does not depend on how many connections there are, as that of
//! `/proc/net/tcp` does.

use std::collections::BTreeSet;
use std::io::{self, Read as _};

use socket2::{Domain, Protocol, Socket, Type};

use crate::netns::Netns;

/// All ports somebody listens on, at whatever address.
///
/// # Errors
/// When the namespace cannot be entered, or the kernel has no socket statistics (`inet_diag`).
pub fn tcp_ports(netns: &Netns) -> io::Result<BTreeSet<u16>> {
    let mut socket = netns.run(open)??;
    let mut ports = BTreeSet::new();
    for family in [INET, INET6] {
        socket.send(&request(family))?;
        collect(&mut socket, &mut ports)?;
    }
    Ok(ports)
}

fn open() -> io::Result<Socket> {
    let kind = Type::RAW.cloexec().nonblocking();
    Socket::new(Domain::from(nix::libc::AF_NETLINK), kind, Some(Protocol::from(SOCK_DIAG)))
}

/// Reads answers until the kernel says that these were all. It has them ready: a dump is made as it is read.
fn collect(socket: &mut Socket, ports: &mut BTreeSet<u16>) -> io::Result<()> {
    let mut buffer = vec![0; ANSWERS];
    loop {
        let length = socket.read(&mut buffer)?;
        let mut rest = &buffer[..length];
        while let Some((kind, body, next)) = message(rest) {
            match kind {
                DONE => return Ok(()),
                ERROR => return Err(failure(body)),
                _ => ports.extend(port(body)),
            }
            rest = next;
        }
        if length == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

/// A `nlmsghdr` and an `inet_diag_req_v2` for everything of the family that listens.
fn request(family: u8) -> Vec<u8> {
    let mut request = Vec::with_capacity(REQUEST);
    request.extend(u32::try_from(REQUEST).expect("it is small").to_ne_bytes());
    request.extend(BY_FAMILY.to_ne_bytes());
    request.extend((IS_REQUEST | DUMP).to_ne_bytes());
    request.extend([0; 8]);
    request.extend([family, TCP, 0, 0]);
    request.extend(LISTEN.to_ne_bytes());
    request.resize(REQUEST, 0);
    request
}

/// The first message: its kind, its body, and what follows.
fn message(bytes: &[u8]) -> Option<(u16, &[u8], &[u8])> {
    let header = bytes.get(..HEADER)?;
    let length = u32::from_ne_bytes(header[..4].try_into().ok()?) as usize;
    let kind = u16::from_ne_bytes(header[4..6].try_into().ok()?);
    let body = bytes.get(HEADER..length)?;
    Some((kind, body, bytes.get(length.next_multiple_of(4)..).unwrap_or_default()))
}

/// The local port in an `inet_diag_msg`: behind family, state, timer and retransmissions.
fn port(body: &[u8]) -> Option<u16> {
    Some(u16::from_be_bytes(body.get(4..6)?.try_into().ok()?))
}

fn failure(body: &[u8]) -> io::Error {
    let code = body.get(..4).and_then(|code| code.try_into().ok()).map(i32::from_ne_bytes);
    code.map_or_else(|| io::ErrorKind::InvalidData.into(), |code| io::Error::from_raw_os_error(-code))
}

const SOCK_DIAG: i32 = nix::libc::NETLINK_SOCK_DIAG;
const INET: u8 = 2;
const INET6: u8 = 10;
const TCP: u8 = 6;
/// One bit for each state; this is `TCP_LISTEN`.
const LISTEN: u32 = 1 << 10;
// linux/netlink.h and linux/sock_diag.h
const BY_FAMILY: u16 = 20;
const IS_REQUEST: u16 = 0x1;
const DUMP: u16 = 0x300;
const ERROR: u16 = 2;
const DONE: u16 = 3;
const HEADER: usize = 16;
const REQUEST: usize = HEADER + 56;
const ANSWERS: usize = 32 * 1024;

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
        assert!(tcp_ports(&netns).unwrap().is_empty());
        let listen = |ip: IpAddr, port: u16| netns.run(|| TcpListener::bind((ip, port))).unwrap().unwrap();
        let four = listen(Ipv4Addr::LOCALHOST.into(), 4000);
        let six = listen(Ipv6Addr::UNSPECIFIED.into(), 6000);
        assert_eq!(tcp_ports(&netns).unwrap(), [4000, 6000].into());
        let client = netns.run(|| TcpStream::connect(("127.0.0.1", 4000))).unwrap().unwrap();
        let (server, _) = four.accept().unwrap();
        drop(four);
        assert_eq!(tcp_ports(&netns).unwrap(), [6000].into(), "a connection is no listener");
        drop((six, client, server));
        assert!(tcp_ports(&netns).unwrap().is_empty());
    }

    #[test]
    fn many_listeners_are_all_seen() {
        let netns = Netns::create().unwrap();
        let listeners: Vec<_> = (1..=2000)
            .map(|port| netns.run(|| TcpListener::bind(("0.0.0.0", port))).unwrap().unwrap())
            .collect();
        assert_eq!(tcp_ports(&netns).unwrap().len(), listeners.len());
    }
}
