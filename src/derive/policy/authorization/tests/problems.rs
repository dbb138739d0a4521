//! What is not understood lets nobody in, and says where and what to do.

use super::*;

/// Asserts that there is a problem at `path` and that nobody gets in, in an ALLOW as in a DENY.
#[track_caller]
fn check(spec: &str, path: &str) {
    for action in [r#""action": "DENY", "#, r#""action": "ALLOW", "#, ""] {
        let spec = match spec.contains("\"action\"") {
            true => parsed(&format!("{{{spec}}}")),
            false => parsed(&format!("{{{action}{spec}}}")),
        };
        closed(&authorization("here/policy", &spec), path, &web());
    }
}

#[track_caller]
fn closed(object: &Value, path: &str, pod: &Pod) {
    let cluster = Cluster::of(std::slice::from_ref(object));
    let read = &cluster.authorization[0];
    assert!(read.problems().iter().any(|it| it.path == path), "{path}: {:?}", read.problems());
    assert_eq!(admitted(&cluster, pod), 0, "{object}");
    let condition = read.accepted(&cluster.settings).unwrap();
    assert!(!condition.holds && condition.message.contains(path), "{condition:?}");
    let policy = read.policy(&cluster.settings).unwrap();
    assert!(policy.unusable.is_some() && policy.rules.is_empty(), "half of it: {policy:?}");
}

