//! May this peer come in? A pure answer.
//!
//! Goes in: the policies that apply to the workload that is being called, what is known about the peer. Comes out: one
//! verdict that names the policy behind it. Deliberately absent: HTTP attributes, and anything about the client's side; only the
//! destination's policies count.
//!
//! Order of decision: an enforced DENY that matches; a policy that cannot be understood; a policy the workload refers to
//! but nobody knows; no enforced ALLOW at all; an enforced ALLOW that matches; and denial for the rest.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::identity::SpiffeId;

mod matcher;
mod rule;
mod verdict;

pub use matcher::{ServiceAccountMatch, StringMatch};
pub use rule::{Action, Clause, Match, Policy, Rule, Scope};
pub use verdict::{Denial, DryRun, Verdict};

/// The calling side of a connection, and where it wants to go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Who calls, as the TLS handshake proved; `None` for plaintext.
    pub identity: Option<SpiffeId>,
    /// Where the call comes from.
    pub source: SocketAddr,
    /// Where it is delivered: the workload's address and the application's port.
    pub destination: SocketAddr,
}

/// The policies that apply to one workload.
#[derive(Debug, Clone)]
pub struct PolicySet<'a> {
    policies: Vec<&'a Arc<Policy>>,
    unknown: Vec<&'a Arc<str>>,
}

impl<'a> PolicySet<'a> {
    /// Puts a set together from the policies that govern where the workload is, and those it refers to.
    pub(crate) fn new(
        governing: impl Iterator<Item = &'a Arc<Policy>>,
        references: impl Iterator<Item = (&'a Arc<str>, Option<&'a Arc<Policy>>)>,
    ) -> Self {
        let (mut policies, mut unknown): (Vec<_>, Vec<_>) = (governing.collect(), Vec::new());
        for (key, policy) in references {
            match policy {
                Some(policy) => policies.push(policy),
                None => unknown.push(key),
            }
        }
        Self { policies, unknown }
    }

    /// Gives the policies; one that is reached in two ways comes twice.
    pub fn iter(&self) -> impl Iterator<Item = &'a Arc<Policy>> + '_ {
        self.policies.iter().copied()
    }

    /// Gives the keys the workload refers to that no policy has.
    pub fn unknown(&self) -> impl Iterator<Item = &'a Arc<str>> + '_ {
        self.unknown.iter().copied()
    }
}

/// Judges whether `peer` may connect to a workload these policies apply to.
#[must_use]
pub fn judge(policies: &PolicySet<'_>, peer: &Peer) -> Verdict {
    verdict::judge(policies, peer)
}

/// Tells what the dry-run policies would have done; they never change the verdict.
#[must_use]
pub fn dry_run(policies: &PolicySet<'_>, peer: &Peer) -> Vec<DryRun> {
    verdict::dry_run(policies, peer)
}

#[cfg(test)]
mod tests;
