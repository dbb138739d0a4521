//! Who talks to whom: connections with the same ends, added up.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use culvert_core::identity::SpiffeId;
use culvert_core::service::Service;
use culvert_core::workload::Workload;

use super::record::{Direction, Ended, Facts, Stage};
use crate::stream::quiet::Moment;

/// Pairs that are kept for each pod, of which each direction may keep half. Who calls many is seen by the ones called lately.
const MOST: usize = 256;

/// Connections of one pod with the same ends.
#[derive(Debug, Clone)]
pub(crate) struct Pair {
    pub(crate) direction: Direction,
    pub(crate) from: Option<Arc<Workload>>,
    pub(crate) from_identity: Option<SpiffeId>,
    pub(crate) to: Option<Arc<Workload>>,
    pub(crate) to_identity: Option<SpiffeId>,
    pub(crate) service: Option<Arc<Service>>,
    /// The address that was called, when nothing else is known of it.
    pub(crate) address: Option<std::net::SocketAddr>,
    pub(crate) tunnelled: bool,
    pub(crate) nested: bool,
    pub(crate) open: u64,
    /// Of those, the ones of which one direction has ended.
    pub(crate) half_closed: u64,
    /// Since when that is so of the oldest of them.
    pub(crate) half_closed_since: Option<Moment>,
    pub(crate) connections: u64,
    pub(crate) refused: u64,
    pub(crate) broken: u64,
    pub(crate) to_server: u64,
    pub(crate) to_client: u64,
    pub(crate) last_reason: Option<&'static str>,
    pub(crate) last_seen: Instant,
}

/// The pairs of one pod.
#[derive(Debug, Clone, Default)]
pub(super) struct Pairs(HashMap<Key, Pair>);

/// What makes two connections one pair: what owns the ends, not which of its pods it was.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    direction: Direction,
    from: Option<[Arc<str>; 2]>,
    to: Option<[Arc<str>; 2]>,
    service: Option<Arc<str>>,
    address: Option<std::net::SocketAddr>,
    tunnelled: bool,
}

impl Key {
    fn of(direction: Direction, facts: &Facts) -> Self {
        let owner = |workload: &Arc<Workload>| [workload.namespace.clone(), owner_of(workload).into()];
        let (to, service) = (&facts.to.workload, &facts.service);
        Self {
            direction,
            from: facts.from.workload.as_ref().map(owner),
            to: to.as_ref().map(owner),
            service: service.as_ref().map(|service| service.hostname.clone()),
            address: (to.is_none() && service.is_none()).then_some(facts.destination),
            tunnelled: facts.is_tunnelled(),
        }
    }
}

/// What a workload belongs to: by itself it is its own.
pub(crate) fn owner_of(workload: &Workload) -> &str {
    if workload.workload_name.is_empty() { workload.name() } else { &workload.workload_name }
}

impl Pairs {
    /// Adds a connection that is over.
    pub(super) fn end(&mut self, direction: Direction, facts: &Facts, ended: &Ended) {
        let pair = self.pair(direction, facts, ended.at);
        pair.connections += 1;
        if let Err(failure) = &ended.result {
            let count = if ended.was_open { &mut pair.broken } else { &mut pair.refused };
            *count += 1;
            pair.last_reason = Some(failure.reason());
        }
        pair.to_server += facts.moved.forth.bytes();
        pair.to_client += facts.moved.back.bytes();
    }

    /// Adds one there is.
    pub(super) fn add_open(&mut self, direction: Direction, facts: &Facts) {
        let now = Instant::now();
        let pair = self.pair(direction, facts, now);
        pair.connections += 1;
        if facts.stage == Stage::Open {
            pair.open += 1;
            let since = facts.moved.half_closed_since();
            pair.add_half_closed(since.is_some().into(), since);
        }
        pair.to_server += facts.moved.forth.bytes();
        pair.to_client += facts.moved.back.bytes();
    }

    pub(super) fn into_list(self) -> Vec<Pair> {
        self.0.into_values().collect()
    }

    fn pair(&mut self, direction: Direction, facts: &Facts, now: Instant) -> &mut Pair {
        let key = Key::of(direction, facts);
        if self.0.len() >= MOST && !self.0.contains_key(&key) {
            self.forget_oldest(direction);
        }
        let pair = self.0.entry(key.clone()).or_insert_with(|| Pair::new(&key, facts, now));
        pair.last_seen = now;
        pair
    }

    /// Makes room in a direction, for many at once: looking for the oldest costs as much as there are. The one that has its half gives way,
    /// so that whoever calls the pod by ever new names pushes out nothing of whom it calls itself.
    fn forget_oldest(&mut self, wanted: Direction) {
        let own = self.0.values().filter(|pair| pair.direction == wanted).count();
        let gives_way = |pair: &Pair| (pair.direction == wanted) == (own >= MOST / 2);
        let mut seen: Vec<Instant> =
            self.0.values().filter(|pair| gives_way(pair)).map(|pair| pair.last_seen).collect();
        let quarter = seen.len() / 4;
        let (_, last, _) = seen.select_nth_unstable(quarter);
        let oldest = *last;
        self.0.retain(|_, pair| !gives_way(pair) || pair.last_seen > oldest);
    }
}

impl Pair {
    /// Adds half-closed connections, the oldest of which has been so since then.
    pub(crate) fn add_half_closed(&mut self, count: u64, since: Option<Moment>) {
        self.half_closed += count;
        self.half_closed_since = self.half_closed_since.into_iter().chain(since).min();
    }

    fn new(key: &Key, facts: &Facts, now: Instant) -> Self {
        Self {
            direction: key.direction,
            from: facts.from.workload.clone(),
            from_identity: facts.from.identity.clone(),
            to: facts.to.workload.clone(),
            to_identity: facts.to.identity.clone(),
            service: facts.service.clone(),
            address: key.address,
            tunnelled: key.tunnelled,
            nested: facts.nested,
            open: 0,
            half_closed: 0,
            half_closed_since: None,
            connections: 0,
            refused: 0,
            broken: 0,
            to_server: 0,
            to_client: 0,
            last_reason: None,
            last_seen: now,
        }
    }
}
