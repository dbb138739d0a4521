use serde_json::{Value, json};

use super::*;
use crate::annotations::{
    BYPASS_INBOUND, DNS_CAPTURE, EXCLUDE_INBOUND_PORTS, EXCLUDE_OUTBOUND_CIDRS, EXCLUDE_OUTBOUND_PORTS,
    VIRTUAL_INTERFACES,
};
use crate::cluster::Why;
use crate::kubernetes::wire;

const MODE: &str = "istio.io/dataplane-mode";

fn usual() -> Options {
    Options { dns: true, probes: None, ..Options::default() }
}

fn pod_by(settings: &Settings, metadata: Value, rest: Value) -> PodFacts {
    let mut object = json!({ "metadata": { "uid": "u1", "name": "web-0", "namespace": "ns" } });
    object["metadata"].as_object_mut().unwrap().extend(metadata.as_object().cloned().unwrap());
    object.as_object_mut().unwrap().extend(rest.as_object().cloned().unwrap());
    PodFacts::of(serde_json::from_value::<wire::Pod>(object).unwrap(), settings).unwrap()
}

fn namespace_by(settings: &Settings, labels: Value, annotations: Value) -> NamespaceFacts {
    let object =
        json!({ "metadata": { "name": "ns", "uid": "n1", "labels": labels, "annotations": annotations } });
    NamespaceFacts::of(serde_json::from_value::<wire::Namespace>(object).unwrap(), settings).unwrap()
}

fn pod(labels: Value, annotations: Value) -> PodFacts {
    let metadata = json!({ "labels": labels, "annotations": annotations });
    pod_by(&Settings::default(), metadata, json!({}))
}

fn namespace(labels: Value, annotations: Value) -> NamespaceFacts {
    namespace_by(&Settings::default(), labels, annotations)
}

/// Who is in the mesh is decided elsewhere, and tried there. Here: whoever decides is told all that counts.
#[test]
fn all_that_decides_is_looked_at() {
    let selectors = "- podSelector: {matchLabels: {app: web}}\n  namespaceSelector: {matchLabels: {team: a}}";
    let settings = Settings::read(selectors, "infra").unwrap();
    let check = |metadata: Value, rest: Value, team: &str, expected: Option<Why>| {
        let namespace = namespace_by(&settings, json!({ "team": team }), json!({}));
        let name = format!("{metadata} {rest} {team}");
        let why = match decide(&pod_by(&settings, metadata, rest), &namespace, &usual()).wish {
            Wish::Enrol(_) => None,
            Wish::Pass(why) => Some(why),
        };
        assert_eq!(why, expected, "{name}");
    };
    let web = |more: Value| {
        let mut metadata = json!({ "labels": { "app": "web" } });
        metadata.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap());
        metadata
    };
    let annotated = |name: &str| web(json!({ "annotations": { name: "x" } }));
    let status = |state: &str| json!({ "containerStatuses": [{ "state": { state: {} } }] });
    let deleted = || web(json!({ "deletionTimestamp": "2026-11-21T18:00:00Z" }));
    check(web(json!({})), json!({}), "a", None);
    check(web(json!({})), json!({}), "b", Some(Why::NotLabelled));
    check(json!({ "labels": { "app": "db" } }), json!({}), "a", Some(Why::NotLabelled));
    check(web(json!({ "labels": { "app": "web", MODE: "none" } })), json!({}), "a", Some(Why::OptedOut));
    check(web(json!({ "namespace": "infra" })), json!({}), "a", Some(Why::ExcludedNamespace));
    check(web(json!({})), json!({ "spec": { "hostNetwork": true } }), "a", Some(Why::HostNetwork));
    check(annotated("kubernetes.io/config.mirror"), json!({}), "a", Some(Why::Static));
    check(annotated("sidecar.istio.io/status"), json!({}), "a", Some(Why::Sidecar));
    check(web(json!({})), json!({ "status": { "phase": "Succeeded" } }), "a", Some(Why::Finished));
    check(deleted(), json!({ "status": status("terminated") }), "a", Some(Why::Finished));
    check(deleted(), json!({ "status": status("running") }), "a", None);
    let beside =
        |list: &str| json!({ "status": { "phase": "Failed", list: [{ "state": { "running": {} } }] } });
    check(web(json!({})), beside("initContainerStatuses"), "a", None);
    check(web(json!({})), beside("ephemeralContainerStatuses"), "a", None);
}

