//! What is told of policies that are not enforced.

use super::*;

/// What is told of `known`, as `<finding> <policy>`.
fn told(policies: Vec<Policy>) -> Vec<String> {
    let set = snapshot(policies).policies_for(&workload());
    let verdict = super::super::judge(&set, &known());
    let text = |finding: DryRun<'_>| match finding {
        DryRun::Deny(policy) => format!("deny {}", policy.name),
        DryRun::Allow(policy) => format!("allow {}", policy.name),
        DryRun::NoneAllowed => "none allowed".to_owned(),
    };
    let mut told: Vec<String> = dry_run(&set, &known(), &verdict).into_iter().map(text).collect();
    told.sort_unstable();
    told
}

fn allow(name: &str, rules: Vec<Rule>) -> Policy {
    policy(name, Action::Allow, rules)
}

fn deny(name: &str, rules: Vec<Rule>) -> Policy {
    policy(name, Action::Deny, rules)
}

const NOTHING: [&str; 0] = [];

#[test]
fn enforced_policies_are_not_told() {
    assert_eq!(told(vec![deny("d", everybody()), allow("a", everybody())]), NOTHING);
}

#[test]
fn those_that_match_are_told() {
    assert_eq!(told(vec![dry(deny("d", everybody()))]), ["deny d"]);
    assert_eq!(told(vec![dry(deny("d", vec![]))]), NOTHING);
    assert_eq!(told(vec![dry(allow("a", everybody()))]), ["allow a"]);
    let both = vec![dry(allow("a", everybody())), dry(deny("d", everybody())), dry(deny("e", everybody()))];
    assert_eq!(told(both), ["allow a", "deny d", "deny e"]);
}

#[test]
fn a_denial_for_want_of_an_allow_policy_is_told_once() {
    assert_eq!(told(vec![dry(allow("a", vec![])), dry(allow("b", vec![]))]), ["none allowed"]);
    assert_eq!(told(vec![dry(allow("a", vec![])), dry(allow("b", everybody()))]), ["allow b"]);
}

#[test]
fn an_enforced_allow_policy_makes_that_no_news() {
    assert_eq!(told(vec![dry(allow("a", vec![])), allow("b", everybody())]), NOTHING);
    assert_eq!(told(vec![dry(allow("a", vec![])), allow("b", vec![])]), NOTHING);
}

#[test]
fn beside_real_policies_both_kinds_are_told() {
    let real = || vec![allow("real", everybody())];
    let dry = || vec![dry(deny("d", everybody())), dry(allow("a", everybody()))];
    let verdict = judge(&snapshot([real(), dry()].concat()), &workload(), &known());
    assert_eq!(verdict, Verdict::Allow { policy: Some("ns/real".into()) });
    assert_eq!(told([real(), dry()].concat()), ["allow a", "deny d"]);
}

#[test]
fn once_a_policy_has_denied_allow_policies_are_of_no_interest() {
    let dry = || vec![dry(deny("d", everybody())), dry(allow("a", everybody()))];
    assert_eq!(told([vec![deny("real", everybody())], dry()].concat()), ["deny d"]);
    let unusable = Policy::unusable("ns/u".into(), "ns".into(), Scope::Namespace, "why".into());
    assert_eq!(told([vec![unusable], dry()].concat()), ["deny d"]);
    // That no ALLOW policy matches is found out last.
    assert_eq!(told([vec![allow("real", vec![])], dry()].concat()), ["allow a", "deny d"]);
}

#[test]
fn one_that_is_reached_twice_is_told_once() {
    let snapshot = snapshot(vec![dry(deny("d", everybody()))]);
    let set = snapshot.policies_for(&referring_to("d"));
    assert_eq!(dry_run(&set, &known(), &super::super::judge(&set, &known())).len(), 1);
}
