//! What connections wait for, in on-demand mode.
//!
//! ```text
//!            ┌──────────────▶ found (a resource of that name, or with that alias) ──▶ known
//!  demand ─▶ pending ───────▶ unknown (removed): remembered briefly, subscription taken back
//!            └─ deadline ───▶ timed out; the last one to give up takes the subscription back
//! ```

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Kind, Request};

/// How long somebody waits for an answer.
pub const DEMAND_DEADLINE: Duration = Duration::from_secs(5);

/// How long the answer "does not exist" counts.
pub const UNKNOWN_KEPT: Duration = Duration::from_secs(5);

/// How many names are known not to exist at most; the oldest go first.
const MOST_UNKNOWN: usize = 4096;

/// How many names can be asked for at once.
const MOST_PENDING: usize = 10_000;

/// Somebody who waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
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
    pending: HashMap<Arc<str>, Vec<WaiterId>>,
    /// All who wait, in the order of their deadlines.
    deadlines: VecDeque<(Instant, WaiterId, Arc<str>)>,
    unknown: HashMap<Arc<str>, Instant>,
    unknown_in_order: VecDeque<(Instant, Arc<str>)>,
    /// Names that were asked for and found: the server has a subscription for each.
    subscribed: HashSet<Arc<str>>,
    aliases: HashMap<Arc<str>, Arc<str>>,
    aliases_of: HashMap<Arc<str>, Vec<Arc<str>>>,
    next: u64,
    answers: VecDeque<(WaiterId, Outcome)>,
    subscribe: Vec<Arc<str>>,
    unsubscribe: Vec<Arc<str>>,
}

impl Demands {
    /// Whether a name is another name of something known.
    pub(super) fn is_alias(&self, name: &str) -> bool {
        self.aliases.contains_key(name)
    }

    /// Asks for a name that is not known.
    pub(super) fn ask(&mut self, name: &str, now: Instant) -> Demand {
        if self.unknown.get(name).is_some_and(|until| now < *until) {
            return Demand::Unknown;
        }
        if !self.pending.contains_key(name) {
            if self.pending.len() >= MOST_PENDING {
                return Demand::Overloaded;
            }
            let name: Arc<str> = name.into();
            self.subscribe.push(name.clone());
            self.pending.insert(name, Vec::new());
        }
        let waiter = WaiterId(self.next);
        self.next += 1;
        let (name, _) = self.pending.get_key_value(name).expect("it was there or has been put there");
        let name = name.clone();
        self.deadlines.push_back((now + DEMAND_DEADLINE, waiter, name.clone()));
        self.pending.entry(name).or_default().push(waiter);
        Demand::Pending(waiter)
    }

    /// A resource has come.
    pub(super) fn found(&mut self, name: &Arc<str>, aliases: &[Arc<str>]) {
        self.settle(name, Outcome::Found);
        for alias in aliases {
            self.settle(alias, Outcome::Found);
            if self.aliases.insert(alias.clone(), name.clone()).is_none() {
                self.aliases_of.entry(name.clone()).or_default().push(alias.clone());
            }
        }
    }

    /// A name is gone, or never was.
    pub(super) fn gone(&mut self, name: &Arc<str>, now: Instant) {
        for alias in self.aliases_of.remove(name).unwrap_or_default() {
            // It may have become another resource's meanwhile.
            if self.aliases.get(&alias).is_some_and(|of| of == name) {
                self.aliases.remove(&alias);
                if self.subscribed.remove(&alias) {
                    self.unsubscribe.push(alias);
                }
            }
        }
        let asked = self.settle(name, Outcome::Unknown);
        if asked {
            self.remember_unknown(name.clone(), now);
        }
        if self.subscribed.remove(name) {
            self.unsubscribe.push(name.clone());
        }
    }

    /// Tells those who wait for a name; says whether it was asked for.
    fn settle(&mut self, name: &str, outcome: Outcome) -> bool {
        let Some((name, waiters)) = self.pending.remove_entry(name) else { return false };
        self.answers.extend(waiters.into_iter().map(|waiter| (waiter, outcome)));
        self.subscribed.insert(name);
        true
    }

    fn remember_unknown(&mut self, name: Arc<str>, now: Instant) {
        let until = now + UNKNOWN_KEPT;
        let over = |(until, _): &mut (Instant, Arc<str>)| *until <= now;
        while self.unknown_in_order.len() >= MOST_UNKNOWN
            || self.unknown_in_order.front_mut().is_some_and(over)
        {
            let Some((until, name)) = self.unknown_in_order.pop_front() else { break };
            if self.unknown.get(&name) == Some(&until) {
                self.unknown.remove(&name);
            }
        }
        self.unknown.insert(name.clone(), until);
        self.unknown_in_order.push_back((until, name));
    }

    /// When the next of those who wait gives up.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.deadlines.front().map(|(deadline, ..)| *deadline)
    }

    /// Lets those give up whose time is over.
    pub(super) fn handle_deadline(&mut self, now: Instant) {
        while self.deadlines.front().is_some_and(|(deadline, ..)| *deadline <= now) {
            let Some((_, waiter, name)) = self.deadlines.pop_front() else { return };
            let Some(waiters) = self.pending.get_mut(&name) else { continue };
            let Some(at) = waiters.iter().position(|it| *it == waiter) else { continue };
            waiters.remove(at);
            self.answers.push_back((waiter, Outcome::TimedOut));
            if waiters.is_empty() {
                self.pending.remove(&name);
                self.unsubscribe.push(name);
            }
        }
    }

    /// All names the server should have a subscription for: found ones under the name they were asked for by, and those
    /// still open.
    pub(super) fn wanted(&self) -> impl Iterator<Item = &Arc<str>> {
        self.subscribed.iter().chain(self.pending.keys())
    }

    /// Forgets what was to be sent: a new stream begins with everything.
    pub(super) fn forget_unsent(&mut self) {
        self.subscribe.clear();
        self.unsubscribe.clear();
    }

    pub(super) fn next_answer(&mut self) -> Option<(WaiterId, Outcome)> {
        self.answers.pop_front()
    }

    /// What to subscribe to and to unsubscribe from since this was last asked.
    pub(super) fn unsent(&mut self) -> Option<Request> {
        if self.subscribe.is_empty() && self.unsubscribe.is_empty() {
            return None;
        }
        let subscribe = std::mem::take(&mut self.subscribe);
        let unsubscribe = std::mem::take(&mut self.unsubscribe);
        // Asked for, given up and asked for again within one look: what counts is whether it is wanted in the end.
        let (pending, subscribed) = (&self.pending, &self.subscribed);
        let wanted = |name: &Arc<str>| pending.contains_key(name) || subscribed.contains(name);
        let subscribe: Vec<_> = subscribe.into_iter().filter(wanted).collect();
        let unsubscribe: Vec<_> = unsubscribe.into_iter().filter(|name| !wanted(name)).collect();
        let type_url = Kind::Address.url().into();
        let request = Request { type_url, subscribe, unsubscribe, ..Request::default() };
        (!request.subscribe.is_empty() || !request.unsubscribe.is_empty()).then_some(request)
    }
}
