//! What connections wait for, in on-demand mode.
//!
//! ```text
//!            ┌──────────────▶ found (a resource of that name, or with that alias) ──▶ known
//!  demand ─▶ pending ───────▶ unknown (removed): remembered briefly, subscription taken back
//!            └─ deadline ───▶ timed out; the last one to give up takes the subscription back
//! ```
//!
//! Requests and responses cross: a resource can still come after its subscription was taken back, and the server would not
//! keep it up to date. It is subscribed to again.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::aliases::Aliases;
use super::recent::Recent;
use super::{Kind, Request, claims};

/// How long somebody waits for an answer.
pub const DEMAND_DEADLINE: Duration = Duration::from_secs(5);

/// How long the answer "does not exist" counts.
pub const UNKNOWN_KEPT: Duration = Duration::from_secs(5);

/// How many names can be asked for at once.
const MOST_PENDING: usize = 10_000;

/// Somebody who waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WaiterId(u64);

/// What is said at once to somebody who misses a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Demand {
    /// It is known.
    Known,
    /// It does not exist.
    Unknown,
    /// The server is asked; an [`super::Event::Answer`] will come.
    Pending(WaiterId),
    /// Too many names are being asked for.
    Overloaded,
}

/// What is said later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It is known.
    Found,
    /// It does not exist.
    Unknown,
    /// The server did not say within [`DEMAND_DEADLINE`].
    TimedOut,
}

/// What is asked for, and what the answers were.
#[derive(Debug, Default)]
pub(super) struct Demands {
    pending: HashMap<Arc<str>, VecDeque<WaiterId>>,
    /// All who wait or waited, in the order of their numbers and of their deadlines.
    deadlines: VecDeque<(Instant, WaiterId, Arc<str>)>,
    /// Names that do not exist, and until when that counts.
    unknown: Recent<Instant>,
    /// Names that are known and that the server has a subscription for.
    subscribed: HashSet<Arc<str>>,
    /// Names whose subscription was taken back on this stream, be it asked for again since.
    unsubscribed: Recent<()>,
    aliases: Aliases,
    next: u64,
    answers: VecDeque<(WaiterId, Outcome)>,
    /// Names the server has to be told about: whether they are wanted shows when it is told.
    changed: VecDeque<Arc<str>>,
    online: bool,
}

