use std::net::IpAddr;

use super::*;
use crate::mesh_file::Mesh;
use crate::snapshot::Snapshot;
use crate::workload::Workload;

mod model;

const WITHOUT: &str = "-";

/// A peer: plaintext when `identity` is `-`, else `<trust domain>/<namespace>/<service account>`.
fn peer(identity: &str, source: &str, destination: &str) -> Peer {
    let id = || {
        let parts: Vec<&str> = identity.split('/').collect();
        SpiffeId::new(parts[0], parts[1], parts[2]).unwrap()
    };
    Peer {
        identity: (identity != WITHOUT).then(id),
        source: source.parse().unwrap(),
        destination: destination.parse().unwrap(),
    }
}

fn plaintext() -> Peer {
    peer(WITHOUT, "127.0.0.1:1", "127.0.0.2:8080")
}

fn known() -> Peer {
    peer("td/namespace/account", "127.0.0.1:1", "127.0.0.2:8080")
}

fn other() -> Peer {
    peer("td/other/else", "127.0.0.3:1", "127.0.0.4:9090")
}

fn policy(name: &str, action: Action, rules: Vec<Rule>) -> Policy {
    Policy {
        key: format!("ns/{name}").into(),
        name: name.into(),
        namespace: "ns".into(),
        scope: Scope::Namespace,
        action,
        rules,
        dry_run: false,
        unusable: None,
    }
}

fn one(matches: Vec<Match>) -> Vec<Rule> {
    vec![Rule { clauses: vec![Clause { matches }] }]
}

fn everybody() -> Vec<Rule> {
    vec![Rule::default()]
}

fn dry(policy: Policy) -> Policy {
    Policy { dry_run: true, ..policy }
}

fn workload() -> Workload {
    Workload { uid: "w".into(), ..Workload::default() }.with(|it| {
        it.namespace = "ns".into();
        it.service_account = "sa".into();
    })
}

fn snapshot(policies: Vec<Policy>) -> Snapshot {
    Snapshot::new(Mesh { policies, ..Mesh::default() }, "")
}

/// Judges by the policies of a snapshot.
fn judge(snapshot: &Snapshot, workload: &Workload, peer: &Peer) -> Verdict {
    super::judge(&snapshot.policies_for(workload), peer)
}

/// Tells whether a policy with `rules` matches `peer`.
fn hits(rules: &[Rule], peer: &Peer) -> bool {
    let snapshot = snapshot(vec![policy("p", Action::Deny, rules.to_vec())]);
    !judge(&snapshot, &workload(), peer).is_allowed()
}

/// Asserts which of the three peers a match with one attribute hits.
#[track_caller]
fn check(attribute: Match, expected: [bool; 3]) {
    let rules = one(vec![attribute.clone()]);
    let hit = [plaintext(), known(), other()].map(|peer| hits(&rules, &peer));
    assert_eq!(hit, expected, "plaintext, known, other for {attribute:?}");
}

fn exact(text: &str) -> Vec<StringMatch> {
    vec![StringMatch::Exact(text.into())]
}

fn namespaces(namespaces: Vec<StringMatch>) -> Match {
    Match { namespaces, ..Match::default() }
}

fn principals(principals: Vec<StringMatch>) -> Match {
    Match { principals, ..Match::default() }
}

fn port(port: u16) -> Match {
    Match { destination_ports: vec![port], ..Match::default() }
}

fn sources(blocks: &[&str]) -> Match {
    Match { source_ips: blocks.iter().map(|block| block.parse().unwrap()).collect(), ..Match::default() }
}

