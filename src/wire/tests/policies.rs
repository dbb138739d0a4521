//! Policies one field at a time, and what stands in for those that make no sense.

use culvert_core::policy::{Action, Match, Scope};
use security::string_match::MatchType;

use super::*;

fn message(change: impl FnOnce(&mut security::Authorization)) -> security::Authorization {
    let mut message =
        security::Authorization { namespace: "ns".into(), name: "p".into(), ..Default::default() };
    change(&mut message);
    message
}

/// A policy with one match in its second rule.
fn matching(change: impl FnOnce(&mut security::Match)) -> security::Authorization {
    let mut attributes = security::Match::default();
    change(&mut attributes);
    let clause = security::Clause { matches: vec![attributes] };
    let rule = security::Rule { clauses: vec![security::Clause::default(), clause] };
    message(|p| p.rules = vec![security::Rule::default(), rule])
}

fn check(message: &security::Authorization, expected: &str) {
    assert_eq!(as_policy(message).map(drop), Err(expected.into()));
}

fn check_match(change: impl FnOnce(&mut security::Match), expected: &str) {
    check(&matching(change), &format!("rules[1].clauses[1].matches[0].{expected}"));
}

fn string(match_type: MatchType) -> security::StringMatch {
    security::StringMatch { match_type: Some(match_type) }
}

fn block(bytes: &[u8], length: u32) -> security::Address {
    security::Address { address: bytes.to_vec(), length }
}

#[test]
fn what_is_refused() {
    check(&message(|p| p.scope = 3), "scope: the value 3 is not known here");
    check(&message(|p| p.action = 2), "action: the value 2 is not known here");
    let nowhere = message(|p| {
        p.scope = security::Scope::Namespace.into();
        p.namespace = String::new();
    });
    check(&nowhere, "namespace: the text is empty");
}

#[test]
fn a_condition_on_a_text_that_makes_no_sense_is_refused() {
    let missing = "missing, or of a kind not known here";
    let none = || vec![string(MatchType::Presence(())), security::StringMatch::default()];
    check_match(|m| m.namespaces = none(), &format!("namespaces[1]: {missing}"));
    check_match(|m| m.not_namespaces = none(), &format!("not_namespaces[1]: {missing}"));
    check_match(|m| m.principals = none(), &format!("principals[1]: {missing}"));
    check_match(|m| m.not_principals = none(), &format!("not_principals[1]: {missing}"));
    for empty in
        [MatchType::Exact(String::new()), MatchType::Prefix(String::new()), MatchType::Suffix(String::new())]
    {
        check_match(|m| m.principals = vec![string(empty)], "principals[0]: the text is empty");
    }
    let account = |namespace: &str, service_account: &str| {
        vec![security::ServiceAccountMatch {
            namespace: namespace.into(),
            service_account: service_account.into(),
        }]
    };
    check_match(
        |m| m.service_accounts = account("", "sa"),
        "service_accounts[0].namespace: the text is empty",
    );
    check_match(
        |m| m.not_service_accounts = account("ns", ""),
        "not_service_accounts[0].service_account: the text is empty",
    );
}

#[test]
fn a_condition_on_a_number_that_makes_no_sense_is_refused() {
    let bytes = "an address has 4 or 16 bytes, not 3";
    let wrong = || vec![block(&[10, 0, 0], 8)];
    check_match(|m| m.source_ips = wrong(), &format!("source_ips[0]: {bytes}"));
    check_match(|m| m.not_source_ips = wrong(), &format!("not_source_ips[0]: {bytes}"));
    check_match(|m| m.destination_ips = wrong(), &format!("destination_ips[0]: {bytes}"));
    check_match(|m| m.not_destination_ips = wrong(), &format!("not_destination_ips[0]: {bytes}"));
    check_match(
        |m| m.source_ips = vec![block(&[10, 0, 0, 0], 8), block(&[10, 0, 0, 0], 33)],
        "source_ips[1]: a prefix of 33 bits is longer than the address of 32 bits",
    );
    let port = "65616 is not a port; ports end at 65535";
    check_match(|m| m.destination_ports = vec![80, 65616], &format!("destination_ports[1]: {port}"));
    check_match(|m| m.not_destination_ports = vec![65616], &format!("not_destination_ports[0]: {port}"));
}

