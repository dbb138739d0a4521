//! A host out of a network namespace, and the wires between hosts.
//!
//! In go addresses; out come namespaces with `lo` up, both families usable at once, and point-to-point links. The
//! namespaces have no names and live as long as they are held: a lab that is killed leaves nothing behind.

use std::fs;
use std::sync::Arc;

use culvert_sys::netns::Netns;

use crate::Error;
use crate::address::Both;
use crate::error::Doing as _;
use crate::tool;
use crate::wait::{PATIENCE, wait_until};

/// What a host does with packets that are not for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Forwarding {
    On,
    Off,
}

/// Makes a host with nothing but its loopback interface.
pub(crate) fn create(what: &str, forwarding: Forwarding) -> Result<Arc<Netns>, Error> {
    let netns = Netns::create().doing(|| format!("make a network namespace for {what}"))?;
    let forward = if forwarding == Forwarding::On { "1" } else { "0" };
    let settings = [
        ("ipv4/ip_forward", forward),
        ("ipv4/conf/all/rp_filter", "0"),
        // Strict in every interface made from here on, as many distributions have it.
        ("ipv4/conf/default/rp_filter", if forwarding == Forwarding::On { "0" } else { "1" }),
        ("ipv6/conf/all/disable_ipv6", "0"),
        ("ipv6/conf/default/disable_ipv6", "0"),
        // Addresses are usable at once: nobody else can have them.
        ("ipv6/conf/default/accept_dad", "0"),
        ("ipv6/conf/default/accept_ra", "0"),
        ("ipv6/conf/default/router_solicitations", "0"),
        ("ipv6/conf/all/forwarding", forward),
    ];
    for (name, value) in settings {
        let path = format!("/proc/sys/net/{name}");
        let written = netns.run(|| fs::write(&path, value));
        written.and_then(|result| result).doing(|| format!("write {value} to {path} of {what}"))?;
    }
    tool::ip(&netns, &["link set lo up".into()])?;
    Ok(Arc::new(netns))
}

/// One end of a link.
pub(crate) struct End<'h> {
    pub(crate) netns: &'h Netns,
    pub(crate) interface: &'h str,
    pub(crate) address: Both,
}

/// Joins two hosts by a veth pair; each end knows the other's address.
pub(crate) fn link(left: &End<'_>, right: &End<'_>) -> Result<(), Error> {
    let there = right.netns.path();
    let pair = format!(
        "link add {} type veth peer name {} netns {}",
        left.interface,
        right.interface,
        there.display()
    );
    tool::ip(left.netns, &[pair])?;
    address(left, right)
}

/// Gives both ends of a link that is there their addresses; each end knows the other's.
pub(crate) fn address(left: &End<'_>, right: &End<'_>) -> Result<(), Error> {
    tool::ip(left.netns, &settings(left, right.address))?;
    tool::ip(right.netns, &settings(right, left.address))?;
    wait_until_usable(left, right.address)?;
    wait_until_usable(right, left.address)
}

fn settings(end: &End<'_>, peer: Both) -> Vec<String> {
    let (name, own) = (end.interface, end.address);
    vec![
        format!("link set {name} up"),
        format!("addr add {} peer {}/32 dev {name}", own.ip4, peer.ip4),
        format!("addr add {} peer {}/128 dev {name} nodad", own.ip6, peer.ip6),
    ]
}

/// Waits until an IPv6 address is what it says it is: the kernel adds the route to the address itself, and after it
/// the one to the peer, in the background.
fn wait_until_usable(end: &End<'_>, peer: Both) -> Result<(), Error> {
    let (name, peer) = (end.interface, peer.ip6.to_string());
    let what = format!("{} of interface {name} is usable", end.address.ip6);
    wait_until(PATIENCE, &what, || {
        let route = tool::run_in(end.netns, &["ip", "route", "get", &peer], "");
        route.is_ok_and(|route| route.contains(&format!(" dev {name} ")))
    })
}

/// Sends packets for some networks (IPv4, IPv6) through a neighbour.
pub(crate) fn route(from: &Netns, networks: [&str; 2], via: Both) -> Result<(), Error> {
    let lines = networks.iter().zip(via.all()).map(|(network, via)| format!("route add {network} via {via}"));
    tool::ip(from, &lines.collect::<Vec<_>>())
}
