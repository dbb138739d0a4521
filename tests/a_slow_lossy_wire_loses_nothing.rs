//! Between nodes that are far apart, with a wire that loses packets, everything comes whole, whoever is at the other end.

use std::net::{IpAddr, SocketAddr};
use std::thread;
use std::time::{Duration, Instant};

use culvert_lab::{Behaviour, Pod, PodSpec, Quality, SlowWire, bulk};
use serde_json::json;

use crate::harness::cluster::{Cluster, ECHO, Family, SINK};
use crate::harness::nghttpx;
use crate::harness::node_http2::{Client, serve_tunnels};
use crate::harness::talk::{
    Ending, SOON, assert_alive, assert_both_ways, assert_echo, assert_upload, exchange,
};
use crate::nghttp2_servers_are_peers::assert_serves_without_half_closes;
use crate::{
    envoy_is_a_peer, nghttp2_servers_are_peers, node_http2_is_a_peer, other_hbone_clients_are_served,
};

const QUALITY: Quality = Quality { round_trip: Duration::from_millis(50), loss_percent: 1 };
/// How much bulk is moved in each direction.
const BYTES: u64 = 2 * 1024 * 1024;

#[track_caller]
fn slow_down(cluster: &Cluster) -> SlowWire {
    cluster.lab.slow_wire(&cluster.one, &cluster.two, QUALITY).unwrap()
}

/// Without this the rest proves little.
#[track_caller]
fn assert_was_slow(wire: &SlowWire) {
    assert!(wire.lost() > 0, "carried {}, lost {}", wire.carried(), wire.lost());
}

/// Bulk in both directions, at once and alone, and twenty connections at once.
#[track_caller]
fn assert_serves(from: &Pod, ip: impl Into<IpAddr>) {
    let ip = ip.into();
    let (echo, sink) = (SocketAddr::from((ip, ECHO)), SocketAddr::from((ip, SINK)));
    let begun = Instant::now();
    assert_echo(from, echo, b"far away");
    assert!(begun.elapsed() >= QUALITY.round_trip, "{:?}", begun.elapsed());
    assert_upload(from, sink, BYTES);
    assert_both_ways(from, echo, BYTES);
    assert_twenty_at_once(from, echo);
}

/// Each says something of its own, says that this is all, and takes it back.
#[track_caller]
fn assert_twenty_at_once(from: &Pod, echo: SocketAddr) {
    let text = |number: u8| vec![number; 50_000];
    let endings = thread::scope(|scope| {
        let calls: Vec<_> = (0..20).map(|i| scope.spawn(move || exchange(from, echo, &text(i)))).collect();
        calls.into_iter().map(|call| call.join().unwrap()).collect::<Vec<_>>()
    });
    for (i, ending) in (0..).zip(endings) {
        assert!(ending == Ending::Complete(text(i)), "number {i} of {} -> {echo}", from.name());
    }
}

/// A pod on the other node than the server, outside the mesh.
#[track_caller]
fn far_pod(cluster: &Cluster) -> Pod {
    cluster.lab.pod(&cluster.one, PodSpec::new("far")).unwrap()
}

#[test]
fn between_two_nodes() {
    let cluster = Cluster::start("slow-own").unwrap();
    let mut before = cluster.client.connect((cluster.server.ip4(), ECHO), SOON).unwrap();
    assert_alive(&mut before, b"near");
    let wire = slow_down(&cluster);
    assert_alive(&mut before, b"far");
    for family in [Family::V4, Family::V6] {
        assert_serves(&cluster.client, family.of(cluster.server.ips(), 0).ip());
    }
    assert_was_slow(&wire);
}

#[test]
fn from_an_envoy() {
    let rig = envoy_is_a_peer::Rig::start("slow-envoy-client").unwrap();
    let wire = slow_down(&rig.cluster);
    let (envoy, _program) = rig.client("caller", "TLSv1_3");
    assert_serves(&rig.cluster.neighbour, envoy.ip4());
    assert_was_slow(&wire);
}

#[test]
fn to_an_envoy() {
    let rig = envoy_is_a_peer::Rig::start("slow-envoy-server").unwrap();
    let wire = slow_down(&rig.cluster);
    let (envoy, ..) = rig.server("keeper", "keeper");
    assert_serves(&rig.cluster.client, envoy.ip4());
    assert_was_slow(&wire);
}

#[test]
fn from_libcurl() {
    let rig = other_hbone_clients_are_served::Rig::start("slow-curl").unwrap();
    let wire = slow_down(&rig.cluster);
    let (far, certificate) = (far_pod(&rig.cluster), rig.good_certificate());
    for _ in 0..4 {
        let authority = rig.application().to_string();
        let report = rig.ask_from(&far, rig.tunnel(), Some(&certificate), &authority);
        report.assert(&[("connect", "200"), ("status", "200"), ("intact", "yes"), ("error", "none")]);
    }
    assert_was_slow(&wire);
}

#[test]
fn from_node() {
    let rig = node_http2_is_a_peer::Rig::start("slow-node-client").unwrap();
    let wire = slow_down(&rig.cluster);
    let (lab, far, certificate) = (&rig.cluster.lab, far_pod(&rig.cluster), rig.certificate());
    let server = (rig.cluster.server.ip4(), 15008).into();
    let client = Client { lab, from: &far, server, certificate: &certificate };
    let result =
        client.run(json!({ "does": "echo", "authority": rig.at(ECHO), "streams": 20, "bytes": 200_000 }));
    assert_eq!(result, json!({ "good": 20, "pong": "culverts" }));
    let source = lab.serve(&rig.cluster.server, 0, Behaviour::Source(BYTES)).unwrap();
    let from = rig.at(source.port());
    for resize in [false, true] {
        let wish = json!({ "does": "relay", "from": from, "to": rig.at(SINK), "resize": resize });
        assert_eq!(client.run(wish), json!({ "answer": bulk::Digest::of_pattern(BYTES).to_string() }));
    }
    assert_was_slow(&wire);
}

#[test]
fn to_node() {
    let start = |cluster: &Cluster, pod: &Pod, certificate: &_| {
        let settings = json!({ "initialWindowSize": 60_000 });
        serve_tunnels(&cluster.lab, pod, certificate, json!({ "settings": settings }))
    };
    let rig = nghttp2_servers_are_peers::Rig::start("slow-node-server", "stranger", start).unwrap();
    let wire = slow_down(&rig.cluster);
    assert_serves(&rig.cluster.client, rig.pod.ip4());
    assert_was_slow(&wire);
}

#[test]
fn to_nghttpx() {
    let start = |cluster: &Cluster, pod: &Pod, it: &_| nghttpx::start(&cluster.lab, pod, it);
    let rig = nghttp2_servers_are_peers::Rig::start("slow-nghttpx", "stranger", start).unwrap();
    let wire = slow_down(&rig.cluster);
    assert_serves_without_half_closes(&rig, BYTES);
    let mut streams: Vec<_> =
        (0..20).map(|_| rig.cluster.client.connect((rig.pod.ip4(), ECHO), SOON).unwrap()).collect();
    for (i, stream) in streams.iter_mut().enumerate() {
        assert_alive(stream, format!("number {i}").as_bytes());
    }
    assert_was_slow(&wire);
}
