//! Who begins something new, and when: one thing at a time, and between two of them everybody else has a turn.

use std::future::poll_fn;
use std::net::IpAddr;
use std::sync::Weak;
use std::task::Poll;
use std::thread;
use std::time::Instant;

use culvert_sys::priority::{let_others_run, waited};
use tokio::sync::Mutex;
use tokio::time::sleep;

use super::OfPod;
use super::crowd::{Crowd, Next, Seen};

/// The turnstile of those who have to wait for one another: of one listener, of what a pod begins, or of all tunnels of a peer to it.
///
/// A connection is most work when it is new, and somebody may open as many as he can. Each is a task, and tasks run in the order in which
/// they became ready: as many as are begun at once are in front of the bytes of everybody else. So they are begun one by one, and what is
/// ready by then, of whichever pod, comes first. When nobody else has anything to do, a turn takes about a microsecond.
///
/// Clients and servers want the same processors. While so much begins here that they would hardly have one, they have it first:
/// each time, which is not for nothing, and therefore not done otherwise. And where processors are short all the same, and others have
/// connections, who has begun so much may only begin some for a while (`beginnings_of_a_pod`): the rest waits in front of the door, where
/// it costs next to nothing.
#[derive(Debug)]
pub(crate) struct Turnstile {
    crowd: Mutex<Crowd>,
    /// Whose limit there is where all that comes is one party's.
    of: Option<Party>,
}

/// A pod, or a peer to it.
#[derive(Debug)]
struct Party {
    pod: Weak<OfPod>,
    peer: Option<IpAddr>,
}

impl Default for Turnstile {
    /// Of many, of whom nobody has to wait because others begin too much.
    fn default() -> Self {
        Self { crowd: Mutex::new(Crowd::new(Instant::now())), of: None }
    }
}

impl Turnstile {
    /// Of what a pod itself begins: when it is too much, it has to wait for itself.
    pub(super) fn of_pod(pod: Weak<OfPod>) -> Self {
        Self { of: Some(Party { pod, peer: None }), ..Self::default() }
    }

    /// Of what a peer to the pod asks for: likewise.
    pub(super) fn of_peer(pod: Weak<OfPod>, peer: IpAddr) -> Self {
        Self { of: Some(Party { pod, peer: Some(peer) }), ..Self::default() }
    }

    /// Waits, after something was begun, until something else may begin. Who waits is served in order; cancel safe, but for the
    /// place in that order.
    pub(crate) async fn pass(&self) {
        let mut crowd = self.crowd.lock().await;
        match crowd.next(Instant::now(), look, || self.is_limited()) {
            Next::Soon => {}
            Next::AfterOthers => let_others_run(),
            Next::Limited => self.tell(),
            Next::After(pause) => sleep(pause).await,
        }
        whoever_is_ready().await;
    }

    /// Whether there are others who have something of it when this one has to wait.
    fn is_limited(&self) -> bool {
        let pod = self.of.as_ref().and_then(|of| of.pod.upgrade());
        pod.is_some_and(|pod| pod.node.company.is_several())
    }

    /// Counts that the limit is in force, and tells of whom.
    fn tell(&self) {
        let Some(Party { pod, peer }) = &self.of else { return };
        if let Some(pod) = pod.upgrade() {
            pod.limit_beginnings(*peer);
        }
    }
}

/// What this thread has waited for a processor.
fn look() -> Option<Seen> {
    waited().map(|waited| Seen { by: thread::current().id(), at: Instant::now(), waited })
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

#[cfg(test)]
impl Turnstile {
    /// Lets nobody pass for as long as the result lives.
    pub(crate) async fn closed(&self) -> impl Drop {
        self.crowd.lock().await
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

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