#[test]
fn what_empty_parts_match() {
    let clause = |matches| Clause { matches };
    let rule = |clauses| vec![Rule { clauses }];
    let [yes, no] = [port(8080), port(1)];
    let empty = Match::default;
    for (name, rules, expected) in [
        ("no rules", vec![], false),
        ("a rule without clauses", rule(vec![]), true),
        ("a clause without matches", one(vec![]), true),
        ("an empty match", one(vec![empty()]), false),
        ("two empty matches", one(vec![empty(), empty()]), false),
        ("an empty match beside one that hits", one(vec![empty(), yes.clone()]), true),
        ("an empty match beside one that misses", one(vec![empty(), no.clone()]), false),
        ("an empty clause and one that hits", rule(vec![clause(vec![]), clause(vec![yes.clone()])]), true),
        ("an empty clause and one that misses", rule(vec![clause(vec![]), clause(vec![no.clone()])]), false),
        ("two clauses, one misses", rule(vec![clause(vec![yes.clone()]), clause(vec![no.clone()])]), false),
        ("two rules, one misses", [one(vec![no.clone()]), one(vec![yes])].concat(), true),
        ("two rules, both miss", [one(vec![no.clone()]), one(vec![no])].concat(), false),
    ] {
        assert_eq!(hits(&rules, &known()), expected, "{name}");
    }
}

#[test]
fn the_positive_forms() {
    check(namespaces(exact("namespace")), [false, true, false]);
    let account = ServiceAccountMatch { namespace: "namespace".into(), service_account: "account".into() };
    check(Match { service_accounts: vec![account], ..Match::default() }, [false, true, false]);
    let half = ServiceAccountMatch { namespace: "other".into(), service_account: "account".into() };
    check(Match { service_accounts: vec![half], ..Match::default() }, [false; 3]);
    check(principals(exact("td/ns/namespace/sa/account")), [false, true, false]);
    check(sources(&["127.0.0.1/32"]), [true, true, false]);
    check(
        Match { destination_ips: vec!["127.0.0.2/32".parse().unwrap()], ..Match::default() },
        [true, true, false],
    );
    check(port(8080), [true, true, false]);
}

#[test]
fn the_negative_forms_are_satisfied_by_plaintext() {
    check(Match { not_namespaces: exact("namespace"), ..Match::default() }, [true, false, true]);
    let account = ServiceAccountMatch { namespace: "namespace".into(), service_account: "account".into() };
    check(Match { not_service_accounts: vec![account], ..Match::default() }, [true, false, true]);
    check(
        Match { not_principals: exact("td/ns/namespace/sa/account"), ..Match::default() },
        [true, false, true],
    );
    check(Match { not_principals: vec![StringMatch::Presence], ..Match::default() }, [true, false, false]);
    let block = || vec!["127.0.0.1/32".parse().unwrap()];
    check(Match { not_source_ips: block(), ..Match::default() }, [false, false, true]);
    check(Match { not_destination_ips: block(), ..Match::default() }, [true, true, true]);
    check(Match { not_destination_ports: vec![8080], ..Match::default() }, [false, false, true]);
}

#[test]
fn values_of_one_attribute_are_alternatives_and_attributes_add_up() {
    check(namespaces([exact("namespace"), exact("other")].concat()), [false, true, true]);
    let both = Match { not_namespaces: exact("other"), ..namespaces(vec![StringMatch::Presence]) };
    check(both, [false, true, false]);
    check(
        Match { destination_ports: vec![9090], ..namespaces(vec![StringMatch::Presence]) },
        [false, false, true],
    );
    check(Match { destination_ports: vec![9090], ..namespaces(exact("namespace")) }, [false; 3]);
}

#[test]
fn texts_match_as_written() {
    let text = |text: &str| Arc::<str>::from(text);
    check(namespaces(exact("Namespace")), [false; 3]);
    check(namespaces(exact("*")), [false; 3]);
    check(namespaces(vec![StringMatch::Prefix(text("name"))]), [false, true, false]);
    check(namespaces(vec![StringMatch::Suffix(text("her"))]), [false, false, true]);
    check(namespaces(vec![StringMatch::Prefix(text("space"))]), [false; 3]);
    check(namespaces(vec![StringMatch::Presence]), [false, true, true]);
    check(principals(vec![StringMatch::Presence]), [false, true, true]);
    check(principals(vec![StringMatch::Prefix(text("td/ns/"))]), [false, true, true]);
    check(principals(exact("spiffe://td/ns/namespace/sa/account")), [false; 3]);
    check(principals(exact("TD/ns/namespace/sa/account")), [false; 3]);
}

