use serde_json::{Value, json};

use super::*;
use crate::annotations::{
    BYPASS_INBOUND, DNS_CAPTURE, EXCLUDE_INBOUND_PORTS, EXCLUDE_OUTBOUND_CIDRS, EXCLUDE_OUTBOUND_PORTS,
    VIRTUAL_INTERFACES,
};
use crate::kubernetes::wire;

fn enablement() -> Enablement {
    Enablement {
        selectors: Selectors::usual(),
        excluded: ["kube-system".to_owned()].into(),
        rules: Options { dns: true, probes: None, ..Options::default() },
    }
}

fn pod(namespace: &str, labels: Value, annotations: Value, rest: Value) -> PodFacts {
    let mut object = json!({ "metadata": {
        "uid": "u1", "name": "web-0", "namespace": namespace, "labels": labels, "annotations": annotations,
    }});
    object.as_object_mut().unwrap().extend(rest.as_object().cloned().unwrap_or_default());
    PodFacts::of(serde_json::from_value::<wire::Pod>(object).unwrap(), &enablement().relevant()).unwrap()
}

fn namespace(name: &str, labels: Value, annotations: Value) -> NamespaceFacts {
    let object =
        json!({ "metadata": { "name": name, "uid": "n1", "labels": labels, "annotations": annotations } });
    let object = serde_json::from_value::<wire::Namespace>(object).unwrap();
    NamespaceFacts::of(object, &enablement().relevant()).unwrap()
}

#[test]
fn who_is_enrolled() {
    let (ambient, none, other, nothing) =
        (json!({ MODE: "ambient" }), json!({ MODE: "none" }), json!({ MODE: "sidecar" }), json!({}));
    let (no_rest, host) = (json!({}), json!({ "spec": { "hostNetwork": true } }));
    let over = json!({ "status": { "phase": "Succeeded" } });
    let sidecar = json!({ SIDECAR: "{}" });
    let enrolled = None;
    let check = |name: &str, namespace_labels: &Value, pod: PodFacts, expected: Option<Why>| {
        let namespace = namespace(&pod.workload.namespace, namespace_labels.clone(), json!({}));
        let why = match decide(&pod, &namespace, &enablement()).wish {
            Wish::Enrol(_) => None,
            Wish::Pass(why) => Some(why),
        };
        assert_eq!(why, expected, "{name}");
    };
    let plain = |ns: &str, labels: &Value| pod(ns, labels.clone(), json!({}), no_rest.clone());
    let with =
        |annotations: &Value, rest: &Value| pod("ns", ambient.clone(), annotations.clone(), rest.clone());

    check(
        "excluded namespace wins over labels",
        &ambient,
        plain("kube-system", &ambient),
        Some(Why::ExcludedNamespace),
    );
    check("the host's network is never captured", &ambient, with(&nothing, &host), Some(Why::HostNetwork));
    check("host network wins over a sidecar", &ambient, with(&sidecar, &host), Some(Why::HostNetwork));
    check("a sidecar wins over labels", &ambient, with(&sidecar, &no_rest), Some(Why::Sidecar));
    let mirror = json!({ MIRROR: "7d0f0e4e" });
    check("a static pod is left alone", &ambient, with(&mirror, &no_rest), Some(Why::Static));
    check("a pod opts out of its namespace", &ambient, plain("ns", &none), Some(Why::OptedOut));
    check("a pod opts out of nothing", &nothing, plain("ns", &none), Some(Why::OptedOut));
    check("a pod alone opts in", &nothing, plain("ns", &ambient), enrolled);
    check("a namespace opts in", &ambient, plain("ns", &nothing), enrolled);
    check("another mode does not take a namespace's label back", &ambient, plain("ns", &other), enrolled);
    check("another mode is no label", &nothing, plain("ns", &other), Some(Why::NotLabelled));
    check("a namespace that opts out does not speak for its pods", &none, plain("ns", &ambient), enrolled);
    check("without labels", &nothing, plain("ns", &nothing), Some(Why::NotLabelled));
    check("a finished pod", &ambient, with(&nothing, &over), Some(Why::Finished));
    check(
        "a finished pod that would not be in anyway",
        &nothing,
        pod("ns", nothing.clone(), nothing.clone(), over.clone()),
        Some(Why::NotLabelled),
    );
}

