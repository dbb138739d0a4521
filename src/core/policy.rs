//! May this peer come in? A pure answer.
//!
//! Goes in: the policies that apply to the workload that is being called, what is known about the peer. Comes out: one
//! verdict that names the policy behind it. Deliberately absent: HTTP attributes, and anything about the client's side; only the
//! destination's policies count.
//!
//! Order of decision: an enforced DENY that matches; a policy that cannot be understood; a policy the workload refers to
//! but nobody knows; no enforced ALLOW at all; an enforced ALLOW that matches; and denial for the rest. Dry-run policies
//! have no part in it.

use std::net::SocketAddr;

use crate::identity::SpiffeId;

mod dry_run;
mod matcher;
mod rule;
mod set;
mod verdict;

pub use dry_run::{DryRun, dry_run};
pub use matcher::{ServiceAccountMatch, StringMatch};
pub use rule::{Action, Clause, Match, Policy, Rule, Scope};
pub use set::PolicySet;
pub use verdict::{Denial, Verdict, judge};

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

#[cfg(test)]
mod tests;
