//! A table of pods: what differs in a pod from an ordinary one, and what differs in the workload.

use serde_json::json;

use super::{Mesh, lines, object, patch, yaml};

/// What surrounds the pods, and the ordinary pod.
const AROUND: &str = r#"
{kind: Namespace, metadata: {name: shop}}
---
{kind: Node, metadata: {name: n1, labels: {topology.kubernetes.io/region: r, topology.kubernetes.io/zone: z, topology.istio.io/subzone: s}}}
---
{kind: Node, metadata: {name: bare}}
---
{kind: Service, metadata: {name: web, namespace: shop}, spec: {selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}}
---
{kind: Service, metadata: {name: named, namespace: shop}, spec: {selector: {role: named}, ports: [
  {port: 80, targetPort: http}, {port: 81, targetPort: 8081}, {port: 443, targetPort: https}]}}
---
{kind: Service, metadata: {name: twins, namespace: shop}, spec: {selector: {role: twins}, ports: [
  {name: tcp, port: 53, protocol: TCP, targetPort: dns-tcp}, {name: udp, port: 53, protocol: UDP, targetPort: dns}]}}
---
{kind: Service, metadata: {name: swapped, namespace: shop}, spec: {selector: {role: twins}, ports: [
  {name: udp, port: 53, protocol: UDP, targetPort: dns}, {name: tcp, port: 53, targetPort: dns-tcp}]}}
---
{kind: Service, metadata: {name: both, namespace: shop}, spec: {selector: {app: web, role: named}, ports: []}}
---
{kind: Service, metadata: {name: elsewhere, namespace: bank}, spec: {selector: {app: web}, ports: [{port: 80}]}}
---
{kind: Service, metadata: {name: everything, namespace: shop}, spec: {selector: {}, ports: [{port: 80}]}}
---
{kind: Service, metadata: {name: outside, namespace: shop}, spec: {type: ExternalName, externalName: example.com, selector: {app: web}}}
"#;

const POD: &str = r#"
kind: Pod
metadata:
  name: web-5f7d8-x2x4z
  generateName: web-5f7d8-
  namespace: shop
  labels: {app: web, pod-template-hash: 5f7d8}
  ownerReferences: [{kind: ReplicaSet, name: web-5f7d8, controller: true}]
spec: {nodeName: n1, serviceAccountName: cashier, containers: [{name: c}]}
status: {phase: Running, podIP: 10.0.0.1, podIPs: [{ip: 10.0.0.1}], conditions: [{type: Ready, status: "True"}]}
"#;

/// Expects these lines to be different, and no others; the line `gone` when there is no workload.
#[track_caller]
fn check(what: &str, change: &str, expected: &[&str]) {
    let lines_of = |pod: &serde_json::Value| {
        let mut mesh = Mesh::of(AROUND);
        mesh.cluster.put(object(pod));
        mesh.settle();
        mesh.pod("shop", pod["metadata"]["name"].as_str().unwrap()).map(lines)
    };
    let mut pod = yaml(POD);
    let ordinary = lines_of(&pod).unwrap();
    patch(&mut pod, &if change.is_empty() { json!({}) } else { yaml(change) });
    let found: Vec<String> = match lines_of(&pod) {
        Some(found) => found.into_iter().filter(|line| !ordinary.contains(line)).collect(),
        None => vec!["gone".to_owned()],
    };
    assert_eq!(found, expected, "{what}");
}

#[test]
fn an_ordinary_pod_is_told_of_in_full() {
    let mesh = Mesh::of(&format!("{AROUND}\n---{POD}"));
    let expected = [
        "name: web-5f7d8-x2x4z",
        "namespace: shop",
        "addresses: [10.0.0.1]",
        "account: cashier",
        "domain: ",
        "network: ",
        "cluster: Kubernetes",
        "workload: web",
        "canonical: web latest",
        "node: n1",
        "locality: r/z/s",
        "status: Healthy",
        "protocol: Tcp",
        "native: false",
        "mode: Standard",
        "type: pod",
        "services: shop/web.shop.svc.cluster.local",
        "policies: ",
        "waypoint: ",
    ];
    assert_eq!(lines(mesh.pod("shop", "web-5f7d8-x2x4z").unwrap()), expected);
}