#[test]
fn selectors_are_as_kubernetes_has_them() {
    let check = |yaml: &str, pod: &[(&str, &str)], namespace: &[(&str, &str)], expected: bool| {
        let labels =
            |all: &[(&str, &str)]| all.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let selectors = Selectors::parse(yaml).unwrap();
        assert_eq!(
            selectors.matches(&labels(pod), &labels(namespace)),
            expected,
            "{yaml}: {pod:?} in {namespace:?}"
        );
    };
    check("[]", &[("a", "b")], &[("a", "b")], false);
    check("- {}", &[], &[], true);
    check("- podSelector: {}", &[], &[], true);
    check("- podSelector: {matchLabels: {a: b}}", &[("a", "b"), ("c", "d")], &[], true);
    check("- podSelector: {matchLabels: {a: b, c: d}}", &[("a", "b")], &[], false);
    let both = "- podSelector: {matchLabels: {a: b}}\n  namespaceSelector: {matchLabels: {c: d}}";
    check(both, &[("a", "b")], &[("c", "d")], true);
    check(both, &[("a", "b")], &[], false);
    check(both, &[], &[("c", "d")], false);
    let any = "- podSelector: {matchLabels: {a: b}}\n- namespaceSelector: {matchLabels: {c: d}}";
    check(any, &[("a", "b")], &[], true);
    check(any, &[], &[("c", "d")], true);
    check(any, &[("c", "d")], &[("a", "b")], false);
    let expression = |text: &str| format!("- podSelector: {{matchExpressions: [{{key: a, {text}}}]}}");
    check(&expression("operator: In, values: [x, y]"), &[("a", "y")], &[], true);
    check(&expression("operator: In, values: [x, y]"), &[("a", "z")], &[], false);
    check(&expression("operator: In, values: [x, y]"), &[], &[], false);
    check(&expression("operator: NotIn, values: [x]"), &[("a", "y")], &[], true);
    check(&expression("operator: NotIn, values: [x]"), &[("a", "x")], &[], false);
    check(&expression("operator: NotIn, values: [x]"), &[], &[], true);
    check(&expression("operator: Exists"), &[("a", "")], &[], true);
    check(&expression("operator: Exists"), &[], &[], false);
    check(&expression("operator: DoesNotExist"), &[], &[], true);
    check(&expression("operator: DoesNotExist"), &[("a", "")], &[], false);
}

#[test]
fn the_usual_selectors_are_those_of_the_chart() {
    let chart = "
- podSelector:
    matchLabels:
      istio.io/dataplane-mode: ambient
- podSelector:
    matchExpressions:
    - key: istio.io/dataplane-mode
      operator: NotIn
      values: [none]
  namespaceSelector:
    matchLabels:
      istio.io/dataplane-mode: ambient
";
    assert_eq!(Selectors::parse(chart).unwrap(), Selectors::usual());
}

#[test]
fn what_is_wrong_in_a_selector_is_named() {
    let check = |yaml: &str, expected: &str| {
        let message = Selectors::parse(yaml).unwrap_err().to_string();
        assert!(message.contains(expected), "{yaml}: {message}");
    };
    check("- podSelector: {matchExpressions: [{key: a, operator: In}]}", "label `a`: In needs values");
    check(
        "- podSelector: {matchExpressions: [{key: a, operator: Exists, values: [b]}]}",
        "Exists takes no values",
    );
    check("- podSelector: {matchExpressions: [{key: a, operator: Is, values: [b]}]}", "Is");
    check("- podselector: {}", "podselector");
    check("- podSelector: {}\n- podSelector: [", "line");
    check("podSelector: {}", "line 1");
}

#[test]
fn labels_that_selectors_look_at_are_the_relevant_ones() {
    let yaml = "
- podSelector: {matchLabels: {a: b}, matchExpressions: [{key: c, operator: Exists}]}
- namespaceSelector: {matchExpressions: [{key: d, operator: NotIn, values: [e]}]}
";
    let relevant = Enablement { selectors: Selectors::parse(yaml).unwrap(), ..enablement() }.relevant();
    assert_eq!(Vec::from_iter(relevant.pod.iter()), ["a", "c", MODE]);
    assert_eq!(Vec::from_iter(relevant.namespace.iter()), ["d"]);
    assert!(enablement().relevant().namespace.contains(MODE));
}

#[test]
fn a_custom_selector_does_not_take_opted_out_pods() {
    let everything = Enablement { selectors: Selectors::parse("- {}").unwrap(), ..enablement() };
    let wish = |labels| {
        decide(&pod("ns", labels, json!({}), json!({})), &namespace("ns", json!({}), json!({})), &everything)
            .wish
    };
    assert!(matches!(wish(json!({})), Wish::Enrol(_)));
    assert_eq!(wish(json!({ MODE: "none" })), Wish::Pass(Why::OptedOut));
}

#[test]
fn a_namespace_speaks_for_pods_that_say_nothing() {
    let by_default = |name, labels| includes_by_default(&namespace(name, labels, json!({})), &enablement());
    assert!(by_default("ns", json!({ MODE: "ambient" })));
    assert!(!by_default("ns", json!({ MODE: "none" })));
    assert!(!by_default("ns", json!({})));
    assert!(!by_default("kube-system", json!({ MODE: "ambient" })));
}

/// What is captured of an enrolled pod with these annotations, and the complaints.
fn captured(own: Value, of_namespace: Value) -> (Capture, Vec<String>) {
    let pod = pod("ns", json!({ MODE: "ambient" }), own, json!({}));
    let decision = decide(&pod, &namespace("ns", json!({}), of_namespace), &enablement());
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

    let off = Enablement { rules: Options { ipv6: false, ..Options::default() }, ..enablement() };
    let pod = pod("ns", json!({ MODE: "ambient" }), json!({ DNS_CAPTURE: "true" }), json!({}));
    let Wish::Enrol(capture) = decide(&pod, &namespace("ns", json!({}), json!({})), &off).wish else {
        panic!()
    };
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

#[test]
fn claims_are_read() {
    let claimed = |value| claim(&pod("ns", json!({}), json!({ REDIRECTION: value }), json!({})));
    assert_eq!(claimed("enabled"), Claim::Enabled);
    assert_eq!(claimed("pending"), Claim::Pending);
    assert_eq!(claimed("Enabled"), Claim::Other);
    assert_eq!(claimed(""), Claim::Other);
    assert_eq!(claim(&pod("ns", json!({}), json!({}), json!({}))), Claim::Absent);
}
