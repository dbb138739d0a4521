//! What the control plane would refuse as a whole is refused while its author is looking, and told what to do; all else gets in.
//!
//! The very expressions of the chart are evaluated, by the CEL evaluator of CEL's authors.

use std::io::Write as _;
use std::process::{Command, Stdio};

use culvert_derive::Settings;
use culvert_derive::policy::{AuthorizationPolicy, PeerAuthentication};
use serde_json::{Value, json};

use crate::harness::chart::{refusals, render};
use crate::harness::cluster::programs;

/// Where policies of the whole mesh are.
const ROOT: &str = "culvert-system";

fn policy(spec: Value) -> Value {
    request("authorizationpolicies", "shop", spec)
}

fn request(resource: &str, namespace: &str, spec: Value) -> Value {
    let object = json!({ "apiVersion": "security.istio.io/v1", "metadata": { "name": "it", "namespace": namespace }, "spec": spec });
    json!({ "resource": resource, "operation": "CREATE", "object": object })
}

fn from(source: Value) -> Value {
    policy(json!({ "rules": [{ "from": [{ "source": source }] }] }))
}

fn to(operation: Value) -> Value {
    policy(
        json!({ "action": "DENY", "rules": [{ "to": [{ "operation": { "ports": ["80"] } }, { "operation": operation }] }] }),
    )
}

fn when(condition: Value) -> Value {
    policy(json!({ "rules": [{}, { "when": [{ "key": "source.ip", "values": ["10.0.0.1"] }, condition] }] }))
}

/// What is said to each request.
#[track_caller]
fn said(requests: &[Value]) -> Vec<Vec<String>> {
    let rendered = render(&json!({})).unwrap();
    let policies: Vec<_> = rendered.of_kind("ValidatingAdmissionPolicy").collect();
    assert!(policies.len() >= 2);
    for policy in &policies {
        let binding =
            rendered.named("ValidatingAdmissionPolicyBinding", policy["metadata"]["name"].as_str().unwrap());
        assert_eq!(binding["spec"]["policyName"], policy["metadata"]["name"]);
        assert_eq!(
            (&policy["spec"]["failurePolicy"], &binding["spec"]["validationActions"]),
            (&json!("Fail"), &json!(["Deny"]))
        );
    }
    refusals(&policies, requests)
}

