//! Makes a case smaller for as long as it still fails.

use super::*;

/// Takes away whatever is not needed to make `fails` true.
pub(super) fn smallest(mut case: Case, fails: impl Fn(&Case) -> bool) -> Case {
    while let Some(smaller) = smaller(&case).into_iter().find(&fails) {
        case = smaller;
    }
    case
}

/// Every case that is one thing smaller; the largest things first.
fn smaller(case: &Case) -> Vec<Case> {
    let policies = without_one(&case.policies).map(|policies| Case { policies, ..case.clone() });
    let references = without_one(&case.workload.authorization_policies).map(|references| {
        let workload = case.workload.clone().with(|it| it.authorization_policies = references);
        Case { workload, ..case.clone() }
    });
    let named = case.peer.identity.is_some();
    let nameless = named.then(|| Case { peer: Peer { identity: None, ..case.peer.clone() }, ..case.clone() });
    let inside = within(&case.policies, policy).map(|policies| Case { policies, ..case.clone() });
    policies.chain(references).chain(nameless).chain(inside).collect()
}

fn policy(policy: &Policy) -> Vec<Policy> {
    let plain = Policy { dry_run: false, unusable: None, ..policy.clone() };
    let plain = (plain != *policy).then_some(plain);
    let fewer = without_one(&policy.rules).chain(within(&policy.rules, rule));
    plain.into_iter().chain(fewer.map(|rules| Policy { rules, ..policy.clone() })).collect()
}

fn rule(rule: &Rule) -> Vec<Rule> {
    let fewer = without_one(&rule.clauses).chain(within(&rule.clauses, clause));
    fewer.map(|clauses| Rule { clauses }).collect()
}

fn clause(clause: &Clause) -> Vec<Clause> {
    let fewer = without_one(&clause.matches).chain(within(&clause.matches, attributes));
    fewer.map(|matches| Clause { matches }).collect()
}

fn attributes(it: &Match) -> Vec<Match> {
    let mut all = Vec::new();
    macro_rules! each {
        ($($field:ident)*) => {
            $(all.extend(without_one(&it.$field).map(|$field| Match { $field, ..it.clone() }));)*
        };
    }
    each!(namespaces not_namespaces service_accounts not_service_accounts principals not_principals);
    each!(source_ips not_source_ips destination_ips not_destination_ips);
    each!(destination_ports not_destination_ports);
    all
}

/// The list without each of its items in turn.
fn without_one<T: Clone>(items: &[T]) -> impl Iterator<Item = Vec<T>> {
    (0..items.len()).map(move |at| [&items[..at], &items[at + 1..]].concat())
}

/// The list with each of its items in turn made smaller in every way.
fn within<T: Clone>(items: &[T], smaller: impl Fn(&T) -> Vec<T>) -> impl Iterator<Item = Vec<T>> {
    items.iter().enumerate().flat_map(move |(at, item)| {
        let with = |item| [&items[..at], &[item], &items[at + 1..]].concat();
        smaller(item).into_iter().map(with).collect::<Vec<_>>()
    })
}

#[test]
fn what_remains_is_what_matters() {
    let has_port = |case: &Case| {
        let matches = case.policies.iter().flat_map(|it| &it.rules).flat_map(|it| &it.clauses);
        matches.flat_map(|it| &it.matches).any(|it| it.destination_ports.contains(&443))
    };
    let mut dice = Dice::seeded(3);
    let case = std::iter::repeat_with(|| dice.case()).find(|case| case.policies.len() > 3 && has_port(case));
    let Case { policies, workload, peer } = smallest(case.unwrap(), has_port);
    let [policy] = &policies[..] else { panic!("{policies:#?}") };
    assert_eq!(policy.rules, one(vec![port(443)]));
    assert!(!policy.dry_run && policy.unusable.is_none());
    assert!(workload.authorization_policies.is_empty() && peer.identity.is_none());
}
