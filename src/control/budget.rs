//! How often somebody may have something done: so many times in a row, and once more after each pause.
//!
//! In goes who it is and the time; out comes whether he may. What is done, and what becomes of who may not, is for the user.

use std::hash::Hash;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::recent::Recent;

/// Those who are remembered. Who is forgotten has all of it again.
const ENTRIES: usize = 20_000;

/// How often.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    /// In a row.
    pub(crate) in_a_row: u32,
    /// After how long once more.
    pub(crate) one_more: Duration,
}

/// What is left of it.
#[derive(Debug)]
pub(crate) struct Budget {
    left: u32,
    /// Up to when pauses have been counted.
    counted: Instant,
}

/// Everybody's.
#[derive(Debug)]
pub(crate) struct Budgets<K> {
    pace: Pace,
    all: Mutex<Recent<K, Budget>>,
}

impl Budget {
    /// All of it.
    pub(crate) fn new(pace: Pace, now: Instant) -> Self {
        Self { left: pace.in_a_row, counted: now }
    }

    /// How much there is.
    pub(crate) fn left(&mut self, pace: Pace, now: Instant) -> u32 {
        let pauses = (now - self.counted).as_nanos() / pace.one_more.as_nanos().max(1);
        let pauses = u32::try_from(pauses).unwrap_or(u32::MAX);
        if pauses >= pace.in_a_row - self.left {
            *self = Self::new(pace, now);
        } else {
            self.left += pauses;
            self.counted += pace.one_more * pauses;
        }
        self.left
    }

    /// Spends one, if there is any.
    pub(crate) fn spend(&mut self, pace: Pace, now: Instant) -> bool {
        let may = self.left(pace, now) > 0;
        self.left -= u32::from(may);
        may
    }

    fn give_back(&mut self, pace: Pace) {
        self.left = pace.in_a_row.min(self.left + 1);
    }
}

impl<K: Eq + Hash + Clone> Budgets<K> {
    pub(crate) fn new(pace: Pace) -> Self {
        Self { pace, all: Mutex::new(Recent::new(ENTRIES)) }
    }

    /// Spends one of somebody's, if there is any.
    pub(crate) fn spend(&self, whose: &K) -> bool {
        let now = Instant::now();
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(budget) = all.get(whose) {
            return budget.spend(self.pace, now);
        }
        let mut budget = Budget::new(self.pace, now);
        let may = budget.spend(self.pace, now);
        all.insert(whose.clone(), budget);
        may
    }

    /// Gives somebody one back that he has spent.
    pub(crate) fn give_back(&self, whose: &K) {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(budget) = all.get(whose) {
            budget.give_back(self.pace);
        }
    }

    /// Whether somebody has any. Who was never heard of is not remembered for that.
    pub(crate) fn has(&self, whose: &K) -> bool {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(whose).is_none_or(|budget| budget.left(self.pace, Instant::now()) > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACE: Pace = Pace { in_a_row: 3, one_more: Duration::from_secs(1) };

    #[test]
    fn so_many_in_a_row_and_then_one_in_each_pause() {
        let begin = Instant::now();
        let mut budget = Budget::new(PACE, begin);
        let mut spent = |at: u64| {
            let now = begin + Duration::from_millis(at);
            (0..10).filter(|_| budget.spend(PACE, now)).count()
        };
        let expected =
            [(0, 3), (900, 0), (1100, 1), (1900, 0), (2000, 1), (4000, 2), (1_000_000, 3), (1_000_100, 0)];
        for (at, expected) in expected {
            assert_eq!(spent(at), expected, "at {at}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn everybody_has_his_own() {
        let budgets = Budgets::new(PACE);
        assert_eq!((0..5).filter(|_| budgets.spend(&"a")).count(), 3);
        assert!(!budgets.has(&"a") && budgets.has(&"b") && budgets.spend(&"b"));
        tokio::time::advance(PACE.one_more).await;
        assert!(budgets.has(&"a"), "to look costs nothing");
        assert!(budgets.spend(&"a") && !budgets.spend(&"a"));
        budgets.give_back(&"a");
        assert!(budgets.spend(&"a") && !budgets.spend(&"a"));
        (0..9).for_each(|_| budgets.give_back(&"b"));
        assert_eq!((0..5).filter(|_| budgets.spend(&"b")).count(), 3);
    }
}
