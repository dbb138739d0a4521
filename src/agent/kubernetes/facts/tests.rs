use serde_json::{Value, json};

use super::*;

fn facts(spec: Value, status: Value) -> PodFacts {
    facts_of(json!({ "uid": "u", "name": "web", "namespace": "ns" }), spec, status)
}

fn facts_of(metadata: Value, spec: Value, status: Value) -> PodFacts {
    let pod = json!({ "metadata": metadata, "spec": spec, "status": status });
    PodFacts::of(serde_json::from_value(pod).unwrap(), &Settings::default()).unwrap()
}

#[test]
fn what_nobody_looks_at_is_not_kept() {
    let labels = json!({ "app": "web", "team": "a", "other": "x" });
    let annotations = json!({
        "sidecar.istio.io/status": "{}", "kubernetes.io/config.mirror": "7d0f", "example.com/a": "b",
        "ambient.istio.io/redirection": "nonsense", "culvert.dev/exclude-inbound-ports": "9".repeat(10_000),
        "istio.io/reroute-virtual-interfaces": "tap0",
    });
    let metadata = json!({ "uid": "u", "name": "web", "labels": labels, "annotations": annotations });
    let pod = facts_of(metadata.clone(), json!({}), json!({}));
    let namespace = serde_json::from_value(json!({ "metadata": metadata })).unwrap();
    let namespace = NamespaceFacts::of(namespace, &Settings::default()).unwrap();
    let shown = |all: &BTreeMap<String, String>| {
        all.iter().map(|(key, value)| format!("{key}={}", value.replace('9', ""))).collect::<Vec<_>>()
    };
    let expected = ["culvert.dev/exclude-inbound-ports=", "istio.io/reroute-virtual-interfaces=tap0"];
    assert_eq!(shown(&pod.annotations), expected);
    assert_eq!(shown(&namespace.annotations), ["culvert.dev/exclude-inbound-ports="]);
}

#[test]
fn what_is_not_asked_for_is_not_kept() {
    let big = "x".repeat(100_000);
    let metadata = json!({
        "uid": "u", "name": "web", "namespace": "ns", "labels": { "app": "web" },
        "annotations": { "kubectl.kubernetes.io/last-applied-configuration": big, "culvert.dev/exclude-inbound-ports": "1" },
        "managedFields": [{ "manager": "kubelet" }],
    });
    let facts = facts_of(metadata, json!({ "serviceAccountName": "web-sa" }), json!({ "podIPs": null }));
    assert_eq!(facts.annotations.len(), 1);
    assert_eq!(facts.workload.service_account, "web-sa");
}

#[test]
fn a_pod_without_a_service_account_has_the_default_one() {
    assert_eq!(facts(json!({}), json!({})).workload.service_account, "default");
}

#[test]
fn addresses_of_both_families_once_each() {
    let status =
        json!({ "podIP": "10.0.0.7", "podIPs": [{ "ip": "10.0.0.7" }, { "ip": "fd00::7" }, { "ip": "?" }] });
    let expected: [IpAddr; 2] = ["10.0.0.7".parse().unwrap(), "fd00::7".parse().unwrap()];
    assert_eq!(*facts(json!({}), status).addresses, expected);
    assert_eq!(*facts(json!({}), json!({ "podIP": "10.0.0.7" })).addresses, expected[..1]);
    assert!(facts(json!({}), json!({})).addresses.is_empty());
}

#[test]
fn what_is_claimed_is_read() {
    let claimed = |value: &str| {
        let annotations = json!({ "ambient.istio.io/redirection": value });
        facts_of(json!({ "uid": "u", "name": "web", "annotations": annotations }), json!({}), json!({})).claim
    };
    assert_eq!(["enabled", "pending", "x"].map(claimed), [Claim::Enabled, Claim::Pending, Claim::Other]);
    assert_eq!(facts(json!({}), json!({})).claim, Claim::Absent);
}

fn check_probes(name: &str, spec: Value, expected: &[u16]) {
    let facts = facts(spec, json!({ "podIP": "10.0.0.7" }));
    assert_eq!(Vec::from_iter(facts.probe_ports), expected, "{name}");
}

fn container(rest: Value) -> Value {
    json!({ "containers": [rest] })
}

#[test]
fn ports_of_probes() {
    check_probes(
        "all three",
        container(json!({
            "livenessProbe": { "httpGet": { "port": 8080, "path": "/" } },
            "readinessProbe": { "tcpSocket": { "port": 8081 } },
            "startupProbe": { "grpc": { "port": 8082, "service": null } },
        })),
        &[8080, 8081, 8082],
    );
    check_probes(
        "by name",
        container(json!({
            "ports": [
                { "name": "dns", "containerPort": 53, "protocol": "UDP" },
                { "name": "web", "containerPort": 8000, "protocol": "TCP" },
                { "name": "metrics", "containerPort": 9000 },
            ],
            "livenessProbe": { "httpGet": { "port": "web" } },
            "readinessProbe": { "httpGet": { "port": "metrics" } },
            "startupProbe": { "tcpSocket": { "port": "dns" } },
        })),
        &[8000, 9000],
    );
    check_probes(
        "a name that is a number",
        container(json!({ "livenessProbe": { "httpGet": { "port": "81" } } })),
        &[81],
    );
    check_probes(
        "an unknown name",
        container(json!({ "livenessProbe": { "httpGet": { "port": "web" } } })),
        &[],
    );
    check_probes(
        "no port at all",
        container(json!({
            "livenessProbe": { "httpGet": { "port": 0 } }, "readinessProbe": { "tcpSocket": { "port": 70000 } },
            "startupProbe": { "exec": { "command": ["true"] } },
        })),
        &[],
    );
}

#[test]
fn ports_of_hooks_sidecars_and_other_hosts() {
    check_probes(
        "hooks",
        container(json!({ "lifecycle": {
            "postStart": { "httpGet": { "port": 1 } }, "preStop": { "httpGet": { "port": 2 } },
        }})),
        &[1, 2],
    );
    check_probes(
        "a hook's TCP socket is never used",
        container(json!({ "lifecycle": { "preStop": { "tcpSocket": { "port": 3 } } } })),
        &[],
    );
    check_probes(
        "to another host",
        container(json!({
            "livenessProbe": { "httpGet": { "port": 1, "host": "10.0.0.8" } },
            "readinessProbe": { "httpGet": { "port": 2, "host": "10.0.0.7" } },
            "startupProbe": { "tcpSocket": { "port": 3, "host": "example.com" } },
        })),
        &[2],
    );
    check_probes(
        "sidecars count, other init containers do not",
        json!({ "initContainers": [
        { "restartPolicy": "Always", "startupProbe": { "tcpSocket": { "port": 5 } } },
        { "livenessProbe": { "tcpSocket": { "port": 6 } } },
    ], "containers": null }),
        &[5],
    );
    let named = |port: u16| {
        json!({
            "ports": [{ "name": "web", "containerPort": port }], "livenessProbe": { "httpGet": { "port": "web" } },
        })
    };
    check_probes("each container has its own names", json!({ "containers": [named(1), named(2)] }), &[1, 2]);
}

#[test]
fn what_has_no_uid_is_no_pod() {
    let nameless = serde_json::from_value(json!({ "metadata": { "name": "x" } })).unwrap();
    assert_eq!(PodFacts::of(nameless, &Settings::default()), None);
}
