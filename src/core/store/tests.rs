//! What the store must get right where others do not, and a naive model beside it under random changes.

use super::*;
use crate::service::HealthPolicy;
use crate::workload::{Health, Name};

mod model;

const HERE: &str = "here";

fn store() -> Store {
    Store::new(Locality { network: "".into(), node: Some(HERE.into()) })
}

fn workload(uid: &str, services: &[&str]) -> Workload {
    let ports = |key: &&str| (Arc::from(*key), [(80, 8080)].into_iter().collect());
    let named = Workload { uid: uid.into(), named: Name::of(uid, uid), ..Workload::default() };
    named.with(|it| {
        it.namespace = "n".into();
        it.service_account = "sa".into();
        it.services = services.iter().map(ports).collect();
    })
}

fn on(node: &str) -> Arc<crate::workload::Place> {
    crate::workload::Place { node: node.into(), ..Default::default() }.into()
}

fn at(workload: Workload, address: &str) -> Workload {
    Workload { addresses: [address.parse().unwrap()].into_iter().collect(), ..workload }
}

fn service(hostname: &str, vips: &[&str], blocks: &[&str]) -> Service {
    let block =
        |text: &&str| crate::address::NetworkBlock { network: "".into(), block: text.parse().unwrap() };
    Service {
        name: hostname.into(),
        namespace: "n".into(),
        hostname: hostname.into(),
        vips: vips.iter().map(|vip| format!("/{vip}").parse().unwrap()).collect(),
        cidr_vips: blocks.iter().map(block).collect(),
        ports: [(80, 80)].into_iter().collect(),
        ..Service::default()
    }
}

fn insert_workload(store: &mut Store, workload: Workload) {
    store.insert(Resource::Workload(workload));
}

fn insert_service(store: &mut Store, service: Service) {
    store.insert(Resource::Service(service));
}

/// The uids of the endpoints that count, sorted.
fn backends(store: &Store, address: &str) -> Vec<String> {
    let snapshot = store.snapshot();
    let Some(backed) = snapshot.backed_by_vip("", address.parse().unwrap(), "n") else { return Vec::new() };
    let mut uids: Vec<String> = backed.backends().map(|(workload, _)| workload.uid.to_string()).collect();
    uids.sort_unstable();
    uids
}

/// Asserts that nothing is left in any index.
fn assert_empty(store: &Store) {
    let Store { current, staged, .. } = store;
    let lengths = [
        current.workloads.len(),
        current.by_address.len(),
        current.by_hostname.len(),
        current.of_this_node.len(),
        current.services.len(),
        current.by_vip.len(),
        current.by_block.len(),
        current.by_name.len(),
        current.policies.len(),
        current.governing.len(),
        staged.len(),
    ];
    assert_eq!(lengths, [0; 11]);
}

#[test]
fn a_thousand_endpoint_updates_leave_a_block_with_one_entry_and_the_newest_endpoints() {
    let mut store = store();
    insert_service(&mut store, service("h", &[], &["10.9.0.0/16"]));
    for n in 0..1000 {
        insert_workload(&mut store, at(workload("w", &["n/h"]), &format!("10.0.{}.{}", n / 250, n % 250)));
    }
    assert_eq!(store.current.by_block.len(), 1);
    let snapshot = store.snapshot();
    let backed = snapshot.backed_by_vip("", "10.9.3.4".parse().unwrap(), "n").unwrap();
    let (newest, _) = backed.backends().next().unwrap();
    assert_eq!(newest.addresses[0].to_string(), "10.0.3.249");
    store.remove_address("n/h");
    store.remove_address("w");
    assert_empty(&store);
}

#[test]
fn two_services_of_a_namespace_share_an_address_and_neither_takes_the_other_away() {
    let mut store = store();
    insert_service(&mut store, service("one", &["10.1.0.1"], &[]));
    insert_service(&mut store, service("two", &["10.1.0.1"], &[]));
    insert_workload(&mut store, workload("a", &["n/one"]));
    insert_workload(&mut store, workload("b", &["n/two"]));
    assert_eq!(backends(&store, "10.1.0.1"), ["a"]);
    insert_workload(&mut store, workload("c", &["n/two"]));
    assert_eq!(backends(&store, "10.1.0.1"), ["a"], "an endpoint of the other changes nothing");
    store.remove_address("n/one");
    assert_eq!(backends(&store, "10.1.0.1"), ["b", "c"]);
    insert_service(&mut store, service("one", &["10.1.0.1"], &[]));
    assert_eq!(backends(&store, "10.1.0.1"), ["a"]);
}