#[test]
fn the_namespace_of_plaintext_is_empty_and_its_principal_is_none() {
    let empty = || Arc::<str>::from("");
    check(namespaces(exact("")), [true, false, false]);
    check(namespaces(vec![StringMatch::Prefix(empty())]), [true, true, true]);
    check(namespaces(vec![StringMatch::Suffix(empty())]), [true, true, true]);
    check(principals(vec![StringMatch::Prefix(empty())]), [false, true, true]);
    check(principals(exact("")), [false; 3]);
}

#[test]
fn addresses_match_by_block_and_family() {
    check(sources(&["127.0.0.77/29"]), [false; 3]);
    check(sources(&["127.0.0.1/24"]), [true; 3]);
    check(sources(&["0.0.0.0/0"]), [true; 3]);
    check(sources(&["::/0"]), [false; 3]);
    check(sources(&["::ffff:127.0.0.1/128"]), [false; 3]);

    let v6 = peer(WITHOUT, "[fd00::1]:1", "[fd00::2]:8080");
    assert!(
        hits(&one(vec![sources(&["fd00::/64"])]), &v6) && !hits(&one(vec![sources(&["0.0.0.0/0"])]), &v6)
    );
    let mapped = peer(WITHOUT, "[::ffff:127.0.0.1]:1", "[::ffff:127.0.0.2]:8080");
    assert!(hits(&one(vec![sources(&["127.0.0.1/32"])]), &mapped));
}

#[test]
fn alternatives_and_conditions_nest() {
    let either = Clause { matches: vec![namespaces(exact("a")), namespaces(exact("b"))] };
    let rules = vec![Rule { clauses: vec![either, Clause { matches: vec![port(80)] }] }];
    for (identity, destination, expected) in [
        ("td/a/x", "127.0.0.2:80", true),
        ("td/b/x", "127.0.0.2:80", true),
        ("other/a/x", "127.0.0.2:80", true),
        ("td/c/x", "127.0.0.2:80", false),
        ("td/a/x", "127.0.0.2:81", false),
        (WITHOUT, "127.0.0.2:80", false),
    ] {
        assert_eq!(
            hits(&rules, &peer(identity, "127.0.0.1:1", destination)),
            expected,
            "{identity} {destination}"
        );
    }
}

fn allowed_by(name: &str) -> Verdict {
    Verdict::Allow { policy: Some(format!("ns/{name}").into()) }
}

fn denied_by(name: &str) -> Verdict {
    Verdict::Deny(Denial::Explicit { policy: format!("ns/{name}").into() })
}

#[test]
fn the_order_of_decision() {
    let unrestricted = || Verdict::Allow { policy: None };
    let nobody = || Verdict::Deny(Denial::NoneAllowed);
    let miss = || one(vec![port(1)]);
    let [allow, deny] = [Action::Allow, Action::Deny];
    for (name, policies, expected) in [
        ("nothing", vec![], unrestricted()),
        ("deny without rules", vec![policy("d", deny, vec![])], unrestricted()),
        ("deny that misses", vec![policy("d", deny, miss())], unrestricted()),
        ("deny that hits", vec![policy("d", deny, everybody())], denied_by("d")),
        ("allow without rules", vec![policy("a", allow, vec![])], nobody()),
        ("allow that misses", vec![policy("a", allow, miss())], nobody()),
        ("allow that hits", vec![policy("a", allow, everybody())], allowed_by("a")),
        (
            "one of two allows",
            vec![policy("a", allow, miss()), policy("b", allow, everybody())],
            allowed_by("b"),
        ),
        (
            "deny beats allow",
            vec![policy("a", allow, everybody()), policy("d", deny, everybody())],
            denied_by("d"),
        ),
        (
            "deny misses, allow hits",
            vec![policy("d", deny, miss()), policy("a", allow, everybody())],
            allowed_by("a"),
        ),
        ("dry-run deny", vec![dry(policy("d", deny, everybody()))], unrestricted()),
        ("dry-run allow", vec![dry(policy("a", allow, vec![]))], unrestricted()),
        (
            "dry-run allow is no help",
            vec![dry(policy("a", allow, everybody())), policy("b", allow, vec![])],
            nobody(),
        ),
    ] {
        assert_eq!(judge(&snapshot(policies), &workload(), &known()), expected, "{name}");
    }
}

