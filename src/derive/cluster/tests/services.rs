//! Services: addresses, ports, and how an endpoint is chosen.

use culvert_core::service::{BalanceMode, HealthPolicy, IpFamilies, Preference, Service};
use serde_json::json;

use super::{Mesh, ports_of};
use crate::Kind;

/// The service that is made of a Service of this spec.
fn service(spec: &str) -> Option<Service> {
    chosen(None, None, spec)
}

/// The same, with what the annotations of the namespace and of the Service say.
fn chosen(of_namespace: Option<&str>, own: Option<&str>, spec: &str) -> Option<Service> {
    let annotations = |text: Option<&str>| match text {
        None => json!({}),
        Some(text) => json!({ "networking.istio.io/traffic-distribution": text }),
    };
    let namespace =
        json!({"kind": "Namespace", "metadata": {"name": "a", "annotations": annotations(of_namespace)}});
    let metadata = json!({"name": "s", "namespace": "a", "annotations": annotations(own)});
    let service = json!({"kind": "Service", "metadata": metadata, "spec": super::yaml(spec)});
    let mesh = Mesh::of(&format!("{service}\n---\n{namespace}"));
    mesh.service("a/s.a.svc.cluster.local").cloned()
}

fn vips(spec: &str) -> Vec<String> {
    service(spec).unwrap().vips.iter().map(ToString::to_string).collect()
}

#[test]
fn a_service_answers_to_its_cluster_addresses_alone() {
    assert_eq!(vips("{clusterIP: 10.1.0.1, clusterIPs: [10.1.0.1, 'fd00::1']}"), ["/10.1.0.1", "/fd00::1"]);
    assert_eq!(vips("{clusterIP: 10.1.0.1}"), ["/10.1.0.1"]);
    assert_eq!(vips("{clusterIP: None, clusterIPs: [None]}"), [""; 0]);
    assert_eq!(vips("{clusterIP: ''}"), [""; 0]);
    assert_eq!(vips("{type: LoadBalancer, clusterIP: 10.1.0.1, externalIPs: [1.2.3.4]}"), ["/10.1.0.1"]);
    assert!(service("{type: ExternalName, externalName: example.com}").is_none());
    let service = service("{clusterIP: 10.1.0.1}").unwrap();
    assert_eq!((&*service.name, &*service.namespace), ("s", "a"));
    assert_eq!(&*service.hostname, "s.a.svc.cluster.local");
    assert!(service.canonical && service.visible_to("elsewhere"));
}

#[test]
fn the_network_of_the_cluster_is_what_the_installation_says() {
    let mut mesh = Mesh::of(
        "{kind: Service, metadata: {name: s, namespace: a}, spec: {clusterIP: 10.1.0.1, selector: {app: a}}}
---
{kind: Pod, metadata: {name: p, namespace: a, labels: {app: a}}, status: {podIP: 10.0.0.1}}
---
{kind: Namespace, metadata: {name: a, labels: {topology.istio.io/network: other}}}",
    );
    let networks = |mesh: &Mesh| {
        let service = mesh.service("a/s.a.svc.cluster.local").unwrap();
        (service.vips[0].network.to_string(), mesh.pod("a", "p").unwrap().network.to_string())
    };
    assert_eq!(networks(&mesh), (String::new(), String::new()));
    mesh.put("{kind: Namespace, metadata: {name: root, labels: {topology.istio.io/network: west}}}");
    assert_eq!(networks(&mesh), ("west".into(), "west".into()));
}

#[test]
fn each_port_is_there_once_and_knows_its_target_if_that_is_the_same_everywhere() {
    let ports = |selector: &str, ports: &str| {
        ports_of(&service(&format!("{{selector: {{{selector}}}, ports: [{ports}]}}")).unwrap().ports)
    };
    assert_eq!(
        ports("app: a", "{port: 80, targetPort: 8080}, {port: 81, targetPort: http}"),
        "[80>8080 81>0]"
    );
    assert_eq!(ports("app: a", "{port: 80}, {port: 81, targetPort: '8081'}"), "[80>80 81>8081]");
    assert_eq!(ports("app: a", "{port: 53, protocol: UDP, targetPort: 1}"), "[53>1]");
    let twins = ["{port: 53, protocol: UDP, targetPort: 1}", "{port: 53, protocol: TCP, targetPort: 2}"];
    assert_eq!(ports("app: a", &twins.join(",")), "[53>2]");
    assert_eq!(ports("app: a", &[twins[1], twins[0]].join(",")), "[53>2]");
    // Whoever writes slices by hand says the targets there.
    assert_eq!(ports("", "{port: 80, targetPort: 8080}, {port: 81, targetPort: http}"), "[80>0 81>0]");
}

