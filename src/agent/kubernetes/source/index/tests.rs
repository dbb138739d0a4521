use culvert_membership::Settings;
use serde_json::json;

use super::*;

fn index() -> Index {
    Index::new(Options { dns: true, probes: None, ..Options::default() })
}

fn pod(uid: &str, namespace: &str, ip: &str) -> PodFacts {
    let pod = json!({
        "metadata": { "uid": uid, "name": "web-0", "namespace": namespace }, "status": { "podIP": ip },
    });
    PodFacts::of(serde_json::from_value(pod).unwrap(), &Settings::default()).unwrap()
}

fn namespace(uid: &str, name: &str, mode: &str) -> NamespaceFacts {
    let labels = json!({ "istio.io/dataplane-mode": mode });
    let namespace = json!({ "metadata": { "uid": uid, "name": name, "labels": labels } });
    NamespaceFacts::of(serde_json::from_value(namespace).unwrap(), &Settings::default()).unwrap()
}

fn pods(list: &[PodFacts]) -> Change {
    Change::Pods(Delta::All(list.to_vec()))
}

fn namespaces(list: &[NamespaceFacts]) -> Change {
    Change::Namespaces(Delta::All(list.to_vec()))
}

fn index_of(changes: impl IntoIterator<Item = Change>) -> Index {
    let mut index = index();
    changes.into_iter().for_each(|change| index.apply(change));
    index
}

fn is_wished(index: &Index, uid: &str) -> Option<bool> {
    Some(matches!(index.view()?.pods.get(uid)?.wish, Wish::Enrol(_)))
}

#[test]
fn there_is_no_view_of_one_half() {
    assert!(index_of([]).view().is_none());
    assert!(index_of([pods(&[])]).view().is_none());
    assert!(index_of([namespaces(&[])]).view().is_none());
    assert!(index_of([namespaces(&[]), pods(&[])]).view().is_some());
}

#[test]
fn what_comes_for_the_old_pod_does_not_touch_the_new_one() {
    let mut index =
        index_of([namespaces(&[namespace("n", "ns", "ambient")]), pods(&[pod("old", "ns", "10.0.0.1")])]);
    index.apply(Change::Pods(Delta::One(pod("new", "ns", "10.0.0.2"))));
    let new = Arc::clone(&index.view().unwrap().pods["new"]);
    index.apply(Change::Pods(Delta::One(pod("old", "ns", "10.0.0.3"))));
    index.apply(Change::Pods(Delta::Gone(pod("old", "ns", "10.0.0.3"))));
    let view = index.view().unwrap();
    assert_eq!(view.pods.len(), 1);
    assert!(Arc::ptr_eq(&view.pods["new"], &new));
}

#[test]
fn of_a_pod_in_an_unknown_namespace_nothing_is_said() {
    let mut index = index_of([namespaces(&[]), pods(&[pod("u", "ns", "10.0.0.1")])]);
    assert_eq!(is_wished(&index, "u"), None);
    index.apply(Change::Namespaces(Delta::One(namespace("n", "ns", "ambient"))));
    assert_eq!(is_wished(&index, "u"), Some(true));
}

#[test]
fn a_namespace_that_is_gone_keeps_its_word_for_its_pods() {
    let all = [namespaces(&[namespace("n", "ns", "ambient")]), pods(&[pod("u", "ns", "10.0.0.1")])];
    let goings = [Change::Namespaces(Delta::Gone(namespace("n", "ns", "ambient"))), namespaces(&[])];
    for going in goings {
        let mut index =
            index_of([pods(&[pod("u", "ns", "10.0.0.1")]), namespaces(&[namespace("n", "ns", "ambient")])]);
        index.apply(going);
        assert!(index.view().unwrap().namespaces.is_empty());
        index.apply(Change::Pods(Delta::One(pod("u", "ns", "10.0.0.2"))));
        assert_eq!(is_wished(&index, "u"), Some(true), "it still runs");
        index.apply(Change::Pods(Delta::Gone(pod("u", "ns", "10.0.0.2"))));
        index.apply(Change::Pods(Delta::One(pod("u2", "ns", "10.0.0.2"))));
        assert_eq!(is_wished(&index, "u2"), None, "the word is forgotten with the last pod");
    }
    let mut index = index_of(all);
    index.apply(Change::Namespaces(Delta::One(namespace("n2", "ns", "none"))));
    index.apply(Change::Namespaces(Delta::Gone(namespace("n", "ns", "ambient"))));
    assert!(index.view().unwrap().namespaces.contains_key("ns"), "made anew");
    assert_eq!(is_wished(&index, "u"), Some(false));
}

