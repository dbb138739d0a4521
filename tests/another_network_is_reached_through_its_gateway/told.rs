//! What is said to the gateway, and what to whoever is behind it, as HBONE peers that nobody here wrote heard it.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use culvert_lab::{Error, PodSpec, Section, Service};
use serde_json::Value;

use crate::harness::cluster::{ECHO, Family, WHO, service_port, service_spec};
use crate::harness::h2_waypoint::{Way, Waypoint};
use crate::harness::shared::Shared;
use crate::harness::talk::{Ending, SOON, assert_echo, exchange_on, who};

use super::rig::{Networks, at, authority, behind, gate_service, vouching};

/// A gateway, and behind it, instead of the server's proxy, somebody who tells what it is asked.
struct Rig {
    networks: Networks,
    gate: Waypoint,
    teller: Waypoint,
    /// The server's; it vouches for the teller.
    plain: Service,
    /// Behind a waypoint on the other network, which is the teller.
    guarded: Service,
}

fn rig() -> Arc<Rig> {
    static RIG: Shared<Rig> = Shared::new();
    RIG.take(|| Rig::start("gateway-told"))
}

impl Rig {
    fn start(name: &str) -> Result<Self, Error> {
        let networks = Networks::start(name)?;
        let Networks { lab, there, gate, server, .. } = &networks;
        let keys = behind(&at(gate.ip4()));
        let teller = PodSpec::new("teller").service_account("teller").takes_tunnels().mesh_keys(&keys);
        let teller = lab.pod(there, teller)?;
        let vouched = vouching(&[&teller.identity()]);
        let plain = lab.service(service_spec("plain").mesh_keys(&vouched), &[server])?;
        let waypoints = lab.service(gate_service("waypoint").mesh_keys(&vouched), &[&teller])?;
        let keys =
            format!("waypoint: {{destination: \"default/{}\", hboneMtlsPort: 15009}}", waypoints.hostname());
        let guarded = lab.service(service_spec("guarded").mesh_keys(&keys), &[server])?;
        let asked =
            || [&plain, &guarded].into_iter().flat_map(|service| [ECHO, WHO].map(|port| (service, port)));
        let name_of = |(service, port): (&Service, u16)| authority(service, service_port(port));
        let onward =
            |it: (&Service, u16)| Way::tunnel(name_of(it), (server.ip4(), it.1).into(), &server.identity());
        let through = |it| Way::bytes(name_of(it), (teller.ip4(), 15008));
        let gate = networks.lead(gate, &asked().map(through).collect::<Vec<_>>());
        let certificate = networks.certificate("teller");
        let ways: Vec<_> = asked().map(onward).collect();
        let teller = Waypoint::start(lab, teller, &certificate, &ways);
        Ok(Self { gate, teller, plain, guarded, networks })
    }

    /// What a connection of the client's was to the gateway and to the teller, and the client's end of it.
    #[track_caller]
    fn told(&self, service: &Service, family: Family) -> ([Value; 2], SocketAddr) {
        let to = family.of(service.ips(), service_port(ECHO));
        let (stream, own) = self.networks.call(to);
        assert_eq!(exchange_on(stream, b"let me in"), Ending::Complete(b"let me in".to_vec()), "{to}");
        let asked = authority(service, service_port(ECHO));
        ([&self.gate, &self.teller].map(|peer| peer.connect_of(own, &asked)), own)
    }
}

#[test]
fn both_are_asked_for_the_service_by_name_and_told_of_the_same_connection() {
    let rig = rig();
    for family in [Family::V4, Family::V6] {
        let (told, from) = rig.told(&rig.plain, family);
        for connect in &told {
            let asked = authority(&rig.plain, service_port(ECHO));
            assert_eq!(connect["authority"], asked);
            assert_eq!(connect["peer"], rig.networks.client.identity());
            assert_eq!(connect["forwarded"], format!("for=\"{from}\";host={}", rig.plain.hostname()));
            let baggage = connect["baggage"].as_str().unwrap_or_default();
            assert!(baggage.contains("k8s.namespace.name=default"), "{connect}");
            assert!(baggage.contains(".name=caller"), "{connect}");
        }
        let [gate, teller] = told;
        assert_eq!(gate["baggage"], teller["baggage"]);
        assert_eq!(gate["traceparent"], teller["traceparent"]);
        assert!(
            gate["traceparent"].as_str().is_some_and(|it| it.starts_with("00-") && it.len() == 55),
            "{gate}"
        );
    }
}