/// What is refused, and a part of what is said then.
fn wrong() -> Vec<(Value, &'static str)> {
    let mut rows = vec![
        (policy(json!({ "action": "CUSTOM", "provider": { "name": "oauth" } })), "ALLOW and DENY"),
        (policy(json!({ "action": "AUDIT", "rules": [{}] })), "ALLOW and DENY"),
        (to(json!({ "hosts": ["api.example.com"] })), "use ports"),
        (to(json!({ "notHosts": ["api.example.com"] })), "use ports"),
        (to(json!({ "methods": ["GET"] })), "use ports"),
        (to(json!({ "notMethods": ["GET"], "ports": ["80"] })), "use ports"),
        (to(json!({ "paths": ["/"] })), "use ports"),
        (to(json!({ "notPaths": ["/"] })), "use ports"),
        (to(json!({ "ports": ["http"] })), "quotation marks"),
        (to(json!({ "ports": ["80-90"] })), "quotation marks"),
        (to(json!({ "ports": ["*"] })), "quotation marks"),
        (to(json!({ "notPorts": ["65536"] })), "quotation marks"),
        (to(json!({ "ports": ["-1"] })), "quotation marks"),
        (to(json!({ "ports": ["0"] })), "quotation marks"),
        (to(json!({ "ports": ["080"] })), "quotation marks"),
        (to(json!({ "hosts": [] })), "use ports"),
        (to(json!({ "ports": [] })), "not filled in"),
        (to(json!({})), "not filled in"),
        (policy(json!({ "rules": [{ "to": [{}] }] })), "not filled in"),
        (policy(json!({ "rules": [{ "to": [] }] })), "not filled in"),
        (policy(json!({ "rules": [{ "from": [{}] }] })), "not filled in"),
        (policy(json!({ "rules": [{ "from": [] }] })), "not filled in"),
        (policy(json!({ "rules": [{ "when": [] }] })), "not filled in"),
        (policy(json!({ "action": "DENY" })), "denies nobody"),
        (policy(json!({ "action": "DENY", "rules": [] })), "denies nobody"),
        (policy(json!({ "provider": { "name": "oauth" }, "rules": [{}] })), "ask no provider"),
        (policy(json!({ "targetRefs": [], "rules": [{}] })), "not filled in"),
        (from(json!({})), "not filled in"),
        (from(json!({ "principals": [], "namespaces": ["a"] })), "not filled in"),
        (from(json!({ "ipBlocks": [] })), "not filled in"),
        (from(json!({ "principals": ["web"] })), "No peer is called so"),
        (from(json!({ "notPrincipals": ["cluster.local/*/sa/web"] })), "No peer is called so"),
        (from(json!({ "principals": ["cluster.local/ns/a/sa/b c"] })), "No peer is called so"),
        (from(json!({ "namespaces": ["Shop"] })), "No peer is called so"),
        (from(json!({ "notNamespaces": ["a*b"] })), "No peer is called so"),
        (from(json!({ "serviceAccounts": ["shop/*"] })), "No peer is called so"),
        (from(json!({ "notServiceAccounts": ["a/b/c"] })), "No peer is called so"),
        (to(json!({ "ports": [""] })), "quotation marks"),
        (from(json!({ "requestPrincipals": ["*"] })), "Use principals"),
        (from(json!({ "notRequestPrincipals": ["*"] })), "Use principals"),
        (from(json!({ "remoteIpBlocks": ["10.0.0.0/8"] })), "Use principals"),
        (from(json!({ "notRemoteIpBlocks": ["10.0.0.0/8"], "namespaces": ["a"] })), "Use principals"),
        (
            from(json!({ "principals": ["*/sa/a", "spiffe://cluster.local/ns/a/sa/b"] })),
            "Take the scheme off",
        ),
        (from(json!({ "notPrincipals": ["spiffe://cluster.local/ns/a/sa/b"] })), "Take the scheme off"),
        (from(json!({ "principals": [""] })), "not filled in"),
        (from(json!({ "notNamespaces": ["a", ""] })), "not filled in"),
        (from(json!({ "serviceAccounts": [""] })), "not filled in"),
        (from(json!({ "ipBlocks": ["example.com"] })), "Write an address"),
        (from(json!({ "notIpBlocks": ["10.0.0.0/x"] })), "Write an address"),
        (from(json!({ "ipBlocks": [""] })), "Write an address"),
        (from(json!({ "ipBlocks": ["999.1.1.1"] })), "Write an address"),
        (from(json!({ "ipBlocks": ["10.0.0.0/33"] })), "Write an address"),
        (from(json!({ "ipBlocks": ["fd00::/129"] })), "Write an address"),
    ];
    rows.extend(wrong_conditions());
    rows
}

