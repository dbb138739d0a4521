//! What a choice costs, counted in endpoints looked at and kept.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::net::SocketAddr;

use super::*;
use crate::route::Newcomer;
use crate::route::Reputation;
use crate::route::balance::choose;
use crate::route::tests::call;
use crate::service::{BalanceMode, LoadBalancer, Preference};
use crate::store::{Locality, Resource, Store};
use crate::workload::{Name, Place, PortMap};

const TO: &str = "10.1.0.1:80";

fn at(node: &str, uid: &str) -> Workload {
    let place = Place { node: node.into(), ..Place::default() };
    let named = Name::of(uid, uid);
    Workload { uid: uid.into(), named, place: place.into(), ..Workload::default() }
}

fn endpoint(number: usize) -> Workload {
    let workload = at(["a", "b"][number % 2], &number.to_string());
    let addresses = [std::net::Ipv4Addr::from_bits(0x0a00_0000 + u32::try_from(number).unwrap()).into()];
    Workload { addresses: addresses.into_iter().collect(), ..workload }
        .with(|it| it.services = [("n/s".into(), PortMap::default())].into_iter().collect())
}

/// A mesh of one service with so many endpoints, half of them on each of two nodes.
fn store(endpoints: usize, mode: BalanceMode) -> Store {
    let mut store = Store::new(Locality::default());
    let service = Service {
        namespace: "n".into(),
        hostname: "s".into(),
        ports: [(80, 8080)].into_iter().collect(),
        load_balancer: LoadBalancer { preferences: vec![Preference::Node], mode, ..LoadBalancer::default() },
        ..Service::default()
    };
    store.insert(Resource::Service(service));
    (0..endpoints).for_each(|number| store.insert(Resource::Workload(endpoint(number))));
    store
}

fn destination() -> SocketAddr {
    TO.parse().unwrap()
}

fn connect(snapshot: &Snapshot, client: &Workload, entropy: u64) -> Arc<Workload> {
    let backed = snapshot.backed("n/s").unwrap();
    choose(&call(snapshot, client, destination(), entropy, &Newcomer), backed, destination())
        .unwrap()
        .0
        .clone()
}

/// Counts the endpoints that are looked at for one connection.
fn looked_at(snapshot: &Snapshot, entropy: u64, bad: impl Fn(&Workload) -> bool) -> u32 {
    let backed = snapshot.backed("n/s").unwrap();
    let count = Cell::new(0);
    let reputation = |it: &Workload, _: SocketAddr| {
        count.set(count.get() + 1);
        if bad(it) { Reputation::SetAside } else { Reputation::Good }
    };
    let client = at("a", "client");
    choose(&call(snapshot, &client, destination(), entropy, &reputation), backed, destination()).unwrap();
    count.get()
}

#[test]
fn one_endpoint_is_looked_at_however_many_there_are() {
    for mode in [BalanceMode::Standard, BalanceMode::Strict, BalanceMode::Failover] {
        for endpoints in [10, 10_000] {
            let snapshot = store(endpoints, mode).snapshot();
            assert!((0..100).all(|entropy| looked_at(&snapshot, entropy, |_| false) == 1));
        }
    }
}

#[test]
fn bad_endpoints_cost_a_look_each() {
    let snapshot = store(10_000, BalanceMode::Standard).snapshot();
    let every = |nth: usize| move |it: &Workload| it.uid.parse::<usize>().unwrap().is_multiple_of(nth);
    let total = |bad: &dyn Fn(&Workload) -> bool| {
        (0..1000).map(|entropy| looked_at(&snapshot, entropy, bad)).sum::<u32>()
    };
    assert!((1050..1200).contains(&total(&every(10))), "{}", total(&every(10)));
}

/// How many lineups an endpoint is in: each, and nothing else here, holds it once more.
fn lineups(snapshot: &Snapshot, before: usize) -> usize {
    Arc::strong_count(snapshot.workload("0").unwrap()) - before
}

#[test]
fn all_clients_of_a_node_share_one_lineup() {
    for (mode, two_nodes) in [(BalanceMode::Standard, 1), (BalanceMode::Failover, 2)] {
        let snapshot = store(10, mode).snapshot();
        let before = Arc::strong_count(snapshot.workload("0").unwrap());
        for number in 0..100 {
            let client =
                at("a", &format!("client {number}")).with(|it| it.namespace = number.to_string().into());
            connect(&snapshot, &client, number);
        }
        assert_eq!(lineups(&snapshot, before), 1);
        connect(&snapshot, &at("b", "client"), 0);
        assert_eq!(lineups(&snapshot, before), two_nodes, "{mode:?}");
    }
}

#[test]
fn no_more_than_a_few_lineups_are_kept() {
    let snapshot = store(10, BalanceMode::Failover).snapshot();
    let before = Arc::strong_count(snapshot.workload("0").unwrap());
    let taken: BTreeSet<_> = (0..100)
        .map(|number| connect(&snapshot, &at(&format!("node {number}"), "client"), number).uid.clone())
        .collect();
    assert_eq!((taken.len(), lineups(&snapshot, before)), (10, 8));
}

#[test]
fn a_lineup_goes_with_the_endpoints_it_was_made_of() {
    let mut store = store(10, BalanceMode::Standard);
    let snapshot = store.snapshot();
    let before = Arc::strong_count(snapshot.workload("0").unwrap());
    connect(&snapshot, &at("a", "client"), 0);
    store.insert(Resource::Workload(endpoint(10)));
    drop(snapshot);
    let snapshot = store.snapshot();
    assert_eq!(lineups(&snapshot, before), 0);
    let taken: BTreeSet<_> =
        (0..11).map(|entropy| connect(&snapshot, &at("a", "client"), entropy).uid.clone()).collect();
    assert_eq!(taken.len(), 11);
    // Without a snapshot the endpoints are changed where they are.
    drop(snapshot);
    store.remove_address("10");
    let snapshot = store.snapshot();
    let taken: BTreeSet<_> =
        (0..11).map(|entropy| connect(&snapshot, &at("a", "client"), entropy).uid.clone()).collect();
    assert_eq!(taken.len(), 10);
}
