//! Where connections come from, as far as places are shared out by it.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

/// What one party can have as many addresses of as it likes counts as one: an IPv4 address, the /64 of an IPv6 address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Source(IpAddr);

impl Source {
    /// The one of an address.
    #[must_use]
    pub fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V6(address) => {
                Self(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into())
            }
            address @ IpAddr::V4(_) => Self(address),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            IpAddr::V4(address) => write!(f, "{address}"),
            IpAddr::V6(network) => write!(f, "{network}/64"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_party_is_one_source_whatever_addresses_it_takes() {
        for (address, source) in [
            ("10.0.0.1", "10.0.0.1"),
            ("::ffff:10.0.0.1", "10.0.0.1"),
            ("fd00::1:2:3:4", "fd00::/64"),
            ("fd00:0:0:1::1", "fd00:0:0:1::/64"),
        ] {
            assert_eq!(Source::of(address.parse().unwrap()).to_string(), source);
        }
    }
}