/// The same of conditions, and of what is for the whole mesh.
fn wrong_conditions() -> Vec<(Value, &'static str)> {
    vec![
        (when(json!({ "key": "request.headers[x]", "values": ["a"] })), "source.principal"),
        (when(json!({ "key": "remote.ip", "notValues": ["10.0.0.1"] })), "source.principal"),
        (when(json!({ "key": "source.principal", "values": ["spiffe://a"] })), "Take the scheme off"),
        (when(json!({ "key": "source.principal", "notValues": ["spiffe://a"] })), "Take the scheme off"),
        (when(json!({ "key": "destination.port", "values": ["http"] })), "quotation marks"),
        (when(json!({ "key": "destination.port", "notValues": ["70000"] })), "quotation marks"),
        (when(json!({ "key": "destination.ip", "values": ["web"] })), "Write an address"),
        (when(json!({ "key": "source.ip", "notValues": ["10.0.0"] })), "Write an address"),
        (when(json!({ "key": "source.principal", "values": ["web"] })), "No peer is called so"),
        (when(json!({ "key": "source.namespace", "notValues": ["a/b"] })), "No peer is called so"),
        (when(json!({ "key": "source.ip", "values": [] })), "not filled in"),
        (when(json!({ "key": "source.ip", "values": ["10.0.0.1"], "notValues": [] })), "not filled in"),
        (when(json!({ "key": "source.principal", "values": [""] })), "not filled in"),
        (when(json!({ "key": "source.namespace" })), "not filled in"),
        (when(json!({ "key": "source.namespace", "values": [""] })), "not filled in"),
        (
            request("peerauthentications", ROOT, json!({ "selector": { "matchLabels": { "app": "web" } } })),
            "whole mesh",
        ),
    ]
}

#[test]
fn what_node_proxies_cannot_enforce_is_refused() {
    let wrong = wrong();
    let requests: Vec<Value> = wrong.iter().map(|it| it.0.clone()).collect();
    let answers = said(&requests);
    for ((request, remedy), messages) in wrong.iter().zip(answers) {
        let [message] = &*messages else { panic!("{request}: one thing is wrong, {messages:?}") };
        assert!(message.contains(remedy), "{request}: {message}");
    }
}

/// What gets in.
fn right() -> Vec<Value> {
    let without_spec =
        json!({ "apiVersion": "security.istio.io/v1", "metadata": { "name": "it", "namespace": "shop" } });
    vec![
        json!({ "resource": "authorizationpolicies", "operation": "CREATE", "object": without_spec }),
        policy(json!({})),
        policy(json!({ "rules": [{}] })),
        policy(json!({ "action": "DENY", "selector": { "matchLabels": { "app": "web" } }, "rules": [{}] })),
        to(json!({ "ports": ["1", "80", "65535"], "notPorts": ["8080"] })),
        from(
            json!({ "principals": ["*", "cluster.local/ns/shop/sa/client", "*/sa/client", "cluster.local/ns/shop/*"] }),
        ),
        from(
            json!({ "namespaces": ["shop", "*-test"], "notNamespaces": ["prod"], "serviceAccounts": ["shop/client", "client"] }),
        ),
        from(json!({ "ipBlocks": ["10.0.0.1", "10.0.0.0/8", "2001:db8::/32", "::1", "::ffff:10.0.0.1"] })),
        when(json!({ "key": "source.principal", "values": ["*"] })),
        when(json!({ "key": "destination.port", "values": ["80"], "notValues": ["81"] })),
        when(json!({ "key": "destination.ip", "notValues": ["fd00::/8"] })),
        when(json!({ "key": "source.namespace", "notValues": ["prod"] })),
        request("peerauthentications", ROOT, json!({ "mtls": { "mode": "STRICT" } })),
        request("peerauthentications", ROOT, json!({ "selector": { "matchLabels": {} } })),
        request("peerauthentications", "shop", json!({ "selector": { "matchLabels": { "app": "web" } } })),
    ]
}

#[test]
fn what_they_can_enforce_gets_in() {
    let right = right();
    for (request, messages) in right.iter().zip(said(&right)) {
        assert_eq!(messages, [""; 0], "{request}");
    }
}

/// Whether the control plane takes an object as it is written.
fn is_understood(request: &Value) -> bool {
    let object = &request["object"];
    match request["resource"].as_str() {
        Some("authorizationpolicies") => {
            let policy = AuthorizationPolicy::read(object);
            policy.accepted(&Settings::default()).is_none_or(|accepted| accepted.holds)
        }
        _ => PeerAuthentication::read(object).problems(&Settings::default()).is_empty(),
    }
}

