//! A waypoint of Python's h2: what it is told, by whom, and which waypoint is asked.

use std::net::SocketAddr;
use std::sync::Arc;

use culvert_lab::{Error, Pod, PodSpec, Section, Service, ServiceSpec};
use serde_json::Value;

use crate::harness::cluster::{
    BULK, Cluster, ECHO, Family, SINK, SOURCE, WHO, serve_all, service_port, service_spec,
};
use crate::harness::h2_waypoint::{Way, Waypoint};
use crate::harness::shared::Shared;
use crate::harness::talk::{
    Ending, SOON, assert_both_ways, assert_download, assert_echo, assert_upload, exchange_on, who,
};

use super::{behind, certificate, logged, only};

/// Two waypoints, and what is behind them: services in front of the server, and a pod.
struct Rig {
    cluster: Cluster,
    gate: Waypoint,
    spare: Waypoint,
    /// Behind the gate, which it names by its service's name, or address.
    by_name: Service,
    by_address: Service,
    /// Behind the gate, all of it; the spare one has weight 0.
    whole: Service,
    /// Behind either, the one as often as the other.
    split: Service,
    /// Behind the gate, which it names by the pod's address.
    vault: Pod,
}

impl Rig {
    fn start(name: &str) -> Result<Self, Error> {
        let cluster = Cluster::start(name)?;
        let Cluster { lab, server, .. } = &cluster;
        let gate = PodSpec::new("gate").service_account("gate").takes_tunnels();
        let spare = PodSpec::new("spare").service_account("gate").takes_tunnels();
        let (gate, spare) = (lab.pod(&cluster.one, gate)?, lab.pod(&cluster.two, spare)?);
        let gates = lab.service(ServiceSpec::new("gate").port(15008, 15008), &[&gate])?;
        let spares = lab.service(ServiceSpec::new("spare").port(15008, 15008), &[&spare])?;
        let service = |name: &str, keys: &str| lab.service(service_spec(name).mesh_keys(keys), &[server]);
        let by_name = service("by-name", &behind(&gates))?;
        let by_address = service("by-address", &format!("waypoint: {{destination: \"/{}\"}}", gates.ip4()))?;
        let whole = service("whole", &weighted(&gates, 100, &spares, 0))?;
        let split = service("split", &weighted(&gates, 1, &spares, 1))?;
        let vault = PodSpec::new("vault").service_account("vault");
        let vault = vault.mesh_keys(&format!("waypoint: {{destination: \"/{}\"}}", gate.ip4()));
        let vault = lab.pod(&cluster.two, vault)?;
        serve_all(lab, &vault)?;
        lab.enrol(&vault)?;
        lab.set(Section::Policies, &[only("gate", server), only("gate", &vault)].concat())?;

        let services = [&by_name, &by_address, &whole, &split];
        let mut ways: Vec<Way> = services.iter().flat_map(|service| to_service(service, server)).collect();
        ways.extend(
            each_application().map(|(family, port)| {
                way(family.of(vault.ips(), port), family.of(vault.ips(), port), &vault)
            }),
        );
        let [gate, spare] =
            [gate, spare].map(|pod| Waypoint::start(lab, pod, &certificate(&cluster, "gate"), &ways));
        Ok(Self { cluster, gate, spare, by_name, by_address, whole, split, vault })
    }

    /// What the gate is told of a connection of the client's, and the client's end of it.
    #[track_caller]
    fn told(&self, from: &Pod, to: SocketAddr) -> (Value, SocketAddr) {
        let stream = from.connect(to, SOON).unwrap();
        let own = stream.local_addr().unwrap();
        assert_eq!(exchange_on(stream, b"let me in"), Ending::Complete(b"let me in".to_vec()), "{to}");
        (self.gate.connect_of(own, to), own)
    }
}

fn rig() -> Arc<Rig> {
    static RIG: Shared<Rig> = Shared::new();
    RIG.take(|| Rig::start("waypoint-h2"))
}

fn weighted(one: &Service, weight: u32, other: &Service, other_weight: u32) -> String {
    let item = |service: &Service, weight| {
        let (namespace, hostname) = (service.namespace(), service.hostname());
        format!("{{weight: {weight}, destination: {{destination: \"{namespace}/{hostname}\"}}}}")
    };
    format!("weightedWaypoints: [{}, {}]", item(one, weight), item(other, other_weight))
}

fn way(asked: SocketAddr, to: SocketAddr, pod: &Pod) -> Way {
    Way::tunnel(asked, to, &pod.identity())
}

fn each_application() -> impl Iterator<Item = (Family, u16)> {
    let ports = [ECHO, WHO, SINK, SOURCE];
    [Family::V4, Family::V6].into_iter().flat_map(move |family| ports.map(|port| (family, port)))
}

