//! The programs listen where the security model says, and nowhere else; what is for those who look after a node is on loopback.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use culvert_lab::Pod;
use culvert_sys::netns::Netns;

use crate::harness::cluster::{Cluster, ECHO};
use crate::harness::kernel::listeners;
use crate::harness::talk::{Ending, assert_echo, exchange};

const ADMIN: u16 = 15000;
/// Metrics and readiness of the agent.
const AGENT: u16 = 15014;
const METRICS: u16 = 15020;
const READINESS: u16 = 15021;
const TUNNELS: u16 = 15008;
const DNS: u16 = 15053;

fn ports(of: &BTreeSet<SocketAddr>, wanted: impl Fn(&SocketAddr) -> bool) -> BTreeSet<u16> {
    of.iter().filter(|at| wanted(at)).map(SocketAddr::port).collect()
}

/// What is listened for on loopback, and what elsewhere.
fn split(listeners: &BTreeSet<SocketAddr>) -> (BTreeSet<u16>, BTreeSet<u16>) {
    let is_loopback = |at: &SocketAddr| at.ip().to_canonical().is_loopback();
    (ports(listeners, is_loopback), ports(listeners, |at| !is_loopback(at)))
}

/// What has come to listen in a namespace meanwhile.
fn new(netns: &Netns, before: &BTreeSet<SocketAddr>) -> BTreeSet<SocketAddr> {
    listeners(netns).difference(before).copied().collect()
}

#[test]
fn the_admin_port_is_on_loopback_and_pods_have_the_ports_of_the_capture_only() {
    let cluster = Cluster::without_mesh("ports").unwrap();
    let places = [cluster.two.netns(), cluster.server.netns(), cluster.outsider.netns()];
    let before = places.map(|netns| listeners(netns));
    cluster.start_mesh().unwrap();
    assert_echo(&cluster.client, (cluster.server.ip4(), ECHO), b"all is up");
    let [node, pod, other] = std::array::from_fn(|at| split(&new(places[at], &before[at])));
    assert_eq!(node, ([ADMIN].into(), [AGENT, METRICS, READINESS].into()), "a node");
    assert_eq!(pod, ([DNS].into(), [15001, 15006, TUNNELS].into()), "a captured pod");
    assert_eq!(other, ([].into(), [].into()), "a pod that is not captured");
}

/// By every address a pod could know of the node and of the pods there, from within and from without the mesh.
#[test]
fn no_pod_reaches_the_admin_port() {
    let cluster = Cluster::start("admin-reach").unwrap();
    let asked = |from: &Pod, to: SocketAddr| exchange(from, to, b"GET /config_dump HTTP/1.0\r\n\r\n");
    for pod in [&cluster.outsider, &cluster.client, &cluster.server] {
        let mut addresses: Vec<IpAddr> = vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
        for node in [&cluster.one, &cluster.two] {
            addresses.extend([IpAddr::from(node.ip4()), node.ip6().into()]);
        }
        addresses.extend(cluster.server.ips());
        for ip in addresses {
            let ending = asked(pod, (ip, ADMIN).into());
            assert!(matches!(ending, Ending::Refused | Ending::Reset), "{} -> {ip}: {ending:?}", pod.name());
        }
    }
}
