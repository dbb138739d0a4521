//! What policies would do that are not enforced yet.

use super::matcher::Subject;
use super::rule::{Action, Policy};
use super::verdict::{Denial, Verdict};
use super::{Peer, PolicySet};

/// What a dry-run policy would have done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DryRun<'a> {
    /// This DENY policy matches.
    Deny(&'a Policy),
    /// This ALLOW policy matches.
    Allow(&'a Policy),
    /// No ALLOW policy matches, and with these enforced that would be a denial.
    NoneAllowed,
}

/// Tells what the dry-run policies would have done about a connection on which this is the `verdict`. They never change
/// it; and once a policy has denied, ALLOW policies are of no interest, dry run or not.
#[must_use]
pub fn dry_run<'a>(policies: &'a PolicySet, peer: &Peer, verdict: &Verdict) -> Vec<DryRun<'a>> {
    if policies.dry_run.is_empty() {
        return Vec::new();
    }
    let subject = Subject::of(peer);
    let dry = |action| policies.dry_run.iter().map(|policy| &**policy).filter(move |it| it.action == action);
    let mut found: Vec<_> =
        dry(Action::Deny).filter(|policy| policy.matches(&subject)).map(DryRun::Deny).collect();
    let open = match verdict {
        Verdict::Allow { .. } | Verdict::Deny(Denial::NoneAllowed) => true,
        Verdict::Deny(
            Denial::Explicit { .. } | Denial::UnusablePolicy { .. } | Denial::UnknownPolicy { .. },
        ) => false,
    };
    if open {
        let denials = found.len();
        found.extend(dry(Action::Allow).filter(|policy| policy.matches(&subject)).map(DryRun::Allow));
        let none = found.len() == denials && dry(Action::Allow).next().is_some();
        found.extend((none && policies.allow.is_empty()).then_some(DryRun::NoneAllowed));
    }
    found
}
