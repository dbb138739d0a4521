//! What becomes of all policies together.

use super::*;
use crate::store::{Locality, Resource, Store};

fn allowed_by(name: &str) -> Verdict {
    Verdict::Allow { policy: Some(format!("ns/{name}").into()) }
}

fn unrestricted() -> Verdict {
    Verdict::Allow { policy: None }
}

fn nobody() -> Verdict {
    Verdict::Deny(Denial::NoneAllowed)
}

fn denied_by(name: &str) -> Verdict {
    Verdict::Deny(Denial::Explicit { policy: format!("ns/{name}").into() })
}

fn allow(name: &str, rules: Vec<Rule>) -> Policy {
    policy(name, Action::Allow, rules)
}

fn deny(name: &str, rules: Vec<Rule>) -> Policy {
    policy(name, Action::Deny, rules)
}

/// Rules that [`known`] does not match.
fn miss() -> Vec<Rule> {
    one(vec![port(1)])
}

#[track_caller]
fn decides(policies: Vec<Policy>, expected: &Verdict) {
    assert_eq!(judge(&snapshot(policies), &workload(), &known()), *expected);
}

#[test]
fn without_policies_everybody_gets_in() {
    decides(vec![], &unrestricted());
}

#[test]
fn an_allow_policy_that_matches_lets_in() {
    decides(vec![allow("a", everybody())], &allowed_by("a"));
    decides(vec![allow("a", miss()), allow("b", everybody())], &allowed_by("b"));
}

#[test]
fn an_allow_policy_that_does_not_match_keeps_out() {
    decides(vec![allow("a", miss())], &nobody());
    // That it is there is enough.
    decides(vec![allow("a", vec![])], &nobody());
}

#[test]
fn a_deny_policy_that_matches_wins_and_is_named() {
    decides(vec![deny("d", everybody())], &denied_by("d"));
    decides(vec![allow("a", everybody()), deny("d", everybody())], &denied_by("d"));
}

#[test]
fn a_deny_policy_that_does_not_match_changes_nothing() {
    decides(vec![deny("d", miss())], &unrestricted());
    decides(vec![deny("d", vec![])], &unrestricted());
    decides(vec![deny("d", miss()), allow("a", everybody())], &allowed_by("a"));
}

#[test]
fn a_dry_run_never_decides() {
    decides(vec![dry(deny("d", everybody()))], &unrestricted());
    decides(vec![dry(allow("a", everybody()))], &unrestricted());
    decides(vec![dry(allow("a", vec![]))], &unrestricted());
    decides(vec![dry(allow("a", everybody())), allow("b", vec![])], &nobody());
    let unusable = Policy::unusable("ns/u".into(), "ns".into(), Scope::Namespace, "why".into());
    decides(vec![dry(unusable)], &unrestricted());
}

#[test]
fn the_scope_decides_who_is_concerned() {
    for (scope, namespace, concerned, referring_concerned) in [
        (Scope::Namespace, "ns", true, true),
        (Scope::Namespace, "elsewhere", false, true),
        (Scope::Global, "elsewhere", true, true),
        (Scope::Global, "", true, true),
        (Scope::WorkloadSelector, "ns", false, true),
        (Scope::WorkloadSelector, "elsewhere", false, true),
    ] {
        let snapshot = snapshot(vec![closed(scope, namespace)]);
        let denied = |workload| !judge(&snapshot, workload, &known()).is_allowed();
        assert_eq!(
            (denied(&workload()), denied(&referring_to("p"))),
            (concerned, referring_concerned),
            "{scope:?} {namespace}"
        );
    }
}

#[test]
fn a_namespace_without_a_name_is_not_everywhere() {
    let snapshot = snapshot(vec![closed(Scope::Namespace, "")]);
    let nowhere = workload().with(|it| it.namespace = "".into());
    assert!(judge(&snapshot, &workload(), &known()).is_allowed());
    assert!(!judge(&snapshot, &nowhere, &known()).is_allowed());
}

