//! One pod's connections.

use std::array;
use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Instant;

use culvert_sys::netns::Netns;

use super::record::{Direction, Ended, Id, Record, Stage};
use super::totals::Totals;
use super::traffic::{Pair, Pairs};
use super::tunnels::Tunnels;
use crate::outcome::Failure;
use crate::proxy::PodInfo;
use crate::telemetry::Telemetry;

/// Records of those that did not end well, kept for each pod and direction. Whoever retries all the time pushes out its own alone, and who
/// calls a pod in vain nothing of what the pod itself has called.
const FAILED: usize = 32;

/// Records of those that ended well, kept for each pod and direction.
const COMPLETE: usize = 16;

/// Locks the live records are spread over: whoever lists thousands holds up nobody for long.
const SHARDS: usize = 8;

/// Records a shard has room for whether there are any or not.
const ROOM: usize = 64;

/// The connections of one pod: those there are, and the last of those there were.
#[derive(Debug)]
pub(crate) struct Book {
    pub(crate) pod: PodInfo,
    /// `None`: that of this process.
    netns: Option<Weak<Netns>>,
    live: [Mutex<HashMap<Id, Arc<Record>>>; SHARDS],
    ended: Mutex<[EndedOnes; 2]>,
    pairs: Mutex<Pairs>,
    pub(crate) totals: Totals,
    /// Those there are now.
    pub(crate) tunnels: Tunnels,
    /// Who is told of connections that are over.
    pub(crate) telemetry: Telemetry,
    gone: OnceLock<Instant>,
}

/// Those of one direction, the oldest first.
#[derive(Debug, Default)]
struct EndedOnes {
    failed: VecDeque<Arc<Record>>,
    complete: VecDeque<Arc<Record>>,
}

impl Book {
    pub(super) fn new(pod: PodInfo, netns: Option<Weak<Netns>>, telemetry: Telemetry) -> Self {
        Self {
            pod,
            netns,
            live: array::from_fn(|_| Mutex::default()),
            ended: Mutex::default(),
            pairs: Mutex::default(),
            totals: Totals::default(),
            tunnels: Tunnels::default(),
            telemetry,
            gone: OnceLock::new(),
        }
    }

    /// Enters a connection that was accepted.
    pub(crate) fn begin(&self, direction: Direction, client: SocketAddr, dialled: SocketAddr) -> Arc<Record> {
        let record = Arc::new(Record::new(direction, [client, dialled], &self.telemetry));
        self.totals.begin();
        self.shard(record.id).insert(record.id, Arc::clone(&record));
        record
    }

    /// Notes how a connection ended.
    pub(crate) fn end(&self, record: &Arc<Record>, result: Result<(), Failure>) -> Arc<Ended> {
        let ended = {
            let mut facts = record.facts();
            let was_open = facts.stage == Stage::Open;
            facts.enter(Stage::Ended);
            let ended = Arc::new(Ended { at: facts.since, was_open, result });
            facts.ended = Some(Arc::clone(&ended));
            self.totals.end(&facts, &ended);
            if !facts.probe {
                lock(&self.pairs).end(record.direction, &facts, &ended);
            }
            ended
        };
        lock(&self.ended)[nth(record.direction)].push(record, ended.result.is_ok());
        let mut live = self.shard(record.id);
        live.remove(&record.id);
        give_back(&mut live);
        ended
    }

    /// The connections there are, in no order.
    pub(crate) fn live(&self) -> Vec<Arc<Record>> {
        let mut all = Vec::new();
        for shard in &self.live {
            all.extend(lock(shard).values().cloned());
        }
        all
    }

    /// The same, some at a time: whoever goes through a hundred thousand holds few of them.
    pub(crate) fn live_in_parts(&self) -> impl Iterator<Item = Vec<Arc<Record>>> + '_ {
        self.live.iter().map(|shard| lock(shard).values().cloned().collect())
    }

    /// For how many there is room.
    #[cfg(test)]
    pub(super) fn room(&self) -> usize {
        self.live.iter().map(|shard| lock(shard).capacity()).sum()
    }

    /// How many there are.
    pub(crate) fn open(&self) -> usize {
        self.live.iter().map(|shard| lock(shard).len()).sum()
    }

    /// The last of those that did not end well: outbound, then inbound, each the newest first.
    pub(crate) fn failed(&self) -> Vec<Arc<Record>> {
        lock(&self.ended).iter().flat_map(|ended| ended.failed.iter().rev()).cloned().collect()
    }

    /// The last of those that ended well, in the same order.
    pub(crate) fn complete(&self) -> Vec<Arc<Record>> {
        lock(&self.ended).iter().flat_map(|ended| ended.complete.iter().rev()).cloned().collect()
    }

    /// Who talks to whom: what is over, and what is open, added up.
    pub(crate) fn traffic(&self) -> Vec<Pair> {
        let mut pairs = lock(&self.pairs).clone();
        for record in self.live() {
            let facts = record.facts();
            if !facts.probe {
                pairs.add_open(record.direction, &facts);
            }
        }
        pairs.into_list()
    }

    pub(super) fn find(&self, id: Id) -> Option<Arc<Record>> {
        let live = self.shard(id).get(&id).cloned();
        live.or_else(|| lock(&self.ended).iter().find_map(|ended| ended.find(id)))
    }

    /// The namespace of the pod, while it is there and not that of this process.
    pub(crate) fn netns(&self) -> Option<Arc<Netns>> {
        self.netns.as_ref()?.upgrade()
    }

    /// Whether the pod is in the namespace of this process.
    pub(crate) fn is_here(&self) -> bool {
        self.netns.is_none()
    }

    /// Since when the pod is not served any more.
    pub(crate) fn gone(&self) -> Option<Instant> {
        self.gone.get().copied()
    }

    pub(super) fn leave(&self, now: Instant) {
        let _ = self.gone.set(now);
    }

    fn shard(&self, id: Id) -> MutexGuard<'_, HashMap<Id, Arc<Record>>> {
        let shards = self.live.len() as u64;
        let nth = usize::try_from(id.number() % shards).expect("it is less than the number of shards");
        lock(&self.live[nth])
    }
}

/// Gives back the room of a crowd that has left. Seldom: each time it becomes a quarter of what it was.
fn give_back(live: &mut HashMap<Id, Arc<Record>>) {
    if live.capacity() > ROOM && live.len() < live.capacity() / 8 {
        live.shrink_to(live.len() * 2);
    }
}

impl EndedOnes {
    fn push(&mut self, record: &Arc<Record>, well: bool) {
        let (list, most) = if well { (&mut self.complete, COMPLETE) } else { (&mut self.failed, FAILED) };
        if list.len() == most {
            list.pop_front();
        }
        list.push_back(Arc::clone(record));
    }

    fn find(&self, id: Id) -> Option<Arc<Record>> {
        self.failed.iter().chain(&self.complete).find(|record| record.id == id).cloned()
    }
}

fn nth(direction: Direction) -> usize {
    match direction {
        Direction::Outbound => 0,
        Direction::Inbound => 1,
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
