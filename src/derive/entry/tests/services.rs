//! Services of `ServiceEntries`.

use std::collections::BTreeSet;

use culvert_core::service::{BalanceMode, HealthPolicy, Preference, Service};

use crate::load_balancing::Distribution;
use crate::waypoint::Resolution;

use super::*;

fn service_of(entry: &ServiceEntry, host: &str, namespace_annotations: Pairs<'_>) -> Option<Service> {
    let distribution = Distribution::of(&namespace_annotations.iter().copied().collect());
    let (network, waypoints) = ("west".into(), Resolution::default());
    let taken = BTreeSet::from(["240.240.7.7".parse().unwrap()]);
    let front = Front { network: &network, waypoints: &waypoints, distribution, taken: &taken };
    entry.service(&host.into(), true, &front)
}

fn addresses(service: &Service) -> Vec<String> {
    let vips = service.vips.iter().map(ToString::to_string);
    vips.chain(service.cidr_vips.iter().map(ToString::to_string)).collect()
}

#[test]
fn a_host_is_a_service_with_its_addresses_ports_and_names() {
    let found = entry(&json!({
        "hosts": ["api.example.com", "www.example.com"], "addresses": ["10.0.0.1", "192.0.2.9/24"],
        "ports": [{"number": 80, "name": "http"}, {"number": 443, "targetPort": 8443}],
        "resolution": "STATIC", "subjectAltNames": ["spiffe://td/ns/a/sa/b"], "exportTo": ["."],
    }));
    for host in ["api.example.com", "www.example.com"] {
        let service = service_of(&found, host, &[]).unwrap();
        assert_eq!(&*service.key(), format!("shop/{host}"));
        assert_eq!(*service.key(), *found.key_of(host));
        assert_eq!(&*service.name, "api");
        assert_eq!(addresses(&service), ["west/10.0.0.1", "west/192.0.2.0/24"]);
        assert_eq!(service.ports.iter().collect::<Vec<_>>(), [(80, 80), (443, 8443)]);
        assert_eq!(service.subject_alt_names, ["spiffe://td/ns/a/sa/b".into()]);
        assert!(service.canonical && !service.visible_to("other"));
    }
    let hidden = entry(&json!({"hosts": ["a.b"], "exportTo": ["~"]}));
    assert_eq!(service_of(&hidden, "a.b", &[]), None);
}

#[test]
fn a_service_is_behind_the_waypoints_found_for_it() {
    use culvert_core::service::WeightedWaypoint;
    use culvert_core::workload::{GatewayAddress, GatewayDestination};
    let destination = GatewayDestination::Address("west/10.0.0.9".parse().unwrap());
    let waypoint = GatewayAddress { destination, port: 15008 };
    let weighted = vec![WeightedWaypoint { destination: waypoint.clone(), weight: 7 }];
    let waypoints = Resolution { waypoint: Some(waypoint), weighted, ..Resolution::default() };
    let network = "".into();
    let front =
        Front { network: &network, waypoints: &waypoints, distribution: None, taken: &BTreeSet::new() };
    let service = entry(&json!({"hosts": ["a.b"]})).service(&"a.b".into(), false, &front).unwrap();
    assert_eq!((service.waypoint, service.weighted_waypoints), (waypoints.waypoint, waypoints.weighted));
    assert!(!service.canonical);
}

#[test]
fn connections_go_where_they_were_sent_without_a_resolution_and_else_to_the_nearest() {
    const KEY: &str = "networking.istio.io/traffic-distribution";
    use Preference::{Network, Node, Region, Subzone, Zone};
    let zone = vec![Network, Region, Zone];
    let node = vec![Network, Region, Zone, Subzone, Node];
    for (resolution, own, namespace, mode, preferences) in [
        ("NONE", &[][..], &[][..], BalanceMode::Passthrough, vec![]),
        ("NONE", &[(KEY, "PreferClose")], &[], BalanceMode::Passthrough, vec![]),
        ("STATIC", &[], &[], BalanceMode::Standard, vec![]),
        ("STATIC", &[(KEY, "PreferClose")], &[(KEY, "PreferSameNode")], BalanceMode::Failover, zone),
        ("DNS", &[], &[(KEY, "PreferSameNode")], BalanceMode::Failover, node),
    ] {
        let object = json!({"spec": {"hosts": ["a.b"], "resolution": resolution}});
        let entry = ServiceEntry::read(meta("api", &[], own), &object);
        let balancer = service_of(&entry, "a.b", namespace).unwrap().load_balancer;
        let passes = mode == BalanceMode::Passthrough;
        let health = if passes { HealthPolicy::AllowAll } else { HealthPolicy::OnlyHealthy };
        assert_eq!(
            (balancer.mode, balancer.preferences, balancer.health_policy),
            (mode, preferences, health),
            "{resolution} {own:?} {namespace:?}"
        );
    }
}

#[test]
fn an_allocated_address_counts_where_none_is_written_and_one_is_of_use() {
    let status = json!({"addresses": [
        {"value": "240.240.0.1", "host": "A.example"}, {"value": "2001:2::1", "host": "a.example"},
        {"value": "240.240.0.2", "host": "*.example"}, {"value": "nonsense", "host": "a.example"},
    ]});
    let unnamed = json!({"addresses": [{"value": "240.240.0.9"}]});
    let both = ["west/240.240.0.1", "west/2001:2::1"];
    for (host, resolution, written, label, status, expected) in [
        ("a.example", "DNS", json!([]), "", &status, &both[..]),
        ("a.example", "STATIC", json!([]), "true", &status, &both[..]),
        ("a.example", "DYNAMIC_DNS", json!([]), "", &status, &both[..]),
        ("a.example", "NONE", json!([]), "", &status, &[]),
        ("a.example", "DNS", json!([]), "false", &status, &[]),
        ("a.example", "DNS", json!(["10.0.0.1"]), "", &status, &["west/10.0.0.1"]),
        ("a.example", "DNS", json!(["240.240.7.7", "10.0.0.1"]), "", &status, &["west/10.0.0.1"]),
        ("a.example", "DNS", json!(["240.240.7.7"]), "", &status, &[]),
        ("*.example", "STATIC", json!([]), "", &status, &[]),
        ("*.example", "DYNAMIC_DNS", json!([]), "", &status, &["west/240.240.0.2"]),
        ("b.example", "DNS", json!([]), "", &status, &[]),
        ("b.example", "DNS", json!([]), "", &unnamed, &["west/240.240.0.9"]),
    ] {
        let labels = [("networking.istio.io/enable-autoallocate-ip", label)];
        let spec = json!({"hosts": ["a.example", "b.example", "*.example"], "resolution": resolution, "addresses": written});
        let entry = ServiceEntry::read(meta("api", &labels, &[]), &json!({"spec": spec, "status": status}));
        let service = service_of(&entry, host, &[]).unwrap();
        assert_eq!(addresses(&service), expected, "{host} {resolution} {label} {written}");
    }
}
