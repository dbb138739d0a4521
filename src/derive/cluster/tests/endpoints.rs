//! Slices, and pods that are about to go.

use culvert_core::workload::{Health, NetworkMode, Protocol};

use super::{Mesh, ports_of};
use crate::Kind;

const BY_HAND: &str = r#"
{kind: Service, metadata: {name: s, namespace: a}, spec: {ports: [
  {name: web, port: 80, targetPort: 8080}, {name: api, port: 81}, {name: dns, port: 53, protocol: UDP}]}}
---
{kind: Pod, metadata: {name: p, namespace: a, uid: u1}, status: {podIP: 10.0.0.1}}
"#;

fn slice(ports: &str, endpoints: &str) -> String {
    format!(
        "{{kind: EndpointSlice, addressType: IPv4, metadata: {{name: s-1, namespace: a, labels: {{kubernetes.io/service-name: s}}}},
          ports: {ports}, endpoints: {endpoints}}}"
    )
}

const PORTS: &str = "[{name: web, port: 9080}, {name: dns, port: 9053, protocol: UDP}, {name: dns, port: 9054}, {name: other, port: 1}]";
const SERVICE: &str = "a/s.a.svc.cluster.local";

/// What the pod serves of the Service; none when it is no endpoint of it.
fn served(mesh: &Mesh) -> Option<String> {
    mesh.pod("a", "p")?.services.get(SERVICE).map(ports_of)
}

fn names(refers_to: &str) -> String {
    slice(PORTS, &format!("[{{addresses: [10.0.0.1], targetRef: {refers_to}}}]"))
}

#[test]
fn a_pod_named_in_a_slice_is_behind_a_service_that_selects_nobody() {
    for (refers_to, is_endpoint) in [
        ("{kind: Pod, namespace: a, name: p, uid: u1}", true),
        ("{kind: Pod, name: p}", true),
        ("{kind: Pod, namespace: a, name: p, uid: u2}", false),
        ("{kind: Pod, namespace: b, name: p, uid: u1}", false),
        ("{kind: Node, namespace: a, name: p, uid: u1}", false),
    ] {
        let slice = names(refers_to);
        let expected = is_endpoint.then(|| "[80>9080]".to_owned());
        assert_eq!(served(&Mesh::of(&format!("{BY_HAND}\n---\n{slice}"))), expected, "{refers_to}");
        assert_eq!(served(&Mesh::of(&format!("{slice}\n---\n{BY_HAND}"))), expected, "{refers_to}");
    }
}

#[test]
fn a_service_that_begins_to_select_forgets_what_was_written_by_hand() {
    let mut mesh = Mesh::of(&format!("{BY_HAND}\n---\n{}", names("{kind: Pod, name: p}")));
    assert!(served(&mesh).is_some());
    mesh.put(
        "{kind: Service, metadata: {name: s, namespace: a}, spec: {selector: {app: a}, ports: [{port: 80}]}}",
    );
    assert!(served(&mesh).is_none());
    mesh.put("{kind: Service, metadata: {name: s, namespace: a}, spec: {ports: [{name: web, port: 80}]}}");
    assert_eq!(served(&mesh).as_deref(), Some("[80>9080]"));
    mesh.put("{kind: Service, metadata: {name: s, namespace: a}, spec: {ports: [{name: web, port: 88}]}}");
    assert_eq!(served(&mesh).as_deref(), Some("[88>9080]"));
    mesh.remove(Kind::EndpointSlice, "a", "s-1");
    assert!(served(&mesh).is_none());
}

