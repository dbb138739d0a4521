//! What a large cluster costs in memory. Run it by itself: `cargo test -p culvert-derive -- --ignored --nocapture bytes`.

use serde_json::{Value, json};

use super::Mesh;
use crate::cluster::Cluster;
use crate::{Kind, Object};

const PODS: usize = 100_000;
const SERVICES: usize = 10_000;

/// A pod of a Deployment as the API server has it, ten behind each Service.
fn pod(number: usize) -> Value {
    let (app, place) = (number / 10, number / 10 % 100);
    let name = format!("app{app}-5f7d8c9b6d-{number:05}");
    let ip = format!("10.{}.{}.{}", number >> 16, number >> 8 & 255, number & 255);
    json!({
        "metadata": {
            "name": name, "generateName": format!("app{app}-5f7d8c9b6d-"), "namespace": format!("team-{place}"),
            "uid": format!("0f0e0d0c-0b0a-0908-0706-{number:012x}"),
            "labels": {
                "app.kubernetes.io/name": format!("app{app}"), "app.kubernetes.io/instance": format!("app{app}"),
                "app.kubernetes.io/version": "1.2.3", "app.kubernetes.io/managed-by": "Helm", "pod-template-hash": "5f7d8c9b6d"
            },
            "annotations": {"ambient.istio.io/redirection": "enabled", "checksum/config": "0123456789abcdef"},
            "ownerReferences": [{"kind": "ReplicaSet", "name": format!("app{app}-5f7d8c9b6d"), "controller": true}]
        },
        "spec": {"nodeName": format!("node-{}", number % 1000), "serviceAccountName": format!("app{app}"),
            "containers": [{"name": "app", "ports": [{"name": "http", "containerPort": 8080}]}]},
        "status": {"phase": "Running", "podIP": ip, "podIPs": [{"ip": ip}], "conditions": [{"type": "Ready", "status": "True"}]}
    })
}

fn service(app: usize) -> Value {
    let ip = format!("10.250.{}.{}", app >> 8, app & 255);
    json!({
        "metadata": {"name": format!("app{app}"), "namespace": format!("team-{}", app % 100)},
        "spec": {"clusterIP": ip, "clusterIPs": [ip], "ipFamilies": ["IPv4"],
            "selector": {"app.kubernetes.io/name": format!("app{app}"), "app.kubernetes.io/instance": format!("app{app}")},
            "ports": [{"name": "http", "port": 80, "targetPort": "http"}]}
    })
}

fn slice(app: usize) -> Value {
    let endpoint = |number: usize| {
        let name = format!("app{app}-5f7d8c9b6d-{number:05}");
        json!({"addresses": ["10.0.0.1"], "targetRef": {"kind": "Pod", "namespace": format!("team-{}", app % 100), "name": name,
            "uid": format!("0f0e0d0c-0b0a-0908-0706-{number:012x}")}})
    };
    json!({
        "metadata": {"name": format!("app{app}-abcde"), "namespace": format!("team-{}", app % 100),
            "labels": {"kubernetes.io/service-name": format!("app{app}")}},
        "addressType": "IPv4", "ports": [{"name": "http", "port": 8080}],
        "endpoints": (app * 10..app * 10 + 10).map(endpoint).collect::<Vec<_>>()
    })
}

#[expect(clippy::disallowed_methods, reason = "the process is asked how large it is")]
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 1024
}

fn load(cluster: &mut Cluster, kind: Kind, count: usize, object: fn(usize) -> Value) {
    for number in 0..count {
        cluster.put(Object::parse(kind, object(number).to_string().as_bytes()).unwrap());
    }
}

#[test]
#[ignore = "a measurement"]
fn bytes_for_each_pod_of_a_large_cluster() {
    let mut cluster = Mesh::new().cluster;
    let before = resident();
    load(&mut cluster, Kind::Pod, PODS, pod);
    let pods = resident();
    load(&mut cluster, Kind::Service, SERVICES, service);
    load(&mut cluster, Kind::EndpointSlice, SERVICES, slice);
    let objects = resident();
    let outcome = cluster.settle();
    assert_eq!(outcome.changes.len(), PODS + SERVICES);
    let told = resident();
    drop(outcome);
    let each = |bytes: usize| bytes.saturating_sub(before) / PODS;
    println!(
        "bytes for each pod: {} pods, {} with services and slices, {} with all derived and told",
        each(pods),
        each(objects),
        each(told)
    );
    println!("after: {}", each(resident()));
    drop(cluster);
}
