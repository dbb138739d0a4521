//! What is said of policies.

use super::*;

fn read(spec: &str) -> AuthorizationPolicy {
    AuthorizationPolicy::read(&authorization("here/policy", &parsed(spec)))
}

#[track_caller]
fn accepted(spec: &str) -> Condition {
    read(spec).accepted(&Settings::default()).unwrap()
}

#[test]
fn the_reason_tells_what_others_could_enforce_from_what_nobody_could() {
    let http = r#"{"to": [{"operation": {"methods": ["GET"]}}]}"#;
    let condition = accepted(&format!(r#"{{"rules": [{http}]}}"#));
    assert_eq!(
        (condition.kind, condition.holds, condition.reason),
        ("ZtunnelAccepted", false, "UnsupportedValue")
    );
    assert!(condition.message.contains("spec.rules[0].to[0].operation.methods: "), "{}", condition.message);
    assert_eq!(accepted(&format!(r#"{{"rules": [{http}, {{"from": []}}]}}"#)).reason, "Invalid");
    assert_eq!(accepted(r#"{"action": "CUSTOM"}"#).reason, "UnsupportedValue");
    let audit = accepted(r#"{"action": "AUDIT", "rules": [{}]}"#);
    assert_eq!((audit.holds, audit.reason), (false, "UnsupportedValue"));
    let fine = accepted("{}");
    assert_eq!((fine.holds, fine.reason, &*fine.message), (true, "Accepted", "nodes judge by it"));
}

#[test]
fn every_problem_is_told_up_to_a_bound_and_nodes_are_told_one() {
    let ports: Vec<String> = (0..1000).map(|number| format!("p{number}")).collect();
    let spec = json!({ "rules": [{ "to": [{ "operation": { "ports": ports } }] }] }).to_string();
    let message = accepted(&spec).message;
    assert!(
        message.contains("ports[0]: ")
            && message.contains("ports[15]: ")
            && message.ends_with("; and 984 more")
    );
    assert!(message.len() < 4096, "{} bytes", message.len());
    let labels: serde_json::Map<_, _> = (0..100).map(|number| (format!("l{number}"), "*".into())).collect();
    let selecting = json!({ "selector": { "matchLabels": labels } }).to_string();
    assert!(accepted(&selecting).message.ends_with("; and 84 more"));
    let policy = read(&spec).policy(&Settings::default()).unwrap();
    let reason = policy.unusable.unwrap();
    assert!(reason.ends_with("(and 999 more)") && reason.len() < 300, "{reason}");
}

#[test]
fn what_users_write_takes_little_room_and_spoils_no_line() {
    let long = format!("\n\u{1b}[2J{}", "x".repeat(1 << 20));
    for spec in [
        json!({ "rules": [{ "from": [{ "source": { "namespaces": [long] } }] }] }),
        json!({ (long.clone()): 1 }),
        json!({ "action": long }),
        json!({ "selector": { "matchLabels": { (long.clone()): "x", "y": long } } }),
    ] {
        let read = AuthorizationPolicy::read(&authorization("here/policy", &spec));
        let message = read.accepted(&Settings::default()).unwrap().message;
        assert!(message.len() < 2048 && !message.contains(char::is_control), "{message}");
    }
}

#[test]
fn what_is_probably_not_meant_is_said() {
    let settings = Settings { trust_domain: "corp.example".into(), ..Settings::default() };
    let rule = |source: &str| format!(r#"{{"rules": [{{"from": [{{"source": {source}}}]}}]}}"#);
    let says = |spec: &str, what: &str| read(spec).accepted(&settings).unwrap().message.contains(what);
    assert!(says(&rule(r#"{"principals": ["cluster.local/ns/a/sa/b"]}"#), "trust domain `cluster.local`"));
    assert!(says(&rule(r#"{"notPrincipals": ["cluster.local/*"]}"#), "trust domain `cluster.local`"));
    assert!(!says(&rule(r#"{"principals": ["corp.example/ns/a/sa/b", "*/sa/c", "corp*"]}"#), "trust domain"));
    assert!(says(&rule(r#"{"notNamespaces": ["a"]}"#), "plaintext gets in"));
    assert!(!says(&rule(r#"{"notNamespaces": ["a"], "principals": ["*"]}"#), "plaintext gets in"));
    let both = r#"{"rules": [{"from": [{"source": {"notNamespaces": ["a"]}}], "when": [{"key": "source.principal", "values": ["*"]}]}]}"#;
    assert!(!says(both, "plaintext gets in"));
    assert!(!says(
        &rule(r#"{"notNamespaces": ["a"]}"#).replace(r#"{"rules"#, r#"{"action": "DENY", "rules"#),
        "plaintext"
    ));
}

#[test]
fn it_says_whether_it_is_in_force() {
    let enforced = |read: &AuthorizationPolicy| read.enforced(Governed { in_mesh: 2, outside: 0 });
    let target = r#"{"targetRefs": [{"kind": "Service", "name": "a"}]}"#;
    for (spec, reason) in [
        ("{}", "Enforced"),
        (r#"{"x": 1}"#, "Refused"),
        (r#"{"action": "AUDIT"}"#, "NoEffect"),
        (target, "WaypointOnly"),
    ] {
        let condition = enforced(&read(spec));
        assert_eq!((condition.kind, condition.reason), ("culvert.dev/Enforced", reason));
        assert_eq!(condition.holds, reason == "Enforced");
    }
    let dry = AuthorizationPolicy::read(&annotated(authorization("here/policy", &json!({ "x": 1 })), "true"));
    assert_eq!(enforced(&dry).reason, "DryRun");
}
