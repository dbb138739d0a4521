//! What users write: policies that deny when they cannot be read, names that several define, and what status says.

use culvert_core::policy::Scope;

use super::{Change, Collection, Mesh, key};
use crate::{Kind, Object};

const POD: &str =
    "{kind: Pod, metadata: {name: p, namespace: a, labels: {app: a}}, status: {podIP: 10.0.0.1}}";
const STRICT: &str = "root/istio_converted_static_strict";

fn policy(mesh: &Mesh, key: &str) -> Option<culvert_core::policy::Policy> {
    match mesh.known.get(&(Collection::Policies, key.into()))? {
        Change::Policy(policy) => Some((**policy).clone()),
        Change::Workload(_) | Change::Service(_) | Change::Gone(..) => None,
    }
}

fn refers_to(mesh: &Mesh) -> Vec<String> {
    mesh.pod("a", "p").unwrap().authorization_policies.iter().map(ToString::to_string).collect()
}

#[test]
fn a_policy_that_cannot_be_read_denies_what_it_could_govern() {
    for (kind, namespace, scope) in [
        (Kind::AuthorizationPolicy, "a", Scope::Namespace),
        (Kind::AuthorizationPolicy, "root", Scope::Global),
    ] {
        let mut mesh = Mesh::of(POD);
        mesh.cluster.unreadable(&key(kind, namespace, "broken"), "line 7 is torn");
        mesh.settle();
        let found = policy(&mesh, &format!("{namespace}/broken")).unwrap();
        assert_eq!(found.scope, scope);
        assert!(found.unusable.unwrap().contains("line 7 is torn"));
        mesh.remove(kind, namespace, "broken");
        assert!(policy(&mesh, &format!("{namespace}/broken")).is_none());
    }
    for namespace in ["a", "root"] {
        let mut mesh = Mesh::of(POD);
        mesh.cluster.unreadable(&key(Kind::PeerAuthentication, namespace, "broken"), "torn");
        mesh.settle();
        assert_eq!(refers_to(&mesh), [STRICT]);
        assert!(policy(&mesh, STRICT).is_some());
    }
}

#[test]
fn whatever_else_cannot_be_read_is_not_there() {
    let mut mesh = Mesh::of(POD);
    mesh.cluster.unreadable(&key(Kind::Pod, "a", "p"), "torn");
    mesh.settle();
    assert!(mesh.pod("a", "p").is_none());
}

#[test]
fn workloads_refer_to_the_policies_that_select_them_in_order() {
    let select = |kind: &str, namespace: &str, name: &str, says: &str| {
        format!(
            "{{kind: {kind}, metadata: {{name: {name}, namespace: {namespace}}}, spec: {{selector: {{matchLabels: {{app: a}}}}, {says}}}}}"
        )
    };
    let mesh = Mesh::of(
        &[
            POD.to_owned(),
            select("AuthorizationPolicy", "root", "all", "rules: [{}]"),
            select("AuthorizationPolicy", "a", "own", "rules: [{}]"),
            select("AuthorizationPolicy", "a-b", "other", "rules: [{}]"),
            select("AuthorizationPolicy", "a", "audit", "action: AUDIT, rules: [{}]"),
            select(
                "PeerAuthentication",
                "a",
                "ports",
                "mtls: {mode: STRICT}, portLevelMtls: {'80': {mode: PERMISSIVE}}",
            ),
        ]
        .join("\n---\n"),
    );
    assert_eq!(refers_to(&mesh), ["a/own", "root/all", "a/converted_peer_authentication_ports"]);
    for key in refers_to(&mesh) {
        assert!(policy(&mesh, &key).is_some(), "{key} is not there");
    }
    assert!(policy(&mesh, "a/audit").is_none());
}

