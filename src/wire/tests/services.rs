//! Services one field at a time.

use culvert_core::service::{BalanceMode, IpFamilies, Preference, Visibility};

use super::*;

fn message(change: impl FnOnce(&mut proto::Service)) -> proto::Service {
    let mut message =
        proto::Service { namespace: "ns".into(), hostname: "host".into(), ..Default::default() };
    change(&mut message);
    message
}

fn check(change: impl FnOnce(&mut proto::Service), expected: &str) {
    assert_eq!(as_service(message(change)).map(drop), Err(expected.into()));
}

fn taken(change: impl FnOnce(&mut proto::Service)) -> Service {
    as_service(message(change)).unwrap()
}

fn balancer(routing_preference: &[i32], mode: i32, health_policy: i32) -> Option<proto::LoadBalancing> {
    Some(proto::LoadBalancing { routing_preference: routing_preference.to_vec(), mode, health_policy })
}

#[test]
fn what_is_refused() {
    let missing = "missing, or of a kind not known here";
    check(|s| s.waypoint = Some(Default::default()), &format!("waypoint.destination: {missing}"));
    check(
        |s| s.weighted_waypoints = vec![proto::WeightedWaypoint { destination: None, weight: 3 }],
        &format!("weighted_waypoints[0].destination: {missing}"),
    );
    check(
        |s| {
            let destination = Some(proto::GatewayAddress::default());
            s.weighted_waypoints = vec![proto::WeightedWaypoint { destination, weight: 3 }];
        },
        &format!("weighted_waypoints[0].destination.destination: {missing}"),
    );
    check(|s| s.ip_families = 4, "ip_families: the value 4 is not known here");
    check(|s| s.load_balancing = balancer(&[], 4, 0), "load_balancing.mode: the value 4 is not known here");
    check(
        |s| s.load_balancing = balancer(&[], 0, 2),
        "load_balancing.health_policy: the value 2 is not known here",
    );
    for (scope, expected) in [(0, "0"), (7, "7")] {
        check(
            |s| s.load_balancing = balancer(&[1, scope], 0, 0),
            &format!("load_balancing.routing_preference[1]: the value {expected} is not known here"),
        );
    }
    check(
        |s| s.ports = vec![a_port(65616, 0)],
        "ports[0].service_port: 65616 is not a port; ports end at 65535",
    );
    check(
        |s| s.ports = vec![a_port(80, u32::MAX)],
        "ports[0].target_port: 4294967295 is not a port; ports end at 65535",
    );
}

#[test]
fn virtual_addresses_are_checked() {
    for (length, text) in [(33, "33"), (256, "256"), (u32::MAX, "4294967295")] {
        check(
            |s| s.addresses = vec![network_address(None), network_address(Some(length))],
            &format!("addresses[1].address: a prefix of {text} bits is longer than the address of 32 bits"),
        );
    }
    check(
        |s| {
            s.addresses =
                vec![proto::NetworkAddress { address: vec![0; 16], length: Some(129), ..Default::default() }]
        },
        "addresses[0].address: a prefix of 129 bits is longer than the address of 128 bits",
    );
    check(
        |s| s.addresses = vec![proto::NetworkAddress::default()],
        "addresses[0].address: an address has 4 or 16 bytes, not 0",
    );
}

#[test]
fn a_full_prefix_is_an_address_and_a_shorter_one_a_block() {
    let lengths = [None, Some(32), Some(31), Some(16), Some(0)];
    let service = taken(|s| s.addresses = lengths.map(network_address).to_vec());
    let texts = |list: Vec<String>| list.join(" ");
    assert_eq!(texts(service.vips.iter().map(ToString::to_string).collect()), "west/10.9.8.7 west/10.9.8.7");
    assert_eq!(
        texts(service.cidr_vips.iter().map(ToString::to_string).collect()),
        "west/10.9.8.6/31 west/10.9.0.0/16 west/0.0.0.0/0"
    );
}

#[test]
fn mapped_blocks_become_plain() {
    let mapped = |length| proto::NetworkAddress {
        network: String::new(),
        address: vec![0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 10, 9, 8, 7],
        length: Some(length),
    };
    let service = taken(|s| s.addresses = [128, 112, 96, 80].map(mapped).to_vec());
    assert_eq!(service_aliases(&service), ["/10.9.8.7", "/10.9.0.0/16", "/0.0.0.0/0", "/::/80"]);
}

#[test]
fn what_is_absent_has_a_default() {
    let service = taken(|_| ());
    let expected = Service { namespace: "ns".into(), hostname: "host".into(), ..Service::default() };
    assert_eq!(service, expected);
    assert_eq!(taken(|s| s.load_balancing = balancer(&[], 0, 0)), expected);
}

#[test]
fn numbers_are_what_they_stand_for() {
    let all = taken(|s| s.load_balancing = balancer(&[1, 2, 3, 4, 5, 6], 2, 1)).load_balancer;
    use Preference::{Cluster, Network, Node, Region, Subzone, Zone};
    assert_eq!(all.preferences, [Region, Zone, Subzone, Node, Cluster, Network]);
    for (number, expected) in [
        (0, BalanceMode::Standard),
        (1, BalanceMode::Strict),
        (2, BalanceMode::Failover),
        (3, BalanceMode::Passthrough),
    ] {
        assert_eq!(taken(|s| s.load_balancing = balancer(&[], number, 0)).load_balancer.mode, expected);
    }
    for (number, expected) in
        [(0, IpFamilies::Automatic), (1, IpFamilies::V4Only), (2, IpFamilies::V6Only), (3, IpFamilies::Dual)]
    {
        assert_eq!(taken(|s| s.ip_families = number).ip_families, expected);
    }
}

#[test]
fn a_visibility_nobody_knows_hides() {
    for (number, expected) in [
        (0, Visibility::Public),
        (1, Visibility::Namespace),
        (2, Visibility::Namespace),
        (-1, Visibility::Namespace),
    ] {
        assert_eq!(taken(|s| s.visibility = number).visibility, expected, "{number}");
    }
}

#[test]
fn of_two_ports_the_last_counts() {
    let service = taken(|s| s.ports = vec![a_port(80, 8080), a_port(443, 0), a_port(80, 8081)]);
    assert_eq!(service.ports.iter().collect::<Vec<_>>(), [(80, 8081), (443, 0)]);
}
