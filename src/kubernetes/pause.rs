//! How long to wait before the API server is asked again, and for its answers.
//!
//! Pauses grow while things fail, and are uneven, so that a thousand nodes that lost the same server do not come back together.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::time::Duration;

/// All waits of one client.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// The pause after the first failure. It doubles with each further one.
    pub first: Duration,
    /// No pause is longer.
    pub longest: Duration,
    /// For the answer to a request.
    pub answer: Duration,
    /// How long a watch lasts, in whole seconds: the server is asked to end it then.
    pub watch: Duration,
    /// How much longer than that it may stay silent before it is given up.
    pub grace: Duration,
    /// How long watches may go on from one list. Whatever was missed, and nobody thought of, is made good then.
    pub relist: Duration,
    /// When a resource that nobody has defined is asked for again.
    pub absent: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            first: Duration::from_secs(1),
            longest: Duration::from_secs(15),
            answer: Duration::from_secs(30),
            watch: Duration::from_secs(120),
            grace: Duration::from_secs(5),
            relist: Duration::from_secs(1800),
            absent: Duration::from_secs(30),
        }
    }
}

/// Counts failures.
#[derive(Debug)]
pub struct Pauses {
    first: Duration,
    longest: Duration,
    failures: u32,
}

impl Pauses {
    /// None have failed yet.
    #[must_use]
    pub fn new(pace: &Pace) -> Self {
        Self { first: pace.first, longest: pace.longest, failures: 0 }
    }

    /// After a failure: between half and all of what is due.
    #[expect(clippy::should_implement_trait, reason = "it is no sequence that ends")]
    pub fn next(&mut self) -> Duration {
        let due = self.first.saturating_mul(1 << self.failures.min(16)).min(self.longest);
        self.failures = self.failures.saturating_add(1);
        let share = RandomState::new().hash_one(self.failures) % 1024;
        due / 2 + due / 2 * u32::try_from(share).unwrap_or_default() / 1024
    }

    /// It works again.
    pub fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_up_to_the_longest_and_are_uneven() {
        let pace = Pace::default();
        let mut pauses = Pauses::new(&pace);
        for due in [1, 2, 4, 8, 15, 15, 15].map(Duration::from_secs) {
            let pause = pauses.next();
            assert!(pause >= due / 2 && pause <= due, "{pause:?} of {due:?}");
        }
        pauses.reset();
        assert!(pauses.next() <= pace.first);
        let firsts: std::collections::BTreeSet<_> = (0..50).map(|_| Pauses::new(&pace).next()).collect();
        assert!(firsts.len() > 10, "{firsts:?}");
    }
}
