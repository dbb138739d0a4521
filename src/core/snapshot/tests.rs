use super::*;
use crate::mesh_file;

fn snapshot(text: &str) -> Snapshot {
    Snapshot::new(mesh_file::parse(text).unwrap(), "")
}

/// Asserts which uid (or none, written `-`) `found` has.
#[track_caller]
fn check(found: Option<&Arc<Workload>>, expected: &str) {
    assert_eq!(found.map_or("-", |workload| &*workload.uid), expected);
}

/// Asserts which key (or none, written `-`) `found` has.
#[track_caller]
fn check_service(found: Option<&Arc<Service>>, expected: &str) {
    let found = found.map_or_else(|| "-".into(), |service| service.key());
    assert_eq!(&*found, expected);
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn nothing_is_found_in_an_empty_snapshot() {
    let empty = Snapshot::empty();
    check(empty.workload_by_address("", ip("10.0.0.1")), "-");
    check(empty.local_workload("a", "b", "c"), "-");
    check_service(empty.service_by_vip("", ip("10.0.0.1"), "a"), "-");
    check_service(empty.service_by_hostname("h", "a"), "-");
    assert_eq!((empty.workloads().len(), empty.services().len(), empty.policies().len()), (0, 0, 0));
    assert_eq!(empty.local_network(), "");
}

#[test]
fn a_workload_is_found_by_its_address_in_its_network() {
    let snapshot = snapshot(
        "workloads:
        - {uid: here, namespace: n, workloadIps: [10.0.0.1, 'fd00::1']}
        - {uid: west, namespace: n, workloadIps: [10.0.0.1], network: west}
        - {uid: host, namespace: n, workloadIps: [10.0.0.2], networkMode: HostNetwork}",
    );
    check(snapshot.workload_by_address("", ip("10.0.0.1")), "here");
    check(snapshot.workload_by_address("", ip("::ffff:10.0.0.1")), "here");
    check(snapshot.workload_by_address("", ip("fd00::1")), "here");
    check(snapshot.workload_by_address("west", ip("10.0.0.1")), "west");
    check(snapshot.workload_by_address("west", ip("fd00::1")), "-");
    check(snapshot.workload_by_address("", ip("10.0.0.2")), "-");
    check(snapshot.workload("host"), "host");
}

#[test]
fn of_workloads_with_one_address_the_pod_in_the_mesh_is_meant() {
    let all = [
        "{uid: entry, namespace: n, workloadIps: [10.0.0.1]}",
        "{uid: entry-hbone, namespace: n, workloadIps: [10.0.0.1], protocol: HBONE}",
        "{uid: c//Pod/n/tcp, namespace: n, workloadIps: [10.0.0.1]}",
        "{uid: c//Pod/n/hbone, namespace: n, workloadIps: [10.0.0.1], protocol: HBONE}",
    ];
    let uids = ["entry", "entry-hbone", "c//Pod/n/tcp", "c//Pod/n/hbone"];
    for count in 1..=all.len() {
        for rotation in 0..count {
            let mut some = all[..count].to_vec();
            some.rotate_left(rotation);
            let snapshot = snapshot(&format!("workloads: [{}]", some.join(", ")));
            check(snapshot.workload_by_address("", ip("10.0.0.1")), uids[count - 1]);
        }
    }
}

#[test]
fn a_local_workload_is_found_by_all_three_names() {
    let snapshot = snapshot(
        "workloads:
        - {uid: one, name: web, namespace: n, serviceAccount: a, workloadIps: []}
        - {uid: two, name: web, namespace: n, serviceAccount: b, workloadIps: []}
        - {uid: three, name: web, namespace: m, serviceAccount: a, workloadIps: []}
        - {uid: four, name: db, namespace: n, serviceAccount: a, workloadIps: []}",
    );
    for (namespace, name, account, expected) in [
        ("n", "web", "a", "one"),
        ("n", "web", "b", "two"),
        ("m", "web", "a", "three"),
        ("n", "db", "a", "four"),
        ("m", "db", "a", "-"),
        ("n", "web", "default", "-"),
    ] {
        check(snapshot.local_workload(namespace, name, account), expected);
    }
}

fn service(namespace: &str, host: &str, more: &str) -> String {
    let fixed = if more.contains("vips:") { "" } else { "vips: [/10.1.0.1], " };
    format!("{{name: {host}, namespace: {namespace}, hostname: {host}, ports: {{}}, {fixed}{more}}}")
}

fn services(services: &[String]) -> Snapshot {
    snapshot(&format!("services: [{}]", services.join(", ")))
}

#[test]
fn of_services_with_one_address_the_own_namespace_then_the_canonical_one_is_meant() {
    let [a, b] = ["a", "b"].map(|namespace| service(namespace, "h", ""));
    let canonical = service("c", "h", "canonical: true");
    let hidden = service("d", "h", "canonical: true, visibility: Namespace");
    for (shared, expected) in [
        (vec![&a, &b], [("a", "a/h"), ("b", "b/h"), ("c", "a/h")]),
        (vec![&b, &a], [("a", "a/h"), ("b", "b/h"), ("c", "a/h")]),
        (vec![&a, &canonical], [("a", "a/h"), ("b", "c/h"), ("c", "c/h")]),
        (vec![&hidden, &a, &b], [("d", "d/h"), ("b", "b/h"), ("x", "a/h")]),
        (vec![&hidden], [("d", "d/h"), ("a", "-"), ("", "-")]),
    ] {
        let snapshot = services(&shared.into_iter().cloned().collect::<Vec<_>>());
        for (client, expected) in expected {
            check_service(snapshot.service_by_vip("", ip("10.1.0.1"), client), expected);
            check_service(snapshot.service_by_hostname("h", client), expected);
        }
    }
}

#[test]
fn two_services_of_a_namespace_may_share_an_address() {
    let both = services(&[service("a", "one", ""), service("a", "two", "")]);
    check_service(both.service_by_vip("", ip("10.1.0.1"), "a"), "a/one");
    check_service(both.service_by_hostname("two", "a"), "a/two");
    let left = services(&[service("a", "two", "")]);
    check_service(left.service_by_vip("", ip("10.1.0.1"), "a"), "a/two");
}

#[test]
fn blocks_of_addresses_stand_for_services() {
    let block = |namespace: &str, host: &str, blocks: &str, more: &str| {
        service(namespace, host, &format!("vips: [], cidrVips: [{blocks}], {more}"))
    };
    let snapshot = services(&[
        block("a", "wide", "{cidr: 10.0.0.0/8}, {cidr: 'fd00::/16'}", ""),
        block("a", "narrow", "{cidr: 10.2.0.0/16}, {cidr: 'fd00:1::/32'}", ""),
        block("b", "own", "{cidr: 10.2.0.0/12}", ""),
        block("c", "canonical", "{cidr: 10.2.0.0/16}", "canonical: true"),
        block("d", "hidden", "{cidr: 10.2.2.0/24}", "visibility: Namespace"),
        block("a", "west", "{network: west, cidr: 10.2.2.0/24}", ""),
        block("a", "single", "{cidr: 10.2.2.2/32}", ""),
        service("e", "secret", "vips: [/10.3.0.1], visibility: Namespace"),
    ]);
    for (address, client, expected) in [
        ("10.99.0.1", "x", "a/wide"),
        ("11.0.0.1", "x", "-"),
        ("10.2.0.1", "x", "c/canonical"),
        ("10.2.0.1", "a", "a/narrow"),
        ("10.2.0.1", "b", "b/own"),
        ("10.2.2.1", "d", "d/hidden"),
        ("10.2.2.1", "x", "c/canonical"),
        ("10.2.2.2", "d", "a/single"),
        ("fd00::1", "x", "a/wide"),
        ("fd00:1::1", "x", "a/narrow"),
        ("fe00::1", "x", "-"),
        ("::ffff:10.99.0.1", "x", "a/wide"),
        ("10.3.0.1", "e", "e/secret"),
        ("10.3.0.1", "x", "b/own"),
    ] {
        check_service(snapshot.service_by_vip("", ip(address), client), expected);
    }
    check_service(snapshot.service_by_vip("west", ip("10.2.2.1"), "x"), "a/west");
    check_service(snapshot.service_by_vip("west", ip("10.9.0.1"), "x"), "-");
}

const ENDPOINTS: &str = "
workloads:
- {uid: healthy, namespace: n, workloadIps: [10.0.0.1], services: {n/h: {80: 8081}}}
- {uid: sick, namespace: n, workloadIps: [10.0.0.2], status: Unhealthy, services: {n/h: {}}}
- {uid: elsewhere, namespace: n, workloadIps: [10.0.0.3], services: {n/other: {}}}
services:
- name: h
  namespace: n
  hostname: h
  vips: [/10.1.0.1]
  ports: {80: 8080}
  endpoints: {healthy: {port: {80: 1}, status: Unhealthy}, elsewhere: {}, unknown: {}}
";

/// Gives the uids behind the only service, sorted.
fn behind(text: &str) -> Vec<String> {
    let snapshot = snapshot(text);
    let backed = snapshot.backed_by_vip("", ip("10.1.0.1"), "n").unwrap();
    let mut uids: Vec<String> = backed.backends().map(|(workload, _)| workload.uid.to_string()).collect();
    uids.sort_unstable();
    uids
}

#[test]
fn endpoints_come_from_both_sides_and_unhealthy_ones_do_not_count() {
    assert_eq!(behind(ENDPOINTS), ["elsewhere", "healthy"]);
    let all = format!("{ENDPOINTS}  loadBalancer: {{healthPolicy: AllowAll}}\n");
    assert_eq!(behind(&all), ["elsewhere", "healthy", "sick"]);
}

#[test]
fn a_workload_knows_its_ports_and_health_better_than_its_service() {
    let snapshot = snapshot(ENDPOINTS);
    let healthy = snapshot.workload("healthy").unwrap();
    assert_eq!(healthy.services.get("n/h").unwrap().target(80), Some(8081));
    assert_eq!(healthy.status, crate::workload::Health::Healthy);
}

#[test]
fn of_two_entries_with_one_key_the_later_counts() {
    let mut mesh = mesh_file::parse(ENDPOINTS).unwrap();
    let moved = Workload { addresses: [ip("10.0.0.9")].into_iter().collect(), ..mesh.workloads[0].clone() };
    mesh.workloads.push(moved.with(|it| it.services = crate::workload::Memberships::default()));
    let renamed = Service { name: "renamed".into(), ..mesh.services[0].clone() };
    mesh.services.push(renamed);
    let snapshot = Snapshot::new(mesh, "net");
    check(snapshot.workload_by_address("", ip("10.0.0.1")), "-");
    check(snapshot.workload_by_address("", ip("10.0.0.9")), "healthy");
    assert_eq!(&*snapshot.service_by_vip("", ip("10.1.0.1"), "n").unwrap().name, "renamed");
    assert_eq!((snapshot.workloads().len(), snapshot.services().len()), (3, 1));
    assert_eq!(snapshot.local_network(), "net");
}

#[test]
fn policies_are_found_by_scope_and_reference() {
    let snapshot = snapshot(
        "workloads: [{uid: w, namespace: n, workloadIps: [], authorizationPolicies: [n/attached, n/gone]}]
policies:
- {name: attached, namespace: n, scope: WorkloadSelector, action: Deny, rules: []}
- {name: detached, namespace: n, scope: WorkloadSelector, action: Deny, rules: []}
- {name: here, namespace: n, scope: Namespace, action: Deny, rules: []}
- {name: there, namespace: m, scope: Namespace, action: Deny, rules: []}
- {name: global, namespace: m, scope: Global, action: Deny, rules: []}",
    );
    let workload = snapshot.workload("w").unwrap();
    let set = snapshot.policies_for(workload);
    let mut found: Vec<&str> = set.iter().map(|policy| &*policy.key).collect();
    found.sort_unstable();
    assert_eq!(found, ["m/global", "n/attached", "n/here"]);
    assert_eq!(set.unknown().map(|key| &**key).collect::<Vec<_>>(), ["n/gone"]);
    assert_eq!(snapshot.policies().len(), 5);
}
