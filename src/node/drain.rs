//! Shutdown: whoever works holds a [`Guard`]; a drain is over when the last guard is gone.
//!
//! ```text
//!   Running ──drain(deadline)──▶ Draining ──deadline──▶ Cut
//!      └───────────────────cut()──────────────────────▶ Cut
//! ```
//! While *draining* nothing new is accepted and what is there may finish; once *cut* everything ends at once.

use std::time::Duration;

use tokio::sync::{mpsc, watch};

/// How far a shutdown has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd)]
enum Phase {
    Running,
    Draining,
    Cut,
}

/// Starts the shutdown of the part it belongs to.
#[derive(Debug)]
pub(crate) struct Drain {
    phase: watch::Sender<Phase>,
    /// Never carries a message: it closes when the last guard is dropped.
    idle: mpsc::Receiver<()>,
}

/// Held by everything that must be over before the drain is.
#[derive(Debug, Clone)]
pub(crate) struct Guard {
    phase: watch::Receiver<Phase>,
    _alive: mpsc::Sender<()>,
}

/// How long what was cut gets to let go of its guards.
const CUT_GRACE: Duration = Duration::from_secs(1);

/// A new part in the running phase, with the first guard.
pub(crate) fn channel() -> (Drain, Guard) {
    let (phase, seen) = watch::channel(Phase::Running);
    let (alive, idle) = mpsc::channel(1);
    (Drain { phase, idle }, Guard { phase: seen, _alive: alive })
}

impl Drain {
    /// Stops accepting, waits until all is done or the deadline has passed, then cuts the rest. Says whether
    /// everything ended by itself.
    pub(crate) async fn drain(mut self, deadline: Duration) -> bool {
        self.phase.send_replace(Phase::Draining);
        let in_time = tokio::time::timeout(deadline, self.idle.recv()).await.is_ok();
        if !in_time {
            self.cut().await;
        }
        in_time
    }

    /// Ends everything at once.
    pub(crate) async fn cut(mut self) {
        self.phase.send_replace(Phase::Cut);
        if tokio::time::timeout(CUT_GRACE, self.idle.recv()).await.is_err() {
            tracing::warn!(after = ?CUT_GRACE, "tasks still run after they were cut");
        }
    }
}

impl Guard {
    /// Resolves when nothing new shall be accepted. Cancel safe.
    pub(crate) async fn draining(&self) {
        self.reached(Phase::Draining).await;
    }

    /// Resolves when everything shall end. Cancel safe.
    pub(crate) async fn cut(&self) {
        self.reached(Phase::Cut).await;
    }

    /// Whether everything shall end.
    pub(crate) fn is_cut(&self) -> bool {
        *self.phase.borrow() == Phase::Cut
    }

    async fn reached(&self, phase: Phase) {
        let mut seen = self.phase.clone();
        if seen.wait_for(|now| *now >= phase).await.is_err() {
            // The owner went away without a word: nobody is left to serve.
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_idle_part_drains_at_once() {
        let (drain, guard) = channel();
        drop(guard);
        assert!(drain.drain(Duration::from_secs(60)).await);
    }

    #[tokio::test(start_paused = true)]
    async fn the_drain_waits_for_work_that_ends_in_time() {
        let (drain, guard) = channel();
        let work = tokio::spawn(async move {
            guard.draining().await;
            tokio::time::sleep(Duration::from_secs(3)).await;
        });
        assert!(drain.drain(Duration::from_secs(5)).await);
        work.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn work_is_cut_at_the_deadline() {
        let (drain, guard) = channel();
        let work = tokio::spawn(async move { guard.cut().await });
        assert!(!drain.drain(Duration::from_secs(5)).await);
        work.await.unwrap();
    }
}
