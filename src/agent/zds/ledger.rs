//! What one node has been told and has acknowledged, and what to tell it next. Pure: no socket, no clock.
//!
//! ```text
//!             Keep (snapshot only)        Add acknowledged
//!   unknown ──────────────────────▶ Kept ─────────────────▶ Serving
//!      │                                                       ▲
//!      └──────────── Add ──▶ refused: Refused ──(again later)──┘
//!
//!   Add once more to Serving, when other facts are known of the same enrolment
//!
//!   Delete from any of them, as soon as the table no longer has what the node was told
//! ```
//!
//! A node is told of many pods at once, and of each pod one thing at a time: what follows from an answer waits for it, and no
//! removal overtakes what it removes. Nothing but the snapshot is told before all of that is answered.

use std::collections::BTreeMap;
use std::ops::Bound::{Excluded, Unbounded};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::message::Request;
use super::seats::Rank;
use super::window::Window;
use crate::backoff::Backoff;
use crate::pod::Uid;
use crate::served::{Holds, Served};
use crate::table::{Enrolled, Entry, Table};

#[cfg(test)]
mod tests;

/// How long requests with a descriptor wait after the kernel had too many of them under way.
const HOLD: Duration = Duration::from_millis(100);

/// One node's books.
#[derive(Debug)]
pub(crate) struct Ledger {
    phase: Phase,
    books: BTreeMap<Uid, Told>,
    window: Window,
    served: Served,
    /// Until when no descriptors are sent.
    held_until: Option<Instant>,
}

#[derive(Debug)]
enum Phase {
    /// Pods up to this one have been named.
    Snapshot(Option<Uid>),
    /// All have been named, and the node has not answered that yet.
    Ending,
    Live,
}

#[derive(Debug)]
enum Told {
    /// It may still serve the pod from an earlier session.
    Kept,
    Serving {
        pod: Arc<Enrolled>,
        _holds: Holds,
    },
    /// It could not start; it may go on trying by itself.
    Refused(Refusal),
}

#[derive(Debug)]
struct Refusal {
    pod: Arc<Enrolled>,
    reason: Arc<str>,
    backoff: Backoff,
    _holds: Holds,
}

/// A request that was answered.
#[derive(Debug)]
pub(crate) struct Answered {
    pub(crate) request: Request,
    /// Why the node refused.
    pub(crate) refusal: Option<Arc<str>>,
    /// The node has said just this before, of the same pod.
    pub(crate) repeated: bool,
}

impl Ledger {
    /// Of a node that has just come; what it says is noted in `served`.
    pub(crate) fn new(served: Served, now: Instant) -> Self {
        let (phase, books) = (Phase::Snapshot(None), BTreeMap::new());
        Self { phase, books, window: Window::new(now), served, held_until: None }
    }

    /// The next request, if there is anything to tell by now. It counts as told when it is [`sent`](Self::sent).
    pub(crate) fn next(&self, table: &Table, rank: Rank, now: Instant) -> Option<Request> {
        if !self.window.has_room() {
            return None;
        }
        let next = match &self.phase {
            Phase::Snapshot(named) => Some(of_snapshot(table, named.as_ref())),
            Phase::Ending => None,
            Phase::Live => self.removal(table).or_else(|| self.addition(table, rank, now)),
        };
        next.filter(|request| request.netns().is_none() || !self.holds(now))
    }

    /// Removals come first: a pod that is served under an old name or in an old namespace is removed before it is added.
    fn removal(&self, table: &Table) -> Option<Request> {
        let gone =
            |(uid, told): &(&Uid, &Told)| told.contradicts(table.get(*uid)) && !self.window.concerns(uid);
        self.books.iter().find(gone).map(|(uid, _)| Request::Delete(uid.clone()))
    }

    fn addition(&self, table: &Table, rank: Rank, now: Instant) -> Option<Request> {
        if rank == Rank::Older || self.holds(now) {
            return None;
        }
        table.iter().find_map(|(uid, entry)| match entry {
            Entry::Serve(pod) if self.wants_telling(uid, pod, now) => {
                Some(Request::Add(uid.clone(), Arc::clone(pod)))
            }
            Entry::Serve(_) | Entry::Keep => None,
        })
    }

    /// Notes that a request was sent.
    pub(crate) fn sent(&mut self, request: Request, now: Instant) {
        match (&mut self.phase, &request) {
            (phase, Request::SnapshotSent) => *phase = Phase::Ending,
            (Phase::Snapshot(named), Request::Add(uid, _) | Request::Keep(uid)) => *named = Some(uid.clone()),
            // Whatever the node answers, there is nothing more that could be said about the pod.
            (_, Request::Delete(uid)) => drop(self.books.remove(uid)),
            (Phase::Ending | Phase::Live, Request::Add(..) | Request::Keep(_)) => {}
        }
        self.window.push(request, now);
    }

