//! What rules, clauses and matches make of each other, and what the empty ones mean.

use super::*;

fn clause(matches: Vec<Match>) -> Clause {
    Clause { matches }
}

fn rule(clauses: Vec<Clause>) -> Vec<Rule> {
    vec![Rule { clauses }]
}

#[track_caller]
fn matches_known(rules: &[Rule], expected: bool) {
    assert_eq!(hits(rules, &known()), expected, "{rules:?}");
}

/// A match that hits [`known`].
fn yes() -> Match {
    port(8080)
}

/// A match that misses it.
fn no() -> Match {
    port(1)
}

#[test]
fn a_policy_without_rules_matches_nothing() {
    matches_known(&[], false);
}

#[test]
fn a_rule_without_clauses_matches_everything() {
    for peer in [plaintext(), known(), other()] {
        assert!(hits(&rule(vec![]), &peer));
    }
}

#[test]
fn a_clause_without_matches_matches_everything() {
    for peer in [plaintext(), known(), other()] {
        assert!(hits(&one(vec![]), &peer));
    }
}

#[test]
fn a_match_without_attributes_matches_nothing() {
    matches_known(&one(vec![Match::default()]), false);
    matches_known(&one(vec![Match::default(), Match::default()]), false);
}

#[test]
fn an_empty_match_beside_another_is_skipped() {
    matches_known(&one(vec![Match::default(), yes()]), true);
    matches_known(&one(vec![yes(), Match::default()]), true);
    matches_known(&one(vec![Match::default(), no()]), false);
}

#[test]
fn an_empty_clause_is_neutral() {
    matches_known(&rule(vec![clause(vec![]), clause(vec![yes()])]), true);
    matches_known(&rule(vec![clause(vec![]), clause(vec![no()])]), false);
}

#[test]
fn every_clause_of_a_rule_has_to_hold() {
    matches_known(&rule(vec![clause(vec![yes()]), clause(vec![yes()])]), true);
    matches_known(&rule(vec![clause(vec![yes()]), clause(vec![no()])]), false);
    matches_known(&rule(vec![clause(vec![no()]), clause(vec![yes()])]), false);
}

#[test]
fn any_match_of_a_clause_will_do() {
    matches_known(&one(vec![no(), yes()]), true);
    matches_known(&one(vec![no(), no()]), false);
}

#[test]
fn any_rule_of_two_will_do() {
    let in_namespace = |name| one(vec![namespaces(exact(name))]);
    let rules = [in_namespace("a"), in_namespace("b")].concat();
    for (namespace, expected) in [("a", true), ("b", true), ("c", false)] {
        let peer = peer(&format!("td/{namespace}/x"), "127.0.0.1:1", "127.0.0.2:80");
        assert_eq!(hits(&rules, &peer), expected, "{namespace}");
    }
}

#[test]
fn one_of_two_namespaces_and_a_port() {
    let either = clause(vec![namespaces(exact("a")), namespaces(exact("b"))]);
    let rules = rule(vec![either, clause(vec![port(80)])]);
    for (identity, destination, expected) in [
        ("td/a/x", "127.0.0.2:80", true),
        ("td/b/x", "127.0.0.2:80", true),
        ("other/a/x", "127.0.0.2:80", true),
        ("td/c/x", "127.0.0.2:80", false),
        ("td/a/x", "127.0.0.2:81", false),
        (WITHOUT, "127.0.0.2:80", false),
    ] {
        let peer = peer(identity, "127.0.0.1:1", destination);
        assert_eq!(hits(&rules, &peer), expected, "{identity} {destination}");
    }
}

#[test]
fn positive_and_negative_values_of_one_attribute_add_up() {
    let both = Match { not_namespaces: exact("other"), ..namespaces(vec![StringMatch::Presence]) };
    check(both, [false, true, false]);
    let contradiction = Match { not_namespaces: exact("namespace"), ..namespaces(exact("namespace")) };
    check(contradiction, [false; 3]);
    let ports = Match { destination_ports: vec![8080, 9090], not_destination_ports: vec![9090], ..no() };
    check(ports, [true, true, false]);
}

#[test]
fn several_attributes_of_one_match_add_up() {
    let present = || namespaces(vec![StringMatch::Presence]);
    check(Match { destination_ports: vec![9090], ..present() }, [false, false, true]);
    check(Match { destination_ports: vec![9090], ..namespaces(exact("namespace")) }, [false; 3]);
    let from_there = Match { source_ips: vec!["127.0.0.1/32".parse().unwrap()], ..port(8080) };
    check(from_there, [true, true, false]);
}

#[test]
fn values_of_one_attribute_are_alternatives() {
    check(namespaces([exact("namespace"), exact("other")].concat()), [false, true, true]);
    check(Match { destination_ports: vec![1, 9090], ..Match::default() }, [false, false, true]);
}