#[test]
fn the_network_is_told_behind_the_gateway_and_not_to_it() {
    let rig = rig();
    let ([gate, teller], _) = rig.told(&rig.plain, Family::V4);
    assert_eq!(gate["x-forwarded-network"], Value::Null);
    // The client's network has no name.
    assert_eq!(teller["x-forwarded-network"], "");
}

#[test]
fn tunnels_to_the_gateway_are_shared_and_those_inside_are_not() {
    let rig = rig();
    let (one, _) = rig.told(&rig.plain, Family::V4);
    let (other, _) = rig.told(&rig.plain, Family::V4);
    assert_eq!(one[0]["connection"], other[0]["connection"]);
    assert_ne!(one[1]["connection"], other[1]["connection"]);
}

#[test]
fn a_waypoint_on_the_other_network_is_asked_for_the_service_through_the_gateway() {
    let rig = rig();
    for family in [Family::V4, Family::V6] {
        let ([gate, teller], from) = rig.told(&rig.guarded, family);
        let asked = authority(&rig.guarded, service_port(ECHO));
        assert_eq!([&gate["authority"], &teller["authority"]], [&asked, &asked]);
        assert_eq!(teller["forwarded"], format!("for=\"{from}\";host={}", rig.guarded.hostname()));
        assert_eq!(teller["x-forwarded-network"], "");
    }
    let to = (rig.guarded.ip4(), service_port(WHO));
    let (answers, seen, _) = who(rig.networks.client.connect(to, SOON).unwrap());
    assert_eq!((&*answers, seen.ip()), ("server", rig.teller.pod.ip4().into()), "not around the waypoint");
}

/// A third node, on a network that has a name.
#[test]
fn a_network_is_told_by_its_name() {
    const VIP: Ipv4Addr = Ipv4Addr::new(10, 97, 0, 1);
    const ASKED: &str = "shop.example:80";
    let networks = Networks::without_mesh("gateway-east").unwrap();
    let Networks { lab, gate, server, .. } = &networks;
    let service = format!(
        "- {{name: shop, namespace: default, hostname: shop.example, vips: [east/{VIP}], ports: {{80: {ECHO}}}, \
         endpoints: {{Kubernetes//Pod/default/server: {{}}}}, subjectAltNames: [\"{}\"]}}\n",
        server.identity()
    );
    lab.set(Section::Services, &service).unwrap();
    networks.start_mesh(&[]).unwrap();
    let node = lab.node("elsewhere").unwrap();
    let client = PodSpec::new("eastern").service_account("eastern").mesh_keys("network: east");
    let client = lab.pod(&node, client).unwrap();
    lab.start_agent(&node).unwrap();
    lab.start_node_as(&node, lab.node_launch(&node).unwrap().env("NETWORK", "east")).unwrap();
    lab.enrol(&client).unwrap();

    let teller = lab.pod(&networks.there, PodSpec::new("teller")).unwrap();
    let gate = networks.lead(gate, &[Way::bytes(ASKED, (teller.ip4(), 15008))]);
    let onward = Way::tunnel(ASKED, (server.ip4(), ECHO).into(), &server.identity());
    let teller = Waypoint::start(lab, teller, &networks.certificate("server"), &[onward]);
    assert_echo(&client, (VIP, 80), b"from the east");
    let told = [&gate, &teller].map(|peer| peer.connects_to(ASKED)[0]["x-forwarded-network"].clone());
    assert_eq!(told, [Value::Null, "east".into()]);
}
