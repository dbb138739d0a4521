//! Connection tracking: where a redirected datagram was sent to.
//!
//! TCP has `SO_ORIGINAL_DST` for that question. For UDP the kernel has no such option: `IP_RECVORIGDSTADDR` says what is in
//! the packet, and a redirect has overwritten that. So the table is asked through netlink, as the tool `conntrack` does, for
//! the entry whose answers would be what a reply of ours is. The kernel answers within the send.

use std::io::{self, Read as _};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsRawFd as _;

use socket2::{Domain, Protocol, Socket, Type};

use crate::netlink::{self, ERROR, Message, REQUEST};
use crate::tcp::canonical;

/// The connection tracking of one network namespace.
#[derive(Debug)]
pub struct Conntrack {
    socket: Socket,
    sequence: u32,
}

impl Conntrack {
    /// Opens that of the namespace the calling thread is in, and sees whether it answers.
    ///
    /// # Errors
    /// When the kernel has no netlink for it, or without `CAP_NET_ADMIN`.
    pub fn open() -> io::Result<Self> {
        Self::of(NETFILTER)
    }

    fn of(protocol: i32) -> io::Result<Self> {
        let kind = Type::RAW.nonblocking();
        let socket = Socket::new(Domain::from(NETLINK), kind, Some(Protocol::from(protocol)))?;
        // Nobody but the kernel can send to it then.
        let kernel = nix::sys::socket::NetlinkAddr::new(0, 0);
        nix::sys::socket::connect(socket.as_raw_fd(), &kernel)?;
        let mut conntrack = Self { socket, sequence: 0 };
        // The socket is there also where what answers (`nf_conntrack_netlink`) is not; asking loads that if it can be.
        let nobody = SocketAddr::from(([0, 0, 0, 0], 0));
        conntrack.udp_destination(nobody, nobody)?;
        Ok(conntrack)
    }

    /// Where a datagram of `client` that arrived at `here` was sent to; `None` when nothing is known of it, or it was sent
    /// just here.
    ///
    /// # Errors
    /// Without `CAP_NET_ADMIN`, or when the kernel cannot answer.
    pub fn udp_destination(
        &mut self,
        client: SocketAddr,
        here: SocketAddr,
    ) -> io::Result<Option<SocketAddr>> {
        let (client, here) = (canonical(client), canonical(here));
        self.sequence = self.sequence.wrapping_add(1);
        self.socket.send(&request(self.sequence, here, client))?;
        let mut buffer = [0; LONGEST_ANSWER];
        for _ in 0..MOST_LEFT_BEHIND {
            let length = (&self.socket).read(&mut buffer)?;
            let Some((sequence, answer)) = Answer::read(&buffer[..length]) else {
                return Err(io::ErrorKind::InvalidData.into());
            };
            // What an interrupted call has left behind is skipped.
            if sequence == self.sequence {
                return answer.destination().map(|found| found.filter(|found| *found != here));
            }
        }
        Err(io::ErrorKind::InvalidData.into())
    }
}

/// Answers to earlier questions that are skipped.
const MOST_LEFT_BEHIND: usize = 16;

/// `AF_NETLINK`, and its protocol for packet filters.
const NETLINK: i32 = nix::libc::AF_NETLINK;
const NETFILTER: i32 = nix::libc::NETLINK_NETFILTER;
/// An entry has some hundred bytes.
const LONGEST_ANSWER: usize = 4096;

// linux/netfilter/nfnetlink.h and nfnetlink_conntrack.h
const GET: u16 = 0x0101;
const NEW: u16 = 0x0100;
const NESTED: u16 = 0x8000;
const TUPLE_ORIGINAL: u16 = 1;
const TUPLE_REPLY: u16 = 2;
const TUPLE_IP: u16 = 1;
const TUPLE_PROTOCOL: u16 = 2;
const V4_SOURCE: u16 = 1;
const V4_DESTINATION: u16 = 2;
const V6_SOURCE: u16 = 3;
const V6_DESTINATION: u16 = 4;
const PROTOCOL_NUMBER: u16 = 1;
const SOURCE_PORT: u16 = 2;
const DESTINATION_PORT: u16 = 3;
const UDP: u8 = 17;
const INET: u8 = 2;
const INET6: u8 = 10;

/// Length of the fixed part of a netfilter message.
const FIXED: usize = 4;

/// The message that asks for the entry whose replies go from `source` to `destination`.
fn request(sequence: u32, source: SocketAddr, destination: SocketAddr) -> Vec<u8> {
    let family = if source.is_ipv4() { INET } else { INET6 };
    // The length follows.
    let mut message = netlink::header(0, GET, REQUEST, sequence).to_vec();
    message.extend([family, 0, 0, 0]);
    attribute(&mut message, TUPLE_REPLY | NESTED, |tuple| {
        attribute(tuple, TUPLE_IP | NESTED, |addresses| {
            let is_v4 = source.is_ipv4();
            value(addresses, if is_v4 { V4_SOURCE } else { V6_SOURCE }, &octets(source.ip()));
            value(addresses, if is_v4 { V4_DESTINATION } else { V6_DESTINATION }, &octets(destination.ip()));
        });
        attribute(tuple, TUPLE_PROTOCOL | NESTED, |ports| {
            value(ports, PROTOCOL_NUMBER, &[UDP]);
            value(ports, SOURCE_PORT, &source.port().to_be_bytes());
            value(ports, DESTINATION_PORT, &destination.port().to_be_bytes());
        });
    });
    let length = u32::try_from(message.len()).expect("a request is short");
    message[..4].copy_from_slice(&length.to_ne_bytes());
    message
}

