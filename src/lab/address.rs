//! The address plan: who has which address. The namespaces are private, so all labs use the same one.
//!
//! | what | IPv4 | IPv6 |
//! |---|---|---|
//! | pods of node N | 10.(64+N).0.2 and up | fdc0:1ab:0:N::2 and up |
//! | what pods of node N see as their router | 10.(64+N).0.1 | fdc0:1ab:0:N::1 |
//! | containers of node N | 10.(64+N).240.2 and up | fdc0:1ab:0:N::f002 and up |
//! | the bridge they are plugged into | 10.(64+N).240.1 | fdc0:1ab:0:N::f001 |
//! | nodes | 172.31.0.1 and up | fdc0:1ab:1::1 and up |
//! | control | 172.31.255.1 | fdc0:1ab:2::1 |
//! | services | 10.96.0.1 and up | fdc0:1ab:3::1 and up |

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::Error;

/// An address of each family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Both {
    pub(crate) ip4: Ipv4Addr,
    pub(crate) ip6: Ipv6Addr,
}

impl Both {
    /// The two addresses with their host prefix lengths, for `ip addr` and `ip route`.
    pub(crate) fn all(self) -> [IpAddr; 2] {
        [self.ip4.into(), self.ip6.into()]
    }
}

/// How many nodes a lab can have: pod networks must stay below the services'.
const NODES: usize = 32;
/// How many pods a node can have, and how many services a lab.
const MEMBERS: usize = 60_000;
/// The part of an address that is for containers begins here: 240.0 of the last two bytes in IPv4.
const FIRST_CONTAINER: u16 = 0xf000;

/// The control plane's host.
pub(crate) fn control() -> Both {
    both([172, 31, 255, 1], 2, 0, 1)
}

/// The `index`th node.
pub(crate) fn node(index: usize) -> Result<Both, Error> {
    let index = within("node", index, NODES)?;
    Ok(both([172, 31, 0, low(index) + 1], 1, 0, index + 1))
}

/// What the pods of the `node`th node see as their router.
pub(crate) fn gateway(node: usize) -> Result<Both, Error> {
    let node = within("node", node, NODES)?;
    Ok(both([10, 64 + low(node), 0, 1], 0, node, 1))
}

/// The networks of the pods of the `node`th node.
pub(crate) fn pod_networks(node: usize) -> Result<[String; 2], Error> {
    let gateway = gateway(node)?;
    let [a, b, ..] = gateway.ip4.octets();
    Ok([format!("{a}.{b}.0.0/16"), format!("{}/64", both([0; 4], 0, within("node", node, NODES)?, 0).ip6)])
}

/// The networks of the containers of the `node`th node: a part of its pods', behind the last of those the lab gives itself.
pub(crate) fn container_networks(node: usize) -> Result<[String; 2], Error> {
    let bridge = bridge(node)?;
    let [a, b, ..] = bridge.ip4.octets();
    let network = both([0; 4], 0, within("node", node, NODES)?, FIRST_CONTAINER);
    Ok([format!("{a}.{b}.240.0/20"), format!("{}/116", network.ip6)])
}

/// The bridge the containers of the `node`th node are plugged into.
pub(crate) fn bridge(node: usize) -> Result<Both, Error> {
    let node = within("node", node, NODES)?;
    Ok(both([10, 64 + low(node), 240, 1], 0, node, FIRST_CONTAINER + 1))
}

/// The `index`th pod of the `node`th node.
pub(crate) fn pod(node: usize, index: usize) -> Result<Both, Error> {
    let (node, index) = (within("node", node, NODES)?, within("pod", index, MEMBERS)? + 2);
    let [high, low_byte] = index.to_be_bytes();
    Ok(both([10, 64 + low(node), high, low_byte], 0, node, index))
}

/// The `index`th service.
pub(crate) fn service(index: usize) -> Result<Both, Error> {
    let index = within("service", index, MEMBERS)? + 1;
    let [high, low_byte] = index.to_be_bytes();
    Ok(both([10, 96, high, low_byte], 3, 0, index))
}

fn both(v4: [u8; 4], kind: u16, network: u16, host: u16) -> Both {
    let ip6 = Ipv6Addr::new(0xfdc0, 0x1ab, kind, network, 0, 0, 0, host);
    Both { ip4: v4.into(), ip6 }
}

fn within(what: &'static str, index: usize, limit: usize) -> Result<u16, Error> {
    u16::try_from(index).ok().filter(|_| index < limit).ok_or(Error::Exhausted { what, limit })
}

/// The low byte; callers have checked that there is no other.
fn low(index: u16) -> u8 {
    index.to_be_bytes()[1]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_plan_is_as_drawn() {
        let shown = |both: Both| format!("{} {}", both.ip4, both.ip6);
        assert_eq!(shown(control()), "172.31.255.1 fdc0:1ab:2::1");
        assert_eq!(shown(node(1).unwrap()), "172.31.0.2 fdc0:1ab:1::2");
        assert_eq!(shown(gateway(1).unwrap()), "10.65.0.1 fdc0:1ab:0:1::1");
        assert_eq!(shown(pod(1, 300).unwrap()), "10.65.1.46 fdc0:1ab:0:1::12e");
        assert_eq!(shown(service(0).unwrap()), "10.96.0.1 fdc0:1ab:3::1");
        assert_eq!(pod_networks(1).unwrap(), ["10.65.0.0/16", "fdc0:1ab:0:1::/64"]);
        assert_eq!(shown(bridge(1).unwrap()), "10.65.240.1 fdc0:1ab:0:1::f001");
        assert_eq!(container_networks(1).unwrap(), ["10.65.240.0/20", "fdc0:1ab:0:1::f000/116"]);
    }

    #[test]
    fn the_end_of_the_plan_is_an_error() {
        assert!(node(32).is_err());
        assert!(pod(0, 60_000).is_err());
        assert!(service(70_000).is_err());
    }
}
