//! What changes cost, counted in derivations.

use serde_json::{Value, json};

use super::{Mesh, object};
use crate::{Kind, Object};

fn read(kind: Kind, value: &Value) -> Object {
    Object::read(kind, value).unwrap()
}

fn pod(number: usize, app: &str, ready: bool) -> Object {
    let status = if ready { "True" } else { "False" };
    let value = json!({
        "metadata": {"name": format!("p{number}"), "namespace": format!("ns{}", number % 10), "labels": {"app": app}},
        "spec": {"nodeName": format!("node{}", number / 100 % 100)},
        "status": {"podIP": format!("10.{}.{}.1", number / 250, number % 250), "conditions": [{"type": "Ready", "status": status}]},
    });
    read(Kind::Pod, &value)
}

fn service(namespace: usize, name: &str, app: &str) -> Object {
    let metadata = json!({"name": name, "namespace": format!("ns{namespace}")});
    let spec = json!({"selector": {"app": app}, "ports": [{"port": 80, "targetPort": "http"}]});
    read(Kind::Service, &json!({"metadata": metadata, "spec": spec}))
}

fn node(number: usize, zone: &str) -> Object {
    let labels = json!({"topology.kubernetes.io/zone": zone});
    read(Kind::Node, &json!({"metadata": {"name": format!("node{number}"), "labels": labels}}))
}

const PODS: usize = 10_000;

/// 10,000 pods in 10 namespaces and 20 apps, 100 on each node; a Service for each app of each namespace.
fn large() -> Mesh {
    let mut mesh = Mesh::new();
    mesh.cluster.replace(Kind::Node, (0..100).map(|number| node(number, "z")).collect());
    mesh.cluster.replace(Kind::Pod, (0..PODS).map(|number| pod(number, &app(number), true)).collect());
    let services = (0..10).flat_map(|place| (0..20).map(move |app| (place, format!("app{app}"))));
    mesh.cluster.replace(Kind::Service, services.map(|(place, app)| service(place, &app, &app)).collect());
    mesh.settle();
    mesh
}

fn app(number: usize) -> String {
    format!("app{}", number / 10 % 20)
}

/// Counts what it costs to put this, and how many differences come of it.
fn cost(mesh: &mut Mesh, object: Object) -> (u64, usize) {
    let before = mesh.cluster.derivations();
    mesh.cluster.put(object);
    let changes = mesh.settle().changes.len();
    (mesh.cluster.derivations() - before, changes)
}

#[test]
fn a_change_costs_what_it_changes() {
    let mut mesh = large();
    let all = mesh.cluster.derivations();
    assert_eq!(all, PODS as u64 + 200);
    assert_eq!(cost(&mut mesh, pod(4321, &app(4321), false)), (1, 1), "a pod's health");
    assert_eq!(cost(&mut mesh, pod(4321, &app(4321), false)), (0, 0), "nothing at all");
    assert_eq!(cost(&mut mesh, pod(4321, "app19", false)), (1, 1), "a pod's labels");
    assert_eq!(cost(&mut mesh, pod(10_001, "app3", false)), (1, 1), "a new pod");
    assert_eq!(cost(&mut mesh, node(7, "z")), (0, 0), "a node's heartbeat");
    assert_eq!(cost(&mut mesh, node(7, "y")), (100, 100), "a node's zone");
    // 50 pods each are behind the two apps in the namespace; the one named app0 keeps its name.
    assert_eq!(cost(&mut mesh, service(3, "app0", "app1")), (101, 100), "a Service's selector");
    let other = json!({"metadata": {"name": "app0", "namespace": "ns3"}, "spec": {"clusterIP": "10.9.9.9",
        "selector": {"app": "app1"}, "ports": [{"port": 80, "targetPort": "http"}]}});
    assert_eq!(cost(&mut mesh, read(Kind::Service, &other)), (1, 1), "a Service's address");
    let namespace = json!({"metadata": {"name": "ns3", "labels": {"team": "blue"}}});
    assert_eq!(
        cost(&mut mesh, read(Kind::Namespace, &namespace)),
        (0, 0),
        "a namespace's label nobody reads"
    );
}

