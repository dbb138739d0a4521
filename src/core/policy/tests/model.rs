//! A naive evaluator, written from the truth tables alone, beside the real one under random policies and peers.
//!
//! It looks at everything, shares nothing and stops nowhere early. A case they disagree on is made smaller before it is
//! shown.

use std::collections::BTreeSet;

use super::*;

mod dice;
mod shrink;

use dice::Dice;

/// One question: may this peer come in to this workload, by these policies?
#[derive(Debug, Clone)]
struct Case {
    policies: Vec<Policy>,
    workload: Workload,
    peer: Peer,
}

type Keys = BTreeSet<Arc<str>>;

/// What may come out. Where several policies would do, any of them may be named.
#[derive(Debug, PartialEq, Eq)]
enum Model {
    Unrestricted,
    AllowedBy(Keys),
    DeniedBy(Keys),
    Unusable(Keys),
    Unknown(Keys),
    NoneAllowed,
}

impl Model {
    /// The policies of a workload in the order of decision.
    fn of(case: &Case) -> Self {
        let enforced = || case.applying().filter(|policy| !policy.dry_run);
        let understood = |action| enforced().filter(move |it| it.unusable.is_none() && it.action == action);
        let matching = |action| keys(understood(action).filter(|policy| policy_hits(policy, &case.peer)));
        let unusable = keys(enforced().filter(|policy| policy.unusable.is_some()));
        let known = |key: &&Arc<str>| case.policies.iter().any(|policy| policy.key == **key);
        let references = &case.workload.authorization_policies;
        let unknown: Keys = references.iter().filter(|key| !known(key)).cloned().collect();
        let steps = [
            (!matching(Action::Deny).is_empty(), Self::DeniedBy(matching(Action::Deny))),
            (!unusable.is_empty(), Self::Unusable(unusable)),
            (!unknown.is_empty(), Self::Unknown(unknown)),
            (understood(Action::Allow).count() == 0, Self::Unrestricted),
            (!matching(Action::Allow).is_empty(), Self::AllowedBy(matching(Action::Allow))),
            (true, Self::NoneAllowed),
        ];
        steps.into_iter().find(|(applies, _)| *applies).unwrap().1
    }

    fn admits(&self, verdict: &Verdict) -> bool {
        match (self, verdict) {
            (Self::Unrestricted, Verdict::Allow { policy: None })
            | (Self::NoneAllowed, Verdict::Deny(Denial::NoneAllowed)) => true,
            (Self::AllowedBy(keys), Verdict::Allow { policy: Some(policy) })
            | (Self::DeniedBy(keys), Verdict::Deny(Denial::Explicit { policy }))
            | (Self::Unusable(keys), Verdict::Deny(Denial::UnusablePolicy { policy, .. }))
            | (Self::Unknown(keys), Verdict::Deny(Denial::UnknownPolicy { policy })) => keys.contains(policy),
            (_, Verdict::Allow { .. } | Verdict::Deny(_)) => false,
        }
    }

    /// What dry-run policies say: keys of those that match, and an empty text when an ALLOW policy is missed.
    fn dry_run(&self, case: &Case) -> Keys {
        let dry = |action| case.applying().filter(move |policy| policy.dry_run && policy.action == action);
        let matching = |action| keys(dry(action).filter(|policy| policy_hits(policy, &case.peer)));
        if matches!(self, Self::DeniedBy(_) | Self::Unusable(_) | Self::Unknown(_)) {
            return matching(Action::Deny);
        }
        let enforced =
            case.applying().any(|it| !it.dry_run && it.unusable.is_none() && it.action == Action::Allow);
        let missed = !enforced && dry(Action::Allow).count() > 0 && matching(Action::Allow).is_empty();
        let missed = missed.then(|| Arc::from(""));
        matching(Action::Deny).into_iter().chain(matching(Action::Allow)).chain(missed).collect()
    }
}

impl Case {
    /// The policies of the workload's namespace, the global ones, and those it refers to.
    fn applying(&self) -> impl Iterator<Item = &Policy> {
        self.policies.iter().filter(|policy| {
            policy.scope == Scope::Global
                || policy.scope == Scope::Namespace && policy.namespace == self.workload.namespace
                || self.workload.authorization_policies.contains(&policy.key)
        })
    }

    /// Says what is wrong, if model and judge disagree.
    fn disagreement(&self) -> Option<String> {
        let set = snapshot(self.policies.clone()).policies_for(&self.workload);
        let (verdict, model) = (super::super::judge(&set, &self.peer), Model::of(self));
        if !model.admits(&verdict) {
            return Some(format!("{verdict:?} is not {model:?}"));
        }
        let key = |finding: DryRun<'_>| match finding {
            DryRun::Deny(policy) | DryRun::Allow(policy) => policy.key.clone(),
            DryRun::NoneAllowed => Arc::from(""),
        };
        let told: Vec<Arc<str>> = dry_run(&set, &self.peer, &verdict).into_iter().map(key).collect();
        let (count, told) = (told.len(), Keys::from_iter(told));
        let expected = model.dry_run(self);
        (told != expected || count != told.len()).then(|| format!("dry run {told:?} is not {expected:?}"))
    }
}

