use culvert_core::workload::{ApplicationProtocol, ApplicationTunnel, Protocol};
use serde_json::{Value, json};

use crate::{Labels, Meta, Settings};

use super::*;

fn meta(namespace: &str, name: &str, labels: &[(&str, &str)], annotations: &[(&str, &str)]) -> Meta {
    Meta {
        namespace: namespace.into(),
        name: name.into(),
        labels: labels.iter().copied().collect(),
        annotations: annotations.iter().copied().collect(),
        ..Meta::default()
    }
}

fn allowed(namespaces: &Value) -> (Allowed, Vec<String>) {
    let listener = json!({"protocol": "HBONE", "port": 15008, "allowedRoutes": {"namespaces": namespaces}});
    let gateway = Gateway::read(Meta::default(), &json!({"spec": {"listeners": [listener]}}));
    (gateway.allowed(None).clone(), gateway.problems.iter().map(ToString::to_string).collect())
}

#[test]
fn a_selector_that_is_not_wholly_understood_lets_nobody_in() {
    let selected = |selector: Value| allowed(&json!({"from": "Selector", "selector": selector}));
    assert_eq!(selected(json!({})), (Allowed::Selected(vec![]), vec![]));
    for (selector, at) in [
        (json!(null), ""),
        (json!({"matchLabels": {"a": 7}}), ".matchLabels.a"),
        (json!({"matchLabels": "a=b"}), ".matchLabels"),
        (
            json!({"matchLabels": {"a": "b"}, "matchExpressions": [{"key": "c", "operator": "Like"}]}),
            ".matchExpressions[0].operator",
        ),
        (json!({"matchExpressions": [{"key": "c"}]}), ".matchExpressions[0].operator"),
        (json!({"matchExpressions": [{"operator": "Exists"}]}), ".matchExpressions[0].key"),
        (
            json!({"matchExpressions": [{"key": "c", "operator": "NotIn", "values": ["x", 7]}]}),
            ".matchExpressions[0].values[1]",
        ),
    ] {
        let (allowed, problems) = selected(selector.clone());
        assert_eq!(allowed, Allowed::Nobody, "{selector}");
        let path = format!("spec.listeners[0].allowedRoutes.namespaces.selector{at}: ");
        assert!(problems.iter().any(|problem| problem.starts_with(&path)), "{problems:?}");
    }
    let (none, problems) = allowed(&json!({"from": "Everybody"}));
    assert_eq!((none, problems.len()), (Allowed::Nobody, 1));
}

#[test]
fn requirements_are_those_of_label_selectors() {
    let texts = |values: &[&str]| values.iter().copied().map(Into::into).collect();
    let cases = [
        (Expression::In(texts(&["a", "b"])), [true, false, false]),
        (Expression::In(texts(&[""])), [false, true, false]),
        (Expression::In(texts(&[])), [false, false, false]),
        (Expression::NotIn(texts(&["a", "b"])), [false, true, true]),
        (Expression::Exists, [true, true, false]),
        (Expression::DoesNotExist, [false, false, true]),
    ];
    let labels: [Labels; 3] =
        [[("team", "a")].into_iter().collect(), [("team", "")].into_iter().collect(), Labels::default()];
    for (wanted, expected) in cases {
        let requirement = Requirement { key: "team".into(), wanted };
        let met = labels.each_ref().map(|labels| requirement.is_met_by(labels));
        assert_eq!(met, expected, "{requirement:?}");
    }
}

