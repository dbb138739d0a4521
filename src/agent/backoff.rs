//! Growing waits between attempts: 1 s, doubling, at most 30 s.

use std::time::Duration;

use tokio::time::Instant;

const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(30);

/// Counts failed attempts and knows when the next one is due.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Backoff {
    failures: u32,
    retry_at: Instant,
}

impl Backoff {
    /// After the first failure.
    pub(crate) fn begin(now: Instant) -> Self {
        Self { failures: 1, retry_at: now + FIRST }
    }

    /// After one more.
    pub(crate) fn again(self, now: Instant) -> Self {
        let wait = FIRST.saturating_mul(1 << self.failures.min(16)).min(LONGEST);
        Self { failures: self.failures.saturating_add(1), retry_at: now + wait }
    }

    /// The same count, but due at once: something has changed that may help.
    pub(crate) fn hurry(self, now: Instant) -> Self {
        Self { retry_at: now, ..self }
    }

    pub(crate) fn retry_at(self) -> Instant {
        self.retry_at
    }

    pub(crate) fn due(self, now: Instant) -> bool {
        self.retry_at <= now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest() {
        let now = Instant::now();
        let mut backoff = Backoff::begin(now);
        let mut waits = Vec::new();
        for _ in 0..7 {
            waits.push((backoff.retry_at() - now).as_secs());
            backoff = backoff.again(now);
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 30, 30]);
        for _ in 0..100 {
            backoff = backoff.again(now);
        }
        assert_eq!(backoff.retry_at() - now, LONGEST);
        assert!(!backoff.due(now));
        assert!(backoff.hurry(now).due(now));
    }
}