    /// Notes that the kernel has too many descriptors under way to take another one; returns whether that is the first time.
    /// Requests without one go on.
    pub(crate) fn hold_descriptors(&mut self, now: Instant) -> bool {
        self.held_until.replace(now + HOLD).is_none()
    }

    /// Takes in the node's next answer; there is none to take when the node was not asked anything.
    pub(crate) fn answered(&mut self, answer: Result<(), String>, now: Instant) -> Option<Answered> {
        let request = self.window.pop(now)?;
        let refusal = answer.err().map(Arc::from);
        let repeated = self.is_known(&request, refusal.as_ref());
        match &request {
            Request::SnapshotSent => self.phase = Phase::Live,
            Request::Keep(uid) => {
                self.books.insert(uid.clone(), Told::Kept);
            }
            Request::Delete(_) => {}
            Request::Add(uid, pod) => self.added(uid, pod, refusal.clone(), now),
        }
        Some(Answered { request, refusal, repeated })
    }

    fn added(&mut self, uid: &Uid, pod: &Arc<Enrolled>, refusal: Option<Arc<str>>, now: Instant) {
        let (netns, pod) = (pod.netns.id(), Arc::clone(pod));
        let before = self.books.remove(uid);
        let told = match (refusal, before) {
            (None, _) => Told::Serving { pod, _holds: self.served.serves(uid, netns) },
            (Some(reason), before) => {
                let backoff = match before {
                    Some(Told::Refused(before)) => before.backoff.again(now),
                    Some(Told::Kept | Told::Serving { .. }) | None => Backoff::begin(now),
                };
                let holds = self.served.refuses(uid, netns, Arc::clone(&reason));
                Told::Refused(Refusal { pod, reason, backoff, _holds: holds })
            }
        };
        self.books.insert(uid.clone(), told);
    }

    fn is_known(&self, request: &Request, refusal: Option<&Arc<str>>) -> bool {
        match request.uid().and_then(|uid| self.books.get(uid)) {
            Some(Told::Refused(known)) => Some(&known.reason) == refusal,
            Some(Told::Kept | Told::Serving { .. }) | None => false,
        }
    }

    /// When there may be something to tell without any change of the table: a refused pod is tried again, or descriptors are.
    pub(crate) fn wake_at(&self, rank: Rank, now: Instant) -> Option<Instant> {
        if !self.window.has_room() {
            return None;
        }
        let held = self.held_until.filter(|_| self.holds(now));
        held.or_else(|| self.retry_at().filter(|_| rank == Rank::Newest))
    }

    fn retry_at(&self) -> Option<Instant> {
        let retry = |(uid, told): (&Uid, &Told)| match told {
            Told::Refused(refusal) if !self.window.concerns(uid) => Some(refusal.backoff.retry_at()),
            Told::Refused(_) | Told::Kept | Told::Serving { .. } => None,
        };
        match self.phase {
            Phase::Live => self.books.iter().filter_map(retry).min(),
            Phase::Snapshot(_) | Phase::Ending => None,
        }
    }

    /// Until when the node has to answer the oldest request, and which that is.
    pub(crate) fn owes(&self) -> Option<(Instant, &Request)> {
        Some((self.window.deadline()?, self.window.oldest()?))
    }

    fn holds(&self, now: Instant) -> bool {
        self.held_until.is_some_and(|until| now < until)
    }

    fn wants_telling(&self, uid: &Uid, pod: &Arc<Enrolled>, now: Instant) -> bool {
        let wants = match self.books.get(uid) {
            None | Some(Told::Kept) => true,
            Some(Told::Refused(refusal)) => refusal.backoff.due(now),
            // Of the same enrolment, or it would have been deleted: only what kubelet does to the pod has changed.
            Some(Told::Serving { pod: told, .. }) => !Arc::ptr_eq(told, pod),
        };
        wants && !self.window.concerns(uid)
    }
}

/// The snapshot names the pods there are at each moment, in the order of their UIDs.
fn of_snapshot(table: &Table, named: Option<&Uid>) -> Request {
    let after = named.map_or(Unbounded, Excluded);
    match table.range::<Uid, _>((after, Unbounded)).next() {
        Some((uid, Entry::Serve(pod))) => Request::Add(uid.clone(), Arc::clone(pod)),
        Some((uid, Entry::Keep)) => Request::Keep(uid.clone()),
        None => Request::SnapshotSent,
    }
}

impl Told {
    fn contradicts(&self, entry: Option<&Entry>) -> bool {
        match (self, entry) {
            (_, None) | (Self::Serving { .. } | Self::Refused(_), Some(Entry::Keep)) => true,
            (Self::Serving { pod, .. } | Self::Refused(Refusal { pod, .. }), Some(Entry::Serve(new))) => {
                !pod.is_same_enrolment(new)
            }
            (Self::Kept, Some(_)) => false,
        }
    }
}
