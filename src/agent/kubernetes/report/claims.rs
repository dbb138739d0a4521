//! What the annotation `ambient.istio.io/redirection` of each pod should say, and when that is to be written.
//!
//! ```text
//!  protected ──────────────────────────────▶ enabled, at once
//!  in doubt: impaired, quarantined ────────▶ pending, at once; nothing where nothing was said
//!  unserved: no node, not programmed yet ──▶ pending, after 10 s: nodes restart
//!  outside: not wished, and off the board ─▶ no annotation, after 2 s
//! ```
//!
//! Who waits longest comes first, pods outside the mesh last. A pod that is written to again and again is written to at growing distances, so that nobody who
//! undoes what is written, or has pods come and go, keeps the others waiting; only what we said ourselves is taken back at once.
//!
//! Pure: views, boards and results go in, with the time; writes come out, one at a time for each pod, and the newest state counts.
//! An annotation that others wrote is judged like our own.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use self::lately::Lately;
use crate::backoff::Backoff;
use crate::board::{Board, State, Status};
use crate::cluster::{Claim, PodView, View, Wish};
use crate::pod::{Uid, Workload};

mod lately;

#[cfg(test)]
mod tests;

/// How long a pod may be without a node, or without its rules having been looked at, before others are told: a restart of the node
/// or of the agent takes less, and would change the annotations of all pods twice.
pub(super) const UNSERVED: Duration = Duration::from_secs(10);

/// How long a pod must have been out of the mesh: the enrolment hears of it at the same time, and may still be about to clean up.
pub(super) const OUTSIDE: Duration = Duration::from_secs(2);

/// How long a write counts although the API server does not show it. It mostly does within a second.
pub(super) const BELIEVED: Duration = Duration::from_secs(30);

/// All pods of the node.
#[derive(Debug, Default)]
pub(super) struct Claims(BTreeMap<Uid, Pod>);

#[derive(Debug)]
struct Pod {
    workload: Workload,
    shown: Claim,
    shown_since: Instant,
    standing: Standing,
    since: Instant,
    written: Option<Written>,
    /// What we wrote last, even if it does not count any more.
    said: Option<Claim>,
    lately: Lately,
    is_being_written: bool,
    backoff: Option<Backoff>,
}

/// What was written last, while it counts.
#[derive(Debug, Clone, Copy)]
struct Written {
    claim: Claim,
    /// What the API server showed when it was written.
    over: Claim,
    until: Instant,
}

/// How a pod stands, as far as the annotation goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    Protected,
    Doubtful,
    Unserved,
    Outside,
    /// Nothing can be said.
    Unknown,
}

/// What is written first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Urgency {
    /// Others believe what they should not of a pod of the mesh, or because we said it.
    ReliedOn,
    Usual,
    /// What was written by hand to pods that are not in the mesh. Anybody can make any number of those.
    Outside,
}

/// One annotation to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Write {
    pub(super) uid: Uid,
    pub(super) workload: Workload,
    pub(super) claim: Claim,
    over: Claim,
}

/// What has become of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Written,
    /// The pod is not there any more, or is another one.
    Gone,
    Failed,
}

impl Claims {
    /// Takes over what is known. Without a board nothing is known of the pods that are not on it.
    pub(super) fn observe(&mut self, view: &View, board: Option<&Board>, now: Instant) {
        self.0.retain(|uid, _| view.pods.contains_key(uid));
        for (uid, seen) in &view.pods {
            let standing = standing(seen, board, uid);
            let pod = self.0.entry(uid.clone()).or_insert_with(|| Pod::new(seen, standing, now));
            if pod.standing != standing {
                (pod.standing, pod.since) = (standing, now);
            }
            if pod.shown != seen.claim {
                (pod.shown, pod.shown_since, pod.written) = (seen.claim, now, None);
            }
        }
    }

    /// The next write that is due: of the same urgency who waits longest.
    pub(super) fn next(&mut self, now: Instant) -> Option<Write> {
        let due = self.0.iter().filter_map(|(uid, pod)| {
            let at = pod.due(now).filter(|at| *at <= now)?;
            Some((pod.urgency(now), at, pod.lately, uid))
        });
        let uid = due.min().map(|(.., uid)| uid.clone())?;
        let pod = self.0.get_mut(&uid)?;
        let (claim, _) = pod.wanted(now)?;
        pod.is_being_written = true;
        Some(Write { uid, workload: pod.workload.clone(), claim, over: pod.shown })
    }