#[track_caller]
fn source(source: &str, path: &str) {
    let path = format!("spec.rules[0].from[0].source{path}");
    check(&format!(r#""rules": [{{"from": [{{"source": {source}}}]}}]"#), &path);
}

#[track_caller]
fn operation(operation: &str, path: &str) {
    let path = format!("spec.rules[0].to[0].operation{path}");
    check(&format!(r#""rules": [{{"to": [{{"operation": {operation}}}]}}]"#), &path);
}

#[track_caller]
fn when(condition: &str, path: &str) {
    check(&format!(r#""rules": [{{"when": [{condition}]}}]"#), &format!("spec.rules[0].when[0]{path}"));
}

#[test]
fn what_only_an_http_proxy_can_judge() {
    for field in ["hosts", "notHosts", "methods", "notMethods", "paths", "notPaths"] {
        operation(&format!(r#"{{"{field}": ["x"], "ports": ["80"]}}"#), &format!(".{field}"));
        operation(&format!(r#"{{"{field}": []}}"#), &format!(".{field}"));
    }
    for field in ["requestPrincipals", "notRequestPrincipals", "remoteIpBlocks", "notRemoteIpBlocks"] {
        source(&format!(r#"{{"{field}": ["*"], "namespaces": ["here"]}}"#), &format!(".{field}"));
    }
    for key in
        ["request.headers[x]", "remote.ip", "request.auth.claims[a]", "connection.sni", "source.user", ""]
    {
        when(&format!(r#"{{"key": "{key}", "values": ["x"]}}"#), ".key");
    }
    check(r#""action": "CUSTOM", "rules": [{}]"#, "spec.action");
    check(r#""action": "CUSTOM", "provider": {"name": "x"}, "rules": [{}]"#, "spec.provider");
}

#[test]
fn what_says_nothing() {
    check(r#""rules": [{"from": []}]"#, "spec.rules[0].from");
    check(r#""rules": [{"to": []}]"#, "spec.rules[0].to");
    check(r#""rules": [{"when": []}]"#, "spec.rules[0].when");
    check(r#""rules": [{"from": [{}]}]"#, "spec.rules[0].from[0]");
    check(r#""rules": [{"from": [{"source": null}]}]"#, "spec.rules[0].from[0]");
    check(r#""rules": [{"to": [{}]}]"#, "spec.rules[0].to[0]");
    source("{}", "");
    source(r#"{"principals": null}"#, "");
    operation("{}", "");
    let lists = [
        "principals",
        "notPrincipals",
        "namespaces",
        "notNamespaces",
        "serviceAccounts",
        "ipBlocks",
        "notIpBlocks",
    ];
    for field in lists.into_iter().chain(["notServiceAccounts"]) {
        source(&format!(r#"{{"{field}": []}}"#), &format!(".{field}"));
        source(&format!(r#"{{"{field}": [""]}}"#), &format!(".{field}[0]"));
    }
    source(r#"{"namespaces": ["here"], "principals": []}"#, ".principals");
    operation(r#"{"ports": []}"#, ".ports");
    operation(r#"{"notPorts": [""]}"#, ".notPorts[0]");
    when("{}", "");
    when(r#"{"values": ["10.0.0.1"]}"#, "");
    when(r#"{"key": "source.ip"}"#, "");
    when(r#"{"key": "source.ip", "values": null}"#, "");
    when(r#"{"key": "source.ip", "values": []}"#, ".values");
    when(r#"{"key": "source.ip", "values": [], "notValues": ["10.0.0.1"]}"#, ".values");
    check(r#""action": "DENY""#, "spec.rules");
    check(r#""action": "DENY", "rules": []"#, "spec.rules");
    check(r#""action": "DENY", "rules": null"#, "spec.rules");
    check(r#""action": """#, "spec.action");
}

#[test]
fn what_nobody_knows() {
    check(r#""rules": [{}], "more": 1"#, "spec.more");
    check(r#""rules": [{"form": [{"source": {"namespaces": ["here"]}}]}]"#, "spec.rules[0].form");
    check(
        r#""rules": [{"from": [{"source": {"namespaces": ["here"]}, "also": 1}]}]"#,
        "spec.rules[0].from[0].also",
    );
    source(r#"{"namespace": ["here"]}"#, ".namespace");
    operation(r#"{"port": ["80"]}"#, ".port");
    when(r#"{"key": "source.ip", "values": ["10.0.0.1"], "value": 1}"#, ".value");
    check(r#""action": "PERMIT", "rules": [{}]"#, "spec.action");
    check(r#""action": "allow", "rules": [{}]"#, "spec.action");
    let mut object = authorization("here/policy", &json!({ "rules": [{}] }));
    object["Spec"] = json!({});
    closed(&object, "Spec", &web());
}

#[test]
fn what_has_another_type() {
    check(r#""rules": {}"#, "spec.rules");
    check(r#""rules": [null]"#, "spec.rules[0]");
    check(r#""rules": ["x"]"#, "spec.rules[0]");
    check(r#""rules": [{}, []]"#, "spec.rules[1]");
    check(r#""rules": [{"from": {}}]"#, "spec.rules[0].from");
    check(r#""rules": [{"from": [null]}]"#, "spec.rules[0].from[0]");
    check(r#""action": 1, "rules": [{}]"#, "spec.action");
    source("[]", "");
    source(r#"{"principals": "*"}"#, ".principals");
    source(r#"{"principals": [null]}"#, ".principals[0]");
    source(r#"{"namespaces": ["here", {}]}"#, ".namespaces[1]");
    operation(r#"{"ports": [80]}"#, ".ports[0]");
    when(r#"{"key": ["source.ip"], "values": ["10.0.0.1"]}"#, ".key");
    when(r#"{"key": "source.ip", "values": "10.0.0.1"}"#, ".values");
    when(r#"null"#, "");
    closed(&authorization("here/policy", &json!("x")), "spec", &web());
}

#[test]
fn what_no_peer_can_be() {
    for principal in [
        "spiffe://cluster.local/ns/here/sa/web",
        "spiffe://*",
        "*://x",
        "here/web",
        "cluster.local/ns/here/sa/web/",
        "a b*",
    ] {
        source(&format!(r#"{{"principals": ["{principal}"]}}"#), ".principals[0]");
        source(&format!(r#"{{"principals": ["*"], "notPrincipals": ["{principal}"]}}"#), ".notPrincipals[0]");
        when(&format!(r#"{{"key": "source.principal", "values": ["*", "{principal}"]}}"#), ".values[1]");
    }
    for namespace in ["*here*", "he*re", "**", "here/web", "Here", " here", "*/here"] {
        source(&format!(r#"{{"namespaces": ["here", "{namespace}"]}}"#), ".namespaces[1]");
        when(&format!(r#"{{"key": "source.namespace", "notValues": ["{namespace}"]}}"#), ".notValues[0]");
    }
    for account in ["*", "here/*", "a/b/c", "/web", "here/", "/", "We b"] {
        source(&format!(r#"{{"serviceAccounts": ["{account}"]}}"#), ".serviceAccounts[0]");
    }
    for block in [
        "*",
        "10.0.0",
        "10.0.0.0/33",
        "fd00::/129",
        "10.0.0.0/",
        "010.0.0.1",
        "web",
        "10.0.0.1-10.0.0.9",
        "fe80::1%eth0",
    ] {
        source(&format!(r#"{{"ipBlocks": ["{block}"]}}"#), ".ipBlocks[0]");
        when(&format!(r#"{{"key": "destination.ip", "notValues": ["{block}"]}}"#), ".notValues[0]");
    }
    for port in ["0", "65536", "65616", "-1", "+80", "080", "80 ", "http", "*", "8*", "80-90"] {
        operation(&format!(r#"{{"ports": ["{port}"]}}"#), ".ports[0]");
        when(&format!(r#"{{"key": "destination.port", "values": ["80", "{port}"]}}"#), ".values[1]");
    }
}

#[test]
fn what_is_wrong_is_said_with_what_to_write() {
    for (source, says) in [
        (r#"{"principals": ["spiffe://a/ns/b/sa/c"]}"#, "write `a/ns/b/sa/c`"),
        (r#"{"principals": [""]}"#, "is empty; write a value, or remove it"),
        (r#"{"namespaces": [""]}"#, "is empty; write a value, or remove it"),
        (
            r#"{"namespaces": ["a*b"]}"#,
            "`a*b` has a `*` where it means nothing; write one at the beginning or at the end",
        ),
        (
            r#"{"requestPrincipals": ["*"]}"#,
            "attach the policy to a waypoint with targetRefs, or remove this",
        ),
    ] {
        let spec = parsed(&format!(r#"{{"rules": [{{"from": [{{"source": {source}}}]}}]}}"#));
        let read = AuthorizationPolicy::read(&authorization("here/policy", &spec));
        assert!(read.problems()[0].text.ends_with(says), "{:?}", read.problems());
    }
}

#[test]
fn a_target_that_is_none() {
    for (targets, path) in [
        (r#""targetRefs": []"#, "spec.targetRefs"),
        (r#""targetRefs": "x""#, "spec.targetRefs"),
        (r#""targetRefs": [null]"#, "spec.targetRefs[0]"),
        (r#""targetRefs": [{"kind": "Service"}]"#, "spec.targetRefs[0]"),
        (
            r#""targetRefs": [{"kind": "Service", "name": "a"}, {"kind": "", "name": "a"}]"#,
            "spec.targetRefs[1]",
        ),
        (r#""targetRef": {}"#, "spec.targetRef"),
        (r#""targetRef": {"name": "a"}"#, "spec.targetRef"),
        (
            r#""selector": {"matchLabels": {"app": "web"}}, "targetRef": {"kind": "Service", "name": "a"}"#,
            "spec",
        ),
    ] {
        check(&format!(r#"{targets}, "rules": [{{}}]"#), path);
    }
}

#[test]
fn a_dry_run_that_may_be_none() {
    for value in ["yes", "", "TRUE ", "on"] {
        let object = annotated(authorization("here/policy", &json!({ "rules": [{}] })), value);
        closed(&object, "metadata.annotations[istio.io/dry-run]", &web());
    }
}

#[test]
fn who_is_told_of_unreadable_metadata_is_everybody() {
    let mut object = authorization("here/policy", &json!({ "rules": [{}] }));
    object["metadata"]["labels"] = json!(["x"]);
    closed(&object, "metadata", &web());
    object["metadata"] = json!({ "name": "policy" });
    closed(&object, "metadata", &pod("there", &[]));
}