#[test]
fn an_address_in_a_slice_is_an_endpoint_and_takes_nobodys_identity() {
    let endpoints = "[{addresses: [10.0.0.1, 10.0.0.2], conditions: {}}, {addresses: [10.0.0.1], conditions: {ready: false}},
      {addresses: [10.9.9.9], conditions: {ready: false}, targetRef: {kind: VirtualMachine, name: v}},
      {addresses: []}, {addresses: [soon]}]";
    let mesh = Mesh::of(&format!("{BY_HAND}\n---\n{}", slice(PORTS, endpoints)));
    let uid = |ip: &str| format!("Kubernetes/discovery.k8s.io/EndpointSlice/a/s-1/{ip}");
    let first = mesh.workload(&uid("10.0.0.1")).unwrap();
    assert_eq!((first.network_mode, first.protocol), (NetworkMode::HostNetwork, Protocol::Tcp));
    assert_eq!((&*first.service_account, first.status), ("", Health::Healthy));
    assert_eq!(first.services.get(SERVICE).map(ports_of).as_deref(), Some("[80>9080]"));
    assert_eq!(mesh.workload(&uid("10.9.9.9")).unwrap().status, Health::Unhealthy);
    let of_slices = mesh.known.keys().filter(|(_, name)| name.contains("EndpointSlice"));
    assert_eq!(of_slices.count(), 2);
}

#[test]
fn a_slice_of_no_service_or_of_names_makes_nothing() {
    let makes = |slice: &str| {
        let mesh = Mesh::of(&format!("{BY_HAND}\n---\n{slice}"));
        mesh.known.keys().any(|(_, name)| name.contains("EndpointSlice"))
    };
    let good = slice(PORTS, "[{addresses: [10.9.9.9]}]");
    assert!(makes(&good));
    assert!(!makes(&good.replace("service-name: s", "service-name: t")));
    assert!(!makes(&good.replace("kubernetes.io/service-name: s", "other: s")));
    assert!(!makes(&good.replace("IPv4", "FQDN")));
    assert!(!makes(&slice("null", "null")));
}

fn pod(name: &str, labels: &str, ready: bool, leaves: bool) -> String {
    let deletion = if leaves { "deletionTimestamp: 2026-01-01T00:00:00Z," } else { "" };
    let ready = if ready { "True" } else { "False" };
    format!(
        "{{kind: Pod, metadata: {{name: {name}, namespace: a, {deletion} labels: {{{labels}}}}},
           status: {{podIP: 10.0.0.1, conditions: [{{type: Ready, status: '{ready}'}}]}}}}"
    )
}

#[test]
fn a_pod_that_leaves_is_called_only_while_nobody_else_is_there() {
    let mut mesh = Mesh::of("{kind: Service, metadata: {name: s, namespace: a}, spec: {selector: {app: a}}}");
    let health = |mesh: &Mesh, name| mesh.pod("a", name).unwrap().status;
    mesh.put(&[pod("one", "app: a", true, false), pod("two", "app: a", true, true)].join("\n---\n"));
    assert_eq!((health(&mesh, "one"), health(&mesh, "two")), (Health::Healthy, Health::Unhealthy));
    mesh.put(&pod("one", "app: a", false, false));
    assert_eq!((health(&mesh, "one"), health(&mesh, "two")), (Health::Unhealthy, Health::Healthy));
    mesh.put(&pod("one", "app: a", true, false));
    assert_eq!((health(&mesh, "one"), health(&mesh, "two")), (Health::Healthy, Health::Unhealthy));
    mesh.put(&pod("one", "app: a", true, true));
    assert_eq!((health(&mesh, "one"), health(&mesh, "two")), (Health::Healthy, Health::Healthy));
    mesh.put(&pod("three", "app: a", true, false));
    assert_eq!((health(&mesh, "one"), health(&mesh, "two")), (Health::Unhealthy, Health::Unhealthy));
    mesh.put(&pod("three", "app: b", true, false));
    assert_eq!((health(&mesh, "one"), health(&mesh, "two")), (Health::Healthy, Health::Healthy));
    mesh.put(&pod("two", "app: a", false, true));
    assert_eq!((health(&mesh, "one"), health(&mesh, "two")), (Health::Healthy, Health::Unhealthy));
}

#[test]
fn a_pod_that_leaves_and_serves_nothing_is_not_needed() {
    let mesh = Mesh::of(&pod("one", "app: a", true, true));
    assert_eq!(mesh.pod("a", "one").unwrap().status, Health::Unhealthy);
}