/// The objects of which `culvert check --manifests` says that they are not understood.
fn not_understood(manifests: &[String]) -> Vec<String> {
    let mut culvert = Command::new(programs().unwrap().agent.with_file_name("culvert"));
    culvert.args(["check", "--manifests", "-", "--output", "json", "--only", "policy-understood"]);
    let mut culvert = culvert.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    culvert.stdin.take().unwrap().write_all(manifests.join("\n---\n").as_bytes()).unwrap();
    let told: Value = serde_json::from_slice(&culvert.wait_with_output().unwrap().stdout).unwrap();
    let findings = told["findings"].as_array().unwrap().iter();
    findings.map(|finding| finding["place"]["object"].as_str().unwrap().to_owned()).collect()
}

/// What is admitted is enforced as it is written, what is refused would not be, and `culvert check --manifests` has said so before.
#[test]
fn admission_control_plane_and_check_say_the_same() {
    let wrong = wrong().into_iter().map(|(request, _)| (request, false));
    let rows: Vec<(Value, bool)> = wrong.chain(right().into_iter().map(|request| (request, true))).collect();
    let mut manifests = Vec::new();
    for (number, (request, is_right)) in rows.iter().enumerate() {
        assert_eq!(is_understood(request), *is_right, "the control plane says of {request}");
        let mut object = request["object"].clone();
        let is_authorization = request["resource"] == "authorizationpolicies";
        object["kind"] = if is_authorization { "AuthorizationPolicy" } else { "PeerAuthentication" }.into();
        object["metadata"]["name"] = format!("it-{number}").into();
        manifests.push(object.to_string());
    }
    let named = not_understood(&manifests);
    for (number, (request, is_right)) in rows.iter().enumerate() {
        let is_named = named.iter().any(|object| object.ends_with(&format!("/it-{number}")));
        assert_eq!(!is_named, *is_right, "culvert check says of {request}");
    }
}

/// They are for whoever is named, and may say what that one understands.
#[test]
fn policies_of_waypoints_are_none_of_ours() {
    let waypoint = json!({ "group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "waypoint" });
    let http = json!([{ "to": [{ "operation": { "methods": ["GET"] } }] }]);
    let requests = [
        policy(json!({ "targetRefs": [waypoint], "rules": http })),
        policy(json!({ "targetRef": waypoint, "action": "CUSTOM" })),
        policy(json!({ "targetRefs": [], "rules": http })),
    ];
    let refused: Vec<_> = said(&requests).iter().map(|it| !it.is_empty()).collect();
    assert_eq!(refused, [false, false, true]);
}

/// Nobody who labels, annotates or lets go of what was there before is stopped.
#[test]
fn what_was_there_is_left_alone_until_it_changes() {
    let update = |before: Value, after: Value| {
        let mut request = policy(after);
        request["operation"] = json!("UPDATE");
        request["oldObject"] = policy(before)["object"].clone();
        request["object"]["metadata"]["labels"] = json!({ "team": "shop" });
        request
    };
    let (old, new) = (json!({ "action": "AUDIT" }), json!({ "action": "AUDIT", "rules": [{}] }));
    let requests = [update(old.clone(), old.clone()), update(old, new.clone()), update(json!({}), new)];
    let refused: Vec<_> = said(&requests).iter().map(|it| !it.is_empty()).collect();
    assert_eq!(refused, [false, true, true]);
}

#[test]
fn what_is_in_which_namespace_follows_the_release() {
    let rendered = crate::harness::chart::render_in("mesh", &json!({})).unwrap();
    let policies: Vec<_> = rendered.of_kind("ValidatingAdmissionPolicy").collect();
    let selecting = json!({ "selector": { "matchLabels": { "app": "web" } } });
    let requests =
        ["mesh", ROOT].map(|namespace| request("peerauthentications", namespace, selecting.clone()));
    let refused: Vec<_> = refusals(&policies, &requests).iter().map(|it| !it.is_empty()).collect();
    assert_eq!(refused, [true, false]);
}
