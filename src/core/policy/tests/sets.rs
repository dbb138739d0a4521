//! Which policies apply, and whether they are the same as before.

use super::*;
use crate::store::{Locality, Resource, Store};

fn set_of(store: &Store, workload: &Workload) -> PolicySet {
    store.snapshot().policies_for(workload)
}

#[test]
fn each_policy_is_there_once() {
    let snapshot = snapshot(vec![closed(Scope::Namespace, "ns")]);
    let twice = vec![Arc::<str>::from("ns/p"); 2];
    let workload = workload().with(|it| it.authorization_policies = twice);
    assert_eq!(snapshot.policies_for(&workload).iter().count(), 1);
    let snapshot = super::snapshot(vec![closed(Scope::Global, "")]);
    let nowhere = workload.with(|it| it.namespace = "".into());
    assert_eq!(snapshot.policies_for(&nowhere).iter().count(), 1);
}

#[test]
fn a_set_is_the_same_until_something_in_it_changes() {
    let mut store = Store::new(Locality::default());
    let insert = |store: &mut Store, policy| store.insert(Resource::Policy(policy));
    let named = |name: &str, policy| Policy { key: format!("ns/{name}").into(), name: name.into(), ..policy };
    insert(&mut store, named("one", closed(Scope::Namespace, "ns")));
    insert(&mut store, named("two", dry(closed(Scope::Global, ""))));
    let mut before = set_of(&store, &workload());
    let mut changed = |store: &Store, workload: &Workload| {
        let after = set_of(store, workload);
        !std::mem::replace(&mut before, after.clone()).is_same_as(&after)
    };
    assert!(!changed(&store, &workload()));
    insert(&mut store, named("elsewhere", closed(Scope::Namespace, "elsewhere")));
    insert(&mut store, named("attached", closed(Scope::WorkloadSelector, "ns")));
    insert(&mut store, named("one", closed(Scope::Namespace, "ns")));
    assert!(!changed(&store, &workload()), "elsewhere, not attached, or what it was");

    assert!(changed(&store, &referring_to("attached")));
    assert!(changed(&store, &referring_to("gone")));
    assert!(changed(&store, &referring_to("lost")));
    assert!(!changed(&store, &referring_to("lost")));
    assert!(changed(&store, &workload()));
    insert(&mut store, named("two", closed(Scope::Global, "")));
    assert!(changed(&store, &workload()), "a dry run no more");
    insert(&mut store, named("one", Policy { rules: vec![], ..closed(Scope::Namespace, "ns") }));
    assert!(changed(&store, &workload()), "other rules");
    store.remove_policy("ns/one");
    assert!(changed(&store, &workload()));
}