#[test]
fn a_reference_nobody_knows_denies() {
    let referring = workload().with(|it| it.authorization_policies = vec!["ns/gone".into()]);
    let unknown = Verdict::Deny(Denial::UnknownPolicy { policy: "ns/gone".into() });
    let allow = policy("a", Action::Allow, everybody());
    assert_eq!(judge(&Snapshot::empty(), &referring, &known()), unknown);
    assert_eq!(judge(&snapshot(vec![allow]), &referring, &known()), unknown);
    let deny = policy("d", Action::Deny, everybody());
    assert_eq!(judge(&snapshot(vec![deny]), &referring, &known()), denied_by("d"));
}

#[test]
fn a_policy_nobody_understands_denies_what_it_governs() {
    let unusable = |scope, namespace: &str| {
        snapshot(vec![Policy::unusable("ns/broken".into(), namespace.into(), scope, "why".into())])
    };
    let denied = Verdict::Deny(Denial::UnusablePolicy { policy: "ns/broken".into(), reason: "why".into() });
    let listing = workload().with(|it| it.authorization_policies = vec!["ns/broken".into()]);
    for (scope, namespace, concerned) in [
        (Scope::Global, "elsewhere", true),
        (Scope::Namespace, "ns", true),
        (Scope::Namespace, "elsewhere", false),
        (Scope::WorkloadSelector, "ns", false),
    ] {
        let snapshot = unusable(scope, namespace);
        assert_eq!(judge(&snapshot, &workload(), &known()) == denied, concerned, "{scope:?} {namespace}");
        assert_eq!(judge(&snapshot, &listing, &known()), denied);
    }
}

#[test]
fn the_scope_decides_who_is_concerned() {
    let closed = |scope, namespace: &str| {
        let policy = policy("p", Action::Deny, everybody());
        snapshot(vec![Policy { scope, namespace: namespace.into(), ..policy }])
    };
    let here = workload();
    let listing = workload().with(|it| it.authorization_policies = vec!["ns/p".into()]);
    for (scope, namespace, concerned, listing_concerned) in [
        (Scope::Namespace, "ns", true, true),
        (Scope::Namespace, "elsewhere", false, true),
        (Scope::Global, "elsewhere", true, true),
        (Scope::WorkloadSelector, "ns", false, true),
    ] {
        let snapshot = closed(scope, namespace);
        let denied = |workload| !judge(&snapshot, workload, &known()).is_allowed();
        assert_eq!(
            (denied(&here), denied(&listing)),
            (concerned, listing_concerned),
            "{scope:?} {namespace}"
        );
    }
}

#[test]
fn dry_runs_are_told_apart() {
    let named = |name: &str| Arc::<str>::from(format!("ns/{name}"));
    let [allow, deny] = [Action::Allow, Action::Deny];
    let told = |policies| dry_run(&snapshot(policies).policies_for(&workload()), &known());
    let [hit, miss] = [everybody(), vec![]];
    assert_eq!(told(vec![policy("d", deny, hit.clone()), policy("a", allow, hit.clone())]), []);
    assert_eq!(told(vec![dry(policy("d", deny, hit.clone()))]), [DryRun::Deny { policy: named("d") }]);
    assert_eq!(told(vec![dry(policy("a", allow, hit.clone()))]), [DryRun::Allow { policy: named("a") }]);
    assert_eq!(told(vec![dry(policy("d", deny, miss.clone()))]), []);
    assert_eq!(told(vec![dry(policy("a", allow, miss.clone()))]), [DryRun::NoneAllowed]);
    assert_eq!(told(vec![dry(policy("a", allow, miss)), policy("b", allow, hit)]), []);
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

#[test]
fn a_block_does_not_care_about_its_host_bits() {
    let ip: IpAddr = "10.0.0.200".parse().unwrap();
    assert!(matcher::lies_in(&"10.0.0.1/24".parse().unwrap(), ip));
    assert!(!matcher::lies_in(&"10.0.1.1/24".parse().unwrap(), ip));
}
