//! How often somebody may have something done: so many times in a row, and once more after each pause.

use tokio::time::Instant;

use super::Limits;

/// What is left.
#[derive(Debug)]
pub(super) struct Budget {
    left: u32,
    /// Up to when pauses have been counted.
    counted: Instant,
}

impl Budget {
    /// All of it.
    pub(super) fn new(limits: &Limits, now: Instant) -> Self {
        Self { left: limits.in_a_row, counted: now }
    }

    /// Spends one, if there is any.
    pub(super) fn spend(&mut self, limits: &Limits, now: Instant) -> bool {
        let pauses = (now - self.counted).as_nanos() / limits.one_more.as_nanos().max(1);
        let pauses = u32::try_from(pauses).unwrap_or(u32::MAX);
        if pauses >= limits.in_a_row - self.left {
            *self = Self::new(limits, now);
        } else {
            self.left += pauses;
            self.counted += limits.one_more * pauses;
        }
        let may = self.left > 0;
        self.left -= u32::from(may);
        may
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn so_many_in_a_row_and_then_one_in_each_pause() {
        let limits = Limits { in_a_row: 3, one_more: Duration::from_secs(1), ..Limits::default() };
        let begin = Instant::now();
        let mut budget = Budget::new(&limits, begin);
        let mut spent = |at: u64| {
            let now = begin + Duration::from_millis(at);
            (0..10).filter(|_| budget.spend(&limits, now)).count()
        };
        let expected =
            [(0, 3), (900, 0), (1100, 1), (1900, 0), (2000, 1), (4000, 2), (1_000_000, 3), (1_000_100, 0)];
        for (at, expected) in expected {
            assert_eq!(spent(at), expected, "at {at}");
        }
    }
}
