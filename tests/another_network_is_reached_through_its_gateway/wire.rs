//! What applications say is on no wire, and neither on the gateway's own: it passes on what it cannot read.

use std::net::IpAddr;

use culvert_lab::{Capture, Protocol};

use crate::harness::cluster::{ECHO, Family, service_port};
use crate::harness::talk::assert_echo;

use super::envoy::start_gateway;
use super::rig::Networks;

const MARKER: &[u8] = b"the marker that must not be seen on any wire";

#[test]
fn nothing_said_can_be_read_between_the_networks_or_at_the_gateway() {
    let networks = Networks::start("gateway-wire").unwrap();
    let Networks { lab, client, gate, server, far, .. } = &networks;
    let _gateway = start_gateway(&networks, gate, &[]);
    let between = lab.wire(&networks.here, &networks.there).unwrap();
    let at_gate = lab.wire_of_pod(gate).unwrap();
    let at_server = lab.wire_of_pod(server).unwrap();
    for family in [Family::V4, Family::V6] {
        assert_echo(client, family.of(far.ips(), service_port(ECHO)), MARKER);
    }
    let wires = [between, at_gate, at_server].map(|wire| wire.stop().unwrap());
    for capture in &wires {
        capture.assert_lossless();
        assert!(!capture.contains(MARKER));
        assert!(capture.tcp_bytes() > 0);
        assert_eq!(capture.tcp_ports(), [15008]);
    }
    let [between, at_gate, at_server] = &wires;
    let gate = gate.ips();
    assert!(ends(between).iter().all(|end| gate.contains(end) || client.ips().contains(end)));
    assert!(ends(at_server).iter().all(|end| gate.contains(end) || server.ips().contains(end)));
    // Who is called is for the gateway; who calls is in certificates, which TLS 1.3 encrypts.
    assert!(!at_gate.contains(b"spiffe://") && !at_gate.contains(b"far.default"));
}

/// Everybody who has a TCP connection on a wire.
fn ends(capture: &Capture) -> Vec<IpAddr> {
    let tcp = capture.packets().iter().filter(|packet| packet.protocol == Protocol::Tcp);
    tcp.flat_map(|packet| [packet.source.ip(), packet.destination.ip()]).collect()
}