#[test]
fn a_service_that_comes_back_has_its_endpoints_again() {
    let mut store = store();
    insert_workload(&mut store, workload("early", &["n/h"]));
    insert_service(&mut store, service("h", &["10.1.0.1"], &[]));
    insert_workload(&mut store, workload("late", &["n/h"]));
    store.remove_address("n/h");
    assert!(store.snapshot().service("n/h").is_none());
    insert_workload(&mut store, workload("meanwhile", &["n/h"]));
    store.remove_address("early");
    insert_service(&mut store, service("h", &["10.1.0.1"], &[]));
    assert_eq!(backends(&store, "10.1.0.1"), ["late", "meanwhile"]);
    assert!(store.staged.is_empty());
}

#[test]
fn what_is_staged_goes_with_its_workload() {
    let mut store = store();
    insert_workload(&mut store, workload("w", &["n/h", "n/other"]));
    assert_eq!(store.staged.len(), 2);
    insert_workload(&mut store, workload("w", &["n/other"]));
    assert_eq!(store.staged.len(), 1);
    store.remove_address("w");
    assert_empty(&store);
}

#[test]
fn a_new_health_policy_brings_the_unhealthy_back() {
    let mut store = store();
    insert_service(&mut store, service("h", &["10.1.0.1"], &[]));
    insert_workload(&mut store, workload("well", &["n/h"]));
    insert_workload(&mut store, Workload { status: Health::Unhealthy, ..workload("sick", &["n/h"]) });
    assert_eq!(backends(&store, "10.1.0.1"), ["well"]);
    let mut all = service("h", &["10.1.0.1"], &[]);
    all.load_balancer.health_policy = HealthPolicy::AllowAll;
    insert_service(&mut store, all);
    assert_eq!(backends(&store, "10.1.0.1"), ["sick", "well"]);
    insert_workload(&mut store, Workload { status: Health::Unhealthy, ..workload("well", &["n/h"]) });
    insert_service(&mut store, service("h", &["10.1.0.1"], &[]));
    assert_eq!(backends(&store, "10.1.0.1"), [""; 0]);
}

#[test]
fn of_workloads_with_one_address_the_next_best_is_found_when_one_goes() {
    let mut store = store();
    let shared = |uid: &str| at(workload(uid, &[]), "10.0.0.1");
    let hbone = |it: Workload| it.with(|it| it.protocol = crate::workload::Protocol::Hbone);
    let ranked = [
        hbone(shared("k//Pod/n/mesh")),
        shared("k//Pod/n/plain"),
        hbone(shared("machine-mesh")),
        shared("machine-plain"),
    ];
    for workload in ranked.iter().rev() {
        insert_workload(&mut store, workload.clone());
    }
    for workload in &ranked {
        let snapshot = store.snapshot();
        let found = snapshot.workload_by_address("", "10.0.0.1".parse().unwrap()).unwrap();
        assert_eq!(found.uid, workload.uid);
        store.remove_address(&workload.uid);
    }
    assert_empty(&store);
}

#[test]
fn a_policy_that_changes_its_scope_leaves_its_old_place() {
    let mut store = store();
    let policy = |scope| Policy::unusable("n/p".into(), "n".into(), scope, "why".into());
    let governed = |store: &Store, namespace: &str| {
        let workload = workload("w", &[]).with(|it| it.namespace = namespace.into());
        store.snapshot().policies_for(&workload).iter().count()
    };
    for (scope, here, elsewhere) in [
        (crate::policy::Scope::Namespace, 1, 0),
        (crate::policy::Scope::WorkloadSelector, 0, 0),
        (crate::policy::Scope::Global, 1, 1),
        (crate::policy::Scope::Namespace, 1, 0),
    ] {
        store.insert(Resource::Policy(policy(scope)));
        assert_eq!((governed(&store, "n"), governed(&store, "m")), (here, elsewhere), "{scope:?}");
    }
    assert_eq!(store.unusable_policies(), 1);
    store.remove_policy("n/p");
    assert_eq!(store.unusable_policies(), 0);
    assert_empty(&store);
}

