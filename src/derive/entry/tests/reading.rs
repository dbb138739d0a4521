//! What is written, and what is made of it.

use culvert_core::service::Visibility;

use super::*;

#[test]
fn one_wrong_thing_is_said_and_does_not_take_the_others_with_it() {
    let found = entry(&json!({
        "hosts": ["Api.Example.Com", "api.example.com", "a b", "*", "*.example.org", 7, ""],
        "addresses": ["10.0.0.1", "10.0.0.0/33", "192.0.2.77/24", "fd00::1", "nonsense"],
        "ports": [
            {"number": 443, "name": "https", "protocol": "TLS", "targetPort": 8443},
            {"number": 443, "name": "again"},
            {"number": 0}, {"name": "none"}, {"number": 65536},
            {"number": 53, "protocol": "udp"},
        ],
        "resolution": "STATIC",
        "endpoints": [
            {"address": "10.1.0.1", "weight": -1},
            {"address": "10.1.0.1"},
            {"address": "unix:///var/run/x.sock"},
            {},
            {"network": "east"},
            "nonsense",
        ],
        "workloadSelector": {"labels": {"app": "api"}},
    }));
    assert_eq!(found.hosts, ["api.example.com".into(), "*.example.org".into()]);
    let addresses: Vec<String> = found.addresses.iter().map(ToString::to_string).collect();
    assert_eq!(addresses, ["10.0.0.1/32", "192.0.2.0/24", "fd00::1/128"]);
    assert_eq!(found.ports, [Port { number: 443, name: "https".into(), target: 8443 }]);
    let at: Vec<&At> = found.endpoints.iter().map(|endpoint| &endpoint.at).collect();
    assert_eq!(at, [&At::Ip("10.1.0.1".parse().unwrap()), &At::Abroad]);
    assert_eq!(found.selector, None);
    let problems = problems(&found.problems);
    let paths: Vec<&str> = problems.iter().map(|problem| problem.split(": ").next().unwrap()).collect();
    assert_eq!(
        paths,
        [
            "spec.endpoints[0].weight",
            "spec.endpoints[1]",
            "spec.endpoints[2].address",
            "spec.endpoints[3].address",
            "spec.endpoints[5]",
            "spec.endpoints[5].address",
            "spec.workloadSelector",
            "spec.hosts[2]",
            "spec.hosts[3]",
            "spec.hosts[5]",
            "spec.addresses[1]",
            "spec.addresses[4]",
            "spec.ports[1]",
            "spec.ports[2].number",
            "spec.ports[3].number",
            "spec.ports[4].number",
        ]
    );
    let condition = crate::Problem::condition(&found.problems).unwrap();
    assert_eq!((condition.kind, condition.holds), ("culvert.dev/Accepted", false));
    assert!(condition.message.contains("spec.hosts[2]: `a b` is no hostname"), "{}", condition.message);
    assert_eq!(crate::Problem::condition(&[]), None);
}

#[test]
fn an_entry_of_too_many_hosts_is_cut() {
    let hosts: Vec<String> = (0..300).map(|nth| format!("h{nth}.example")).collect();
    let found = entry(&json!({"hosts": hosts}));
    assert_eq!((found.hosts.len(), found.problems.len()), (256, 1));
}

#[test]
fn what_makes_sense_leaves_nothing_to_say() {
    let found = entry(&json!({
        "hosts": ["api.example.com", "*.api.example.com"], "addresses": ["10.0.0.0/24"], "location": "MESH_EXTERNAL",
        "ports": [{"number": 443, "name": "tls"}], "resolution": "DYNAMIC_DNS", "exportTo": ["*"],
        "subjectAltNames": ["spiffe://x/ns/a/sa/b"],
    }));
    assert_eq!(problems(&found.problems), [""; 0]);
    assert_eq!((found.way, found.visibility), (Way::DynamicDns, Some(Visibility::Public)));
}

#[test]
fn a_selector_that_would_select_more_than_is_meant_selects_nothing() {
    for (written, selects) in [
        (json!({"labels": {"app": "api"}}), true),
        (json!({"labels": {"app": "api", "version": 1}}), false),
        (json!({"labels": {}}), false),
        (json!({}), false),
        (json!("app=api"), false),
    ] {
        let found = entry(&json!({"hosts": ["a.b"], "workloadSelector": written}));
        assert_eq!((found.selector.is_some(), found.problems.is_empty()), (selects, selects), "{written}");
    }
    assert_eq!(entry(&json!({"hosts": ["a.b"]})).problems, []);
}

#[test]
fn who_may_see_it_is_no_more_than_said() {
    let (all, own) = (Some(Visibility::Public), Some(Visibility::Namespace));
    for (to, expected, clean) in [
        (json!(null), all, true),
        (json!([]), all, true),
        (json!(["*"]), all, true),
        (json!([".", "*"]), all, true),
        (json!(["."]), own, true),
        (json!(["shop"]), own, true),
        (json!(["~"]), None, true),
        (json!(["other"]), None, false),
        (json!([".", "other"]), own, false),
    ] {
        let found = entry(&json!({"hosts": ["a.b"], "exportTo": to}));
        assert_eq!((found.visibility, found.problems.is_empty()), (expected, clean), "{to}");
    }
}

#[test]
fn a_way_nobody_knows_is_none_that_leads_to_a_name_or_anywhere() {
    for (resolution, expected, clean) in [
        (json!(null), Way::Passthrough, true),
        (json!("NONE"), Way::Passthrough, true),
        (json!("STATIC"), Way::Static, true),
        (json!("DNS"), Way::Dns, true),
        (json!("DNS_ROUND_ROBIN"), Way::Dns, true),
        (json!("DYNAMIC_DNS"), Way::DynamicDns, true),
        (json!("dns"), Way::Static, false),
        (json!("FUTURE"), Way::Static, false),
    ] {
        let found = entry(&json!({"hosts": ["a.b"], "resolution": resolution}));
        assert_eq!((found.way, found.problems.is_empty()), (expected, clean), "{resolution}");
    }
    // A wildcard cannot be looked up.
    assert_eq!(entry(&json!({"hosts": ["*.a.b"], "resolution": "DNS"})).problems.len(), 1);
}

#[test]
fn whatever_is_written_can_be_read() {
    let wrong = [json!(7), json!([]), json!("x"), json!([[7]]), json!({"a": {}}), json!(null), json!(true)];
    for value in &wrong {
        let fields =
            ["hosts", "addresses", "ports", "endpoints", "workloadSelector", "exportTo", "resolution"];
        for field in fields {
            entry(&json!({field: value}));
            entry(&json!({field: [value]}));
        }
        let object = json!({"spec": value, "status": {"addresses": value, "conditions": value}});
        assert_eq!(ServiceEntry::read(Meta::default(), &object).allocated, []);
        let _ = WorkloadEntry::read(Meta::default(), &object);
    }
}