fn octets(ip: IpAddr) -> Vec<u8> {
    match ip {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    }
}

fn value(message: &mut Vec<u8>, kind: u16, bytes: &[u8]) {
    attribute(message, kind, |message| message.extend(bytes));
}

/// Writes an attribute: its length, its kind, what `content` writes, and bytes up to a multiple of four.
fn attribute(message: &mut Vec<u8>, kind: u16, content: impl FnOnce(&mut Vec<u8>)) {
    let start = message.len();
    message.extend([0; 2]);
    message.extend(kind.to_ne_bytes());
    content(message);
    let length = u16::try_from(message.len() - start).expect("a request is short");
    message[start..start + 2].copy_from_slice(&length.to_ne_bytes());
    message.resize(message.len().next_multiple_of(4), 0);
}

/// What the kernel says.
enum Answer<'a> {
    /// The attributes of an entry.
    Entry(&'a [u8]),
    Error(i32),
}

impl<'a> Answer<'a> {
    /// Reads a message, and the number of the request it answers.
    fn read(message: &'a [u8]) -> Option<(u32, Self)> {
        let (message, _) = Message::split(message)?;
        let answer = match message.kind {
            NEW => Self::Entry(message.body.get(FIXED..)?),
            ERROR => Self::Error(message.code()?),
            _ => return None,
        };
        Some((message.sequence, answer))
    }

    fn destination(self) -> io::Result<Option<SocketAddr>> {
        match self {
            Self::Entry(attributes) => Ok(destination(attributes)),
            Self::Error(code) if code == -nix::libc::ENOENT => Ok(None),
            Self::Error(code) => Err(io::Error::from_raw_os_error(-code)),
        }
    }
}

fn destination(entry: &[u8]) -> Option<SocketAddr> {
    let tuple = netlink::attribute(entry, TUPLE_ORIGINAL)?;
    let addresses = netlink::attribute(tuple, TUPLE_IP)?;
    let v4 = || Some(IpAddr::from(<[u8; 4]>::try_from(netlink::attribute(addresses, V4_DESTINATION)?).ok()?));
    let v6 =
        || Some(IpAddr::from(<[u8; 16]>::try_from(netlink::attribute(addresses, V6_DESTINATION)?).ok()?));
    let port = netlink::attribute(netlink::attribute(tuple, TUPLE_PROTOCOL)?, DESTINATION_PORT)?;
    Some(SocketAddr::new(v4().or_else(v6)?, u16::from_be_bytes(port.try_into().ok()?)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netlink::HEADER;
    use crate::netns::Netns;

    #[test]
    fn a_datagram_nobody_redirected_has_no_other_destination() {
        let netns = Netns::create().unwrap();
        let mut conntrack = netns.run(Conntrack::open).unwrap().unwrap();
        for (client, here) in [("192.0.2.1:5", "127.0.0.1:15053"), ("[2001:db8::1]:5", "[::1]:15053")] {
            let found = conntrack.udp_destination(client.parse().unwrap(), here.parse().unwrap());
            assert_eq!(found.unwrap(), None, "{client}");
        }
    }

    #[test]
    fn a_kernel_that_does_not_answer_is_noticed_when_it_is_opened() {
        let netns = Netns::create().unwrap();
        // Routing knows nothing of such requests either.
        let error = netns.run(|| Conntrack::of(nix::libc::NETLINK_ROUTE)).unwrap().unwrap_err();
        assert_eq!(error.raw_os_error(), Some(nix::libc::EOPNOTSUPP), "{error}");
    }

    #[test]
    fn the_destination_is_found_among_other_attributes() {
        for destination in ["192.0.2.1:53", "[2001:db8::1]:53"] {
            let wanted: SocketAddr = destination.parse().unwrap();
            let source = SocketAddr::new(wanted.ip(), 4000);
            let asked = request(7, source, wanted);
            // The tuple of a request is that of an answer, but for its kind.
            let mut entry = Vec::new();
            value(&mut entry, TUPLE_REPLY, b"odd");
            let original = netlink::attribute(&asked[HEADER + FIXED..], TUPLE_REPLY).unwrap();
            value(&mut entry, TUPLE_ORIGINAL | NESTED, original);
            assert_eq!(super::destination(&entry), Some(wanted));
            for cut in 0..entry.len() - 4 {
                assert_eq!(super::destination(&entry[..cut]), None, "cut to {cut}");
            }
        }
    }
}
