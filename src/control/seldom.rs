//! What strangers can cause again and again is said in the log once in a while, with how often it was not said.

use std::sync::{Mutex, PoisonError};

use tokio::time::Instant;

use crate::budget::{Budget, Pace};

/// One thing to be said.
#[derive(Debug)]
pub(crate) struct Seldom {
    pace: Pace,
    state: Mutex<(Budget, u64)>,
}

impl Seldom {
    /// As often as that.
    pub(crate) fn new(pace: Pace) -> Self {
        Self { pace, state: Mutex::new((Budget::new(pace, Instant::now()), 0)) }
    }

    /// Says it, unless it was said too often; what says it is told how often it was left out since.
    pub(crate) fn say(&self, say: impl FnOnce(u64)) {
        if let Some(unsaid) = self.turn() {
            say(unsaid);
        }
    }

    fn turn(&self) -> Option<u64> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (budget, unsaid) = &mut *state;
        if budget.spend(self.pace, Instant::now()) {
            return Some(std::mem::take(unsaid));
        }
        *unsaid += 1;
        None
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_is_not_said_is_counted() {
        let seldom = Seldom::new(Pace { in_a_row: 2, one_more: Duration::from_secs(1) });
        let mut said = Vec::new();
        for _ in 0..5 {
            seldom.say(|unsaid| said.push(unsaid));
        }
        tokio::time::advance(Duration::from_secs(1)).await;
        for _ in 0..2 {
            seldom.say(|unsaid| said.push(unsaid));
        }
        assert_eq!(said, [0, 0, 3]);
    }
}
