//! The header in front of an application's connection, read by a reader of its own: it says who called whom, whole, and nothing else.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use culvert_core::identity::SpiffeId;
use culvert_core::proxy_protocol::header;

use crate::input::Input;

/// The most that can be behind the fixed part: its length has 16 bits.
const MOST: usize = 65_535;

/// Addresses, ports, and the parts of an identity.
pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let (source, destination) = (address(&mut input), address(&mut input));
    let identity = identity(&mut input);
    let said = header(source, destination, identity.as_ref());
    let read = read(&said).expect("it is a header");
    let (from, to) = (source.ip().to_canonical(), destination.ip().to_canonical());
    let addresses = (from.is_ipv4() == to.is_ipv4())
        .then(|| (SocketAddr::new(from, source.port()), SocketAddr::new(to, destination.port())));
    assert_eq!(read.addresses, addresses);
    let text = identity.map(|identity| identity.to_string());
    match read.identity {
        Some(told) => assert_eq!(Some(told), text.as_deref()),
        // One that has no room in the longest header is left out, and then no part of it is told.
        None => assert!(text.is_none_or(|text| text.len() > MOST - 3 - 36)),
    }
}

/// What a header says.
struct Read<'h> {
    addresses: Option<(SocketAddr, SocketAddr)>,
    identity: Option<&'h str>,
}

/// Reads a header as the format has it ("The PROXY protocol", 2.2): to its end, and with all values whole.
fn read(header: &[u8]) -> Option<Read<'_>> {
    let rest = header.strip_prefix(b"\r\n\r\n\0\r\nQUIT\n\x21")?;
    let (&[family, high, low], rest) = rest.split_first_chunk()?;
    if rest.len() != usize::from(u16::from_be_bytes([high, low])) {
        return None;
    }
    let (addresses, mut values) = match family {
        0x00 => (None, rest),
        0x11 => ends::<4>(rest, |octets| Ipv4Addr::from(octets).into())?,
        0x21 => ends::<16>(rest, |octets| Ipv6Addr::from(octets).into())?,
        _ => return None,
    };
    let mut identity = None;
    while !values.is_empty() {
        let (&[kind, high, low], after) = values.split_first_chunk()?;
        let (value, after) = after.split_at_checked(u16::from_be_bytes([high, low]).into())?;
        if kind != 0xd0 || identity.is_some() {
            return None;
        }
        (identity, values) = (Some(str::from_utf8(value).ok()?), after);
    }
    Some(Read { addresses, identity })
}

type Ends = (SocketAddr, SocketAddr);

fn ends<const N: usize>(rest: &[u8], ip: fn([u8; N]) -> IpAddr) -> Option<(Option<Ends>, &[u8])> {
    let (&from, rest) = rest.split_first_chunk()?;
    let (&to, rest) = rest.split_first_chunk()?;
    let (&[a, b, c, d], rest) = rest.split_first_chunk()?;
    let (from_port, to_port) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
    Some((Some((SocketAddr::new(ip(from), from_port), SocketAddr::new(ip(to), to_port))), rest))
}

fn address(input: &mut Input<'_>) -> SocketAddr {
    let kind = input.byte();
    let mut octets = [0; 16];
    let taken = input.take(if kind.is_multiple_of(3) { 16 } else { 4 });
    octets[..taken.len()].copy_from_slice(taken);
    let v4 = Ipv4Addr::new(octets[0], octets[1], octets[2], octets[3]);
    let ip = match kind % 3 {
        0 => Ipv6Addr::from(octets).into(),
        1 => IpAddr::V4(v4),
        _ => v4.to_ipv6_mapped().into(),
    };
    SocketAddr::new(ip, u16::try_from(input.number()).unwrap_or_default())
}

/// Three parts, each said so often.
fn identity(input: &mut Input<'_>) -> Option<SpiffeId> {
    let mut part = || {
        let (length, times) = (input.byte(), input.number());
        String::from_utf8_lossy(input.take(length.into())).repeat(times % 4_096)
    };
    let parts = [part(), part(), part()];
    SpiffeId::new(&parts[0], &parts[1], &parts[2]).ok()
}
