//! What passed a wire between pods, and whether it was TLS on the tunnel's port and nothing else.
//!
//! It looks at the outside of TLS records only; that nobody can look inside is the point.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use culvert_lab::{Packet, Protocol};

/// Where pods receive tunnels.
const TUNNEL_PORT: u16 = 15008;
/// TLS 1.3 record types: change cipher spec, alert, handshake, application data (RFC 8446, section 5.1).
const RECORD_TYPES: std::ops::RangeInclusive<u8> = 20..=23;
const HANDSHAKE: u8 = 22;
/// The largest protected record (RFC 8446, section 5.2).
const LARGEST_RECORD: usize = (1 << 14) + 256;

/// What passed between some pods.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Traffic {
    /// How many packets.
    pub(crate) packets: usize,
    /// How many of them are not TCP to or from the tunnel's port.
    pub(crate) outside_tunnels: usize,
    /// How many directions of connections carried bytes.
    pub(crate) flows: usize,
    /// How many of them are not a sequence of TLS records from the first byte on.
    pub(crate) not_tls: usize,
}

/// One direction of a connection.
type Flow = (SocketAddr, SocketAddr);

impl Traffic {
    /// Looks at the packets to or from any of `addresses`. The recording must have begun before the connections.
    pub(crate) fn of(packets: &[Packet], addresses: &BTreeSet<IpAddr>) -> Self {
        let concerns = |packet: &&Packet| {
            addresses.contains(&packet.source.ip()) || addresses.contains(&packet.destination.ip())
        };
        let mut flows: BTreeMap<Flow, Vec<&Packet>> = BTreeMap::new();
        let (mut packets_seen, mut outside_tunnels) = (0, 0);
        for packet in packets.iter().filter(concerns) {
            packets_seen += 1;
            outside_tunnels += usize::from(!is_tunnel(packet));
            if packet.protocol == Protocol::Tcp && !packet.payload.is_empty() {
                flows.entry((packet.source, packet.destination)).or_default().push(packet);
            }
        }
        let not_tls = flows.values().filter(|segments| !is_tls(&join(segments))).count();
        Self { packets: packets_seen, outside_tunnels, flows: flows.len(), not_tls }
    }

    /// Whether there was traffic, and all of it was TLS in tunnels.
    pub(crate) fn is_only_tls_in_tunnels(&self) -> bool {
        self.flows > 0 && self.outside_tunnels == 0 && self.not_tls == 0
    }
}

fn is_tunnel(packet: &Packet) -> bool {
    let ports = [packet.source.port(), packet.destination.port()];
    packet.protocol == Protocol::Tcp && ports.contains(&TUNNEL_PORT)
}

/// Puts the bytes of a direction together, up to the first that is missing; those sent twice count once.
fn join(segments: &[&Packet]) -> Vec<u8> {
    let first = segments.first().map_or(0, |segment| segment.sequence);
    let offset = |segment: &Packet| segment.sequence.wrapping_sub(first) as usize;
    let mut segments = segments.to_vec();
    segments.sort_by_key(|segment| offset(segment));
    segments.iter().fold(Vec::new(), |mut bytes, segment| {
        let known = bytes.len().checked_sub(offset(segment));
        bytes.extend_from_slice(known.and_then(|known| segment.payload.get(known..)).unwrap_or_default());
        bytes
    })
}

/// Whether bytes are TLS records, of which the first is of a handshake; the last may be cut off.
fn is_tls(bytes: &[u8]) -> bool {
    let mut rest = bytes;
    while let Some((&[kind, major, _, high, low], body)) = rest.split_first_chunk() {
        let length = usize::from(u16::from_be_bytes([high, low]));
        if !RECORD_TYPES.contains(&kind) || major != 3 || length > LARGEST_RECORD {
            return false;
        }
        rest = body.get(length..).unwrap_or_default();
    }
    bytes.first() == Some(&HANDSHAKE)
}

#[cfg(test)]
mod tests {
    use culvert_lab::TcpFlags;

    use super::*;

    const HELLO: &[u8] = &[22, 3, 1, 0, 2, 1, 1];
    const DATA: &[u8] = &[23, 3, 3, 0, 3, 9, 9, 9];

    fn packet(from: &str, to: &str, sequence: u32, payload: &[u8]) -> Packet {
        Packet {
            source: from.parse().unwrap(),
            destination: to.parse().unwrap(),
            protocol: Protocol::Tcp,
            flags: TcpFlags::default(),
            sequence,
            payload: payload.to_vec(),
        }
    }

    fn traffic(packets: &[Packet]) -> Traffic {
        Traffic::of(packets, &["10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap()].into())
    }

    #[test]
    fn tls_in_a_tunnel_is_recognised_across_disorder_and_repetition() {
        let (a, b) = ("10.0.0.1:4000", "10.0.0.2:15008");
        let first = u32::MAX - 2;
        let seen = traffic(&[
            packet(a, b, first, HELLO),
            packet(a, b, first.wrapping_add(7), &DATA[..3]),
            packet(a, b, first.wrapping_add(10), &DATA[3..]),
            packet(a, b, first.wrapping_add(7), DATA),
            packet("10.9.9.9:1", "10.9.9.8:80", 0, b"somebody else"),
        ]);
        assert_eq!(seen, Traffic { packets: 4, outside_tunnels: 0, flows: 1, not_tls: 0 });
        assert!(seen.is_only_tls_in_tunnels());
    }

    #[test]
    fn anything_else_is_noticed() {
        let (a, b) = ("10.0.0.1:4000", "10.0.0.2:15008");
        let plain = [packet(a, b, 0, b"GET / HTTP/1.1\r\n\r\n")];
        assert_eq!(traffic(&plain).not_tls, 1);
        let later = [packet(a, b, 0, HELLO), packet(a, b, 7, b"GET / HTTP/1.1")];
        assert_eq!(traffic(&later).not_tls, 1);
        let beside = [packet(a, b, 0, HELLO), packet(a, "10.0.0.2:8080", 0, b"")];
        assert_eq!(traffic(&beside).outside_tunnels, 1);
        assert!(!traffic(&beside).is_only_tls_in_tunnels());
        let mut udp = packet(a, b, 0, HELLO);
        udp.protocol = Protocol::Udp;
        assert_eq!(traffic(&[udp]).outside_tunnels, 1);
        assert!(!traffic(&[]).is_only_tls_in_tunnels(), "silence proves nothing");
    }
}
