//! The truth table: who is in the mesh, and why everybody else is not.

use std::collections::BTreeMap;

use super::*;

type Map = BTreeMap<String, String>;

fn labels(pairs: &[(&str, &str)]) -> Map {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

/// A pod of namespace `shop`, to which nothing has happened yet.
#[derive(Clone)]
struct Case {
    namespace: &'static str,
    labels: Map,
    marks: Marks,
    host_network: bool,
    life: Life,
    of_namespace: Map,
}

/// What can be said of a pod, each by itself enough to keep it out.
const MARKED: Marks = Marks { is_static: true, has_proxy: false };
const PROXIED: Marks = Marks { is_static: false, has_proxy: true };

fn case(own: Option<&str>, namespace: Option<&str>) -> Case {
    let mode = |mode: Option<&str>| mode.map_or_else(Map::new, |mode| labels(&[(MODE, mode)]));
    Case {
        namespace: "shop",
        labels: mode(own),
        marks: Marks::default(),
        host_network: false,
        life: Life::Going,
        of_namespace: mode(namespace),
    }
}

impl Case {
    fn decide(&self, settings: &Settings) -> Membership {
        let Self { namespace, labels, marks, host_network, life, of_namespace } = self;
        let (marks, host_network, life) = (*marks, *host_network, *life);
        settings.decide(&Pod { namespace, labels, marks, host_network, life }, of_namespace)
    }
}

#[track_caller]
fn check(case: &Case, expected: Membership) {
    assert_eq!(case.decide(&Settings::default()), expected);
}

#[test]
fn labels_of_pod_and_namespace() {
    use Membership::{In, Out};
    let (ambient, none, other) = (Some("ambient"), Some("none"), Some("sidecar"));
    for (own, namespace, expected) in [
        (None, None, Out(Why::NotLabelled)),
        (None, ambient, In),
        (None, none, Out(Why::NotLabelled)),
        (None, other, Out(Why::NotLabelled)),
        (ambient, None, In),
        (ambient, ambient, In),
        (ambient, none, In),
        (none, None, Out(Why::OptedOut)),
        (none, ambient, Out(Why::OptedOut)),
        (other, None, Out(Why::NotLabelled)),
        (other, ambient, In),
        (Some(""), ambient, In),
        (Some("Ambient"), None, Out(Why::NotLabelled)),
    ] {
        assert_eq!(
            case(own, namespace).decide(&Settings::default()),
            expected,
            "{own:?} in a namespace with {namespace:?}"
        );
    }
}

#[test]
fn what_keeps_a_pod_out_whatever_its_labels_are() {
    use Membership::Out;
    let labelled = case(Some("ambient"), Some("ambient"));
    check(&Case { namespace: "kube-system", ..labelled.clone() }, Out(Why::ExcludedNamespace));
    check(&Case { host_network: true, ..labelled.clone() }, Out(Why::HostNetwork));
    check(&Case { marks: MARKED, ..labelled.clone() }, Out(Why::Static));
    check(&Case { marks: PROXIED, ..labelled.clone() }, Out(Why::Sidecar));
    check(&Case { life: Life::Ended, ..labelled }, Out(Why::Finished));
}

/// Takes away one reason after the other: what is said is always the first that is left.
#[test]
fn the_first_reason_is_the_one_that_is_said() {
    let mut pod = Case {
        namespace: "kube-system",
        marks: Marks { is_static: true, has_proxy: true },
        host_network: true,
        life: Life::Ended,
        ..case(Some("none"), None)
    };
    let mut said = Vec::new();
    let mut next = |pod: &Case| said.push(pod.decide(&Settings::default()));
    next(&pod);
    pod.namespace = "shop";
    next(&pod);
    pod.host_network = false;
    next(&pod);
    pod.marks.is_static = false;
    next(&pod);
    pod.marks.has_proxy = false;
    next(&pod);
    pod.labels.clear();
    next(&pod);
    pod.of_namespace = labels(&[(MODE, "ambient")]);
    next(&pod);
    pod.life = Life::Going;
    next(&pod);
    let expected: Vec<_> = Why::ALL.map(Membership::Out).into_iter().chain([Membership::In]).collect();
    assert_eq!(said, expected);
    assert!(said.is_sorted(), "later is nearer");
}

#[test]
fn selectors_of_ones_own_replace_the_labels_and_not_the_rest() {
    use Membership::{In, Out};
    let own =
        "- namespaceSelector: {matchLabels: {team: payments}}\n- podSelector: {matchLabels: {mesh: 'yes'}}";
    let settings = Settings::read(own, "infra").unwrap();
    let of_team = |case: Case| Case { of_namespace: labels(&[("team", "payments")]), ..case };
    let silent = || case(None, None);
    assert_eq!(of_team(silent()).decide(&settings), In);
    assert_eq!(silent().decide(&settings), Out(Why::NotLabelled));
    assert_eq!(Case { labels: labels(&[("mesh", "yes")]), ..silent() }.decide(&settings), In);
    assert_eq!(case(Some("ambient"), Some("ambient")).decide(&settings), Out(Why::NotLabelled));
    assert_eq!(of_team(case(Some("none"), None)).decide(&settings), Out(Why::OptedOut));
    assert_eq!(of_team(Case { host_network: true, ..silent() }).decide(&settings), Out(Why::HostNetwork));
    assert_eq!(
        of_team(Case { namespace: "infra", ..silent() }).decide(&settings),
        Out(Why::ExcludedNamespace)
    );
    assert_eq!(of_team(Case { namespace: "kube-system", ..silent() }).decide(&settings), In);
    let everybody = Settings::read("- {}", "").unwrap();
    assert_eq!(silent().decide(&everybody), In);
    assert_eq!(Case { life: Life::Ended, ..silent() }.decide(&everybody), Out(Why::Finished));
    let nobody = Settings::read("[]", "").unwrap();
    assert_eq!(case(Some("ambient"), Some("ambient")).decide(&nobody), Out(Why::NotLabelled));
}

#[test]
fn a_namespace_speaks_for_pods_that_say_nothing() {
    let by_default = |name, pairs: &[_]| Settings::default().includes_by_default(name, &labels(pairs));
    assert!(by_default("shop", &[(MODE, "ambient")]));
    assert!(!by_default("shop", &[(MODE, "none")]));
    assert!(!by_default("shop", &[]));
    assert!(!by_default("kube-system", &[(MODE, "ambient")]));
}

#[test]
fn a_pod_and_a_namespace_cost_little_to_remember() {
    assert!(size_of::<Standing>() <= 16 && size_of::<Backing>() == 8);
}

#[test]
fn reasons_are_told_apart() {
    let names: std::collections::BTreeSet<_> = Why::ALL.map(Why::name).into();
    let words: std::collections::BTreeSet<_> = Why::ALL.map(Why::says).into();
    assert_eq!((names.len(), words.len()), (Why::ALL.len(), Why::ALL.len()));
}
