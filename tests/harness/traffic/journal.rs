//! What became of all connections: counts, and everything that must not have happened.

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How many violations are kept: the first ones say what is wrong.
const KEPT: usize = 50;

/// How many connections ended how.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Attempts, whatever became of them.
    pub(crate) made: u64,
    /// Ended as they should, all bytes in both directions included.
    pub(crate) whole: u64,
    /// Refused or broken off before anybody answered.
    pub(crate) refused: u64,
    /// Broken off after that.
    pub(crate) broken: u64,
    /// Bytes that came and were checked, at both ends.
    pub(crate) bytes: u64,
}

/// A journal.
#[derive(Debug)]
pub(crate) struct Journal {
    begun: Instant,
    counts: Mutex<Counts>,
    violations: Mutex<Vec<String>>,
    /// What is said of connections that broke, the last of them: to understand a failure by.
    slowest: Mutex<Duration>,
}

impl Journal {
    pub(crate) fn new() -> Self {
        let (counts, violations) = (Mutex::default(), Mutex::default());
        Self { begun: Instant::now(), counts, violations, slowest: Mutex::default() }
    }

    /// When something happened, for people.
    pub(crate) fn now(&self) -> Duration {
        self.begun.elapsed()
    }

    pub(crate) fn count(&self, change: impl FnOnce(&mut Counts)) {
        change(&mut self.counts.lock().unwrap_or_else(PoisonError::into_inner));
    }

    pub(crate) fn counts(&self) -> Counts {
        *self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes how long a connection took.
    pub(crate) fn took(&self, length: Duration) {
        let mut slowest = self.slowest.lock().unwrap_or_else(PoisonError::into_inner);
        *slowest = length.max(*slowest);
    }

    pub(crate) fn slowest(&self) -> Duration {
        *self.slowest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes what must not have happened.
    pub(crate) fn violated(&self, what: impl fmt::Display) {
        let line = format!("{:.3} s: {what}", self.now().as_secs_f64());
        println!("VIOLATION {line}");
        let mut violations = self.violations.lock().unwrap_or_else(PoisonError::into_inner);
        if violations.len() < KEPT {
            violations.push(line);
        }
    }

    pub(crate) fn violations(&self) -> Vec<String> {
        self.violations.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
