//! How much time one connection of the pod has left, whatever is tried for it.
//!
//! Finding out what is missing for a way (what a waypoint is, where a host is) and going it have a deadline each: who answers slowly
//! does not use up the time of those who are to be connected to.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::tunnel::ESTABLISH_DEADLINE;

/// How long all attempts may take together.
pub(super) const ALL_DEADLINE: Duration = ESTABLISH_DEADLINE;

/// How long it may take to find out what is missing for a way, for all that one connection needs.
const LOOK_UP_DEADLINE: Duration = Duration::from_secs(10);

/// How long attempts have taken, and how long it took to find out what is missing for them: each has a deadline of its own.
#[derive(Debug)]
pub(super) struct Clock {
    began: Instant,
    /// In milliseconds.
    looking: AtomicU64,
}

impl Clock {
    pub(super) fn start() -> Self {
        Self { began: Instant::now(), looking: AtomicU64::new(0) }
    }

    /// Whether there is time for another attempt.
    pub(super) fn is_in_time(&self) -> bool {
        !self.left().is_zero()
    }

    /// What is left for attempts.
    pub(super) fn left(&self) -> Duration {
        let took = self.began.elapsed().saturating_sub(self.looked());
        ALL_DEADLINE.saturating_sub(took)
    }

    fn looked(&self) -> Duration {
        Duration::from_millis(self.looking.load(Ordering::Relaxed))
    }

    /// Gives something to find out the time that is left for that; nothing when it was not enough.
    pub(super) async fn look<T>(&self, find_out: impl Future<Output = T>) -> Option<T> {
        let began = Instant::now();
        let found = tokio::time::timeout(LOOK_UP_DEADLINE.saturating_sub(self.looked()), find_out).await;
        let took = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.looking.fetch_add(took, Ordering::Relaxed);
        found.ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn looking_things_up_does_not_use_up_the_time_of_attempts() {
        let clock = Clock { began: Instant::now() - Duration::from_secs(7), looking: AtomicU64::new(4000) };
        assert!((Duration::from_millis(6900)..=Duration::from_secs(7)).contains(&clock.left()));
        assert!(clock.is_in_time());
        let late = Clock { began: Instant::now() - Duration::from_secs(11), looking: AtomicU64::new(500) };
        assert!(!late.is_in_time());
    }

    #[tokio::test(start_paused = true)]
    async fn there_is_an_end_to_looking_things_up() {
        let clock = Clock { began: Instant::now(), looking: AtomicU64::new(9000) };
        assert_eq!(clock.look(async { 1 }).await, Some(1));
        let began = tokio::time::Instant::now();
        assert_eq!(clock.look(std::future::pending::<u8>()).await, None);
        assert_eq!(began.elapsed().as_secs(), 1);
    }
}