#[test]
fn whether_a_pod_is_there_and_takes_connections() {
    check("nothing differs", "", &[]);
    check("pending, with an address", "status: {phase: Pending, conditions: []}", &["status: Unhealthy"]);
    check("no phase yet", "status: {phase: null}", &[]);
    check("succeeded", "status: {phase: Succeeded}", &["gone"]);
    check("failed", "status: {phase: Failed}", &["gone"]);
    check("no address yet", "status: {podIP: null, podIPs: null}", &["gone"]);
    check("an empty address", "status: {podIP: '', podIPs: []}", &["gone"]);
    check("only the older field", "status: {podIPs: null, podIP: 10.0.0.9}", &["addresses: [10.0.0.9]"]);
    check(
        "two families",
        "status: {podIPs: [{ip: 'fd00::1'}, {ip: 10.0.0.1}]}",
        &["addresses: [fd00::1, 10.0.0.1]"],
    );
    check("a mapped address", "status: {podIPs: [{ip: '::ffff:10.0.0.1'}]}", &[]);
    check("an address that is none", "status: {podIPs: [{ip: 10.0.0.1}, {ip: soon}]}", &["gone"]);
    check("not ready", "status: {conditions: [{type: Ready, status: 'False'}]}", &["status: Unhealthy"]);
    check(
        "readiness unknown",
        "status: {conditions: [{type: Ready, status: Unknown}]}",
        &["status: Unhealthy"],
    );
    check("no conditions", "status: {conditions: null}", &["status: Unhealthy"]);
    check(
        "other conditions",
        "status: {conditions: [{type: Initialized, status: 'True'}, {type: Ready, status: 'True'}]}",
        &[],
    );
    check(
        "deleted, not ready",
        "{metadata: {deletionTimestamp: 2026-01-01T00:00:00Z}, status: {conditions: [{type: Ready, status: 'False'}]}}",
        &["status: Unhealthy"],
    );
    let deleted = |state: &str| {
        format!(
            "{{metadata: {{deletionTimestamp: 2026-01-01T00:00:00Z}}, status: {{conditions: [], containerStatuses: [{{state: {{{state}: {{}}}}}}]}}}}"
        )
    };
    check("deleted, its container has ended", &deleted("terminated"), &["gone"]);
    check("deleted, its container runs", &deleted("running"), &["status: Unhealthy"]);
}

#[test]
fn where_a_pod_is() {
    check("a node without labels", "spec: {nodeName: bare}", &["node: bare", "locality: //"]);
    check("a node nobody knows", "spec: {nodeName: lost}", &["node: lost", "locality: //"]);
    check("no node", "spec: {nodeName: null}", &["node: ", "locality: //"]);
    check("the node's network", "spec: {hostNetwork: true}", &["mode: HostNetwork"]);
    check("its own network, said", "spec: {hostNetwork: false}", &[]);
}

#[test]
fn who_a_pod_is() {
    check("another account", "spec: {serviceAccountName: clerk}", &["account: clerk"]);
    check("no account", "spec: {serviceAccountName: null}", &["account: default"]);
    check("an empty account", "spec: {serviceAccountName: ''}", &["account: default"]);
}

