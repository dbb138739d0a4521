//! What is known of endpoints that failed, over an explicit clock.
//!
//! ```text
//!            failure             third within 30 s
//!  unknown ──────────▶ doubtful ───────────────────▶ set aside, 10 s ──▶ on probation ──▶ unknown
//!     ▲                    │                              ▲        time        │    5 min
//!     │      success       │                              └────────────────────┘
//!     └────────────────────┴── (and from the others)       failure: twice as long, up to 5 min
//! ```
//! While an endpoint is set aside its failures say nothing new: they are of attempts that began before, or that were made for
//! want of another endpoint. **Invariant:** no more than [`MOST`] endpoints are known.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::{Endpoint, Listed};
use crate::deliver::dial::CONNECT_DEADLINE;

/// Within what time three failures in a row are too many.
const WINDOW: Duration = Duration::from_secs(30);

/// For how long an endpoint is set aside first: an attempt under way has ended by then.
const FIRST_PAUSE: Duration = CONNECT_DEADLINE;

/// For how long at most; and for how long it is remembered afterwards if nobody tries it.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// Endpoints that may be known.
pub(super) const MOST: usize = 256;

/// All that is known. An endpoint nothing is known of has nothing against it.
#[derive(Debug, Default)]
pub(super) struct Records(HashMap<Endpoint, Record>);

#[derive(Debug)]
enum Record {
    /// It has failed once or more often, but not often enough.
    Doubtful { last: Instant, before: Option<Instant> },
    /// Until `until`; then it is on probation.
    SetAside { until: Instant, pause: Duration },
}

impl Records {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn is_set_aside(&self, endpoint: &Endpoint, now: Instant) -> bool {
        matches!(self.0.get(endpoint), Some(Record::SetAside { until, .. }) if now < *until)
    }

    /// Notes a failure; says for how long the endpoint is set aside, if it is because of this one.
    pub(super) fn failed(&mut self, endpoint: &Endpoint, now: Instant) -> Option<Duration> {
        self.0.retain(|_, record| now < record.counts_until());
        if let Some(record) = self.0.get_mut(endpoint) {
            return record.failed(now);
        }
        if self.0.len() >= MOST {
            let soonest = self.0.iter().min_by_key(|(_, record)| record.counts_until());
            let soonest = soonest.map(|(endpoint, _)| endpoint.clone());
            soonest.and_then(|endpoint| self.0.remove(&endpoint));
        }
        self.0.insert(endpoint.clone(), Record::Doubtful { last: now, before: None });
        None
    }

    pub(super) fn succeeded(&mut self, endpoint: &Endpoint) {
        self.0.remove(endpoint);
    }

    /// The endpoints that are set aside, sorted.
    pub(super) fn list(&self, now: Instant) -> Vec<Listed> {
        let listed = |(endpoint, record): (&Endpoint, &Record)| match record {
            Record::SetAside { until, pause } if now < *until => {
                Some(Listed { endpoint: endpoint.clone(), pause: *pause, left: *until - now })
            }
            Record::SetAside { .. } | Record::Doubtful { .. } => None,
        };
        let mut listed: Vec<Listed> = self.0.iter().filter_map(listed).collect();
        listed.sort_by(|one, other| one.endpoint.cmp(&other.endpoint));
        listed
    }
}

impl Record {
    fn failed(&mut self, now: Instant) -> Option<Duration> {
        let pause = match *self {
            Self::Doubtful { before: Some(before), .. } if now.duration_since(before) <= WINDOW => {
                FIRST_PAUSE
            }
            Self::Doubtful { last, .. } => {
                *self = Self::Doubtful { last: now, before: Some(last) };
                return None;
            }
            Self::SetAside { until, .. } if now < until => return None,
            Self::SetAside { pause, .. } => (pause * 2).min(LONGEST_PAUSE),
        };
        *self = Self::SetAside { until: now + pause, pause };
        Some(pause)
    }

    /// When it is worth nothing any more.
    fn counts_until(&self) -> Instant {
        match self {
            Self::Doubtful { last, .. } => *last + WINDOW,
            Self::SetAside { until, .. } => *until + LONGEST_PAUSE,
        }
    }
}
