//! What changes cost, counted in derivations.

use serde_json::{Value, json};

use super::Mesh;
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

#[test]
fn a_list_that_says_the_same_costs_nothing() {
    let mut mesh = large();
    let before = mesh.cluster.derivations();
    mesh.cluster.replace(Kind::Pod, (0..PODS).rev().map(|number| pod(number, &app(number), true)).collect());
    assert_eq!((mesh.settle().changes.len(), mesh.cluster.derivations() - before), (0, 0));
    mesh.cluster.replace(Kind::Pod, (1..PODS).map(|number| pod(number, &app(number), true)).collect());
    assert_eq!((mesh.settle().changes.len(), mesh.cluster.derivations() - before), (1, 1));
}