impl Demands {
    /// A stream is open, and all that is wanted has been claimed on it: what is held, and what is asked for.
    pub(super) fn opened<'a>(&mut self, held: impl Iterator<Item = &'a Arc<str>>) {
        self.closed();
        self.online = true;
        self.subscribed.extend(held.cloned());
    }

    /// There is no stream. What changes until the next is part of its beginning.
    pub(super) fn closed(&mut self) {
        self.online = false;
        self.changed.clear();
        self.unsubscribed.clear();
    }

    /// Whether a name is another name of something known.
    pub(super) fn is_alias(&self, name: &str) -> bool {
        self.aliases.contains(name)
    }

    /// Asks for a name that is not known.
    pub(super) fn ask(&mut self, name: &str, now: Instant) -> Demand {
        if self.unknown.get(name).is_some_and(|until| now < *until) {
            return Demand::Unknown;
        }
        let name = match self.pending.get_key_value(name) {
            Some((name, _)) => name.clone(),
            None if self.pending.len() >= MOST_PENDING => return Demand::Overloaded,
            None => name.into(),
        };
        let waiter = WaiterId(self.next);
        self.next += 1;
        self.deadlines.push_back((now + DEMAND_DEADLINE, waiter, name.clone()));
        let waiters = self.pending.entry(name.clone()).or_default();
        waiters.push_back(waiter);
        if waiters.len() == 1 {
            self.tell(name);
        }
        Demand::Pending(waiter)
    }

    /// A resource has come.
    pub(super) fn found(&mut self, name: &Arc<str>, aliases: &[Arc<str>]) {
        let mut late = false;
        for asked in aliases.iter().chain([name]) {
            self.settle(asked, Outcome::Found);
            late |= self.unsubscribed.get(asked).is_some();
        }
        late |= self.aliases.set(name, aliases, &self.subscribed);
        // By its own name: whatever else it was asked for by may be another's on the server by then.
        if late && self.subscribed.insert(name.clone()) {
            self.tell(name.clone());
        }
    }

    /// A name is gone, or never was; `is_held` knows the names that are there.
    pub(super) fn gone(&mut self, name: &Arc<str>, is_held: impl Fn(&str) -> bool, now: Instant) {
        let mut former = self.aliases.remove(name);
        // What one thing was asked for by can be what another is called.
        former.retain(|alias| !is_held(alias));
        // Something else may answer to this name: it took its place, or came with the word that nothing is called so.
        let goes_on = self.aliases.contains(name);
        if !goes_on && self.settle(name, Outcome::Unknown) {
            self.unknown.insert(name.clone(), now + UNKNOWN_KEPT);
        }
        for name in former.iter().chain([name].into_iter().filter(|_| !goes_on)) {
            if self.subscribed.remove(name) {
                self.take_back(name.clone());
            }
        }
    }

    /// Somebody does not wait any more.
    pub(super) fn forget(&mut self, waiter: WaiterId) {
        let Ok(at) = self.deadlines.binary_search_by_key(&waiter, |(_, waiter, _)| *waiter) else { return };
        let (_, _, name) = &self.deadlines[at];
        let name = name.clone();
        self.leave(waiter, &name);
    }

    /// When the next of those who wait gives up.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.deadlines.front().map(|(deadline, ..)| *deadline)
    }

    /// Lets those give up whose time is over.
    pub(super) fn handle_deadline(&mut self, now: Instant) {
        while self.deadlines.front().is_some_and(|(deadline, ..)| *deadline <= now) {
            let Some((_, waiter, name)) = self.deadlines.pop_front() else { return };
            if self.leave(waiter, &name) {
                self.answers.push_back((waiter, Outcome::TimedOut));
            }
        }
    }

    /// All names the server should have a subscription for: known ones, under the name they were asked for by, and those
    /// still open.
    pub(super) fn wanted(&self) -> impl Iterator<Item = &Arc<str>> {
        self.subscribed.iter().chain(self.pending.keys())
    }

    pub(super) fn next_answer(&mut self) -> Option<(WaiterId, Outcome)> {
        self.answers.pop_front()
    }

    /// What to subscribe to and to unsubscribe from since this was last asked, as much as one message takes.
    pub(super) fn unsent(&mut self) -> Option<Request> {
        let mut request = Request { type_url: Kind::Address.url().into(), ..Request::default() };
        let (mut told, mut room) = (HashSet::new(), claims::LARGEST);
        while self.changed.front().is_some_and(|name| claims::size(name, 0) <= room) {
            let Some(name) = self.changed.pop_front() else { break };
            if !told.insert(name.clone()) {
                continue;
            }
            room -= claims::size(&name, 0);
            let wanted = self.pending.contains_key(&name) || self.subscribed.contains(&name);
            if wanted { &mut request.subscribe } else { &mut request.unsubscribe }.push(name);
        }
        (!told.is_empty()).then_some(request)
    }

    /// Tells those who wait for a name; says whether it was asked for.
    fn settle(&mut self, name: &str, outcome: Outcome) -> bool {
        let Some((name, waiters)) = self.pending.remove_entry(name) else { return false };
        self.answers.extend(waiters.into_iter().map(|waiter| (waiter, outcome)));
        self.subscribed.insert(name);
        true
    }

    /// One who waits leaves, the last with the subscription; says whether it was still waiting.
    fn leave(&mut self, waiter: WaiterId, name: &Arc<str>) -> bool {
        let Some(waiters) = self.pending.get_mut(name) else { return false };
        let Some(at) = waiters.iter().position(|it| *it == waiter) else { return false };
        waiters.remove(at);
        if waiters.is_empty() {
            self.pending.remove(name);
            self.take_back(name.clone());
        }
        true
    }

    fn take_back(&mut self, name: Arc<str>) {
        if self.online {
            self.unsubscribed.insert(name.clone(), ());
        }
        self.tell(name);
    }

    fn tell(&mut self, name: Arc<str>) {
        // Without a stream nobody listens, and an outage can be long. What fits no message is not asked for.
        if self.online && claims::size(&name, 0) <= claims::LARGEST {
            self.changed.push_back(name);
        }
    }
}
