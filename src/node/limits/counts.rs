//! How often limits were reached, and how close anything came to them. Of the process, as the metrics are.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::table::Limit;

/// Hits are counted in it.
const HITS: &str = "culvert_limit_hits_total";

/// How often one limit is told of in the log: strangers can reach it as often as they like.
const SAID_EVERY: Duration = Duration::from_secs(1);

/// How often connections that were over some limit are in the access log.
const LOGGED_EVERY: Duration = Duration::from_millis(50);

/// What is counted of one limit.
struct Count {
    highest: AtomicU64,
    hits: AtomicU64,
    /// Hits that were not told of.
    unsaid: AtomicU64,
    said: Pace,
}

/// When something was done last, in ms since the first that was.
struct Pace(AtomicU64);

static COUNTS: [Count; Limit::ALL.len()] = [const { Count::new() }; Limit::ALL.len()];
static LOGGED: Pace = Pace::new();
static BEGAN: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Describes the metrics, once at start.
pub(crate) fn describe_metrics() {
    metrics::describe_counter!(HITS, "Times a limit was reached, by its name; see /v1/limits (unstable).");
}

/// Counts that a limit was reached. What is told of it in the log is at most one line a second.
pub(crate) fn hit(limit: Limit) {
    hit_by(limit, |facts, unsaid| {
        tracing::warn!(limit = facts.name, unsaid, "limit reached: {}; {}", facts.about, facts.remedy);
    });
}

/// The same, where that is what somebody has wished for: whoever was over it has a line of his own, and nobody is warned.
pub(crate) fn hit_as_wished(limit: Limit) {
    count(limit);
}

/// The same; `say` tells of it, and how often it was not told of.
pub(super) fn hit_by(limit: Limit, say: impl FnOnce(super::Facts, Option<u64>)) {
    let count = count(limit);
    if count.said.turn(SAID_EVERY) {
        let unsaid = count.unsaid.swap(0, Ordering::Relaxed);
        say(limit.facts(), (unsaid > 0).then_some(unsaid));
    } else {
        count.unsaid.fetch_add(1, Ordering::Relaxed);
    }
}

fn count(limit: Limit) -> &'static Count {
    metrics::counter!(HITS, "limit" => limit.name()).increment(1);
    let count = &COUNTS[limit as usize];
    count.hits.fetch_add(1, Ordering::Relaxed);
    count
}

/// Notes that somebody has so much.
pub(crate) fn has(limit: Limit, much: u64) {
    let highest = &COUNTS[limit as usize].highest;
    // Mostly it was as much before, and then nothing is written that others read.
    if highest.load(Ordering::Relaxed) < much {
        highest.fetch_max(much, Ordering::Relaxed);
    }
}

/// The most that anybody had, and how often one more was wanted.
pub(super) fn of(limit: Limit) -> (u64, u64) {
    let Count { highest, hits, .. } = &COUNTS[limit as usize];
    (highest.load(Ordering::Relaxed), hits.load(Ordering::Relaxed))
}

/// Whether one more connection that was over a limit may be in the access log. Which limits are reached is told and counted anyhow.
pub(crate) fn may_be_logged() -> bool {
    LOGGED.turn(LOGGED_EVERY)
}

impl Count {
    const fn new() -> Self {
        let (highest, hits, unsaid) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
        Self { highest, hits, unsaid, said: Pace::new() }
    }
}

impl Pace {
    const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Whether it is time again.
    fn turn(&self, every: Duration) -> bool {
        self.turn_at(BEGAN.elapsed(), every)
    }

    fn turn_at(&self, now: Duration, every: Duration) -> bool {
        let milliseconds = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        // It was never done before as long as it is 0.
        let (now, last) = (milliseconds(now).saturating_add(1), self.0.load(Ordering::Relaxed));
        let due = last == 0 || now >= last.saturating_add(milliseconds(every));
        // Of those who come at the same moment one has the turn.
        due && self.0.compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_somebodys_turn_once_in_each_while() {
        let (pace, every) = (Pace::new(), Duration::from_secs(1));
        let turns = [0, 0, 999, 1000, 1500, 2000, 60_000, 60_999];
        let turns = turns.map(|at| pace.turn_at(Duration::from_millis(at), every));
        assert_eq!(turns, [true, false, false, true, false, true, true, false]);
    }

    #[test]
    fn what_was_not_said_is_said_with_the_next() {
        let limit = Limit::DnsSockets;
        let before = of(limit).1;
        let mut said = Vec::new();
        (0..5).for_each(|_| hit_by(limit, |facts, unsaid| said.push((facts.name, unsaid))));
        assert_eq!(of(limit).1 - before, 5);
        assert!(said.len() < 3, "five at a moment are told of once: {said:?}");
    }
}
