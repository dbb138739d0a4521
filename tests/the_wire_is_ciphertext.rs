//! Between nodes there is mutual TLS on port 15008 and nothing else.

use std::net::IpAddr;

use culvert_lab::{Capture, Packet, Protocol, Wire};

use crate::harness::cluster::{Cluster, ECHO, Family};
use crate::harness::talk::assert_echo;

const MARKER: &[u8] = b"the marker that must not be seen on any wire";

/// Records what passes between the nodes while the client talks to everybody in every way.
fn record_talk(cluster: &Cluster) -> Capture {
    let wire = cluster.lab.wire(&cluster.one, &cluster.two).unwrap();
    for (to, _) in cluster.ways(Family::V4, ECHO) {
        assert_echo(&cluster.client, to, MARKER);
    }
    let capture = wire.stop().unwrap();
    capture.assert_lossless();
    capture
}

fn tcp(capture: &Capture) -> impl Iterator<Item = &Packet> {
    capture.packets().iter().filter(|packet| packet.protocol == Protocol::Tcp)
}

/// Whether a segment begins with a TLS record: its type, and the version that all records claim (RFC 8446, 5.1).
fn begins_with_record(packet: &Packet, kind: u8) -> bool {
    matches!(packet.payload[..], [first, 3, 1 | 3, ..] if first == kind)
}

#[test]
fn the_recording_sees_what_is_not_encrypted() {
    let cluster = Cluster::without_mesh("tap").unwrap();
    let wire = cluster.lab.wire(&cluster.one, &cluster.two).unwrap();
    assert_echo(&cluster.client, (cluster.server.ip4(), ECHO), MARKER);
    let capture = wire.stop().unwrap();
    assert!(capture.contains(MARKER), "{:?}", capture.packets());
    assert_eq!(capture.tcp_ports(), [ECHO]);
}

#[test]
fn nothing_but_tunnels_passes_between_nodes() {
    let cluster = Cluster::start("wire").unwrap();
    let capture = record_talk(&cluster);
    assert!(!capture.contains(MARKER));
    assert_eq!(capture.tcp_ports(), [15008]);
    let ends: [IpAddr; 2] = [cluster.client.ip4().into(), cluster.server.ip4().into()];
    for packet in tcp(&capture) {
        assert!(ends.contains(&packet.source.ip()) && ends.contains(&packet.destination.ip()), "{packet:?}");
    }
    let udp = capture.packets().iter().find(|packet| packet.protocol == Protocol::Udp);
    assert_eq!(udp, None);
}

#[test]
fn what_passes_is_tls_with_certificates_hidden() {
    const HANDSHAKE: u8 = 22;
    const APPLICATION_DATA: u8 = 23;
    let cluster = Cluster::start("records").unwrap();
    let capture = record_talk(&cluster);
    let hellos = tcp(&capture).filter(|packet| begins_with_record(packet, HANDSHAKE)).count();
    let records = tcp(&capture).filter(|packet| begins_with_record(packet, APPLICATION_DATA)).count();
    assert!(hellos >= 2, "{hellos} handshake records");
    assert!(records >= 4, "{records} records of application data");
    // TLS 1.3 encrypts certificates: who talks to whom is not readable.
    assert!(!capture.contains(b"spiffe://"));
}

#[test]
fn no_secret_passes_in_clear_on_the_way_to_the_control_plane() {
    let cluster = Cluster::without_mesh("control-wire").unwrap();
    let wires = [&cluster.one, &cluster.two].map(|node| Wire::open(node.netns(), "to-control").unwrap());
    cluster.start_mesh().unwrap();
    let tokens = [&cluster.one, &cluster.two].map(|node| std::fs::read(node.token_file()).unwrap());
    for wire in wires {
        let capture = wire.stop().unwrap();
        capture.assert_lossless();
        assert!(capture.tcp_bytes() > 0, "the node did not ask the control plane for anything");
        assert!(tokens.iter().all(|token| !capture.contains(token)));
        assert!(!capture.contains(b"BEGIN CERTIFICATE"));
    }
}