#[test]
fn a_block_that_lost_its_length_is_not_taken_for_everything() {
    let lost = "the prefix length is missing; a block of all addresses is written with the address of zeros";
    let mapped_zeros = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 0, 0, 0, 0];
    for address in [&[10, 0, 0, 0][..], &[0, 0, 0, 1], &[128, 0, 0, 0], &mapped_zeros] {
        check_match(|m| m.source_ips = vec![block(address, 0)], &format!("source_ips[0]: {lost}"));
    }
    check_match(|m| m.not_source_ips = vec![block(&[10; 4], 0)], &format!("not_source_ips[0]: {lost}"));
    check_match(|m| m.destination_ips = vec![block(&[10; 4], 0)], &format!("destination_ips[0]: {lost}"));
    check_match(
        |m| m.not_destination_ips = vec![block(&[10; 4], 0)],
        &format!("not_destination_ips[0]: {lost}"),
    );
}

#[test]
fn what_is_empty_stays_empty() {
    let policy = as_policy(&matching(|_| ())).unwrap();
    assert_eq!((policy.scope, policy.action, policy.dry_run), (Scope::Global, Action::Allow, false));
    assert_eq!(policy.rules[0].clauses, []);
    assert_eq!(policy.rules[1].clauses[0].matches, []);
    assert_eq!(policy.rules[1].clauses[1].matches, [Match::default()]);
}

#[test]
fn blocks_are_canonical() {
    let mapped = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 10, 9, 8, 7];
    let blocks = vec![block(&[10, 9, 8, 7], 16), block(&[0; 4], 0), block(&mapped, 120), block(&[0; 16], 0)];
    let policy = as_policy(&matching(|m| m.source_ips = blocks)).unwrap();
    let read: Vec<String> =
        policy.rules[1].clauses[1].matches[0].source_ips.iter().map(ToString::to_string).collect();
    assert_eq!(read, ["10.9.0.0/16", "0.0.0.0/0", "10.9.8.0/24", "::/0"]);
}

#[test]
fn a_policy_that_makes_no_sense_denies_whom_it_concerned() {
    let broken = |scope, namespace: &str| {
        message(|p| {
            p.scope = scope;
            p.action = 9;
            p.namespace = namespace.into();
        })
        .encode_to_vec()
    };
    let (nothing, garbage) = (vec![], vec![0xff; 9]);
    for (name, payload, scope, namespace) in [
        ("ns/p", broken(0, "root"), Scope::Global, "root"),
        ("ns/p", broken(1, "shop"), Scope::Namespace, "shop"),
        ("ns/p", broken(2, "shop"), Scope::WorkloadSelector, "shop"),
        ("ns/p", broken(1, ""), Scope::Namespace, "ns"),
        ("ns/p", broken(3, "shop"), Scope::Namespace, "ns"),
        ("ns/p", nothing.clone(), Scope::Namespace, "ns"),
        ("ns/p", garbage.clone(), Scope::Namespace, "ns"),
        ("p", broken(1, ""), Scope::Global, ""),
        ("p", broken(3, "shop"), Scope::Global, ""),
        ("p", nothing, Scope::Global, ""),
        ("/p", garbage, Scope::Global, ""),
    ] {
        let stand_in = unusable_policy(name, &payload, "why");
        let expected = Policy::unusable(name.into(), namespace.into(), scope, "why".into());
        assert_eq!(stand_in, expected, "{name} {payload:?}");
        assert!(!stand_in.dry_run && stand_in.unusable.is_some());
    }
}

#[test]
fn who_is_concerned_does_not_depend_on_the_rules_being_readable() {
    let mut payload = message(|p| p.scope = security::Scope::WorkloadSelector.into()).encode_to_vec();
    // A rule whose clause is a number.
    payload.extend([0x2a, 2, 0x08, 1]);
    decode_policy("ns/p", &payload, &mut Interner::default()).unwrap_err();
    assert_eq!(unusable_policy("ns/p", &payload, "why").scope, Scope::WorkloadSelector);
}

#[test]
fn a_dry_run_that_makes_no_sense_stays_one() {
    for scope in [1, 3] {
        let broken = message(|p| {
            p.scope = scope;
            p.action = 9;
            p.dry_run = true;
        });
        assert!(unusable_policy("ns/p", &broken.encode_to_vec(), "why").dry_run, "scope {scope}");
    }
}

#[test]
fn a_stand_in_is_passed_on_as_a_denial_of_everybody() {
    let stand_in = unusable_policy("ns/p", &[], "why");
    let passed_on = decode_policy("ns/p", &encode_policy(&stand_in), &mut Interner::default()).unwrap();
    assert_eq!((passed_on.action, passed_on.scope), (Action::Deny, Scope::Namespace));
    assert_eq!(passed_on.rules, [culvert_core::policy::Rule::default()]);
}
