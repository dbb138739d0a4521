//! A node program in dedicated mode serves the one pod it runs in.

use std::net::IpAddr;

use culvert_lab::{Program, http};

use crate::harness::cluster::{BULK, Cluster, ECHO, Family, SINK, WHO};
use crate::harness::talk::{Ending, SOON, assert_echo, assert_upload, exchange, who};

/// The client has a proxy of its own; the agent of its node only makes the rules. The server has an ordinary node.
fn start(name: &str) -> (Cluster, Program) {
    let cluster = Cluster::without_mesh(name).unwrap();
    let lab = &cluster.lab;
    lab.enrol_all(&[&cluster.client, &cluster.server]).unwrap();
    lab.start_control().unwrap();
    lab.start_agent(&cluster.one).unwrap();
    lab.start_agent(&cluster.two).unwrap();
    lab.start_node(&cluster.two).unwrap();
    lab.wait_until(SOON, "the client is captured", || cluster.client.is_captured().unwrap()).unwrap();
    let launch = lab.dedicated_launch(&cluster.client).unwrap();
    let proxy = lab.start(launch.env("PACKET_MARK", 1337)).unwrap();
    let ready = || http::get(cluster.client.netns(), ([127, 0, 0, 1], 15021), "/healthz/ready");
    lab.wait_until(SOON, "the dedicated proxy is ready", || ready().is_ok_and(|answer| answer.status == 200))
        .unwrap();
    (cluster, proxy)
}

#[test]
fn it_carries_traffic_out_and_in() {
    let marker = b"from a dedicated proxy";
    let (cluster, _proxy) = start("dedicated");
    let wire = cluster.lab.wire(&cluster.one, &cluster.two).unwrap();
    for family in [Family::V4, Family::V6] {
        assert_echo(&cluster.client, family.of(cluster.server.ips(), ECHO), marker);
        assert_echo(&cluster.server, family.of(cluster.client.ips(), ECHO), marker);
    }
    let capture = wire.stop().unwrap();
    assert!(!capture.contains(marker));
    assert_eq!(capture.tcp_ports(), [15008]);
    assert_upload(&cluster.client, (cluster.server.ip4(), SINK).into(), BULK);
    assert_echo(&cluster.outsider, (cluster.client.ip4(), ECHO), b"from outside");
    assert_echo(&cluster.client, (cluster.outsider.ip4(), ECHO), b"to the outside");
}

#[test]
fn it_keeps_addresses_like_a_shared_one() {
    let (cluster, _proxy) = start("dedicated-who");
    let (_, seen, own) = who(cluster.client.connect((cluster.server.ip4(), WHO), SOON).unwrap());
    assert_eq!(seen, own);
    let (_, seen, own) = who(cluster.server.connect((cluster.client.ip4(), WHO), SOON).unwrap());
    assert_eq!(seen, own);
    let (_, seen, _) = who(cluster.outsider.connect((cluster.client.ip4(), WHO), SOON).unwrap());
    assert_eq!(seen.ip(), IpAddr::from(cluster.outsider.ip4()));
}

#[test]
fn it_fails_closed_and_ends_in_order() {
    let (cluster, proxy) = start("dedicated-end");
    let server = (cluster.server.ip4(), ECHO);
    assert_echo(&cluster.client, server, b"all is well");
    assert!(proxy.stop().unwrap().success());
    assert_eq!(exchange(&cluster.client, server, b"too late"), Ending::Refused);
    assert_eq!(exchange(&cluster.outsider, (cluster.client.ip4(), ECHO), b"too late"), Ending::Refused);
}