#[test]
fn the_listener_traffic_arrives_at_says_who_is_let_in() {
    let listener = |name: &str, protocol: &str, port: u16, from: &str| json!({"name": name, "protocol": protocol, "port": port, "allowedRoutes": {"namespaces": {"from": from}}});
    let tunnel = listener("mesh", "HBONE", 15008, "All");
    let other_tunnel = listener("other", "HBONE", 15009, "None");
    let proxy = listener("proxy", "istio.io/PROXY", 15088, "None");
    let web = listener("web", "HTTP", 80, "All");
    for (binding, listeners, expected) in [
        ("", json!([web, tunnel]), Allowed::All),
        ("", json!([proxy, other_tunnel, tunnel]), Allowed::All),
        ("", json!([web]), Allowed::Same),
        ("", json!([other_tunnel]), Allowed::Same),
        ("PROXY", json!([tunnel, proxy]), Allowed::Nobody),
        ("PROXY/15088", json!([tunnel, proxy]), Allowed::Nobody),
        ("PROXY/80", json!([tunnel, web]), Allowed::All),
        ("PROXY/81", json!([tunnel]), Allowed::All),
        ("NONE", json!([proxy, tunnel]), Allowed::All),
        ("NONE/15009", json!([tunnel, other_tunnel]), Allowed::Nobody),
        ("nonsense", json!([proxy, tunnel]), Allowed::All),
    ] {
        let meta = meta("a", "b", &[], &[("ambient.istio.io/waypoint-inbound-binding", binding)]);
        let gateway = Gateway::read(meta, &json!({"spec": {"listeners": listeners}}));
        assert_eq!(gateway.allowed(None), &expected, "{binding} {listeners}");
    }
}

#[test]
fn a_binding_is_a_protocol_and_perhaps_a_port() {
    let tunnel = |protocol, port| Some(ApplicationTunnel { protocol, port });
    for (text, expected) in [
        ("PROXY", tunnel(ApplicationProtocol::Proxy, None)),
        ("PROXY/15088", tunnel(ApplicationProtocol::Proxy, Some(15088))),
        ("NONE", tunnel(ApplicationProtocol::None, None)),
        ("NONE/80", tunnel(ApplicationProtocol::None, Some(80))),
        ("proxy", None),
        ("PROXY/", None),
        ("PROXY/0", None),
        ("PROXY/70000", None),
        ("PROXY/80/81", None),
        ("TLS/80", None),
    ] {
        let annotations = [("ambient.istio.io/waypoint-inbound-binding", text)];
        let class = GatewayClass::read(meta("", "c", &[], &annotations), &json!({}));
        assert_eq!(
            (class.binding, class.problems.len()),
            (expected, usize::from(expected.is_none())),
            "{text}"
        );
        let own = Gateway::read(
            meta("a", "b", &[], &[("ambient.istio.io/waypoint-inbound-binding", "NONE/1")]),
            &json!({}),
        );
        assert_eq!(
            own.tunnel(Some(&class)),
            tunnel(ApplicationProtocol::None, Some(1)),
            "its own word counts first"
        );
        let silent = Gateway::read(meta("a", "b", &[], &[]), &json!({}));
        assert_eq!(silent.tunnel(Some(&class)), expected);
    }
}

#[test]
fn a_class_is_known_by_its_name_or_by_who_runs_it() {
    let class = |controller: &str| {
        GatewayClass::read(Meta::default(), &json!({"spec": {"controllerName": controller}}))
    };
    for (name, controller, expected) in [
        ("istio-waypoint", "", Part::Waypoint),
        ("istio-east-west", "", Part::EastWest),
        ("istio-remote", "", Part::Remote),
        ("istio", "istio.io/gateway-controller", Part::Other),
        ("mine", "istio.io/mesh-controller", Part::Waypoint),
        ("mine", "istio.io/eastwest-controller", Part::EastWest),
        ("mine", "istio.io/unmanaged-gateway", Part::Remote),
        ("mine", "example.com/other", Part::Other),
        ("istio-waypoint", "example.com/other", Part::Waypoint),
    ] {
        assert_eq!(Part::of_class(name, Some(&class(controller))), expected, "{name} {controller}");
    }
    assert_eq!(Part::of_class("istio-waypoint", None), Part::Waypoint);
    assert_eq!(Part::of_class("mine", None), Part::Other);
}

/// A Gateway that stands for another network's; `at` is where it is.
fn remote(at: (&str, &str), network: &str, addresses: &Value, listeners: &Value) -> Gateway {
    let labels = [("topology.istio.io/network", network)];
    let object = json!({"spec": {
        "gatewayClassName": "istio-remote", "addresses": addresses, "listeners": listeners,
    }});
    Gateway::read(meta(at.0, at.1, &labels, &[]), &object)
}