#[test]
fn how_a_pod_is_reached() {
    let redirection =
        |word: &str| format!("metadata: {{annotations: {{ambient.istio.io/redirection: {word}}}}}");
    check("captured", &redirection("enabled"), &["protocol: Hbone"]);
    check("not yet captured", &redirection("pending"), &[]);
    check("captured, in capitals", &redirection("Enabled"), &[]);
    let claimed = |with: &str| {
        format!("metadata: {{annotations: {{ambient.istio.io/redirection: enabled, {with}: ''}}}}")
    };
    check("a static pod's claim", &claimed("kubernetes.io/config.mirror"), &[]);
    check("the claim of a pod with its own proxy", &claimed("sidecar.istio.io/status"), &[]);
    let host = format!("{{{}, spec: {{hostNetwork: true}}}}", redirection("enabled"));
    check("a claim on the node's network", &host, &["mode: HostNetwork"]);
    let tunnel = |word: &str| format!("metadata: {{labels: {{networking.istio.io/tunnel: '{word}'}}}}");
    check("speaks HBONE by itself", &tunnel("http"), &["protocol: Hbone", "native: true"]);
    check("speaks several", &tunnel("quic, http"), &["protocol: Hbone", "native: true"]);
    check("speaks another", &tunnel("https"), &[]);
    check(
        "both",
        "metadata: {labels: {networking.istio.io/tunnel: http}, annotations: {ambient.istio.io/redirection: enabled}}",
        &["protocol: Hbone", "native: true"],
    );
    check(
        "a sidecar's own mTLS is not spoken",
        "metadata: {labels: {security.istio.io/tlsMode: istio}}",
        &[],
    );
}

#[test]
fn what_a_pod_belongs_to() {
    let owned = |kind: &str, name: &str, label: &str| {
        format!(
            "metadata: {{labels: {{{label}}}, ownerReferences: [{{kind: {kind}, name: {name}, controller: true}}]}}"
        )
    };
    let named = |name: &str| vec![format!("workload: {name}")];
    let check = |what: &str, change: &str, expected: Vec<String>| {
        check(what, change, &expected.iter().map(String::as_str).collect::<Vec<_>>());
    };
    check("another deployment", &owned("ReplicaSet", "api-99", "pod-template-hash: '99'"), named("api"));
    check("a rollout", &owned("ReplicaSet", "api-77", "rollouts-pod-template-hash: '77'"), named("api"));
    check(
        "a replica set by itself",
        &owned("ReplicaSet", "api-99", "pod-template-hash: null"),
        named("api-99"),
    );
    check("a name that is the hash", &owned("ReplicaSet", "'99'", "pod-template-hash: '99'"), named("99"));
    check(
        "the hash without a dash",
        &owned("ReplicaSet", "api99", "pod-template-hash: '99'"),
        named("api99"),
    );
    check("a stateful set", &owned("StatefulSet", "db", ""), named("db"));
    check("a daemon set", &owned("DaemonSet", "log-12345678", ""), named("log-12345678"));
    check(
        "a deployment config",
        &owned("ReplicationController", "old-3", "deploymentconfig: old"),
        named("old"),
    );
    check("a replication controller", &owned("ReplicationController", "old-3", ""), named("old-3"));
    check("a cron job, minutes", &owned("Job", "tidy-29000000", ""), named("tidy"));
    check("a cron job, seconds", &owned("Job", "tidy-1700000000", ""), named("tidy"));
    check("a job with a short number", &owned("Job", "tidy-1234567", ""), named("tidy-1234567"));
    check("a job with a long number", &owned("Job", "tidy-12345678901", ""), named("tidy-12345678901"));
    check("a job with a word", &owned("Job", "tidy-beautiful", ""), named("tidy-beautiful"));
    check("a job that is all number", &owned("Job", "'-12345678'", ""), named("-12345678"));
    check("nobody", "metadata: {ownerReferences: null}", named("web-5f7d8-x2x4z"));
    check("a bare pod with an owner", "metadata: {generateName: null}", named("web-5f7d8-x2x4z"));
    check(
        "an owner that is no controller",
        "metadata: {ownerReferences: [{kind: Thing, name: thing}]}",
        named("web-5f7d8-x2x4z"),
    );
    check(
        "whoever the label names",
        "metadata: {labels: {service.istio.io/workload-name: said}}",
        named("said"),
    );
}