#[test]
fn an_object_made_anew_is_told_again() {
    let policy = |uid: &str| {
        format!(
            "{{kind: AuthorizationPolicy, metadata: {{name: p, namespace: a, uid: {uid}, generation: 1}}}}"
        )
    };
    let put = |mesh: &mut Mesh, uid: &str| {
        super::objects(&policy(uid)).into_iter().for_each(|object: Object| mesh.cluster.put(object));
        mesh.cluster.settle().conditions.len()
    };
    let mut mesh = Mesh::new();
    assert_eq!((put(&mut mesh, "u"), put(&mut mesh, "u"), put(&mut mesh, "v")), (1, 0, 1));
}

#[test]
fn status_tells_how_many_pods_a_policy_is_for() {
    let said = |mesh: &Mesh| {
        let (_, conditions) = &mesh.said[&key(Kind::AuthorizationPolicy, "a", "p")];
        conditions.iter().find(|it| it.kind == "culvert.dev/Enforced").unwrap().message.clone()
    };
    let pod = |name: &str| POD.replace("name: p", &format!("name: {name}"));
    let mut mesh = Mesh::of(
        "{kind: AuthorizationPolicy, metadata: {name: p, namespace: a}, spec: {selector: {matchLabels: {app: a}}}}",
    );
    assert!(said(&mesh).contains("governs no workload"), "{}", said(&mesh));
    mesh.put(&pod("one"));
    assert!(said(&mesh).contains("1 workload outside"), "{}", said(&mesh));
    mesh.put(&pod("one").replace("labels:", "annotations: {ambient.istio.io/redirection: enabled}, labels:"));
    assert_eq!(said(&mesh), "enforced for 1 workload");
    mesh.remove(Kind::Pod, "a", "one");
    assert!(said(&mesh).contains("governs no workload"), "{}", said(&mesh));
}

#[test]
fn of_two_that_define_one_name_one_counts_and_then_the_other() {
    let entry = "{kind: ServiceEntry, metadata: {name: e, namespace: a}, spec: {hosts: [s.a.svc.cluster.local], addresses: [10.9.9.9],
        resolution: STATIC, ports: [{number: 80, name: http}], endpoints: [{address: 1.1.1.1}]}}";
    let service = "{kind: Service, metadata: {name: s, namespace: a}, spec: {clusterIP: 10.1.0.1, ports: [{port: 80}]}}";
    let vip = |mesh: &Mesh| mesh.service("a/s.a.svc.cluster.local").unwrap().vips[0].ip.to_string();
    let endpoints = |mesh: &Mesh| mesh.known.keys().filter(|(_, name)| name.contains("ServiceEntry")).count();
    let mut mesh = Mesh::of(entry);
    assert_eq!((vip(&mesh), endpoints(&mesh)), ("10.9.9.9".into(), 1));
    mesh.put(service);
    assert_eq!((vip(&mesh), endpoints(&mesh)), ("10.1.0.1".into(), 0));
    mesh.put("{kind: Service, metadata: {name: s, namespace: a}, spec: {type: ExternalName, externalName: x.test}}");
    assert_eq!((vip(&mesh), endpoints(&mesh)), ("10.9.9.9".into(), 1));
    mesh.put(service);
    mesh.remove(Kind::Service, "a", "s");
    assert_eq!((vip(&mesh), endpoints(&mesh)), ("10.9.9.9".into(), 1));
}

#[test]
fn a_pod_of_a_waypoint_is_told_how_its_tunnel_ends() {
    let mesh = Mesh::of(
        "{kind: Gateway, metadata: {name: w, namespace: a, annotations: {ambient.istio.io/waypoint-inbound-binding: PROXY/15088}}, spec: {gatewayClassName: istio-waypoint}}
---
{kind: Namespace, metadata: {name: a, labels: {istio.io/use-waypoint: w}}}
---
{kind: Pod, metadata: {name: p, namespace: a, labels: {gateway.networking.k8s.io/gateway-name: w}}, status: {podIP: 10.0.0.1}}",
    );
    let pod = mesh.pod("a", "p").unwrap();
    assert_eq!((pod.application_tunnel.and_then(|it| it.port), pod.waypoint.is_none()), (Some(15088), true));
}