#[test]
fn a_remote_gateway_leads_to_its_network() {
    let hbone = json!([{"protocol": "TLS", "port": 15443}, {"protocol": "HBONE", "port": 15010}]);
    let ip = json!([{"value": "192.0.2.1"}, {"value": "192.0.2.2"}]);
    let settings = Settings::default();
    let found = NetworkGateway::of(&remote(("gw", "east"), "east", &ip, &hbone), None).unwrap();
    assert_eq!(found.address().to_string(), "east/192.0.2.1 port 15010");
    let workload = found.workload(&settings);
    assert_eq!(&*workload.uid, "NetworkGateway/east/192.0.2.1/15010");
    assert_eq!(
        (&*workload.network, workload.protocol, workload.addresses.len()),
        ("east", Protocol::Hbone, 1)
    );
    assert_eq!(workload.identity().unwrap().to_string(), "spiffe://cluster.local/ns/gw/sa/east");

    let name = json!([{"type": "Hostname", "value": "East.Example.Com"}]);
    let named = NetworkGateway::of(&remote(("gw", "east"), "east", &name, &hbone), None).unwrap();
    assert_eq!(named.address().to_string(), "gw/east.example.com port 15010");
    let workload = named.workload(&settings);
    assert_eq!((&*workload.hostname, workload.addresses.len()), ("east.example.com", 0));

    // Where its status says it is counts first, and it says under which account it runs.
    let mut gateway = remote(("gw", "east"), "east", &ip, &hbone);
    gateway.addresses = vec![At::Ip("192.0.2.9".parse().unwrap())];
    gateway.meta.annotations = [("gateway.istio.io/service-account", "edge")].into_iter().collect();
    let found = NetworkGateway::of(&gateway, None).unwrap();
    assert_eq!(found.address().to_string(), "east/192.0.2.9 port 15010");
    assert_eq!(&*found.service_account, "edge");
}

#[test]
fn what_is_no_gateway_of_another_network_leads_nowhere() {
    let (hbone, ip) = (json!([{"protocol": "HBONE", "port": 15008}]), json!([{"value": "192.0.2.1"}]));
    let is_one = |gateway: &Gateway| NetworkGateway::of(gateway, None).is_some();
    assert!(is_one(&remote(("gw", "a"), "east", &ip, &hbone)));
    assert!(!is_one(&remote(("gw", "a"), "", &ip, &hbone)));
    assert!(!is_one(&remote(("gw", "a"), "east", &json!([]), &hbone)));
    assert!(!is_one(&remote(("gw", "a"), "east", &ip, &json!([{"protocol": "TLS", "port": 15008}]))));
    let mut own = remote(("gw", "a"), "east", &ip, &hbone);
    own.class = "istio-east-west".into();
    assert!(!is_one(&own));
}

#[test]
fn of_several_gateways_of_a_network_the_same_one_leads_there_in_whatever_order_they_come() {
    let hbone = json!([{"protocol": "HBONE", "port": 15008}]);
    let gateway = |namespace, name, network, ip: &str| {
        let gateway = remote((namespace, name), network, &json!([{"value": ip}]), &hbone);
        NetworkGateway::of(&gateway, None).unwrap()
    };
    let mut all = [
        gateway("b", "a", "east", "192.0.2.1"),
        gateway("a", "z", "east", "192.0.2.2"),
        gateway("a", "y", "east", "192.0.2.3"),
        gateway("c", "c", "west", "192.0.2.4"),
    ];
    for _ in 0..all.len() {
        all.rotate_left(1);
        let networks = Networks::new("own".into(), &all);
        let leads = |network| networks.gateway(network).map(ToString::to_string);
        assert_eq!(leads("east").as_deref(), Some("east/192.0.2.3 port 15008"));
        assert_eq!(leads("west").as_deref(), Some("west/192.0.2.4 port 15008"));
        assert_eq!((leads("own"), &**networks.own()), (None, "own"));
    }
}

#[test]
fn whatever_is_written_can_be_read() {
    for wrong in
        [json!(7), json!([]), json!("x"), json!({"listeners": 7}), json!({"listeners": [7, {"port": "x"}]})]
    {
        let object = json!({"spec": wrong, "status": wrong});
        let gateway = Gateway::read(Meta::default(), &object);
        assert_eq!((gateway.addresses, gateway.waypoint_for), (vec![], None));
        let _ = GatewayClass::read(Meta::default(), &object);
    }
}
