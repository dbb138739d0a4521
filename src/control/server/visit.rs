//! A connection, as far as it matters whose it is and how long it may stay.
//!
//! ```text
//! stranger ──(a caller is known)──▶ busy ⇄ idle
//!     └── 15 s ──▶ closed              5 min ──▶ asked to go
//! ```
//!
//! In go the beginning and end of calls; out comes when the connection has stayed for too long. Who callers are, and what they may
//! have, is deliberately not known here.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use culvert_serving::Source;
use culvert_serving::guests::Pulse;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use crate::callers::allowance::Place;

/// From the TLS handshake to the first call whose caller is known.
const INTRODUCTION_DEADLINE: Duration = Duration::from_secs(15);
/// How long a connection of a known caller may be without a call.
const IDLE_DEADLINE: Duration = Duration::from_secs(300);

/// A connection.
#[derive(Debug)]
pub(crate) struct Visit {
    pub(crate) peer: SocketAddr,
    pulse: Arc<Pulse>,
    stay: watch::Sender<Stay>,
    /// The place among the connections of whoever was known on it first.
    place: Mutex<Option<Place>>,
}

/// What it does here.
#[derive(Debug, Clone, Copy)]
enum Stay {
    /// Nobody is known on it.
    Stranger {
        since: Instant,
    },
    /// So many calls of known callers are under way.
    Busy {
        calls: usize,
    },
    Idle {
        since: Instant,
    },
}

/// Why a connection has to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Overstay {
    Unknown,
    Idle,
}

/// A call whose caller is not known yet.
#[derive(Debug)]
pub(super) struct Asking<'a>(&'a Visit);

/// A call of a known caller, under way until this is dropped.
#[derive(Debug)]
pub(super) struct Call(Arc<Visit>);

impl Visit {
    /// A connection from there that has completed the TLS handshake.
    pub(super) fn new(peer: SocketAddr, pulse: Arc<Pulse>) -> Self {
        let stay = watch::Sender::new(Stay::Stranger { since: Instant::now() });
        Self { peer, pulse, stay, place: Mutex::default() }
    }

    pub(crate) fn source(&self) -> Source {
        Source::of(self.peer.ip())
    }

    /// A call begins, of nobody knows whom.
    pub(super) fn asks(&self) -> Asking<'_> {
        self.pulse.asks();
        Asking(self)
    }

    /// Its caller is known, and has a place for this connection if it is the first one.
    pub(super) fn introduce<E>(&self, take: impl FnOnce() -> Result<Place, E>) -> Result<(), E> {
        let mut place = self.place.lock().unwrap_or_else(PoisonError::into_inner);
        if place.is_none() {
            *place = Some(take()?);
            self.pulse.stays();
        }
        Ok(())
    }

    /// A call of a known caller begins.
    pub(super) fn call(self: &Arc<Self>) -> Call {
        self.stay.send_modify(|stay| {
            let calls = if let Stay::Busy { calls } = *stay { calls } else { 0 };
            *stay = Stay::Busy { calls: calls + 1 };
        });
        Call(Arc::clone(self))
    }

    /// Waits until it has stayed for too long. Cancel safe.
    pub(super) async fn overstayed(&self) -> Overstay {
        let mut changes = self.stay.subscribe();
        loop {
            let (until, why) = match *changes.borrow_and_update() {
                Stay::Stranger { since } => (Some(since + INTRODUCTION_DEADLINE), Overstay::Unknown),
                Stay::Idle { since } => (Some(since + IDLE_DEADLINE), Overstay::Idle),
                Stay::Busy { .. } => (None, Overstay::Idle),
            };
            // The sender is here, so that it cannot fail.
            let changed = async { drop(changes.changed().await) };
            match until {
                Some(until) => {
                    if timeout_at(until, changed).await.is_err() {
                        return why;
                    }
                }
                None => changed.await,
            }
        }
    }
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        self.0.pulse.rests();
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.0.stay.send_modify(|stay| {
            *stay = match *stay {
                Stay::Busy { calls } if calls > 1 => Stay::Busy { calls: calls - 1 },
                Stay::Busy { .. } | Stay::Idle { .. } | Stay::Stranger { .. } => {
                    Stay::Idle { since: Instant::now() }
                }
            };
        });
    }
}

#[cfg(test)]
mod tests {
    use culvert_serving::Limits;
    use culvert_serving::guests::Guests;
    use tokio::time::{advance, timeout};

    use super::*;
    use crate::callers::allowance::{Allowance, What};
    use crate::callers::{Caller, Known, Reach};

    const MOMENT: Duration = Duration::from_millis(1);

    fn visit() -> Arc<Visit> {
        let mut pulse = None;
        let limits = Limits::Replace { most: 1, per_source: 1 };
        Guests::new(limits).admit(None, |own| {
            pulse = Some(own);
            std::future::ready(())
        });
        Arc::new(Visit::new(([127, 0, 0, 1], 1).into(), pulse.unwrap()))
    }

    /// Checks that it stays for so long, and no longer.
    async fn check(visit: &Visit, long: Duration, why: Overstay) {
        assert!(timeout(long - MOMENT, visit.overstayed()).await.is_err());
        assert_eq!(timeout(MOMENT * 2, visit.overstayed()).await, Ok(why));
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_not_known_soon_has_to_go_whatever_he_asks() {
        let visit = visit();
        advance(INTRODUCTION_DEADLINE / 3).await;
        drop(visit.asks());
        let _asking = visit.asks();
        check(&visit, INTRODUCTION_DEADLINE * 2 / 3, Overstay::Unknown).await;
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_known_stays_while_calls_are_under_way_and_for_a_while() {
        let visit = visit();
        let (one, two) = (visit.call(), visit.call());
        drop(one);
        assert!(timeout(IDLE_DEADLINE * 100, visit.overstayed()).await.is_err());
        drop(two);
        check(&visit, IDLE_DEADLINE, Overstay::Idle).await;
        let again = visit.call();
        assert!(timeout(IDLE_DEADLINE * 2, visit.overstayed()).await.is_err());
        drop(again);
        check(&visit, IDLE_DEADLINE, Overstay::Idle).await;
    }

    #[test]
    fn a_connection_counts_once_and_until_it_ends() {
        let allowance = Arc::<Allowance>::default();
        let known = Known { caller: Caller::Node("n1".to_owned()), reach: Reach::Everything, pod: None };
        let take = || allowance.take(&known, What::Connections);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let visits = runtime.block_on(async {
            (0..)
                .map(|_| {
                    let visit = visit();
                    visit.introduce(take).and_then(|()| visit.introduce(take)).map(|()| visit)
                })
                .map_while(Result::ok)
                .collect::<Vec<_>>()
        });
        assert_eq!(visits.len(), 32);
        drop(visits);
        take().unwrap();
    }
}