#[test]
fn a_new_scope_moves_a_policy() {
    let mut store = Store::new(Locality::default());
    let mut denied = |scope| {
        store.insert(Resource::Policy(closed(scope, "ns")));
        let denied = |workload| !judge(&store.snapshot(), workload, &known()).is_allowed();
        let elsewhere = workload().with(|it| it.namespace = "elsewhere".into());
        [denied(&workload()), denied(&elsewhere), denied(&referring_to("p"))]
    };
    assert_eq!(denied(Scope::Namespace), [true, false, true]);
    assert_eq!(denied(Scope::WorkloadSelector), [false, false, true]);
    assert_eq!(denied(Scope::Global), [true, true, true]);
    assert_eq!(denied(Scope::Namespace), [true, false, true]);
}

#[test]
fn a_reference_nobody_knows_denies() {
    let unknown = Verdict::Deny(Denial::UnknownPolicy { policy: "ns/gone".into() });
    let referring = referring_to("gone");
    assert_eq!(judge(&Snapshot::empty(), &referring, &known()), unknown);
    assert_eq!(judge(&snapshot(vec![allow("a", everybody())]), &referring, &known()), unknown);
    assert_eq!(judge(&snapshot(vec![deny("d", everybody())]), &referring, &known()), denied_by("d"));
}

#[test]
fn a_policy_nobody_understands_denies_what_it_governs() {
    let unusable = |scope, namespace: &str| {
        snapshot(vec![Policy::unusable("ns/broken".into(), namespace.into(), scope, "why".into())])
    };
    let denied = Verdict::Deny(Denial::UnusablePolicy { policy: "ns/broken".into(), reason: "why".into() });
    for (scope, namespace, concerned) in [
        (Scope::Global, "elsewhere", true),
        (Scope::Namespace, "ns", true),
        (Scope::Namespace, "elsewhere", false),
        (Scope::WorkloadSelector, "ns", false),
    ] {
        let snapshot = unusable(scope, namespace);
        assert_eq!(judge(&snapshot, &workload(), &known()) == denied, concerned, "{scope:?} {namespace}");
        assert_eq!(judge(&snapshot, &referring_to("broken"), &known()), denied);
    }
}

#[test]
fn the_port_is_that_of_the_application_whatever_was_asked_for() {
    let mesh = |policed: u16| {
        let text = format!(
            "
workloads:
- {{uid: web, namespace: n, workloadIps: [10.0.0.1], services: {{n/web.n: {{}}}}}}
- {{uid: gate, namespace: n, workloadIps: [10.0.0.2], applicationTunnel: {{protocol: NONE, port: 15088}}}}
services:
- {{name: web, namespace: n, hostname: web.n, vips: [], ports: {{80: 8080}}}}
policies:
- {{name: p, namespace: n, scope: Namespace, action: Deny, rules: [[[{{destinationPorts: [{policed}]}}]]]}}"
        );
        Snapshot::new(crate::mesh_file::parse(&text).unwrap(), "")
    };
    let denied = |uid: &str, authority: &str, policed| {
        let snapshot = mesh(policed);
        let local = snapshot.workload(uid).unwrap();
        let delivery =
            crate::route::inbound(&snapshot, local, local.addresses[0], &authority.parse().unwrap());
        let peer = Peer { destination: delivery.unwrap().to, ..known() };
        !judge(&snapshot, local, &peer).is_allowed()
    };
    for (uid, authority, seen, others) in [
        ("web", "10.0.0.1:8080", 8080, [80, 15008]),
        ("web", "web.n:80", 8080, [80, 15008]),
        ("gate", "10.0.0.2:8080", 15088, [8080, 15008]),
    ] {
        assert!(denied(uid, authority, seen), "{authority} is seen as {seen}");
        assert!(
            others.iter().all(|port| !denied(uid, authority, *port)),
            "{authority} is not seen as {others:?}"
        );
    }
}

#[test]
fn reasons_read_as_operators_know_them() {
    for (denial, expected) in [
        (Denial::Explicit { policy: "ns/p".into() }, "explicitly denied by: ns/p"),
        (Denial::NoneAllowed, "allow policies exist, but none allowed"),
        (Denial::UnknownPolicy { policy: "ns/p".into() }, "policy ns/p is referenced but unknown"),
    ] {
        assert_eq!(denial.to_string(), expected);
    }
}