#[test]
fn what_has_not_changed_is_the_very_same() {
    let mut index = index_of([
        namespaces(&[namespace("n", "ns", "ambient")]),
        pods(&[pod("a", "ns", "10.0.0.1"), pod("b", "ns", "10.0.0.2")]),
    ]);
    let before = index.view().unwrap();
    index.apply(pods(&[pod("a", "ns", "10.0.0.1"), pod("b", "ns", "10.0.0.9")]));
    index.apply(Change::Namespaces(Delta::One(namespace("n", "ns", "ambient"))));
    let after = index.view().unwrap();
    assert!(Arc::ptr_eq(&before.pods["a"], &after.pods["a"]));
    assert_ne!(before.pods["b"], after.pods["b"]);
}

/// Labels and annotations as no one needs them, 1 MB of them.
fn written_by_tenants() -> serde_json::Value {
    let labels: BTreeMap<_, _> = (0..1000).map(|n| (format!("example.com/{n}"), "x".repeat(63))).collect();
    let known = crate::annotations::CAPTURE.into_iter();
    let known = known.chain(["ambient.istio.io/redirection", "example.com/a"]);
    let annotations: BTreeMap<_, _> = known.map(|name| (name, "9".repeat(100 << 10))).collect();
    json!({ "labels": labels, "annotations": annotations })
}

/// Bytes that texts of this kind take, whether they are used or not.
fn texts(all: &BTreeMap<String, String>) -> usize {
    all.iter().map(|(key, value)| key.capacity() + value.capacity()).sum()
}

/// Roughly what is kept of so many pods, each in a namespace of its own.
fn kept(pods: usize, written: &serde_json::Value) -> usize {
    let mut index = index_of([namespaces(&[]), self::pods(&[])]);
    for number in 0..pods {
        let mut metadata = written.clone();
        (metadata["uid"], metadata["name"]) = (format!("u{number}").into(), format!("n{number}").into());
        let namespace = serde_json::from_value(json!({ "metadata": metadata })).unwrap();
        let namespace = NamespaceFacts::of(namespace, &Settings::default()).unwrap();
        index.apply(Change::Namespaces(Delta::One(namespace)));
        metadata["namespace"] = format!("n{number}").into();
        metadata["labels"]["istio.io/dataplane-mode"] = "ambient".into();
        let pod = serde_json::from_value(json!({ "metadata": metadata })).unwrap();
        let pod = PodFacts::of(pod, &Settings::default()).unwrap();
        index.apply(Change::Pods(Delta::One(pod)));
    }
    let of_pods: usize = index.pods.iter().flatten().map(|(_, pod)| texts(&pod.facts.annotations)).sum();
    let of_namespaces = index.namespaces.iter().flatten();
    let of_namespaces: usize = of_namespaces.map(|(_, it)| texts(&it.facts.annotations)).sum();
    of_pods + of_namespaces + format!("{:?}", index.view()).len()
}

#[test]
fn what_tenants_write_costs_a_bounded_amount_of_memory() {
    let usual = kept(1000, &json!({ "labels": { "app": "web" } }));
    let written = written_by_tenants();
    let most = kept(100, &written) * 10;
    println!(
        "1,000 pods: usually {usual} bytes, {most} at most; written were {}",
        written.to_string().len() * 1000
    );
    assert!(usual < 2 << 20, "{usual}");
    assert!(most < 48 << 20, "{most}");
}
