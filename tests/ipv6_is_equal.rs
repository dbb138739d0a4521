//! Everything holds over IPv6 as it does over IPv4.

use std::net::IpAddr;

use culvert_lab::Protocol;

use crate::harness::cluster::{BULK, Cluster, ECHO, Family, SINK, SOURCE, WHO, shared};
use crate::harness::talk::{
    SOON, assert_both_ways, assert_download, assert_echo, assert_upload, exchange, who,
};

#[test]
fn a_message_comes_back() {
    let cluster = shared();
    for (to, _) in cluster.ways(Family::V6, ECHO) {
        assert_echo(&cluster.client, to, b"hello over there");
    }
}

#[test]
fn ten_megabytes_pass_in_every_direction() {
    let cluster = shared();
    for (to, _) in cluster.ways(Family::V6, SINK) {
        assert_upload(&cluster.client, to, BULK);
    }
    for (to, _) in cluster.ways(Family::V6, SOURCE) {
        assert_download(&cluster.client, to, BULK);
    }
    for (to, _) in cluster.ways(Family::V6, ECHO) {
        assert_both_ways(&cluster.client, to, BULK);
    }
}

#[test]
fn the_server_sees_the_clients_address_and_port() {
    let cluster = shared();
    for (to, pod) in cluster.ways(Family::V6, WHO) {
        let stream = cluster.client.connect(to, SOON).unwrap();
        let (name, seen, own) = who(stream);
        assert_eq!(name, pod.name(), "{to}");
        assert_eq!(seen, own, "{to}");
        assert_eq!(seen.ip(), IpAddr::from(cluster.client.ip6()), "{to}");
    }
}

#[test]
fn plaintext_passes_to_and_from_the_outside() {
    let cluster = shared();
    assert_echo(&cluster.client, (cluster.outsider.ip6(), ECHO), b"out");
    for pod in [&cluster.server, &cluster.neighbour] {
        assert_echo(&cluster.outsider, (pod.ip6(), ECHO), b"in");
        let (_, seen, _) = who(cluster.outsider.connect((pod.ip6(), WHO), SOON).unwrap());
        assert_eq!(seen.ip(), IpAddr::from(cluster.outsider.ip6()), "{}", pod.name());
    }
}

#[test]
fn the_wire_is_ciphertext() {
    let cluster = Cluster::start("wire-v6").unwrap();
    let marker = b"a sentence for nobody but the server, over IPv6";
    let wire = cluster.lab.wire(&cluster.one, &cluster.two).unwrap();
    for (to, _) in cluster.ways(Family::V6, ECHO) {
        assert_echo(&cluster.client, to, marker);
    }
    let capture = wire.stop().unwrap();
    capture.assert_lossless();
    assert!(!capture.contains(marker));
    assert_eq!(capture.tcp_ports(), [15008]);
    let pods: Vec<IpAddr> = vec![cluster.client.ip6().into(), cluster.server.ip6().into()];
    let tcp = capture.packets().iter().filter(|packet| packet.protocol == Protocol::Tcp);
    for packet in tcp {
        assert!(pods.contains(&packet.source.ip()) && pods.contains(&packet.destination.ip()), "{packet:?}");
    }
}

#[test]
fn a_family_is_not_changed_on_the_way() {
    let cluster = shared();
    for family in [Family::V4, Family::V6] {
        for (to, _) in cluster.ways(family, WHO) {
            let answer = exchange(&cluster.client, to, b"");
            let crate::harness::talk::Ending::Complete(line) = answer else { panic!("{to}: {answer:?}") };
            let bracketed = line.contains(&b'[');
            assert_eq!(bracketed, family == Family::V6, "{to}: {}", String::from_utf8_lossy(&line));
        }
    }
}
