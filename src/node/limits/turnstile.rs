//! Who begins something new, and when: one thing at a time, and between two of them everybody else has a turn.

use std::future::poll_fn;
use std::task::Poll;
use std::time::Instant;

use tokio::sync::Mutex;

use culvert_sys::priority::let_others_run;

/// So many beginnings a second are many. What comes at such a rate keeps a processor busy by itself.
const MANY: f64 = 6000.0;

/// And so many at once are not yet.
const BURST: f64 = 64.0;

/// The turnstile of those who have to wait for one another: of one listener, or of all tunnels of a peer to a pod.
///
/// A connection is most work when it is new, and somebody may open as many as he can. Each is a task, and tasks run in the order in which
/// they became ready: as many as are begun at once are in front of the bytes of everybody else. So they are begun one by one, and what is
/// ready by then, of whichever pod, comes first. When nobody else has anything to do, a turn takes about a microsecond.
///
/// Clients and servers want the same processors. While so much begins here that they would hardly have one, they have it first:
/// each time, which is not for nothing, and therefore not done otherwise.
#[derive(Debug)]
pub(crate) struct Turnstile(Mutex<Crowd>);

/// How many have come lately: as many as come in addition to [`MANY`] stay.
#[derive(Debug)]
struct Crowd {
    waiting: f64,
    since: Instant,
}

impl Default for Turnstile {
    fn default() -> Self {
        Self(Mutex::new(Crowd { waiting: 0.0, since: Instant::now() }))
    }
}

impl Turnstile {
    /// Waits, after something was begun, until something else may begin. Who waits is served in order; cancel safe, but for the
    /// place in that order.
    pub(crate) async fn pass(&self) {
        let mut crowd = self.0.lock().await;
        if crowd.is_large(Instant::now()) {
            let_others_run();
        }
        whoever_is_ready().await;
    }
}

/// Waits until all tasks that are ready have had their turn. Other than tokio's own way to yield this is an ordinary turn, which does not wait
/// until there is nothing else to do.
async fn whoever_is_ready() {
    let mut is_behind = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut is_behind, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

impl Crowd {
    /// Notes one more; says whether there are too many of them.
    fn is_large(&mut self, now: Instant) -> bool {
        let gone = now.saturating_duration_since(self.since).as_secs_f64() * MANY;
        self.since = now;
        self.waiting = ((self.waiting - gone).max(0.0) + 1.0).min(2.0 * BURST);
        self.waiting > BURST
    }
}

#[cfg(test)]
impl Turnstile {
    /// Lets nobody pass for as long as the result lives.
    pub(crate) async fn closed(&self) -> impl Drop {
        self.0.lock().await
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::Duration;

    use tokio::task::JoinSet;

    use super::*;

    /// How many begin something, and how much each of them.
    const SOME: usize = 3;

    #[tokio::test]
    async fn whatever_begins_something_everybody_else_has_a_turn_before_the_next() {
        let (turnstile, turns) = (Arc::new(Turnstile::default()), Arc::new(AtomicU32::new(0)));
        let mut begin = JoinSet::new();
        for _ in 0..SOME {
            let (turnstile, turns) = (Arc::clone(&turnstile), Arc::clone(&turns));
            begin.spawn(async move {
                let mut at = Vec::new();
                for _ in 0..SOME {
                    at.push(turns.load(Ordering::Relaxed));
                    turnstile.pass().await;
                }
                at
            });
        }
        // Somebody who has something to do all the time.
        let other = tokio::spawn(poll_fn(move |cx| {
            turns.fetch_add(1, Ordering::Relaxed);
            cx.waker().wake_by_ref();
            Poll::<()>::Pending
        }));
        let mut begun = begin.join_all().await.concat();
        other.abort();
        begun.sort_unstable();
        // The first of each begins at once.
        assert_eq!(begun[..SOME], [0; SOME]);
        assert!(begun[SOME - 1..].windows(2).all(|two| two[0] < two[1]), "{begun:?}");
    }

    #[test]
    fn a_crowd_is_large_for_as_long_as_more_come_than_usual() {
        let start = Instant::now();
        let mut crowd = Crowd { waiting: 0.0, since: start };
        let mut come = |from: u32, to: u32, rate: f64| -> Vec<bool> {
            let at = |number: u32| start + Duration::from_secs_f64(f64::from(number) / rate);
            (from..to).map(|number| crowd.is_large(at(number))).collect()
        };
        // For a second each: as many as are usual, twice as many, and as many as are usual.
        let usual = come(0, 5000, 5000.0);
        assert!(usual.iter().all(|large| !large));
        let many = come(12_000, 24_000, 12_000.0);
        let first = many.iter().position(|large| *large).unwrap();
        assert!(first < 200 && many[first..].iter().all(|large| *large), "{first}");
        let usual = come(10_000, 15_000, 5000.0);
        let last = usual.iter().rposition(|large| *large).unwrap();
        assert!(last < 500, "{last}");
    }

    #[tokio::test]
    async fn who_waits_no_more_holds_nobody_up() {
        let turnstile = Turnstile::default();
        for _ in 0..SOME {
            tokio::select! {
                biased;
                () = turnstile.pass() => panic!("nobody else had a turn"),
                () = async {} => {}
            }
        }
        tokio::select! {
            () = turnstile.pass() => {}
            () = pending() => {}
        }
    }
}
