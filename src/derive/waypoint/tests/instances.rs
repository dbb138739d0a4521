//! What belongs to waypoints themselves.

use culvert_core::workload::ApplicationProtocol;

use super::*;

const NAME: &str = "gateway.networking.k8s.io/gateway-name";
const MANAGED: &str = "gateway.istio.io/managed";
const BINDING: &str = "ambient.istio.io/waypoint-inbound-binding";

fn world() -> Small {
    Small::default()
        .namespace("shop", &[("istio.io/use-waypoint", "waypoint")], &[])
        .class("sandwich", "example.com/sandwich", &[], &[(BINDING, "PROXY/15088")])
        .class("own-waypoints", "istio.io/mesh-controller", &[], &[])
        .gateway("shop/waypoint", &json!({"labels": {"istio.io/waypoint-for": "all"}}))
        .gateway("shop/unready", &json!({"addresses": []}))
        .gateway("shop/east-west", &json!({"class": "istio-east-west", "listeners": []}))
        .gateway("shop/by-controller", &json!({"class": "own-waypoints", "listeners": []}))
        .gateway("shop/sandwich", &json!({"class": "sandwich", "listeners": []}))
        .gateway("shop/proxy", &json!({"class": "x", "annotations": {BINDING: "PROXY"}}))
        .gateway("shop/plain", &json!({"class": "sandwich", "annotations": {BINDING: "NONE"}}))
        .gateway("shop/ingress", &json!({"class": "istio", "listeners": [{"protocol": "HTTP", "port": 80}]}))
}

#[test]
fn what_belongs_to_a_gateway_where_tunnels_end_is_behind_no_waypoint() {
    for (label, value, is_behind) in [
        (NAME, "waypoint", false),
        (NAME, "unready", false),
        (NAME, "east-west", false),
        (NAME, "by-controller", false),
        (NAME, "sandwich", false),
        (NAME, "proxy", false),
        (NAME, "ingress", true),
        (NAME, "missing", true),
        (MANAGED, "istio.io-mesh-controller", false),
        (MANAGED, "istio.io-eastwest-controller", false),
        (MANAGED, "istio.io-gateway-controller", true),
    ] {
        for role in [Role::Service, Role::Pod] {
            let found = world().resolve(role, &meta("shop", "instance", &[(label, value)], &[]));
            let expected = is_behind.then(|| at("shop/waypoint"));
            assert_eq!(found.waypoint, expected, "{role:?} {label}={value}");
        }
        // Nothing else is an instance of anything.
        for role in [Role::ServiceEntry, Role::Endpoint, Role::WorkloadEntry] {
            let found = world().resolve(role, &meta("shop", "instance", &[(label, value)], &[]));
            assert_eq!(found.waypoint, Some(at("shop/waypoint")), "{role:?} {label}={value}");
        }
    }
    // A Gateway of that name elsewhere is another one.
    let elsewhere = world().namespace("other", &[("istio.io/use-waypoint", "nobody")], &[]);
    let found = elsewhere.resolve(Role::Pod, &meta("other", "instance", &[(NAME, "waypoint")], &[]));
    assert_eq!(reason(&found), Some((false, "WaypointMissing")));
}

#[test]
fn pods_of_a_waypoint_say_what_they_expect_in_front_of_the_bytes() {
    let tunnel = |protocol, port| Some(ApplicationTunnel { protocol, port });
    for (gateway, expected) in [
        ("waypoint", None),
        ("sandwich", tunnel(ApplicationProtocol::Proxy, Some(15088))),
        ("proxy", tunnel(ApplicationProtocol::Proxy, None)),
        ("plain", tunnel(ApplicationProtocol::None, None)),
        ("ingress", None),
    ] {
        let of = meta("shop", "instance", &[(NAME, gateway)], &[]);
        assert_eq!(world().resolve(Role::Pod, &of).application_tunnel, expected, "{gateway}");
        assert_eq!(world().resolve(Role::Service, &of).application_tunnel, None, "{gateway}");
    }
}

#[test]
fn a_waypoint_is_led_to_by_name_before_address_and_an_address_is_of_the_clusters_network() {
    let host = json!({"type": "Hostname", "value": "waypoint.shop.svc.cluster.local"});
    let ip = |ip: &str| json!({"type": "IPAddress", "value": ip});
    let to = |network: &str, ip: &str| GatewayAddress {
        destination: GatewayDestination::Address(format!("{network}/{ip}").parse().unwrap()),
        port: HBONE_PORT,
    };
    for (addresses, network, expected) in [
        (json!([ip("10.0.0.1"), host]), "", Some(at("shop/waypoint"))),
        (json!([ip("10.0.0.1"), ip("10.0.0.2")]), "", Some(to("", "10.0.0.1"))),
        (json!([{"value": "fd00::1"}]), "west", Some(to("west", "fd00::1"))),
        (json!([ip("nonsense"), ip("10.0.0.2")]), "", Some(to("", "10.0.0.2"))),
        (json!([ip("nonsense")]), "", None),
        (json!([{"type": "example.com/named", "value": "10.0.0.1"}]), "", None),
    ] {
        let world = Small::default()
            .namespace("culvert-system", &[("topology.istio.io/network", network)], &[])
            .gateway("shop/waypoint", &json!({"addresses": addresses}));
        let found =
            world.resolve(Role::Service, &meta("shop", "web", &[("istio.io/use-waypoint", "waypoint")], &[]));
        let ready = expected.is_some();
        assert_eq!(reason(&found).unwrap().0, ready, "{addresses}");
        assert_eq!(found.waypoint.filter(|_| ready), expected, "{addresses}");
    }
}