/// Reads an object of YAML, and counts what it costs to put it.
fn cost_of(mesh: &mut Mesh, text: &str) -> (u64, usize) {
    cost(mesh, object(&super::yaml(text)))
}

#[test]
fn what_policies_and_waypoints_cost_is_what_they_are_for() {
    let mut mesh = large();
    let policy = |rules: &str| {
        format!(
            "{{kind: AuthorizationPolicy, metadata: {{name: only, namespace: ns3}}, spec: {{selector: {{matchLabels: {{app: app0}}}}, rules: [{rules}]}}}}"
        )
    };
    // The policy, and the 50 pods that refer to it from now on.
    assert_eq!(cost_of(&mut mesh, &policy("{}")), (51, 51), "a policy");
    let port = "{to: [{operation: {ports: ['80']}}]}";
    assert_eq!(cost_of(&mut mesh, &policy(port)), (1, 1), "what it says");
    assert_eq!(cost(&mut mesh, pod(4003, &app(4003), false)), (1, 1), "a pod it governs");
    let strict =
        "{kind: PeerAuthentication, metadata: {name: all, namespace: ns3}, spec: {mtls: {mode: STRICT}}}";
    // The object, the policy it stands for, and the pods of the namespace.
    assert_eq!(cost_of(&mut mesh, strict), (1002, 1001), "plaintext in a namespace");
    let labelled = "{kind: Namespace, metadata: {name: ns4, labels: {istio.io/use-waypoint: w}}}";
    assert_eq!(cost_of(&mut mesh, labelled), (1020, 1020), "a waypoint for a namespace");
    let waypoint =
        "{kind: Gateway, metadata: {name: w, namespace: ns4}, spec: {gatewayClassName: istio-waypoint,
        listeners: [{name: mesh, port: 15008, protocol: HBONE}]}, status: {addresses: [{value: 10.2.0.1}]}}";
    assert_eq!(cost_of(&mut mesh, waypoint), (1021, 1020), "a waypoint that comes up");
    assert_eq!(cost_of(&mut mesh, &waypoint.replace("ns4", "ns5")), (1, 0), "a waypoint nobody wants");
    assert_eq!(cost(&mut mesh, pod(4004, &app(4004), false)), (1, 1), "a pod behind a waypoint");
}

#[test]
fn who_takes_a_name_costs_those_who_had_it() {
    let mut mesh = large();
    let entry = |name: &str, host: &str| {
        format!("{{kind: ServiceEntry, metadata: {{name: {name}, namespace: ns3, creationTimestamp: '2026-01-0{}T00:00:00Z'}},
            spec: {{hosts: [{host}], resolution: STATIC, ports: [{{number: 80, name: http}}], workloadSelector: {{labels: {{app: app0}}}}}}}}", name.len())
    };
    assert_eq!(cost_of(&mut mesh, &entry("bb", "one.test")), (51, 51), "a name, and the pods behind it");
    assert_eq!(
        cost_of(&mut mesh, &entry("ccc", "one.test")),
        (51, 0),
        "a younger one of that name changes nothing"
    );
    let older = entry("a", "one.test").replace("app0", "app1");
    // The winner with its pods, and the one before with its own.
    assert_eq!(cost_of(&mut mesh, &older), (102, 101), "an older one takes the name");
}

#[test]
fn a_list_that_says_the_same_costs_nothing() {
    let mut mesh = large();
    let before = mesh.cluster.derivations();
    mesh.cluster.replace(Kind::Pod, (0..PODS).rev().map(|number| pod(number, &app(number), true)).collect());
    assert_eq!((mesh.settle().changes.len(), mesh.cluster.derivations() - before), (0, 0));
    mesh.cluster.replace(Kind::Pod, (1..PODS).map(|number| pod(number, &app(number), true)).collect());
    assert_eq!((mesh.settle().changes.len(), mesh.cluster.derivations() - before), (1, 1));
}
