use super::*;

const PODS: [&str; 7] = [
    "{uid: c//Pod/ns1/db-0, name: db-0, namespace: ns1, network: nw1, workloadIps: [10.0.1.1, 'fd00::1'],
      services: {ns1/db.ns1.svc.cluster.local: {}, ns1/all.ns1.svc.cluster.local: {}, ns1/v6.ns1.svc.cluster.local: {},
                 ns1/db.ns1.svc.cluster.remote: {}}}",
    "{uid: c//Pod/ns1/db-1, name: db-1, namespace: ns1, network: nw1, workloadIps: ['fd00::2', 10.0.1.2, 10.0.1.3], capacity: 7,
      services: {ns1/db.ns1.svc.cluster.local: {5432: 5433, 53: 53}, ns1/all.ns1.svc.cluster.local: {}}}",
    "{uid: c//Pod/ns1/sick, name: sick, namespace: ns1, network: nw1, workloadIps: [10.0.1.4], status: Unhealthy,
      services: {ns1/db.ns1.svc.cluster.local: {}, ns1/all.ns1.svc.cluster.local: {}}}",
    "{uid: c//Pod/ns1/away, name: away, namespace: ns1, network: nw2, workloadIps: [10.0.1.5],
      services: {ns1/db.ns1.svc.cluster.local: {}, ns1/all.ns1.svc.cluster.local: {}}}",
    "{uid: named, name: named, namespace: ns1, network: nw1, workloadIps: [], hostname: db.example.com,
      services: {ns1/db.ns1.svc.cluster.local: {}, ns1/hosts.ns1.svc.cluster.local: {}}}",
    "{uid: c//Pod/ns1/one.host, name: one.host, namespace: ns1, network: nw1, workloadIps: [192.0.2.1], networkMode: HostNetwork,
      services: {ns1/daemon.ns1.svc.cluster.local: {}}}",
    "{uid: c//Pod/ns1/two.host, name: two.host, namespace: ns1, network: nw1, workloadIps: [192.0.2.1], networkMode: HostNetwork,
      services: {ns1/daemon.ns1.svc.cluster.local: {}}}",
];

fn headless() -> Snapshot {
    mesh(
        &PODS,
        &[
            service("ns1", "db.ns1.svc.cluster.local", "", "ports: {5432: 5432, 53: 0}"),
            service("ns1", "all.ns1.svc.cluster.local", "", "loadBalancer: {healthPolicy: AllowAll}"),
            service("ns1", "v6.ns1.svc.cluster.local", "", "ipFamilies: IPv6"),
            service("ns1", "hosts.ns1.svc.cluster.local", "", ""),
            service("ns1", "none.ns1.svc.cluster.local", "", ""),
            service("ns1", "daemon.ns1.svc.cluster.local", "", ""),
            service("ns1", "db.ns1.svc.cluster.remote", "", ""),
            service("ns1", "addressed.ns1.svc.cluster.local", "nw1/10.1.0.1", ""),
        ],
    )
}

#[test]
fn a_headless_service_has_the_addresses_of_the_endpoints_that_can_be_reached() {
    let mesh = headless();
    for name in ["db", "db.ns1", "db.ns1.svc", "db.ns1.svc.cluster.local"] {
        check(&mesh, "ns1", &format!("A {name}"), "10.0.1.1 10.0.1.2 10.0.1.3");
        check(&mesh, "ns1", &format!("AAAA {name}"), "fd00::1 fd00::2");
    }
    check(
        &mesh,
        "ns2",
        "A db.ns1.ns2.svc.cluster.local",
        "db.ns1.svc.cluster.local: 10.0.1.1 10.0.1.2 10.0.1.3",
    );
    check(&mesh, "far", "A db", "10.0.1.5");
}

#[test]
fn the_sick_endpoints_of_a_headless_service_count_if_it_says_so() {
    check(&headless(), "ns1", "A all", "10.0.1.1 10.0.1.2 10.0.1.3 10.0.1.4");
}

#[test]
fn the_families_of_a_headless_service_bind_its_dual_stack_endpoints() {
    let mesh = headless();
    check(&mesh, "ns1", "A v6", "nothing");
    check(&mesh, "ns1", "AAAA v6", "fd00::1");
}

