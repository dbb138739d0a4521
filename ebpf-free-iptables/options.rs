//! What of a pod's traffic is captured: the wishes a plan is made from, as plain values.
//!
//! Nothing here knows rules ([`crate::plan`]) or where the wishes come from.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use crate::plan::{DNS_PORT, INBOUND_PORT, OUTBOUND_PORT, TUNNEL_PORT};
use crate::rule::Family;

/// The most ports that pass in one direction; each costs a rule per IP version.
pub const MAX_PASSED_PORTS: usize = 64;
/// The most networks that pass; each costs a rule.
pub const MAX_PASSED_NETWORKS: usize = 64;

const DNS_QUERIES: u16 = 53;
const RESERVED: [u16; 4] = [OUTBOUND_PORT, INBOUND_PORT, TUNNEL_PORT, DNS_PORT];

/// A pod's switches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Capture DNS queries too.
    pub dns: bool,
    /// Capture plaintext inbound connections. `false` is ingress mode: clients reach the application directly.
    pub inbound: bool,
    /// Interfaces inside the pod whose incoming traffic really is outbound: virtual machines, nested containers.
    pub virtual_interfaces: Vec<String>,
    /// Capture IPv6 too.
    pub ipv6: bool,
    /// What passes uncaptured.
    pub passed: Passed,
    /// Where kubelet's probes seem to come from; they are not captured. `None` when they come as they are.
    pub probes: Option<ProbeSource>,
}

/// The addresses to which a node agent translates the source of kubelet's probes. Connections from and to them pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProbeSource {
    /// For pods with IPv4.
    pub v4: Ipv4Addr,
    /// For pods with IPv6.
    pub v6: Ipv6Addr,
}

impl Default for ProbeSource {
    /// What existing node agents use.
    fn default() -> Self {
        Self {
            v4: Ipv4Addr::new(169, 254, 7, 127),
            v6: Ipv6Addr::new(0xfd16, 0x9254, 0x7127, 0x1337, 0xffff, 0xffff, 0xffff, 0xffff),
        }
    }
}

/// Traffic that passes as if the pod were not in the mesh. Sorted and without duplicates, so that equal wishes are equal values.
///
/// - Only TCP passes; nothing else is captured but DNS.
/// - DNS queries are captured wherever they go, unless port 53 is one of the outbound ports: then no DNS query is, over
///   UDP no more than over TCP ([`Options::captures_dns`]).
/// - Connections of virtual interfaces are captured whatever they are for.
/// - The proxy's own ports stay captured ([`Passed::reserved`]).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Passed {
    /// Destination ports of connections the pod makes.
    pub outbound_ports: BTreeSet<u16>,
    /// Destination ports of connections to the pod.
    pub inbound_ports: BTreeSet<u16>,
    /// Destinations of connections the pod makes. Bits behind the prefix length mean nothing.
    pub outbound_networks: BTreeSet<IpNet>,
}

/// More of one kind than a pod may name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Excess {
    pub(crate) what: &'static str,
    pub(crate) count: usize,
    pub(crate) most: usize,
}

impl Options {
    /// Whether DNS queries are captured: when that is wished for, and port 53 is not to pass.
    #[must_use]
    pub fn captures_dns(&self) -> bool {
        self.dns && !self.passed.outbound_ports.contains(&DNS_QUERIES)
    }
}

impl Passed {
    /// The inbound ports that stay captured although they are named, because the proxy listens there. The redirect is what
    /// tells it that nobody may connect to them.
    pub fn reserved(&self) -> impl Iterator<Item = u16> {
        self.inbound_ports.iter().copied().filter(|port| RESERVED.contains(port))
    }

    /// The inbound ports at which connections pass.
    pub(crate) fn inbound(&self) -> impl Iterator<Item = u16> {
        self.inbound_ports.iter().copied().filter(|port| !RESERVED.contains(port))
    }

    /// The networks of one IP version, each once.
    pub(crate) fn networks(&self, family: Family) -> BTreeSet<IpNet> {
        let of_family = |network: &&IpNet| network.addr().is_ipv4() == (family == Family::V4);
        self.outbound_networks.iter().filter(of_family).map(IpNet::trunc).collect()
    }

    /// The first kind of which there are too many.
    pub(crate) fn excess(&self) -> Option<Excess> {
        let kinds = [
            ("outbound ports", self.outbound_ports.len(), MAX_PASSED_PORTS),
            ("inbound ports", self.inbound_ports.len(), MAX_PASSED_PORTS),
            ("outbound networks", self.outbound_networks.len(), MAX_PASSED_NETWORKS),
        ];
        let (what, count, most) = kinds.into_iter().find(|(_, count, most)| count > most)?;
        Some(Excess { what, count, most })
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            dns: false,
            inbound: true,
            virtual_interfaces: Vec::new(),
            ipv6: true,
            passed: Passed::default(),
            probes: Some(ProbeSource::default()),
        }
    }
}
