//! The header that tells an application whose connection it got: PROXY protocol version 2.
//!
//! Goes in: the addresses and the identity of the peer. Comes out: the bytes in front of the connection's own. The format is
//! that of "The PROXY protocol", sections 2.2 and 2.2.1. Deliberately absent: reading one.

use std::net::{IpAddr, SocketAddr};

use crate::identity::SpiffeId;

const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// Version 2, command PROXY.
const COMMAND: u8 = 0x21;
/// The type of the value with the identity of the peer, a SPIFFE id as text: what waypoints look for.
const IDENTITY: u8 = 0xd0;

/// TCP over this family; none when the addresses do not go together.
const TCP_OVER_IPV4: u8 = 0x11;
const TCP_OVER_IPV6: u8 = 0x21;
const UNSPECIFIED: u8 = 0x00;

/// Gives the header of a connection from `source` to `destination`, with the identity its source has proven.
#[must_use]
pub fn header(source: SocketAddr, destination: SocketAddr, identity: Option<&SpiffeId>) -> Vec<u8> {
    let (family, mut rest) = addresses(source, destination);
    if let Some(identity) = identity {
        let text = identity.to_string();
        // An identity that does not fit is nobody's: names have far less than 64 kB. A part of it would be somebody else's.
        let fits = rest.len() + 3 + text.len() <= usize::from(u16::MAX);
        if let (true, Ok(length)) = (fits, u16::try_from(text.len())) {
            rest.push(IDENTITY);
            rest.extend(length.to_be_bytes());
            rest.extend(text.bytes());
        }
    }
    let length = u16::try_from(rest.len()).expect("values that do not fit are left out");
    let mut header = SIGNATURE.to_vec();
    header.extend([COMMAND, family]);
    header.extend(length.to_be_bytes());
    header.extend(rest);
    header
}

fn addresses(source: SocketAddr, destination: SocketAddr) -> (u8, Vec<u8>) {
    let (from, to) = (source.ip().to_canonical(), destination.ip().to_canonical());
    let (family, mut octets) = match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => (TCP_OVER_IPV4, [from.octets(), to.octets()].concat()),
        (IpAddr::V6(from), IpAddr::V6(to)) => (TCP_OVER_IPV6, [from.octets(), to.octets()].concat()),
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => return (UNSPECIFIED, Vec::new()),
    };
    octets.extend(source.port().to_be_bytes());
    octets.extend(destination.port().to_be_bytes());
    (family, octets)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(source: &str, destination: &str, identity: Option<&str>) -> Vec<u8> {
        let identity = identity.map(|text| text.parse().unwrap());
        header(source.parse().unwrap(), destination.parse().unwrap(), identity.as_ref())
    }

    #[test]
    fn it_names_both_ends_in_network_order() {
        let expected = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\x0a\0\0\x01\x0a\x01\0\x02\x9c\x40\0\x50";
        assert_eq!(of("10.0.0.1:40000", "10.1.0.2:80", None), expected);
        assert_eq!(of("[::ffff:10.0.0.1]:40000", "10.1.0.2:80", None), expected, "a mapped address is IPv4");
    }

    #[test]
    fn ipv6_has_larger_addresses() {
        let header = of("[fd00::1]:1", "[fd00::2]:2", None);
        assert_eq!(header[12..16], [0x21, 0x21, 0, 36]);
        assert_eq!(header.len(), 16 + 36);
        assert_eq!(header[16 + 15], 1);
        assert_eq!(header[16 + 31], 2);
        assert_eq!(header[48..], [0, 1, 0, 2]);
    }

    #[test]
    fn the_identity_is_a_value_of_its_own() {
        let id = "spiffe://cluster.local/ns/n/sa/a";
        let header = of("10.0.0.1:1", "10.1.0.2:2", Some(id));
        let length = u8::try_from(id.len()).unwrap();
        assert_eq!(header[14..16], [0, 12 + 3 + length]);
        assert_eq!(header[28..31], [0xd0, 0, length]);
        assert_eq!(&header[31..], id.as_bytes());
    }

    #[test]
    fn an_identity_is_told_whole_or_not_at_all() {
        let id = |length: usize| format!("spiffe://t/ns/{}/sa/a", "n".repeat(length - 19));
        for (length, told) in [(65_520, true), (65_521, false), (65_535, false), (65_536, false)] {
            assert_eq!(id(length).len(), length);
            let header = of("10.0.0.1:1", "10.1.0.2:2", Some(&id(length)));
            assert_eq!(header.len(), if told { 16 + 65_535 } else { 16 + 12 }, "{length}");
            assert_eq!(usize::from(u16::from_be_bytes([header[14], header[15]])), header.len() - 16);
        }
    }

    #[test]
    fn addresses_of_two_families_are_not_told() {
        let header = of("10.0.0.1:1", "[fd00::2]:2", Some("spiffe://t/ns/n/sa/a"));
        assert_eq!(header[12..16], [0x21, 0, 0, 3 + 20]);
        assert_eq!(header[16], 0xd0);
    }
}