fn to_service(service: &Service, pod: &Pod) -> Vec<Way> {
    let each = each_application();
    each.map(|(family, port)| {
        way(family.of(service.ips(), service_port(port)), family.of(pod.ips(), port), pod)
    })
    .collect()
}

#[test]
fn the_waypoint_of_a_service_is_asked_for_the_address_that_was_called() {
    let rig = rig();
    for service in [&rig.by_name, &rig.by_address] {
        for family in [Family::V4, Family::V6] {
            let to = family.of(service.ips(), service_port(ECHO));
            let (connect, from) = rig.told(&rig.cluster.client, to);
            assert_eq!(connect["peer"], rig.cluster.client.identity());
            assert_eq!(connect["forwarded"], format!("for=\"{from}\";host={}", service.hostname()));
            assert_eq!(connect["status"], "200");
            let text = |name: &str| connect[name].as_str().unwrap_or_default().to_owned();
            assert!(text("baggage").contains("k8s.namespace.name=default"), "{connect}");
            assert!(text("traceparent").starts_with("00-"), "{connect}");
        }
    }
}

#[test]
fn the_waypoint_of_a_workload_is_asked_for_the_workload_s_address() {
    let rig = rig();
    for family in [Family::V4, Family::V6] {
        let to = family.of(rig.vault.ips(), ECHO);
        let (connect, from) = rig.told(&rig.cluster.client, to);
        assert_eq!(connect["forwarded"], format!("for=\"{from}\""), "no service was called");
        assert_eq!(connect["peer"], rig.cluster.client.identity());
    }
}

#[test]
fn bytes_move_both_ways_through_it() {
    let rig = rig();
    let Rig { cluster: Cluster { client, .. }, by_name, .. } = &*rig;
    assert_upload(client, (by_name.ip4(), service_port(SINK)).into(), BULK);
    assert_download(client, (by_name.ip4(), service_port(SOURCE)).into(), BULK);
    assert_both_ways(client, (by_name.ip4(), service_port(ECHO)).into(), BULK);
}

#[test]
fn a_server_behind_it_sees_the_waypoint() {
    let rig = rig();
    let stream = rig.cluster.client.connect((rig.by_name.ip4(), service_port(WHO)), SOON).unwrap();
    let (name, seen, _) = who(stream);
    assert_eq!((&*name, seen.ip()), ("server", rig.gate.pod.ip4().into()));
}

#[test]
fn connections_of_one_client_share_a_tunnel_to_it() {
    let rig = rig();
    // Nobody else calls as the neighbour.
    let to = (rig.by_name.ip4(), service_port(ECHO)).into();
    let tunnels: Vec<_> =
        (0..3).map(|_| rig.told(&rig.cluster.neighbour, to).0["connection"].clone()).collect();
    assert_eq!(tunnels, [tunnels[0].clone(), tunnels[0].clone(), tunnels[0].clone()]);
}

#[test]
fn a_waypoint_without_weight_is_never_asked() {
    const CALLS: usize = 30;
    let rig = rig();
    let to = SocketAddr::from((rig.whole.ip4(), service_port(ECHO)));
    for _ in 0..CALLS {
        assert_echo(&rig.cluster.client, to, b"which one?");
    }
    assert_eq!(rig.gate.connects_to(to).len(), CALLS);
    assert_eq!(rig.spare.connects_to(to).len(), 0);
}

#[test]
fn waypoints_of_equal_weight_are_both_asked() {
    // That one of two is left out so often does not happen.
    const CALLS: usize = 64;
    let rig = rig();
    let to = SocketAddr::from((rig.split.ip4(), service_port(ECHO)));
    for call in 1..=CALLS {
        assert_echo(&rig.cluster.client, to, b"which one?");
        let asked = [&rig.gate, &rig.spare].map(|waypoint| waypoint.connects_to(to).len());
        assert_eq!(asked[0] + asked[1], call, "each went through one of them");
        if !asked.contains(&0) {
            return;
        }
    }
    panic!("{CALLS} connections went through one of two waypoints of the same weight");
}

#[test]
fn the_log_of_the_source_names_the_waypoint_and_what_was_called() {
    let rig = rig();
    let to = SocketAddr::from((rig.by_name.ip4(), service_port(ECHO)));
    let (_, from) = rig.told(&rig.cluster.client, to);
    let proxy = rig.cluster.lab.proxy(&rig.cluster.one).unwrap();
    let line = logged(&proxy, &[format!("src.addr={from} "), format!("dst.hbone_addr={to} ")]);
    for part in [
        format!("dst.addr={}:15008 ", rig.gate.pod.ip4()),
        rig.by_name.hostname(),
        "dst.workload=\"gate\"".to_owned(),
        rig.gate.pod.identity(),
    ] {
        assert!(line.contains(&part), "`{part}` is not in: {line}");
    }
}
