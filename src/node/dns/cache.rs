//! Answers of others, kept for as long as they say (RFC 1035 §3.2.1; RFC 2308 §5 for "there is none").
//!
//! In go answers as they came and what they answer; out come the same, with less time left. It does not ask anybody.
//!
//! **Invariant:** each pod has a cache of its own. Servers are asked through the pod's network, where a pod with raw sockets
//! can answer in any server's place: what it makes up must not reach another pod.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::{RData, Record, RecordType};
use tokio::time::Instant;

use super::message::{self, Query};
use super::wire;

/// Memory of a pod for answers and what they are found by: some 600 answers of usual length.
const MOST_BYTES: usize = 256 << 10;
/// Answers that are longer are rare, and not kept.
const LONGEST: usize = 4096;
/// What an answer costs beside its bytes, about.
const OVERHEAD: usize = 256;
/// The longest time an answer is kept, and that it says.
const LONGEST_LIFE: u32 = 3600;

/// What an answer answers.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    /// Who is asked, in order.
    servers: Arc<[SocketAddr]>,
    question: Box<[u8]>,
    manner: (bool, bool, bool, Option<bool>),
}

impl Key {
    /// `None` when the answer is for the one who asks alone.
    pub(super) fn new(query: &Query, servers: &Arc<[SocketAddr]>) -> Option<Self> {
        let question = wire::question(&query.wire).filter(|_| query.is_plain())?;
        Some(Self { servers: Arc::clone(servers), question: question.key(), manner: query.manner() })
    }
}

/// The cache of one pod.
#[derive(Debug, Default)]
pub(super) struct Cache(Mutex<Store>);

#[derive(Debug, Default)]
struct Store {
    entries: HashMap<Arc<Key>, Entry>,
    /// The keys in the order in which they came.
    ages: BTreeMap<u64, Arc<Key>>,
    bytes: usize,
    next: u64,
}

#[derive(Debug)]
struct Entry {
    answer: Arc<[u8]>,
    /// Where in it the times of its records are.
    times: Arc<[u16]>,
    since: Instant,
    until: Instant,
    age: u64,
}

impl Cache {
    /// Gives what was answered, if that still holds, with the letters of the query.
    pub(super) fn find(&self, key: &Key, query: &[u8]) -> Option<Vec<u8>> {
        let (answer, times, since) = {
            let mut store = self.lock();
            let entry = store.entries.get(key)?;
            if entry.until <= Instant::now() {
                store.remove(key);
                return None;
            }
            (Arc::clone(&entry.answer), Arc::clone(&entry.times), entry.since)
        };
        let mut answer = answer.to_vec();
        let passed = u32::try_from(since.elapsed().as_secs()).unwrap_or(u32::MAX);
        let left = |ttl| seconds(ttl).min(LONGEST_LIFE).saturating_sub(passed);
        wire::change_times(&mut answer, &times, left);
        wire::set_name(&mut answer, query);
        // Nobody has authority over what they remember.
        wire::set_no_authority(&mut answer);
        Some(answer)
    }

    /// Keeps an answer, if it says for how long.
    pub(super) fn keep(&self, key: Key, answer: &[u8]) {
        if answer.len() > LONGEST || wire::is_truncated(answer) {
            return;
        }
        let life = message::read(answer).and_then(|answer| life(&answer));
        let Some((life, times)) = life.zip(wire::times(answer)) else { return };
        let since = Instant::now();
        let until = since + Duration::from_secs(life.into());
        self.lock().insert(key, Entry { answer: answer.into(), times: times.into(), since, until, age: 0 });
    }

    fn lock(&self) -> MutexGuard<'_, Store> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store {
    fn insert(&mut self, key: Key, mut entry: Entry) {
        self.remove(&key);
        let key = Arc::new(key);
        entry.age = self.next;
        self.next += 1;
        self.bytes += cost(&key, &entry);
        self.ages.insert(entry.age, Arc::clone(&key));
        self.entries.insert(key, entry);
        while self.bytes > MOST_BYTES {
            let Some((_, oldest)) = self.ages.pop_first() else { return };
            self.remove(&oldest);
        }
    }

    fn remove(&mut self, key: &Key) {
        if let Some(entry) = self.entries.remove(key) {
            self.ages.remove(&entry.age);
            self.bytes -= cost(key, &entry);
        }
    }
}

fn cost(key: &Key, entry: &Entry) -> usize {
    key.question.len() + entry.answer.len() + 2 * entry.times.len() + OVERHEAD
}

/// How many seconds an answer holds; `None` when it does not say so, or holds for this moment only.
fn life(answer: &Message) -> Option<u32> {
    let code = answer.metadata.response_code;
    if code != ResponseCode::NoError && code != ResponseCode::NXDomain {
        return None;
    }
    let kind = answer.queries.first()?.query_type;
    let is_wanted = |record: &Record| record.record_type() == kind || kind == RecordType::ANY;
    let is_positive = code == ResponseCode::NoError && answer.answers.iter().any(is_wanted);
    let negative = answer.authorities.iter().find_map(|record| {
        let RData::SOA(soa) = &record.data else { return None };
        Some(seconds(soa.minimum))
    });
    let bound = if is_positive { LONGEST_LIFE } else { negative? };
    let shortest = records(answer).map(|record| seconds(record.ttl)).min()?;
    Some(shortest.min(bound).min(LONGEST_LIFE)).filter(|life| *life > 0)
}

/// How long a record says that it holds: numbers that would be negative are none (RFC 2181 §8).
pub(super) fn seconds(ttl: u32) -> u32 {
    if ttl > i32::MAX.cast_unsigned() { 0 } else { ttl }
}

fn records(answer: &Message) -> impl Iterator<Item = &Record> {
    let Message { answers, authorities, additionals, .. } = answer;
    answers.iter().chain(authorities).chain(additionals)
}

#[cfg(test)]
mod tests;
