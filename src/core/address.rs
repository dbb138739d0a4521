//! Addresses as the mesh knows them: an IP address means something only within a network.
//!
//! Goes in: texts and addresses as peers, files and sockets give them. Comes out: canonical values (an IPv4-mapped IPv6
//! address is the IPv4 address). Deliberately absent: name resolution.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;

use ipnet::IpNet;

/// An IP address in one network; two networks may use the same addresses for different workloads.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NetworkAddress {
    /// The name of the network; the default network has the empty name.
    pub network: Arc<str>,
    /// The canonical address.
    pub ip: IpAddr,
}

/// A block of addresses in one network.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NetworkBlock {
    /// The name of the network; the default network has the empty name.
    pub network: Arc<str>,
    /// The block, host bits cleared.
    pub block: IpNet,
}

/// A text that is not `<network>/<ip>`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an address in a network; write `<network>/<ip>`, or `/<ip>` for the default network")]
pub struct NotANetworkAddress(pub String);

impl NetworkAddress {
    /// Puts an address together, in canonical form.
    #[must_use]
    pub fn new(network: impl Into<Arc<str>>, ip: IpAddr) -> Self {
        Self { network: network.into(), ip: ip.to_canonical() }
    }
}

impl fmt::Display for NetworkAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.network, self.ip)
    }
}

impl FromStr for NetworkAddress {
    type Err = NotANetworkAddress;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || NotANetworkAddress(text.to_owned());
        let (network, ip) = text.rsplit_once('/').ok_or_else(wrong)?;
        let ip: IpAddr = ip.parse().map_err(|_| wrong())?;
        Ok(Self::new(network, ip))
    }
}

impl fmt::Display for NetworkBlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.network, self.block)
    }
}

/// Gives `address` with an IPv4-mapped IPv6 address turned into the IPv4 address it stands for.
#[must_use]
pub fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Option<(&str, &str)>) {
        let expected = expected.map(|(network, ip)| NetworkAddress::new(network, ip.parse().unwrap()));
        assert_eq!(text.parse().ok(), expected, "{text}");
    }

    #[test]
    fn network_addresses_parse() {
        check("/10.0.0.1", Some(("", "10.0.0.1")));
        check("west/fd00::1", Some(("west", "fd00::1")));
        check("west/::ffff:10.0.0.1", Some(("west", "10.0.0.1")));
        check("a/b/10.0.0.1", Some(("a/b", "10.0.0.1")));
        check("10.0.0.1", None);
        check("west/", None);
        check("west/10.0.0.1/32", None);
        check("", None);
    }

    #[test]
    fn a_mapped_address_becomes_the_plain_one() {
        let mapped: SocketAddr = "[::ffff:10.0.0.1]:80".parse().unwrap();
        assert_eq!(canonical(mapped), "10.0.0.1:80".parse().unwrap());
    }
}
