//! One packet: an Ethernet frame in, addresses, ports and payload out. Anything that is not IP is not a packet here.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// What an IP packet carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// Anything else, by its number.
    Other(u8),
}

/// The flags of a TCP segment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TcpFlags(u8);

impl TcpFlags {
    /// Whether this segment opens a connection: SYN without ACK.
    #[must_use]
    pub fn opens(self) -> bool {
        self.0 & 0x12 == 0x02
    }

    /// Whether the sender has nothing more to send.
    #[must_use]
    pub fn fin(self) -> bool {
        self.0 & 0x01 != 0
    }

    /// Whether the sender aborts the connection.
    #[must_use]
    pub fn rst(self) -> bool {
        self.0 & 0x04 != 0
    }
}

/// One IP packet.
#[derive(Clone, PartialEq, Eq)]
pub struct Packet {
    /// Who sent it. Protocols without ports have port 0.
    pub source: SocketAddr,
    /// Whom it is for.
    pub destination: SocketAddr,
    /// What it carries.
    pub protocol: Protocol,
    /// TCP: the flags; none otherwise.
    pub flags: TcpFlags,
    /// TCP: the sequence number of the first byte of the payload; 0 otherwise.
    pub sequence: u32,
    /// What follows the TCP or UDP header; all that follows the IP header for other protocols.
    pub payload: Vec<u8>,
}

impl fmt::Debug for Packet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { source, destination, protocol, flags, payload, .. } = self;
        write!(f, "{protocol:?} {source} -> {destination} {:#04x} {} bytes", flags.0, payload.len())
    }
}

/// A transport header's port fields and what is known of the rest.
struct Transport<'p> {
    ports: (u16, u16),
    flags: TcpFlags,
    sequence: u32,
    payload: &'p [u8],
}

impl Packet {
    /// Reads an Ethernet frame; `None` when it is not a whole IP packet.
    #[must_use]
    pub fn parse(frame: &[u8]) -> Option<Self> {
        let ethertype = u16_at(frame, 12)?;
        let (source, destination, number, rest) = match ethertype {
            0x0800 => ipv4(frame.get(14..)?)?,
            0x86dd => ipv6(frame.get(14..)?)?,
            _ => return None,
        };
        let protocol = match number {
            6 => Protocol::Tcp,
            17 => Protocol::Udp,
            other => Protocol::Other(other),
        };
        let transport = transport(protocol, rest)?;
        Some(Self {
            source: (source, transport.ports.0).into(),
            destination: (destination, transport.ports.1).into(),
            protocol,
            flags: transport.flags,
            sequence: transport.sequence,
            payload: transport.payload.to_vec(),
        })
    }
}

type Network<'p> = (IpAddr, IpAddr, u8, &'p [u8]);

fn ipv4(packet: &[u8]) -> Option<Network<'_>> {
    let header = usize::from(packet.first()? & 0x0f) * 4;
    // Offloaded packets may be larger than the field can say, and say 0; short ones are padded by the link.
    let length = match usize::from(u16_at(packet, 2)?) {
        0 => packet.len(),
        length => length,
    };
    let address = |at: usize| <[u8; 4]>::try_from(packet.get(at..at + 4)?).ok().map(Ipv4Addr::from);
    Some((address(12)?.into(), address(16)?.into(), *packet.get(9)?, packet.get(header..length)?))
}

fn ipv6(packet: &[u8]) -> Option<Network<'_>> {
    const HEADER: usize = 40;
    let length = match usize::from(u16_at(packet, 4)?) {
        0 => packet.len(),
        length => HEADER + length,
    };
    let address = |at: usize| <[u8; 16]>::try_from(packet.get(at..at + 16)?).ok().map(Ipv6Addr::from);
    let (number, rest) = skip_extensions(*packet.get(6)?, packet.get(HEADER..length)?)?;
    Some((address(8)?.into(), address(24)?.into(), number, rest))
}

/// Skips hop-by-hop options, routing and destination options (RFC 8200, section 4).
fn skip_extensions(mut number: u8, mut rest: &[u8]) -> Option<(u8, &[u8])> {
    while matches!(number, 0 | 43 | 60) {
        let length = 8 + 8 * usize::from(*rest.get(1)?);
        number = *rest.first()?;
        rest = rest.get(length..)?;
    }
    Some((number, rest))
}

fn transport(protocol: Protocol, rest: &[u8]) -> Option<Transport<'_>> {
    let ports = || Some((u16_at(rest, 0)?, u16_at(rest, 2)?));
    let plain = |ports, payload| Transport { ports, flags: TcpFlags::default(), sequence: 0, payload };
    match protocol {
        Protocol::Tcp => {
            let header = usize::from(rest.get(12)? >> 4) * 4;
            let sequence = u32::from_be_bytes(rest.get(4..8)?.try_into().ok()?);
            let flags = TcpFlags(*rest.get(13)?);
            Some(Transport { ports: ports()?, flags, sequence, payload: rest.get(header..)? })
        }
        Protocol::Udp => Some(plain(ports()?, rest.get(8..)?)),
        Protocol::Other(_) => Some(plain((0, 0), rest)),
    }
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// An IPv4 TCP frame from 10.0.0.1:1000 to 10.0.0.2:2000, padded by the link.
    pub(in crate::wire) fn tcp_frame(sequence: u32, flags: u8, payload: &[u8]) -> Vec<u8> {
        let mut frame = vec![0; 12];
        frame.extend([0x08, 0x00, 0x45, 0x00]);
        frame.extend((40 + payload.len() as u16).to_be_bytes());
        frame.extend([0, 0, 0, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
        frame.extend([1000_u16.to_be_bytes(), 2000_u16.to_be_bytes()].concat());
        frame.extend(sequence.to_be_bytes());
        frame.extend([0, 0, 0, 0, 0x50, flags, 0, 0, 0, 0, 0, 0]);
        frame.extend(payload);
        frame.extend([0xee; 6]);
        frame
    }

    #[test]
    fn an_ipv4_segment_is_read_without_the_padding() {
        let packet = Packet::parse(&tcp_frame(7, 0x02, b"hello")).unwrap();
        assert_eq!(packet.source, "10.0.0.1:1000".parse().unwrap());
        assert_eq!(packet.destination, "10.0.0.2:2000".parse().unwrap());
        assert_eq!((packet.sequence, packet.payload.as_slice()), (7, &b"hello"[..]));
        assert!(packet.flags.opens() && !packet.flags.fin() && !packet.flags.rst());
    }

    #[test]
    fn an_ipv6_datagram_is_read_behind_an_extension() {
        let mut frame = vec![0; 12];
        frame.extend([0x86, 0xdd, 0x60, 0, 0, 0, 0, 18, 0, 64]);
        frame.extend(Ipv6Addr::LOCALHOST.octets());
        frame.extend("fd00::2".parse::<Ipv6Addr>().unwrap().octets());
        frame.extend([17, 0, 0, 0, 0, 0, 0, 0]);
        frame.extend([0, 53, 0, 54, 0, 10, 0, 0, b'h', b'i']);
        let packet = Packet::parse(&frame).unwrap();
        assert_eq!((packet.source, packet.protocol), ("[::1]:53".parse().unwrap(), Protocol::Udp));
        assert_eq!((packet.destination.port(), packet.payload.as_slice()), (54, &b"hi"[..]));
    }

    #[test]
    fn no_beginning_of_a_packet_is_a_packet_or_a_panic() {
        let frame = tcp_frame(0, 0, b"hello");
        for length in 0..frame.len() - 6 {
            assert_eq!(Packet::parse(&frame[..length]), None, "{length}");
        }
    }
}
