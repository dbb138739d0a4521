//! The decision over all policies of a workload.

use std::sync::Arc;

use super::matcher::Subject;
use super::rule::Policy;
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

impl Verdict {
    /// Tells whether the peer may come in.
    #[must_use]
    pub fn is_allowed(&self) -> bool {
        matches!(self, Self::Allow { .. })
    }
}

/// Judges whether `peer` may connect to a workload these policies apply to.
#[must_use]
pub fn judge(policies: &PolicySet, peer: &Peer) -> Verdict {
    let subject = Subject::of(peer);
    let matches = |policy: &&Arc<Policy>| policy.matches(&subject);
    if let Some(policy) = policies.deny.iter().find(matches) {
        return Verdict::Deny(Denial::Explicit { policy: policy.key.clone() });
    }
    let mut unusable = policies.unusable.iter().filter_map(|it| Some((&it.key, it.unusable.as_ref()?)));
    if let Some((policy, reason)) = unusable.next() {
        return Verdict::Deny(Denial::UnusablePolicy { policy: policy.clone(), reason: reason.clone() });
    }
    if let Some(policy) = policies.unknown().next() {
        return Verdict::Deny(Denial::UnknownPolicy { policy: policy.clone() });
    }
    if policies.allow.is_empty() {
        return Verdict::Allow { policy: None };
    }
    match policies.allow.iter().find(matches) {
        Some(policy) => Verdict::Allow { policy: Some(policy.key.clone()) },
        None => Verdict::Deny(Denial::NoneAllowed),
    }
}
