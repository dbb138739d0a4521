//! What a pod wants to pass uncaptured: lists of ports and of networks.
//!
//! Each entry becomes a packet rule, so their number is limited. The node's own ports are refused: they are how captured traffic
//! gets to it.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ebpf_free_iptables::{DNS_PORT, INBOUND_PORT, OUTBOUND_PORT, TUNNEL_PORT};
use ipnet::IpNet;

use super::reader::{Wrong, list, shown};

/// The most ports one annotation may stand for, all of its ranges counted out.
pub(super) const MAX_PORTS: usize = 64;

/// The most networks one annotation may name.
pub(super) const MAX_NETWORKS: usize = 64;

const RESERVED: [u16; 4] = [OUTBOUND_PORT, INBOUND_PORT, TUNNEL_PORT, DNS_PORT];

/// Ports and ranges of ports.
pub(super) fn ports(text: &str) -> Result<BTreeSet<u16>, Wrong> {
    let mut ports = BTreeSet::new();
    for part in list(text) {
        let (first, last) = range(part)?;
        if usize::from(last - first) >= MAX_PORTS {
            return Err(too_many("ports", MAX_PORTS));
        }
        if let Some(own) = RESERVED.iter().find(|own| (first..=last).contains(own)) {
            return Err(Wrong(format!("port {own} is the mesh's own; leave it out")));
        }
        ports.extend(first..=last);
        if ports.len() > MAX_PORTS {
            return Err(too_many("ports", MAX_PORTS));
        }
    }
    Ok(ports)
}

/// Networks, or single addresses.
pub(super) fn networks(text: &str) -> Result<BTreeSet<IpNet>, Wrong> {
    let mut networks = BTreeSet::new();
    for part in list(text) {
        networks.insert(network(part)?);
        if networks.len() > MAX_NETWORKS {
            return Err(too_many("networks", MAX_NETWORKS));
        }
    }
    Ok(networks)
}

fn range(part: &str) -> Result<(u16, u16), Wrong> {
    let wrong = || {
        let part = shown(part);
        Wrong(format!(
            "`{part}` is neither a port nor a range of ports; write something like 8080 or 8000-8010, separated by commas"
        ))
    };
    let (first, last) = match part.split_once('-') {
        Some((first, last)) => (port(first.trim_end()), port(last.trim_start())),
        None => (port(part), port(part)),
    };
    match (first, last) {
        (Some(first), Some(last)) if first <= last => Ok((first, last)),
        (Some(_) | None, Some(_) | None) => Err(wrong()),
    }
}

/// `parse` would also take `+80`.
fn port(text: &str) -> Option<u16> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|port| digits && *port != 0)
}

fn network(part: &str) -> Result<IpNet, Wrong> {
    let parsed = part.parse::<IpNet>().or_else(|_| part.parse::<IpAddr>().map(IpNet::from));
    let Ok(network) = parsed else {
        let part = shown(part);
        return Err(Wrong(format!(
            "`{part}` is not a network; write something like 10.1.0.0/16, 10.1.2.3 or 2001:db8::/32, separated by commas"
        )));
    };
    if let IpNet::V6(v6) = network
        && let Some(v4) = v6.addr().to_ipv4_mapped()
    {
        return Err(Wrong(format!("`{network}` is an IPv4 address in IPv6; write it as {v4}")));
    }
    if network.trunc() != network {
        return Err(Wrong(format!(
            "`{network}` has bits set behind its prefix; write {}, or {} for the one address",
            network.trunc(),
            network.addr()
        )));
    }
    Ok(network)
}

fn too_many(what: &str, most: usize) -> Wrong {
    Wrong(format!("these are more than {most} {what}; leave some out"))
}
