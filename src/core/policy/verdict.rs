//! The decision over all policies of a workload.

use std::sync::Arc;

use super::matcher::Subject;
use super::rule::{Action, Policy};
use super::{Peer, PolicySet};

/// Whether a peer may come in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It may.
    Allow {
        /// The policy that lets it in; `None` when no policy restricts the workload.
        policy: Option<Arc<str>>,
    },
    /// It may not.
    Deny(Denial),
}

/// Why a peer may not come in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Denial {
    /// A DENY policy matches.
    #[error("explicitly denied by: {policy}")]
    Explicit {
        /// The policy.
        policy: Arc<str>,
    },
    /// A policy that applies cannot be understood, and could be one that denies.
    #[error("policy {policy} cannot be understood: {reason}")]
    UnusablePolicy {
        /// The policy.
        policy: Arc<str>,
        /// What is wrong with it.
        reason: Arc<str>,
    },
    /// There are ALLOW policies and none of them matches.
    #[error("allow policies exist, but none allowed")]
    NoneAllowed,
    /// The workload refers to a policy nobody knows, which could be one that denies.
    #[error("policy {policy} is referenced but unknown")]
    UnknownPolicy {
        /// What the workload refers to.
        policy: Arc<str>,
    },
}

/// What a dry-run policy would have done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DryRun {
    /// A DENY policy matches.
    Deny {
        /// The policy.
        policy: Arc<str>,
    },
    /// An ALLOW policy matches.
    Allow {
        /// The policy.
        policy: Arc<str>,
    },
    /// No ALLOW policy matches, and with these enforced that would be a denial.
    NoneAllowed,
}

impl Verdict {
    /// Tells whether the peer may come in.
    #[must_use]
    pub fn is_allowed(&self) -> bool {
        matches!(self, Self::Allow { .. })
    }
}

pub(super) fn judge(policies: &PolicySet<'_>, peer: &Peer) -> Verdict {
    let subject = Subject::new(peer);
    let enforced = |action| policies.iter().filter(move |policy| !policy.dry_run && policy.action == action);
    if let Some(policy) = first_match(enforced(Action::Deny), &subject) {
        return Verdict::Deny(Denial::Explicit { policy });
    }
    let mut unusable = policies
        .iter()
        .filter_map(|policy| Some((policy, policy.unusable.as_ref().filter(|_| !policy.dry_run)?)));
    if let Some((policy, reason)) = unusable.next() {
        return Verdict::Deny(Denial::UnusablePolicy { policy: policy.key.clone(), reason: reason.clone() });
    }
    if let Some(policy) = policies.unknown().next() {
        return Verdict::Deny(Denial::UnknownPolicy { policy: policy.clone() });
    }
    if enforced(Action::Allow).next().is_none() {
        return Verdict::Allow { policy: None };
    }
    match first_match(enforced(Action::Allow), &subject) {
        Some(policy) => Verdict::Allow { policy: Some(policy) },
        None => Verdict::Deny(Denial::NoneAllowed),
    }
}

pub(super) fn dry_run(policies: &PolicySet<'_>, peer: &Peer) -> Vec<DryRun> {
    let subject = Subject::new(peer);
    let dry = |action| policies.iter().filter(move |policy| policy.dry_run && policy.action == action);
    let matching =
        |action| dry(action).filter(|policy| policy.matches(&subject)).map(|policy| policy.key.clone());

    let mut found: Vec<DryRun> = matching(Action::Deny).map(|policy| DryRun::Deny { policy }).collect();
    let allowing: Vec<DryRun> = matching(Action::Allow).map(|policy| DryRun::Allow { policy }).collect();
    let enforced_allow = policies.iter().any(|policy| !policy.dry_run && policy.action == Action::Allow);
    if allowing.is_empty() && !enforced_allow && dry(Action::Allow).next().is_some() {
        found.push(DryRun::NoneAllowed);
    }
    found.extend(allowing);
    found
}

fn first_match<'a>(
    mut policies: impl Iterator<Item = &'a Arc<Policy>>,
    subject: &Subject<'_>,
) -> Option<Arc<str>> {
    policies.find(|policy| policy.matches(subject)).map(|policy| policy.key.clone())
}