#[test]
fn families_are_those_of_the_service() {
    let families = |list: &str| service(&format!("{{ipFamilies: {list}}}")).unwrap().ip_families;
    assert_eq!(families("[IPv4]"), IpFamilies::V4Only);
    assert_eq!(families("[IPv6]"), IpFamilies::V6Only);
    assert_eq!(families("[IPv6, IPv4]"), IpFamilies::Dual);
    assert_eq!(families("null"), IpFamilies::Automatic);
}

#[test]
fn who_is_nearest_is_said_in_the_service_then_by_annotation_then_by_the_namespace() {
    use Preference::{Network, Node, Region, Subzone, Zone};
    let any = (vec![], BalanceMode::Standard);
    let zone = (vec![Network, Region, Zone], BalanceMode::Failover);
    let node = (vec![Network, Region, Zone, Subzone, Node], BalanceMode::Failover);
    let local = (vec![Node], BalanceMode::Strict);
    for (of_namespace, own, spec, expected) in [
        (None, None, "{}", &any),
        (None, None, "{trafficDistribution: PreferClose}", &zone),
        (None, Some("PreferSameNode"), "{trafficDistribution: PreferSameZone}", &zone),
        (Some("PreferClose"), Some("prefersamenode"), "{}", &node),
        (Some("PreferClose"), None, "{}", &zone),
        (Some("PreferClose"), Some("whatever"), "{}", &any),
        (
            Some("PreferClose"),
            None,
            "{internalTrafficPolicy: Local, trafficDistribution: PreferClose}",
            &local,
        ),
    ] {
        for (publish, health) in [(false, HealthPolicy::OnlyHealthy), (true, HealthPolicy::AllowAll)] {
            let spec = spec.replacen('{', &format!("{{publishNotReadyAddresses: {publish}, "), 1);
            let found = chosen(of_namespace, own, &spec).unwrap().load_balancer;
            let (preferences, mode) = expected;
            assert_eq!(
                (&found.preferences, &found.mode, found.health_policy),
                (preferences, mode, health),
                "{spec}"
            );
        }
    }
}

#[test]
fn a_namespace_that_changes_its_mind_is_heard_by_its_services() {
    let mut mesh = Mesh::of("{kind: Service, metadata: {name: s, namespace: a}, spec: {}}");
    let mode = |mesh: &Mesh| mesh.service("a/s.a.svc.cluster.local").unwrap().load_balancer.mode;
    assert_eq!(mode(&mesh), BalanceMode::Standard);
    let annotated = "{kind: Namespace, metadata: {name: a, annotations: {networking.istio.io/traffic-distribution: PreferClose}}}";
    mesh.put(annotated);
    assert_eq!(mode(&mesh), BalanceMode::Failover);
    mesh.remove(Kind::Namespace, "", "a");
    assert_eq!(mode(&mesh), BalanceMode::Standard);
}

#[test]
fn whoever_writes_the_automatic_address_of_an_older_entry_has_it_when_that_one_is_gone() {
    let mut mesh = Mesh::of(
        "{kind: ServiceEntry, metadata: {name: api, namespace: shop, creationTimestamp: 2026-01-01T00:00:00Z}, spec: {hosts: [api.test], resolution: DNS}, status: {addresses: [{value: 240.240.1.1, host: api.test}]}}
---
{kind: ServiceEntry, metadata: {name: api, namespace: aaa, creationTimestamp: 2026-01-02T00:00:00Z}, spec: {hosts: [other.test], addresses: [240.240.1.1], resolution: DNS}}",
    );
    let vips = |mesh: &Mesh, key: &str| mesh.service(key).unwrap().vips.len();
    assert_eq!((vips(&mesh, "shop/api.test"), vips(&mesh, "aaa/other.test")), (1, 0));
    assert_eq!(mesh.cluster.allotments(), crate::entry::Wanted::default(), "what was given stays");
    let key = super::key(Kind::ServiceEntry, "aaa", "api");
    let (_, said) = &mesh.said[&key];
    assert!(said[0].message.contains("spec.addresses: `240.240.1.1` is the address of an older"), "{said:?}");
    mesh.remove(Kind::ServiceEntry, "shop", "api");
    assert_eq!(vips(&mesh, "aaa/other.test"), 1);
    assert_eq!(mesh.said[&key].1, []);
}
