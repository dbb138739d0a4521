use std::collections::BTreeSet;
use std::net::IpAddr;

use super::*;
use crate::workload::GatewayAddress;

const MESH: &str = "
workloads:
- {uid: client, namespace: n, serviceAccount: client, workloadIps: [10.0.0.1, 'fd00::1'], protocol: HBONE}
- {uid: db, namespace: n, workloadIps: [], hostname: db.example.com, services: {n/db: {}, n/v4: {}, n/either: {}}}
- {uid: mesh, namespace: n, serviceAccount: m, workloadIps: [], hostname: db.example.com, protocol: HBONE, services: {n/mesh: {}}}
- {uid: both, namespace: n, workloadIps: [10.0.0.9], hostname: db.example.com, services: {n/both: {}}}
- {uid: other, namespace: n, workloadIps: [10.0.0.8], services: {n/either: {}}}
services:
- {name: db, namespace: n, hostname: db, vips: [/10.1.0.1, '/fd01::1'], ports: {5432: 5433}}
- {name: v4, namespace: n, hostname: v4, vips: ['/fd01::2'], ports: {80: 8080}, ipFamilies: IPv4}
- {name: mesh, namespace: n, hostname: mesh, vips: [/10.1.0.3], ports: {80: 8080}}
- {name: both, namespace: n, hostname: both, vips: [/10.1.0.4], ports: {80: 8080}}
- {name: either, namespace: n, hostname: either, vips: [/10.1.0.5], ports: {80: 8080}}
";

/// What is known of db.example.com, and which addresses are bad.
struct Looked<'a>(Option<&'a [IpAddr]>, &'a [(&'a str, Reputation)]);

impl Known for Looked<'_> {
    fn reputation(&self, _: &Workload, address: SocketAddr) -> Reputation {
        let bad = self.1.iter().find(|(bad, _)| *bad == address.ip().to_string());
        bad.map_or(Reputation::Good, |(_, reputation)| *reputation)
    }

    fn addresses(&self, hostname: &str) -> Option<&[IpAddr]> {
        (hostname == "db.example.com").then_some(self.0).flatten()
    }

    fn has_asked_for(&self, _: &GatewayAddress) -> bool {
        true
    }
}

fn addresses() -> [IpAddr; 4] {
    ["192.0.2.1", "2001:db8::1", "192.0.2.2", "2001:db8::2"].map(|ip| ip.parse().unwrap())
}

/// The ways taken, by chance, in short form.
fn ways(destination: &str, known: &dyn Known) -> BTreeSet<String> {
    let mesh = snapshot(MESH);
    let way = |entropy| match routed(&mesh, "client", destination, entropy, known) {
        Ok(route) => short(route),
        Err(refusal) => refusal.reason().to_owned(),
    };
    (0..24).map(way).collect()
}

#[track_caller]
fn check(destination: &str, known: &dyn Known, expected: &[&str]) {
    let ways = ways(destination, known);
    assert!(ways.iter().eq(expected), "{ways:?}");
}

#[test]
fn a_name_is_asked_for_before_it_leads_anywhere() {
    check("10.1.0.1:5432", &Looked(None, &[]), &["hostname_not_resolved"]);
    let refusal = routed(&snapshot(MESH), "client", "10.1.0.1:5432", 0, &Looked(None, &[])).unwrap_err();
    assert_eq!(refusal.missing(), Some(Missing::Addresses("db.example.com".into())));
    check("10.1.0.4:80", &Looked(None, &[]), &["tcp 10.0.0.9:8080 both n/both"]);
}

#[test]
fn its_addresses_of_the_callers_family_share_the_connections() {
    let addresses = addresses();
    let known = Looked(Some(&addresses), &[]);
    check("10.1.0.1:5432", &known, &["tcp 192.0.2.1:5433 db n/db", "tcp 192.0.2.2:5433 db n/db"]);
    check("[fd01::1]:5432", &known, &["tcp [2001:db8::1]:5433 db n/db", "tcp [2001:db8::2]:5433 db n/db"]);
    check("10.1.0.1:5432", &Looked(Some(&addresses[1..2]), &[]), &["tcp [2001:db8::1]:5433 db n/db"]);
    check("[fd01::2]:80", &known, &["tcp 192.0.2.1:8080 db n/v4", "tcp 192.0.2.2:8080 db n/v4"]);
    check("[fd01::2]:80", &Looked(Some(&addresses[1..2]), &[]), &["no_address"]);
}

#[test]
fn a_named_workload_that_speaks_hbone_gets_a_tunnel() {
    let addresses = addresses();
    let expected = "tunnel 192.0.2.1:15008 192.0.2.1:8080 mesh n/mesh";
    check("10.1.0.3:80", &Looked(Some(&addresses[..1]), &[]), &[expected]);
}

#[test]
fn an_address_that_fails_gives_way_to_the_next_also_of_the_other_family() {
    let (addresses, bad) = (addresses(), Reputation::Tried);
    let known = Looked(Some(&addresses), &[("192.0.2.1", bad)]);
    check("10.1.0.1:5432", &known, &["tcp 192.0.2.2:5433 db n/db"]);
    let known = Looked(Some(&addresses), &[("192.0.2.1", bad), ("192.0.2.2", Reputation::SetAside)]);
    check("10.1.0.1:5432", &known, &["tcp [2001:db8::1]:5433 db n/db", "tcp [2001:db8::2]:5433 db n/db"]);
    let all = addresses.map(|ip| (ip.to_string(), bad));
    let all: Vec<_> = all.iter().map(|(ip, bad)| (ip.as_str(), *bad)).collect();
    check("10.1.0.1:5432", &Looked(Some(&addresses), &all), &["no_endpoint"]);
}

#[test]
fn a_name_without_addresses_gives_way_to_other_endpoints() {
    check("10.1.0.5:80", &Looked(None, &[]), &["hostname_not_resolved", "tcp 10.0.0.8:8080 other n/either"]);
    check("10.1.0.5:80", &Looked(Some(&[]), &[]), &["tcp 10.0.0.8:8080 other n/either"]);
    check("10.1.0.1:5432", &Looked(Some(&[]), &[]), &["hostname_not_resolved"]);
}
