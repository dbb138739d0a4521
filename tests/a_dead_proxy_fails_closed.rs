//! A captured pod whose proxy is gone is cut off. It is never on the wire in plaintext.

use std::net::IpAddr;

use culvert_lab::{Capture, Packet, Program};

use crate::harness::cluster::{Cluster, ECHO, Family};
use crate::harness::talk::{Ending, assert_echo, exchange};

/// A cluster, and the proxy of its first node.
fn start(name: &str) -> (Cluster, Program) {
    let cluster = Cluster::without_mesh(name).unwrap();
    let Cluster { lab, one, two, .. } = &cluster;
    lab.enrol_all(&[&cluster.client, &cluster.neighbour, &cluster.server]).unwrap();
    lab.start_control().unwrap();
    lab.start_agent(one).unwrap();
    lab.start_agent(two).unwrap();
    let proxy = lab.start_node(one).unwrap();
    lab.start_node(two).unwrap();
    assert_echo(&cluster.client, (cluster.server.ip4(), ECHO), b"all is well");
    (cluster, proxy)
}

/// Packets of a pod that begin a connection or carry data.
fn meaningful(capture: &Capture, from: IpAddr) -> Vec<&Packet> {
    let meant = |packet: &&Packet| packet.flags.opens() || !packet.payload.is_empty();
    capture.packets().iter().filter(|packet| packet.source.ip() == from).filter(meant).collect()
}

#[test]
fn outbound_connections_are_refused_and_nothing_leaves_the_pod() {
    let (cluster, proxy) = start("closed-out");
    proxy.kill_hard().unwrap();
    let wire = cluster.lab.wire_of_pod(&cluster.client).unwrap();
    for family in [Family::V4, Family::V6] {
        let outside = family.of(cluster.outsider.ips(), ECHO);
        for to in cluster.ways(family, ECHO).into_iter().map(|(to, _)| to).chain([outside]) {
            assert_eq!(exchange(&cluster.client, to, b"not in plaintext"), Ending::Refused, "{to}");
        }
    }
    let capture = wire.stop().unwrap();
    capture.assert_lossless();
    for ip in cluster.client.ips() {
        assert_eq!(meaningful(&capture, ip), Vec::<&Packet>::new());
    }
}

#[test]
fn inbound_connections_are_refused_and_nothing_reaches_the_application() {
    let (cluster, proxy) = start("closed-in");
    let application = cluster.lab.serve(&cluster.client, 0, culvert_lab::Behaviour::Echo).unwrap();
    proxy.kill_hard().unwrap();
    for family in [Family::V4, Family::V6] {
        let to = family.of(cluster.client.ips(), application.port());
        assert_eq!(exchange(&cluster.outsider, to, b"anybody there?"), Ending::Refused, "{to}");
        // Its proxy takes the connection, and finds nobody to hand it to.
        assert_eq!(exchange(&cluster.server, to, b"anybody there?"), Ending::Reset, "{to}");
    }
    assert_eq!(application.accepted(), 0);
}

#[test]
fn the_pod_is_served_again_when_its_proxy_is_back() {
    let (cluster, proxy) = start("closed-back");
    proxy.kill_hard().unwrap();
    let to = (cluster.server.ip4(), ECHO);
    assert_eq!(exchange(&cluster.client, to, b"too early"), Ending::Refused);
    cluster.lab.start_node(&cluster.one).unwrap();
    assert_echo(&cluster.client, to, b"back again");
    assert_echo(&cluster.server, (cluster.client.ip4(), ECHO), b"and back");
    assert_echo(&cluster.outsider, (cluster.client.ip4(), ECHO), b"from outside");
}

/// Neither agent nor proxy nor control plane is needed to stay closed.
#[test]
fn a_pod_stays_closed_when_everything_is_gone() {
    let cluster = Cluster::without_mesh("closed-all").unwrap();
    let lab = &cluster.lab;
    lab.enrol_all(&[&cluster.client, &cluster.server]).unwrap();
    let programs = [
        lab.start_control().unwrap(),
        lab.start_agent(&cluster.one).unwrap(),
        lab.start_node(&cluster.one).unwrap(),
    ];
    assert_echo(&cluster.client, (cluster.outsider.ip4(), ECHO), b"all is well");
    for program in programs {
        program.kill_hard().unwrap();
    }
    assert_eq!(exchange(&cluster.client, (cluster.outsider.ip4(), ECHO), b"no"), Ending::Refused);
    assert_eq!(exchange(&cluster.outsider, (cluster.client.ip4(), ECHO), b"no"), Ending::Refused);
}