/// What is captured of an enrolled pod with these annotations, and the complaints.
fn captured(own: Value, of_namespace: Value) -> (Capture, Vec<String>) {
    let pod = pod(json!({ MODE: "ambient" }), own);
    let decision = decide(&pod, &namespace(json!({}), of_namespace), &usual());
    let Wish::Enrol(capture) = decision.wish else { panic!("{:?}", decision.wish) };
    (Arc::unwrap_or_clone(capture), decision.complaints)
}

#[test]
fn switches_of_a_pod() {
    let plain = captured(json!({}), json!({})).0;
    assert!(plain.rules.dns && plain.rules.inbound && plain.rules.ipv6);
    assert!(plain.rules.virtual_interfaces.is_empty());

    let (capture, complaints) = captured(
        json!({ DNS_CAPTURE: "false", BYPASS_INBOUND: "true", VIRTUAL_INTERFACES: "tap0, br-lan,tap0" }),
        json!({}),
    );
    assert_eq!(complaints, Vec::<String>::new());
    assert!(!capture.rules.dns && !capture.rules.inbound);
    assert_eq!(capture.rules.virtual_interfaces, ["tap0", "br-lan"]);

    let off = Options { ipv6: false, ..Options::default() };
    let pod = pod(json!({ MODE: "ambient" }), json!({ DNS_CAPTURE: "true" }));
    let Wish::Enrol(capture) = decide(&pod, &namespace(json!({}), json!({})), &off).wish else { panic!() };
    assert!(capture.rules.dns && !capture.rules.ipv6);
}

#[test]
fn a_namespace_does_not_switch_what_only_pods_may() {
    let (capture, complaints) = captured(json!({}), json!({ DNS_CAPTURE: "false", BYPASS_INBOUND: "true" }));
    assert!(capture.rules.dns && capture.rules.inbound && complaints.is_empty());
}

#[test]
fn exclusions() {
    let (capture, complaints) = captured(
        json!({
            EXCLUDE_OUTBOUND_PORTS: " 3306 , 8000-8002,8001",
            EXCLUDE_INBOUND_PORTS: "9090",
            EXCLUDE_OUTBOUND_CIDRS: "10.1.0.0/16, 192.0.2.1 ,2001:db8::/32,2001:db8::1",
        }),
        json!({}),
    );
    assert_eq!(complaints, Vec::<String>::new());
    let passed = capture.rules.passed;
    assert_eq!(Vec::from_iter(passed.outbound_ports), [3306, 8000, 8001, 8002]);
    assert_eq!(Vec::from_iter(passed.inbound_ports), [9090]);
    let networks: Vec<_> = passed.outbound_networks.iter().map(ToString::to_string).collect();
    assert_eq!(networks, ["10.1.0.0/16", "192.0.2.1/32", "2001:db8::/32", "2001:db8::1/128"]);
}

#[test]
fn a_pods_exclusions_replace_those_of_its_namespace() {
    let of_namespace = || json!({ EXCLUDE_OUTBOUND_PORTS: "1000", EXCLUDE_OUTBOUND_CIDRS: "10.0.0.0/8" });
    let outbound = |own| captured(own, of_namespace()).0.rules.passed;
    let inherited = outbound(json!({}));
    assert_eq!(Vec::from_iter(inherited.outbound_ports), [1000]);
    assert_eq!(inherited.outbound_networks.len(), 1);
    let replaced = outbound(json!({ EXCLUDE_OUTBOUND_PORTS: "2000" }));
    assert_eq!(Vec::from_iter(replaced.outbound_ports), [2000]);
    assert_eq!(replaced.outbound_networks.len(), 1, "each annotation for itself");
    assert!(outbound(json!({ EXCLUDE_OUTBOUND_PORTS: " " })).outbound_ports.is_empty());
    let wrong = outbound(json!({ EXCLUDE_OUTBOUND_PORTS: "x" }));
    assert!(wrong.outbound_ports.is_empty(), "a wrong one replaces, too: more is captured, not less");
}