fn keys<'a>(policies: impl Iterator<Item = &'a Policy>) -> Keys {
    policies.map(|policy| policy.key.clone()).collect()
}

fn policy_hits(policy: &Policy, peer: &Peer) -> bool {
    let mut hit = false;
    for rule in &policy.rules {
        let mut all = true;
        for clause in &rule.clauses {
            let hits: Vec<bool> = clause.matches.iter().map(|it| match_hits(it, peer)).collect();
            all &= hits.is_empty() || hits.contains(&true);
        }
        hit |= all;
    }
    hit && policy.unusable.is_none()
}

/// Attribute by attribute: is there a list at all, does a positive value hit, does a negative one.
fn match_hits(it: &Match, peer: &Peer) -> bool {
    let id = peer.identity.as_ref();
    let namespace = id.map_or(String::new(), |id| id.namespace().to_owned());
    let principal = id.map(|id| id.to_string().split_off("spiffe://".len()));
    let account = id.map(|id| format!("{}|{}", id.namespace(), id.service_account()));
    let in_namespace = |m: &StringMatch| text_hits(m, &namespace);
    let is_principal = |m: &StringMatch| principal.as_ref().is_some_and(|text| text_hits(m, text));
    let is_account =
        |m: &ServiceAccountMatch| account == Some(format!("{}|{}", m.namespace, m.service_account));
    let from = |m: &ipnet::IpNet| block_hits(m, peer.source.ip());
    let to = |m: &ipnet::IpNet| block_hits(m, peer.destination.ip());
    let port = |m: &u16| *m == peer.destination.port();
    let attributes = [
        attribute(&it.namespaces, &it.not_namespaces, in_namespace),
        attribute(&it.principals, &it.not_principals, is_principal),
        attribute(&it.service_accounts, &it.not_service_accounts, is_account),
        attribute(&it.source_ips, &it.not_source_ips, from),
        attribute(&it.destination_ips, &it.not_destination_ips, to),
        attribute(&it.destination_ports, &it.not_destination_ports, port),
    ];
    let said: Vec<bool> = attributes.into_iter().flatten().collect();
    !said.is_empty() && said.iter().all(|holds| *holds)
}

/// Nothing when neither list says anything.
fn attribute<T>(positive: &[T], negative: &[T], hits: impl Fn(&T) -> bool) -> Option<bool> {
    if positive.len() + negative.len() == 0 {
        return None;
    }
    let positive: Vec<bool> = positive.iter().map(&hits).collect();
    let negative: Vec<bool> = negative.iter().map(&hits).collect();
    Some((positive.is_empty() || positive.contains(&true)) && !negative.contains(&true))
}

fn text_hits(condition: &StringMatch, text: &str) -> bool {
    let part_at = |part: &str, at: Option<usize>| {
        at.is_some_and(|at| text.bytes().skip(at).take(part.len()).eq(part.bytes()))
    };
    match condition {
        StringMatch::Presence => !text.is_empty(),
        StringMatch::Exact(part) => text.len() == part.len() && part_at(part, Some(0)),
        StringMatch::Prefix(part) => part_at(part, Some(0)),
        StringMatch::Suffix(part) => part_at(part, text.len().checked_sub(part.len())),
    }
}

fn block_hits(block: &ipnet::IpNet, ip: IpAddr) -> bool {
    // Family, address as a number from its highest bit on.
    let number = |ip: IpAddr| match ip.to_canonical() {
        IpAddr::V4(ip) => (4, u128::from(ip.to_bits()) << 96),
        IpAddr::V6(ip) => (6, ip.to_bits()),
    };
    let ((block_family, network), (family, ip)) = (number(block.addr()), number(ip));
    let differing = (network ^ ip).leading_zeros();
    block_family == family && differing >= u32::from(block.prefix_len())
}

#[test]
fn the_verdict_is_that_of_the_model() {
    let mut dice = Dice::seeded(7);
    let mut seen = [0; 6];
    let mut dry_runs = 0;
    for round in 0..40_000 {
        let case = dice.case();
        if case.disagreement().is_some() {
            let case = shrink::smallest(case, |case| case.disagreement().is_some());
            panic!("round {round}: {}\n{case:#?}", case.disagreement().unwrap());
        }
        let model = Model::of(&case);
        dry_runs += usize::from(!model.dry_run(&case).is_empty());
        seen[match model {
            Model::Unrestricted => 0,
            Model::AllowedBy(_) => 1,
            Model::DeniedBy(_) => 2,
            Model::Unusable(_) => 3,
            Model::Unknown(_) => 4,
            Model::NoneAllowed => 5,
        }] += 1;
    }
    assert!(seen.iter().all(|&count| count > 1000), "one kind of verdict is hardly tested: {seen:?}");
    assert!(dry_runs > 1000, "dry runs are hardly tested: {dry_runs}");
}