#[test]
fn what_telemetry_calls_a_pod() {
    let labels = |labels: &str| format!("metadata: {{labels: {{app: web, {labels}}}}}");
    check("the usual version", &labels("version: v2"), &["canonical: web v2"]);
    check(
        "the recommended labels",
        &labels("app.kubernetes.io/name: shopfront, app.kubernetes.io/version: '3', version: v2"),
        &["canonical: shopfront 3"],
    );
    check(
        "its own labels",
        &labels(
            "service.istio.io/canonical-name: a, service.istio.io/canonical-revision: b, app.kubernetes.io/name: c",
        ),
        &["canonical: a b"],
    );
    check("empty labels", &labels("service.istio.io/canonical-name: '', version: ''"), &[]);
    check(
        "the workload, without labels",
        "metadata: {labels: {app: null, service.istio.io/workload-name: said}}",
        &["workload: said", "canonical: said latest", "services: "],
    );
}

#[test]
fn which_services_a_pod_is_behind_and_at_which_ports() {
    let with = |labels: &str, ports: &str| {
        format!(
            "{{metadata: {{labels: {{app: null, {labels}}}}}, spec: {{containers: [{{ports: [{ports}]}}]}}}}"
        )
    };
    let named = |ports: &str| format!("services: shop/named.shop.svc.cluster.local{ports}");
    let check = |what: &str, change: &str, services: &str| check(what, change, &[services]);
    check("none", &with("role: other", ""), "services: ");
    check("no label that counts", "metadata: {labels: {app: null}}", "services: ");
    check(
        "both names",
        &with("role: named", "{name: http, containerPort: 1}, {name: https, containerPort: 2}"),
        &named("[80>1 443>2]"),
    );
    check("one name is missing", &with("role: named", "{name: http, containerPort: 1}"), &named("[80>1]"));
    check("no names", &with("role: named", "{containerPort: 80}"), &named(""));
    check(
        "the first of a name",
        &with("role: named", "{name: http, containerPort: 1}, {name: http, containerPort: 2}"),
        &named("[80>1]"),
    );
    check(
        "a UDP port of the name",
        &with(
            "role: named",
            "{name: http, containerPort: 1, protocol: UDP}, {name: http, containerPort: 2, protocol: TCP}",
        ),
        &named("[80>2]"),
    );
    check(
        "a sidecar among the init containers",
        "{metadata: {labels: {app: null, role: named}}, spec: {initContainers: [
            {ports: [{name: http, containerPort: 5}]},
            {restartPolicy: Always, ports: [{name: http, containerPort: 6}]}], containers: [{}]}}",
        &named("[80>6]"),
    );
    check(
        "a container before a sidecar",
        "{metadata: {labels: {app: null, role: named}}, spec: {containers: [{}, {ports: [{name: http, containerPort: 7}]}],
            initContainers: [{restartPolicy: Always, ports: [{name: http, containerPort: 6}]}]}}",
        &named("[80>7]"),
    );
    check(
        "twins of TCP and UDP, in whatever order",
        &with(
            "role: twins",
            "{name: dns, containerPort: 1053, protocol: UDP}, {name: dns-tcp, containerPort: 1054}",
        ),
        "services: shop/swapped.shop.svc.cluster.local[53>1054] shop/twins.shop.svc.cluster.local[53>1054]",
    );
    check(
        "several services",
        "metadata: {labels: {role: named}}",
        "services: shop/both.shop.svc.cluster.local shop/named.shop.svc.cluster.local shop/web.shop.svc.cluster.local",
    );
}

#[test]
fn what_nobody_reads_may_be_anything() {
    check(
        "unknown fields and long annotations",
        "{metadata: {managedFields: [{x: 1}], annotations: {a: b, n: c}}, spec: {volumes: [7], tolerations: null}, status: {qosClass: Guaranteed}}",
        &[],
    );
}
