//! Who begins something new, and when: one thing of a pod at a time, and between two of them everybody else has a turn.

use tokio::sync::Mutex;
use tokio::task::yield_now;

use culvert_sys::priority::let_others_run;

/// The turnstile of one pod, whichever of its listeners and tunnels something new comes from.
///
/// A connection is most work when it is new, and somebody may open as many as he can. Each is a task, and tasks run in the order in which
/// they became ready: as many as are begun at once are in front of the bytes of everybody else. So they are begun one by one, and what is
/// ready by then, of whichever pod, comes first. When nobody else has anything to do, a turn takes about a microsecond.
#[derive(Debug, Default)]
pub(crate) struct Turnstile(Mutex<()>);

impl Turnstile {
    /// Waits, after something was begun, until the pod may begin something else. Who waits is served in order; cancel safe, but for the
    /// place in that order.
    pub(crate) async fn pass(&self) {
        let _turn = self.0.lock().await;
        let_others_run();
        yield_now().await;
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
    use std::future::{pending, poll_fn};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::task::Poll;

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