#[test]
fn a_headless_service_without_an_endpoint_to_reach_has_no_address() {
    let mesh = headless();
    for name in ["none", "hosts"] {
        for kind in ["A", "AAAA"] {
            check(&mesh, "ns1", &format!("{kind} {name}"), "nothing");
        }
        check(&mesh, "ns1", &format!("SRV {name}"), "not ours");
    }
    check(&mesh, "far", "A daemon", "nothing");
}

#[test]
fn an_address_that_endpoints_share_is_given_once() {
    check(&headless(), "ns1", "A daemon", "192.0.2.1");
}

#[test]
fn a_headless_service_of_another_cluster_domain_is_known_by_its_full_name() {
    let mesh = headless();
    check(&mesh, "ns1", "A db.ns1.svc.cluster.remote", "10.0.1.1");
    check(&mesh, "ns1", "A db-0.db.ns1.svc.cluster.remote", "10.0.1.1");
}

#[test]
fn a_pod_of_a_headless_service_has_a_name() {
    let mesh = headless();
    for name in ["db-0.db", "db-0.db.ns1", "db-0.db.ns1.svc", "db-0.db.ns1.svc.cluster.local"] {
        check(&mesh, "ns1", &format!("A {name}"), "10.0.1.1");
        check(&mesh, "ns1", &format!("AAAA {name}"), "fd00::1");
    }
    let full = "db-0.db.ns1.svc.cluster.local: 10.0.1.1";
    check(&mesh, "ns2", "A db-0.db.ns1.ns2.svc.cluster.local", full);
    check(&mesh, "ns1", "A db-1.db", "10.0.1.2 10.0.1.3");
    check(&mesh, "ns1", "A db-0.v6", "nothing");
    check(&mesh, "ns1", "AAAA db-0.v6", "fd00::1");
    check(&mesh, "ns1", "SRV db-0.db", "not ours");
}

#[test]
fn pods_that_cannot_be_reached_and_other_names_below_services_are_for_others_to_know() {
    let mesh = headless();
    for name in ["sick.db", "away.db", "named.db", "db-2.db", "db-0.addressed", "x.db-0.db", "db-0.ns1"] {
        check(&mesh, "ns1", &format!("A {name}"), "not ours");
        check(&mesh, "ns1", &format!("A {name}.ns1.svc.cluster.local"), "not ours");
    }
}

#[test]
fn the_places_of_a_headless_service_are_its_pods_and_the_ports_they_listen_on() {
    let mesh = headless();
    let [zero, one] = ["1/5432/db-0.db.ns1.svc.cluster.local", "7/5433/db-1.db.ns1.svc.cluster.local"];
    let all = format!("{zero} {one} 7/53/db-1.db.ns1.svc.cluster.local");
    let sorted = |text: &str| Vec::from_iter(text.split(' ').collect::<BTreeSet<_>>()).join(" ");
    for name in ["db", "db.ns1", "db.ns1.svc.cluster.local"] {
        check(&mesh, "ns1", &format!("SRV {name}"), &sorted(&all));
    }
    let alias = format!("db.ns1.svc.cluster.local: {}", sorted(&all));
    check(&mesh, "ns1", "SRV db.ns1.ns1.svc.cluster.local", &alias);
    check(&mesh, "far", "SRV db", "1/5432/away.db.ns1.svc.cluster.local");
}

#[test]
fn every_place_of_a_service_is_a_name_with_addresses() {
    let mesh = headless();
    for question in ["SRV db", "SRV all", "SRV v6", "SRV db.ns1.svc.cluster.remote"] {
        let Answer::Records(records) = ask(&mesh, "ns1", &settings(), question) else {
            panic!("{question} has places");
        };
        for record in records {
            let Data::Service { target, .. } = record.data else { panic!("{record:?}") };
            let answers =
                ["A", "AAAA"].map(|kind| ask(&mesh, "ns1", &settings(), &format!("{kind} {target}")));
            assert!(
                answers.iter().any(|answer| matches!(answer, Answer::Records(_))),
                "{target}: {answers:?}"
            );
        }
    }
}

/// The mesh does not know the names of ports, and the names of these pods are no labels.
#[test]
fn places_the_mesh_has_no_name_for_are_for_others_to_know() {
    let mesh = headless();
    check(&mesh, "ns1", "SRV _postgres._tcp.db.ns1.svc.cluster.local", "not ours");
    check(&mesh, "ns1", "SRV _5432._tcp.db", "not ours");
    check(&mesh, "ns1", "SRV daemon", "not ours");
    check(&mesh, "ns1", "SRV addressed", "not ours");
}