    /// A write has ended.
    pub(super) fn done(&mut self, write: &Write, fate: Fate, now: Instant) {
        let Some(pod) = self.0.get_mut(&write.uid) else { return };
        pod.is_being_written = false;
        match fate {
            // The view will drop a pod that is gone; until then nothing is tried again.
            Fate::Written | Fate::Gone => {
                pod.backoff = None;
                pod.said = Some(write.claim);
                pod.lately.note(now);
                if pod.shown == write.over {
                    let until = now + BELIEVED;
                    pod.written = Some(Written { claim: write.claim, over: write.over, until });
                }
            }
            Fate::Failed => pod.backoff = Some(again(pod.backoff, now)),
        }
    }

    /// When something becomes due that is not yet.
    pub(super) fn wake_at(&self, now: Instant) -> Option<Instant> {
        let dues = self.0.values().filter_map(|pod| pod.due(now));
        let doubts = self.0.values().filter_map(|pod| pod.written.map(|written| written.until));
        dues.chain(doubts.filter(|at| *at > now)).min()
    }
}

impl Pod {
    fn new(seen: &PodView, standing: Standing, now: Instant) -> Self {
        Self {
            workload: seen.workload.clone(),
            shown: seen.claim,
            shown_since: now,
            standing,
            since: now,
            written: None,
            said: None,
            lately: Lately::default(),
            is_being_written: false,
            backoff: None,
        }
    }

    fn believed(&self, now: Instant) -> Claim {
        match self.written {
            Some(written) if written.over == self.shown && now < written.until => written.claim,
            Some(_) | None => self.shown,
        }
    }

    /// What should be written, and how long its reason must have lasted.
    fn wanted(&self, now: Instant) -> Option<(Claim, Duration)> {
        let believed = self.believed(now);
        let (claim, after) = match (self.standing, believed) {
            (Standing::Protected, _) => (Claim::Enabled, Duration::ZERO),
            (Standing::Doubtful, Claim::Enabled | Claim::Other) => (Claim::Pending, Duration::ZERO),
            (Standing::Unserved, Claim::Enabled | Claim::Other) => (Claim::Pending, UNSERVED),
            (Standing::Outside, _) => (Claim::Absent, OUTSIDE),
            (Standing::Doubtful | Standing::Unserved | Standing::Unknown, _) => return None,
        };
        (claim != believed).then_some((claim, after))
    }

    fn due(&self, now: Instant) -> Option<Instant> {
        if self.is_being_written {
            return None;
        }
        let (_, after) = self.wanted(now)?;
        let rest = if self.takes_back(now) { None } else { self.lately.rests_until() };
        let waits = [Some(self.shown_since), rest, self.backoff.map(Backoff::retry_at)];
        Some(waits.into_iter().flatten().fold(self.since + after, Instant::max))
    }

    fn urgency(&self, now: Instant) -> Urgency {
        let is_in_doubt = matches!(self.standing, Standing::Doubtful | Standing::Unserved);
        if self.takes_back(now) || (is_in_doubt && self.believed(now) == Claim::Enabled) {
            Urgency::ReliedOn
        } else if self.standing == Standing::Outside {
            Urgency::Outside
        } else {
            Urgency::Usual
        }
    }

    /// Whether what we said ourselves is to be taken back. There is no more of that than of what was said.
    fn takes_back(&self, now: Instant) -> bool {
        let is_wanted = self.wanted(now).is_some_and(|(claim, _)| claim != Claim::Enabled);
        is_wanted && self.said == Some(Claim::Enabled) && self.believed(now) == Claim::Enabled
    }
}

fn standing(seen: &PodView, board: Option<&Board>, uid: &Uid) -> Standing {
    let is_wished = matches!(seen.wish, Wish::Enrol(_));
    match board.map(|board| board.get(uid)) {
        Some(Some(status)) if is_wished => of_status(status),
        // On its way out; what it says stays until nothing of ours is left.
        Some(Some(status)) => match of_status(status) {
            Standing::Doubtful => Standing::Doubtful,
            Standing::Protected => Standing::Unknown,
            Standing::Unserved | Standing::Outside | Standing::Unknown => Standing::Unserved,
        },
        Some(None) if !is_wished => Standing::Outside,
        Some(None) => Standing::Unserved,
        None => Standing::Unknown,
    }
}

fn of_status(status: &Status) -> Standing {
    if status.is_protected() {
        return Standing::Protected;
    }
    match status.state {
        State::Impaired { .. } | State::Quarantined { .. } => Standing::Doubtful,
        State::Awaited | State::Programming | State::Enrolled | State::Leaving => Standing::Unserved,
    }
}

fn again(backoff: Option<Backoff>, now: Instant) -> Backoff {
    backoff.map_or_else(|| Backoff::begin(now), |backoff| backoff.again(now))
}
