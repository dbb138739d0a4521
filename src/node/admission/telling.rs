//! What is said of decisions besides the access log: lines, and counts of what dry-run policies would have done.

use culvert_core::policy::{self, Denial, DryRun, Peer, PolicySet, Verdict};
use culvert_core::workload::Workload;

use crate::outcome;

/// How loud decisions are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Telling {
    /// For who looks for them.
    #[default]
    Debug,
    /// For everybody.
    Info,
}

impl Telling {
    /// Says how a connection was judged: once for each set of policies it lives under, or when it is denied.
    pub(super) fn tell(self, policies: &PolicySet, peer: &Peer, verdict: &Verdict, local: &Workload) {
        for finding in policy::dry_run(policies, peer, verdict) {
            outcome::count_dry_run(finding, &local.namespace);
            let (text, policy) = match finding {
                DryRun::Deny(policy) => ("dry-run: deny policy match", Some(&*policy.key)),
                DryRun::Allow(policy) => ("dry-run: allow policy match", Some(&*policy.key)),
                DryRun::NoneAllowed => ("dry-run: no allow policies match", None),
            };
            self.say(text, policy, peer);
        }
        let (text, policy) = match verdict {
            Verdict::Allow { policy: None } => ("no allow policies, allow", None),
            Verdict::Allow { policy: Some(policy) } => ("allow policy match", Some(policy)),
            Verdict::Deny(Denial::Explicit { policy }) => ("deny policy match", Some(policy)),
            Verdict::Deny(Denial::NoneAllowed) => ("no allow policies matched", None),
            Verdict::Deny(Denial::UnusablePolicy { policy, .. }) => ("unusable policy, deny", Some(policy)),
            Verdict::Deny(Denial::UnknownPolicy { policy }) => ("unknown policy, deny", Some(policy)),
        };
        self.say(text, policy.map(|key| &**key), peer);
    }

    fn say(self, text: &str, policy: Option<&str>, peer: &Peer) {
        macro_rules! line {
            ($level:ident) => {
                tracing::$level!(
                    {
                        policy = policy.map(tracing::field::display),
                        src.addr = %peer.source,
                        src.identity = peer.identity.as_ref().map(tracing::field::display),
                        dst.addr = %peer.destination,
                    },
                    "{text}"
                )
            };
        }
        match self {
            Self::Debug => line!(debug),
            Self::Info => line!(info),
        }
    }
}

#[cfg(test)]
mod tests;
