//! Room for addresses: 240.240.0.0/16 and 2001:2::/48.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::Key;

/// What was given at the same time, and whether there is anything left.
#[derive(Debug, Default)]
pub(super) struct Room {
    given: HashSet<IpAddr>,
    is_full: bool,
}

impl Room {
    /// Takes a pair of addresses for a host. Where one host finds none, no other does: it is not looked for again.
    pub(super) fn take(
        &mut self,
        key: &Key,
        host: &str,
        held: impl Fn(&IpAddr) -> bool,
    ) -> Option<[IpAddr; 2]> {
        if self.is_full {
            return None;
        }
        let pair = free(key, host, |ip| held(ip) || self.given.contains(ip));
        self.is_full = pair.is_none();
        self.given.extend(pair.iter().flatten());
        pair
    }
}

/// Tells whether an address is one of those given automatically.
pub(super) fn holds(ip: &IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => matches!(ip.octets(), [240, 240, ..]),
        IpAddr::V6(ip) => matches!(ip.segments(), [0x2001, 2, 0, ..]),
    }
}

/// Finds a free pair of addresses, one of each family with one number: 240.240.0.0/16 and 2001:2::/48. It begins where the host
/// belongs and goes on in steps of the host's own, so that it finds the same one whoever looks.
fn free(key: &Key, host: &str, taken: impl Fn(&IpAddr) -> bool) -> Option<[IpAddr; 2]> {
    let [_, _, _, _, a, b, c, d] = hash(&[&key.namespace, &key.name, host]).to_be_bytes();
    let (start, step) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]) | 1);
    let numbers = (0..=u16::MAX).map(|nth| start.wrapping_add(nth.wrapping_mul(step)));
    // The first and the last one of a network may mean all of it.
    let usable = numbers.filter(|&number| number != 0 && number != u16::MAX);
    let pairs = usable.map(|number| {
        let [high, low] = number.to_be_bytes();
        let v6 = Ipv6Addr::new(0x2001, 2, 0, 0, 0, 0, 0, number);
        [IpAddr::from(Ipv4Addr::new(240, 240, high, low)), IpAddr::from(v6)]
    });
    pairs.into_iter().find(|pair| !pair.iter().any(&taken))
}

/// FNV-1a, which is the same in every release and on every machine.
fn hash(texts: &[&str]) -> u64 {
    let bytes = texts.iter().flat_map(|text| text.bytes().chain([0]));
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}
