//! The header in front of connections that are handed on with PROXY protocol, as the application reads it ("The PROXY
//! protocol", section 2.2).

use std::io::{self, Read};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// What the header says.
#[derive(Debug)]
pub(crate) struct Header {
    /// Source and destination. They are not said when they are of two families.
    pub(crate) ends: Option<(SocketAddr, SocketAddr)>,
    /// The client's identity: the value of type 0xD0.
    pub(crate) identity: Option<String>,
}

const SIGNATURE: &[u8] = b"\x0d\x0a\x0d\x0a\x00\x0d\x0a\x51\x55\x49\x54\x0a";
/// Version 2, and the command PROXY.
const PROXY: u8 = 0x21;
const IDENTITY: u8 = 0xd0;

/// Reads a header off the front of a connection.
pub(crate) fn read(stream: &mut impl Read) -> io::Result<Header> {
    let mut fixed = [0; 16];
    stream.read_exact(&mut fixed)?;
    let (signature, [command, family, length @ ..]) = fixed.split_at(12) else {
        unreachable!("it has 16 bytes")
    };
    let wrong = |what: &str| io::Error::new(io::ErrorKind::InvalidData, format!("{what} in {fixed:02x?}"));
    if signature != SIGNATURE || *command != PROXY {
        return Err(wrong("no header"));
    }
    let mut rest = vec![0; usize::from(u16::from_be_bytes([length[0], length[1]]))];
    stream.read_exact(&mut rest)?;
    let ends = match family {
        0x00 => Some((None, &*rest)),
        0x11 => addresses::<4>(&rest, |ip| Ipv4Addr::from(ip).into()),
        0x21 => addresses::<16>(&rest, |ip| Ipv6Addr::from(ip).into()),
        _ => None,
    };
    let (ends, values) = ends.ok_or_else(|| wrong("no addresses"))?;
    Ok(Header { ends, identity: identity(values).map_err(wrong)? })
}

type Ends = Option<(SocketAddr, SocketAddr)>;

/// Both addresses and what follows them.
fn addresses<const N: usize>(rest: &[u8], ip: impl Fn([u8; N]) -> IpAddr) -> Option<(Ends, &[u8])> {
    let (&source, rest) = rest.split_first_chunk::<N>()?;
    let (&destination, rest) = rest.split_first_chunk::<N>()?;
    let (&[s0, s1, d0, d1], rest) = rest.split_first_chunk::<4>()?;
    let end = |octets, port| SocketAddr::new(ip(octets), u16::from_be_bytes(port));
    Some((Some((end(source, [s0, s1]), end(destination, [d0, d1]))), rest))
}

fn identity(mut values: &[u8]) -> Result<Option<String>, &'static str> {
    while let Some((&[kind, high, low], rest)) = values.split_first_chunk::<3>() {
        let length = usize::from(u16::from_be_bytes([high, low]));
        let (value, rest) = rest.split_at_checked(length).ok_or("a value is cut off")?;
        if kind == IDENTITY {
            return Ok(Some(String::from_utf8_lossy(value).into_owned()));
        }
        values = rest;
    }
    if values.is_empty() { Ok(None) } else { Err("something follows the values") }
}
