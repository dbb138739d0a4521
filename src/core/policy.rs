//! May this peer come in? A pure answer from a snapshot.
//!
//! Goes in: the snapshot, the workload that is being called, what is known about the peer. Comes out: one verdict that
//! names the policy behind it. Deliberately absent: HTTP attributes, and anything about the client's side; only the
//! destination's policies count.
//!
//! Order of decision: an enforced DENY that matches; a policy the workload refers to but nobody knows; no enforced
//! ALLOW at all; an enforced ALLOW that matches; and denial for the rest.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::identity::SpiffeId;
use crate::snapshot::Snapshot;
use crate::workload::Workload;

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
    namespace: &'a [Arc<Policy>],
    global: &'a [Arc<Policy>],
    attached: Vec<&'a Arc<Policy>>,
    unknown: Vec<&'a Arc<str>>,
}

impl<'a> PolicySet<'a> {
    /// Puts a set together from the policies of the workload's namespace, the global ones, and those it refers to.
    pub(crate) fn new(
        namespace: &'a [Arc<Policy>],
        global: &'a [Arc<Policy>],
        references: impl Iterator<Item = (&'a Arc<str>, Option<&'a Arc<Policy>>)>,
    ) -> Self {
        let (mut attached, mut unknown) = (Vec::new(), Vec::new());
        for (key, policy) in references {
            match policy {
                Some(policy) => attached.push(policy),
                None => unknown.push(key),
            }
        }
        Self { namespace, global, attached, unknown }
    }

    /// Gives the policies; one that is reached in two ways comes twice.
    pub fn iter(&self) -> impl Iterator<Item = &'a Arc<Policy>> + '_ {
        self.namespace.iter().chain(self.global).chain(self.attached.iter().copied())
    }

    /// Gives the keys the workload refers to that no policy has.
    pub fn unknown(&self) -> impl Iterator<Item = &'a Arc<str>> + '_ {
        self.unknown.iter().copied()
    }
}

/// Judges whether `peer` may connect to `workload`.
#[must_use]
pub fn judge(snapshot: &Snapshot, workload: &Workload, peer: &Peer) -> Verdict {
    verdict::judge(&snapshot.policies_for(workload), peer)
}

/// Tells what the dry-run policies would have done; they never change the verdict.
#[must_use]
pub fn dry_run(snapshot: &Snapshot, workload: &Workload, peer: &Peer) -> Vec<DryRun> {
    verdict::dry_run(&snapshot.policies_for(workload), peer)
}

#[cfg(test)]
mod tests;
