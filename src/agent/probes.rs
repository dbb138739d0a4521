//! How kubelet's probes come in, and where they come from as a pod sees it.
//!
//! In go the network namespace kubelet is in and a pod's addresses; out come the addresses the host calls the pod from. The
//! kernel is asked which it would take, and nothing is sent. Which ports are probed is said by whoever describes the pod.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use culvert_sys::netns::Netns;
use culvert_zds::Probes;
use ebpf_free_iptables::ProbeSource;
use tracing::debug;

use crate::namespaces;
use crate::pod::Capture;

pub(crate) mod kubelet;

/// How kubelet's probes come in to pods that take mutual TLS only.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Probing {
    /// The node program recognises them: from the host's address, to a port the pod says is probed
    #[default]
    Node,
    /// They are made to come from an address of their own, which pods let pass: for any node program
    Snat,
}

impl Probing {
    /// The address of their own.
    pub(crate) fn source(self) -> Option<ProbeSource> {
        match self {
            Self::Node => None,
            Self::Snat => Some(ProbeSource::default()),
        }
    }
}

/// Any port but 0 will do: the socket is never written to.
const DISCARD: u16 = 9;

/// How many of a pod's addresses are asked about. Who rules in the pod may give it any number.
const MOST_ADDRESSES: usize = 16;

/// What nodes are told of a pod: nothing when nothing is probed.
///
/// # Errors
/// When it cannot be found out at the moment, for want of descriptors mostly.
pub(crate) fn of_pod(host: &Netns, pod: &Netns, capture: &Capture) -> io::Result<Probes> {
    if capture.probe_ports.is_empty() {
        return Ok(Probes::default());
    }
    let mut addresses = namespaces::addresses(pod)?;
    addresses.truncate(MOST_ADDRESSES);
    let from = host_addresses(host, &addresses)?;
    Ok(Probes { ports: capture.probe_ports.clone(), from })
}

/// The addresses from which the host calls a pod that has these. Each once; none for an address the host has no way to, or
/// that is the host's own.
///
/// # Errors
/// When the host's namespace cannot be entered, or sockets cannot be made in it.
pub(crate) fn host_addresses(host: &Netns, pod: &[IpAddr]) -> io::Result<Vec<IpAddr>> {
    let mut found = Vec::new();
    for &to in pod {
        match host.run(|| source_towards(to))? {
            Ok(from) if from != to && !found.contains(&from) => found.push(from),
            Ok(_) => {}
            Err(error) if is_no_way(&error) => {
                debug!(host = %host.id(), %to, %error, "the host has no way to the pod")
            }
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

/// Whether the host's routes (or its lack of an IP version) are the reason: that is how things are, not how they went.
fn is_no_way(error: &io::Error) -> bool {
    use io::ErrorKind::{
        AddrNotAvailable, HostUnreachable, InvalidInput, NetworkUnreachable, PermissionDenied,
    };
    const EAFNOSUPPORT: i32 = 97;
    // Routes that prohibit say PermissionDenied, black holes InvalidInput.
    let routes = [AddrNotAvailable, HostUnreachable, InvalidInput, NetworkUnreachable, PermissionDenied];
    routes.contains(&error.kind()) || error.raw_os_error() == Some(EAFNOSUPPORT)
}

/// The source address that `connect(2)` chooses in the calling thread's namespace.
fn source_towards(to: IpAddr) -> io::Result<IpAddr> {
    let any: IpAddr = match to {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect(SocketAddr::new(to, DISCARD))?;
    Ok(socket.local_addr()?.ip())
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use culvert_sys::child;

    use super::*;

    /// A host with two links: to a pod, and to somewhere else.
    fn host() -> Netns {
        let host = Netns::create().unwrap();
        let script = "ip link set lo up
            ip link add pod type veth peer name end1; ip link set pod up; ip link set end1 up; ip addr add 10.0.0.1/32 dev pod
            ip addr add fd00::1/128 dev pod nodad
            ip link add out type veth peer name end2; ip link set out up; ip link set end2 up; ip addr add 192.0.2.1/24 dev out
            ip route add 10.0.0.9/32 dev pod src 10.0.0.1; ip -6 route add fd00::9/128 dev pod src fd00::1";
        let mut shell = Command::new("sh");
        shell.args(["-ec", script]);
        let status = child::start_in(&mut shell, &host).unwrap().status().unwrap();
        assert!(status.success());
        host
    }

    fn check(pod: &[&str], expected: &[&str]) {
        let parse = |texts: &[&str]| texts.iter().map(|ip| ip.parse().unwrap()).collect::<Vec<IpAddr>>();
        assert_eq!(host_addresses(&host(), &parse(pod)).unwrap(), parse(expected), "{pod:?}");
    }

    #[test]
    fn the_host_calls_from_the_address_its_routes_say() {
        check(&["10.0.0.9", "fd00::9"], &["10.0.0.1", "fd00::1"]);
        check(&["192.0.2.9"], &["192.0.2.1"]);
    }

    #[test]
    fn an_address_is_found_once_and_those_there_is_no_way_to_are_left_out() {
        check(&["192.0.2.8", "198.51.100.1", "192.0.2.9", "2001:db8::1"], &["192.0.2.1"]);
        check(&[], &[]);
    }

    #[test]
    fn routes_that_lead_nowhere_are_no_way() {
        let host = host();
        let mut add = Command::new("sh");
        add.args([
            "-ec",
            "for how in blackhole unreachable prohibit; do ip route add $how 203.0.113.$((n += 1))/32; done",
        ]);
        assert!(child::start_in(&mut add, &host).unwrap().status().unwrap().success());
        let pod = [1, 2, 3].map(|last| IpAddr::from([203, 0, 113, last]));
        assert_eq!(host_addresses(&host, &pod).unwrap(), [] as [IpAddr; 0]);
    }

    #[test]
    fn the_hosts_own_address_is_no_pods() {
        check(&["192.0.2.1", "127.0.0.1"], &[]);
    }

    #[test]
    fn the_pod_is_asked_for_its_addresses_only_when_something_is_probed() {
        let (host, pod) = (host(), Netns::create().unwrap());
        let mut add = Command::new("sh");
        add.args([
            "-ec",
            "ip link add eth0 type veth peer name end; ip link set eth0 up; ip addr add 10.0.0.9/32 dev eth0",
        ]);
        assert!(child::start_in(&mut add, &pod).unwrap().status().unwrap().success());
        assert_eq!(of_pod(&host, &pod, &Capture::default()).unwrap(), Probes::default());
        let probed = Capture { probe_ports: [8080].into(), ..Capture::default() };
        let expected = Probes { ports: [8080].into(), from: vec![[10, 0, 0, 1].into()] };
        assert_eq!(of_pod(&host, &pod, &probed).unwrap(), expected);
    }
}
