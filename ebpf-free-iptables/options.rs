//! What of a pod's traffic is captured: the wishes a plan is made from, as plain values.
//!
//! Nothing here knows rules ([`crate::plan`]) or where the wishes come from.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

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
    /// The address kubelet's probes seem to come from; they are not captured.
    pub probe_v4: Ipv4Addr,
    /// The same for IPv6.
    pub probe_v6: Ipv6Addr,
}

/// Traffic that passes as if the pod were not in the mesh. Sorted and without duplicates, so that equal wishes are equal values.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Passed {
    /// Destination ports of connections the pod makes.
    pub outbound_ports: BTreeSet<u16>,
    /// Destination ports of connections to the pod.
    pub inbound_ports: BTreeSet<u16>,
    /// Destinations of connections the pod makes.
    pub outbound_networks: BTreeSet<IpNet>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            dns: false,
            inbound: true,
            virtual_interfaces: Vec::new(),
            ipv6: true,
            passed: Passed::default(),
            probe_v4: Ipv4Addr::new(169, 254, 7, 127),
            probe_v6: Ipv6Addr::new(0xfd16, 0x9254, 0x7127, 0x1337, 0xffff, 0xffff, 0xffff, 0xffff),
        }
    }
}