#[test]
fn what_is_wrong_has_no_effect_and_is_told_once() {
    let check = |name: &str, value: &str, expected: &str| {
        let (capture, complaints) = captured(json!({ name: value }), json!({}));
        assert_eq!(capture, captured(json!({}), json!({})).0, "{name}: {value}");
        let [complaint] = complaints.as_slice() else { panic!("{name}: {value}: {complaints:?}") };
        assert!(complaint.contains(name), "{complaint}");
        assert!(complaint.contains(expected), "{name}: {value}: {complaint}");
        assert!(complaint.len() < 500, "{complaint}");
    };
    check(DNS_CAPTURE, "yes", "\"yes\" has no effect: it is neither true nor false; write one of them");
    check(DNS_CAPTURE, "", "neither true nor false");
    check(BYPASS_INBOUND, "2", "neither true nor false");
    check(VIRTUAL_INTERFACES, "tap0,-x", "`-x` is not the name of an interface");
    check(VIRTUAL_INTERFACES, "tap0,,tap1", "`` is not the name");
    check(VIRTUAL_INTERFACES, "a b", "`a b` is not");
    let many: Vec<_> = (0..65).map(|n| format!("tap{n}")).collect();
    check(VIRTUAL_INTERFACES, &many.join(","), "more than 64 interfaces");
    check(VIRTUAL_INTERFACES, &format!("{},-x", many.join(",")), "more than 64 interfaces");

    for name in [EXCLUDE_OUTBOUND_PORTS, EXCLUDE_INBOUND_PORTS] {
        check(name, "80,abc,443", "`abc` is neither a port nor a range");
        check(name, "80,", "`` is neither a port");
        check(name, "0", "`0` is neither");
        check(name, "65536", "`65536` is neither");
        check(name, "+80", "`+80` is neither");
        check(name, "-80", "`-80` is neither");
        check(name, "90-80", "`90-80` is neither");
        check(name, "1-2-3", "`1-2-3` is neither");
        check(name, "1000-1064", "more than 64 ports");
        check(name, "1-65535", "more than 64 ports");
        check(name, "1000-1063,2000", "more than 64 ports");
        check(name, "15001", "port 15001 is the mesh's own");
        check(name, "15000-15010", "port 15001 is the mesh's own");
        check(name, "15008", "port 15008 is");
        check(name, "15006", "port 15006 is");
        check(name, "15053", "port 15053 is");
        check(name, &"9".repeat(4096), "is neither a port");
        check(name, "80\n443", "`80\\n443` is neither");
    }
    check(EXCLUDE_OUTBOUND_CIDRS, "10.0.0.0/33", "`10.0.0.0/33` is not a network");
    check(EXCLUDE_OUTBOUND_CIDRS, "example.com", "`example.com` is not a network");
    check(EXCLUDE_OUTBOUND_CIDRS, "10.0.0.1/8", "write 10.0.0.0/8, or 10.0.0.1 for the one address");
    check(EXCLUDE_OUTBOUND_CIDRS, "::ffff:10.0.0.1", "write it as 10.0.0.1");
    let many: Vec<_> = (0..65).map(|n| format!("10.0.{n}.0/24")).collect();
    check(EXCLUDE_OUTBOUND_CIDRS, &many.join(","), "more than 64 networks");
}

#[test]
fn what_is_too_long_is_not_even_looked_at() {
    let names: Vec<_> = (0..65_001).map(|n| format!("t{n}")).collect();
    let begun = std::time::Instant::now();
    for name in annotations::CAPTURE {
        for value in [names.join(","), "9".repeat(4097), " ".repeat(4097), "ü".repeat(2049)] {
            let (capture, complaints) = captured(json!({ name: value }), json!({}));
            assert_eq!(capture, captured(json!({}), json!({})).0, "{name}");
            let [complaint] = complaints.as_slice() else { panic!("{name}: {complaints:?}") };
            assert!(complaint.contains("it is longer than 4096 bytes; shorten it"), "{complaint}");
            assert!(complaint.len() < 700, "{complaint}");
        }
    }
    assert!(begun.elapsed() < std::time::Duration::from_secs(2), "{:?}", begun.elapsed());
}

#[test]
fn sixty_four_are_allowed() {
    let networks: Vec<_> = (0..64).map(|n| format!("10.0.{n}.0/24")).collect();
    let names: Vec<_> = (0..64).map(|n| format!("an-interface-{n:02}")).collect();
    let (capture, complaints) = captured(
        json!({
            EXCLUDE_OUTBOUND_PORTS: "1000-1063",
            EXCLUDE_OUTBOUND_CIDRS: networks.join(","),
            VIRTUAL_INTERFACES: format!("{0},{0}", names.join(",")),
        }),
        json!({}),
    );
    assert_eq!(capture.rules.virtual_interfaces, names, "one that is named twice is one");
    assert_eq!(complaints, Vec::<String>::new());
    assert_eq!(capture.rules.passed.outbound_ports.len(), 64);
    assert_eq!(capture.rules.passed.outbound_networks.len(), 64);
}

#[test]
fn a_namespaces_mistake_is_told_with_its_pods() {
    let (_, complaints) = captured(json!({}), json!({ EXCLUDE_INBOUND_PORTS: "x" }));
    assert_eq!(complaints.len(), 1);
    assert!(complaints[0].contains("of the namespace has no effect"), "{complaints:?}");
}
