//! The packet rules inside a pod, as the enrolment needs them: put in, compared with the kernel, taken out.
//!
//! A seam: the enrolment knows nothing of iptables, and its tests need none. All calls block.

use std::fmt;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::LazyLock;

use culvert_sys::netns::Netns;
use culvert_sys::readable::{Found, Readable};
use ebpf_free_iptables::{Applied, Changed, Iptables, Options, Plan, Watch};
use futures::StreamExt as _;
use futures::stream::BoxStream;

use crate::sockets;
use crate::unheard::Unheard;

/// Why a call failed.
pub(crate) type Cause = Box<dyn std::error::Error + Send + Sync>;

/// What [`PacketRules::fingerprint`] gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fingerprint(pub(crate) u64);

/// What [`PacketRules::changes`] gives.
pub(crate) type Changes = BoxStream<'static, ()>;

/// Programs one pod's rules. `pod` is only named in errors and logs.
pub(crate) trait PacketRules: Send + Sync {
    /// Puts the rules in, or right. Does nothing when they are in place.
    fn apply(&self, pod: &str, netns: &Netns, options: &Options) -> Result<Applied, Cause>;

    /// Compares the kernel with what shall be there; each difference in words.
    fn verify(&self, pod: &str, netns: &Netns, options: &Options) -> Result<Vec<String>, Cause>;

    /// Lets connections pass that begin from here on; those that were captured before stay so.
    fn release(&self, pod: &str, netns: &Netns) -> Result<(), Cause>;

    /// Whether somebody takes what the rules of an enrolled pod capture.
    fn is_taken(&self, pod: &str, netns: &Netns, options: &Options) -> Result<bool, Cause>;

    /// A number that stays the same for as long as nothing of what [`PacketRules::verify`] compares has changed. Cheap.
    fn fingerprint(&self, netns: &Netns) -> Result<Fingerprint, Cause>;

    /// Yields whenever something changes that [`PacketRules::verify`] may be interested in; ends when that cannot be told any more.
    fn changes(&self, netns: &Netns) -> Result<Changes, Cause>;

    /// Whether connections that were captured are still carried to somewhere. Without the rules, what is said on them would go out as
    /// it is.
    fn carries(&self, netns: &Netns) -> Result<bool, Cause>;

    /// Takes out all that [`PacketRules::apply`] put in. Succeeds when nothing is there.
    fn remove(&self, pod: &str, netns: &Netns) -> Result<(), Cause>;
}

/// By iptables.
pub(crate) struct IptablesRules {
    pub(crate) iptables: Iptables,
    pub(crate) unheard: Unheard,
}

impl PacketRules for IptablesRules {
    fn apply(&self, pod: &str, netns: &Netns, options: &Options) -> Result<Applied, Cause> {
        let applied = self.iptables.apply(pod, netns, &Plan::new(options))?;
        tracing::debug!(pod, netns = %netns.id(), ?applied, "rules applied");
        Ok(applied)
    }

    fn verify(&self, pod: &str, netns: &Netns, options: &Options) -> Result<Vec<String>, Cause> {
        let drift = self.iptables.verify(pod, netns, &Plan::new(options))?;
        Ok(in_short(drift.iter().map(ToString::to_string)))
    }

    fn release(&self, pod: &str, netns: &Netns) -> Result<(), Cause> {
        Ok(self.iptables.release(pod, netns)?)
    }

    fn is_taken(&self, pod: &str, netns: &Netns, options: &Options) -> Result<bool, Cause> {
        if options.captures_dns() {
            self.unheard.look(pod, netns);
        }
        // A kernel that cannot tell is no reason to take a pod for broken.
        Ok(sockets::takes_connections(netns).unwrap_or_else(|error| {
            tracing::debug!(pod, %error, "who takes the pod's connections cannot be seen");
            true
        }))
    }

    fn fingerprint(&self, netns: &Netns) -> Result<Fingerprint, Cause> {
        // Keyed alike for as long as the process lives.
        static KEY: LazyLock<RandomState> = LazyLock::new(RandomState::new);
        Ok(Fingerprint(KEY.hash_one(self.iptables.fingerprint(netns)?)))
    }

    fn changes(&self, netns: &Netns) -> Result<Changes, Cause> {
        let watch = Readable::new(Watch::open(netns)?)?;
        Ok(futures::stream::unfold(watch, next).boxed())
    }

    fn carries(&self, netns: &Netns) -> Result<bool, Cause> {
        Ok(sockets::is_plugged_in(netns)? && sockets::carries_connections(netns)?)
    }

    fn remove(&self, pod: &str, netns: &Netns) -> Result<(), Cause> {
        Ok(self.iptables.remove(pod, netns)?)
    }
}

/// As much as people read: whoever may write rules in a pod may write any number, of any length.
fn in_short(mut drift: impl ExactSizeIterator<Item = String>) -> Vec<String> {
    const MOST: usize = 10;
    const LONGEST: usize = 200;
    let cut = |mut text: String| {
        if let Some((end, _)) = text.char_indices().nth(LONGEST) {
            text.truncate(end);
            text.push('…');
        }
        text
    };
    let mut shown: Vec<_> = drift.by_ref().take(MOST).map(cut).collect();
    if drift.len() > 0 {
        shown.push(format!("and {} more differences", drift.len()));
    }
    shown
}

/// Waits for the next announcement; ends when there will be none any more.
async fn next(watch: Readable<Watch>) -> Option<((), Readable<Watch>)> {
    let look = |watch: &Watch| {
        watch.drain().map(|changed| match changed {
            Changed::Something => Found::Something,
            Changed::Nothing => Found::Nothing,
        })
    };
    let heard = watch.until(look).await;
    heard
        .inspect_err(
            |error| tracing::debug!(%error, "changes in a pod's namespace cannot be heard of any more"),
        )
        .ok()?;
    Some(((), watch))
}

impl fmt::Debug for IptablesRules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IptablesRules").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_is_told_as_far_as_people_read() {
        let told = in_short((0..1000).map(|n| format!("{n}{}", "é".repeat(10_000))));
        assert_eq!(told.len(), 11);
        assert!(told.iter().all(|text| text.chars().count() <= 201));
        assert_eq!(told[10], "and 990 more differences");
        assert_eq!(in_short(["one".to_owned()].into_iter()), ["one"]);
    }
}