#[test]
fn removing_what_is_not_there_changes_nothing() {
    let mut store = store();
    insert_workload(&mut store, workload("w", &[]));
    store.take_changes();
    for name in ["/invalid", "n/h", "x//Pod/n/x", ""] {
        store.remove_address(name);
        store.remove_policy(name);
    }
    assert_eq!(store.take_changes(), Changes::default());
    assert_eq!(store.snapshot().workloads().len(), 1);
}

#[test]
fn changes_tell_what_others_care_about() {
    let mut store = store();
    let local = |uid: &str| Workload { place: on(HERE), ..workload(uid, &[]) };
    let mut after = |change: &dyn Fn(&mut Store)| {
        change(&mut store);
        let Changes { verdicts, local } = store.take_changes();
        (verdicts, local)
    };
    let policy = || Policy::unusable("n/p".into(), "n".into(), crate::policy::Scope::Global, "why".into());
    assert_eq!(after(&|store| insert_workload(store, workload("remote", &[]))), (false, false));
    assert_eq!(after(&|store| insert_service(store, service("h", &[], &[]))), (false, false));
    assert_eq!(after(&|store| insert_workload(store, local("w"))), (true, true));
    assert_eq!(after(&|store| insert_workload(store, local("w"))), (false, false));
    assert_eq!(after(&|store| store.insert(Resource::Policy(policy()))), (true, false));
    assert_eq!(after(&|store| store.insert(Resource::Policy(policy()))), (false, false));
    assert_eq!(after(&|store| store.remove_policy("n/p")), (true, false));
    assert_eq!(after(&|store| store.remove_address("remote")), (false, false));
    assert_eq!(after(&|store| store.remove_address("w")), (true, true));
}

#[test]
fn a_snapshot_stays_what_it_was() {
    let mut store = store();
    insert_service(&mut store, service("h", &["10.1.0.1"], &[]));
    insert_workload(&mut store, workload("w", &["n/h"]));
    let before = store.snapshot();
    store.remove_address("w");
    store.remove_address("n/h");
    assert_empty(&store);
    assert!(before.workload("w").is_some() && before.service("n/h").is_some());
    assert_eq!(before.endpoints("n/h").count(), 1);
}

#[test]
fn a_name_is_that_of_what_was_said_last() {
    let mut store = store();
    let key = service("web", &["10.1.0.1"], &[]).key();
    for _ in 0..2 {
        insert_workload(&mut store, workload(&key, &[]));
        let mesh = store.snapshot();
        assert!(mesh.workload(&key).is_some() && mesh.service(&key).is_none());
        insert_service(&mut store, service("web", &["10.1.0.1"], &[]));
        let mesh = store.snapshot();
        assert!(mesh.workload(&key).is_none() && mesh.service(&key).is_some());
    }
    store.remove_address(&key);
    assert_empty(&store);
}

#[test]
fn who_comes_back_under_a_name_is_somebody_else_and_who_changes_is_not() {
    let mut store = Store::new(Locality::default());
    let workload = |capacity| Workload { uid: "n/web-0".into(), capacity, ..Workload::default() };
    let mut incarnations = Vec::new();
    let mut incarnation = |store: &Store| {
        incarnations.push(store.snapshot().workload("n/web-0").unwrap().incarnation.number());
    };
    store.insert(Resource::Workload(workload(1)));
    incarnation(&store);
    for _ in 0..3 {
        store.insert(Resource::Workload(workload(2)));
        incarnation(&store);
        store.remove_address("n/web-0");
        store.insert(Resource::Workload(workload(1)));
        incarnation(&store);
    }
    assert_eq!(incarnations, [0, 0, 1, 1, 2, 2, 3]);
    store.take_changes();
    store.insert(Resource::Workload(workload(1)));
    assert!(!store.take_changes().verdicts, "the same again changes nothing");
}
