//! What a worker of the load generator counts.

use std::time::{Duration, Instant};

use super::window::Window;
use super::{Part, PartName};
use crate::path::statistics::percentile;

/// Counts of one worker, or of several added up.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// Operations or bytes in the window.
    counted: u64,
    /// Operations or bytes in all.
    total: u64,
    /// Nanoseconds, of operations in the window.
    latencies: Vec<u32>,
    failures: u64,
    first_failure: Option<String>,
}

impl Tally {
    /// Counts bytes that moved.
    pub(super) fn moved(&mut self, bytes: usize, window: &Window, moment: Instant) {
        let bytes = bytes as u64;
        self.total += bytes;
        if window.counts(moment) {
            self.counted += bytes;
        }
    }

    /// Counts an operation that began at `began` and has just ended; says whether there is time for another one.
    pub(super) fn done(&mut self, began: Instant, window: &Window) -> bool {
        let ended = Instant::now();
        self.total += 1;
        if window.counts(ended) {
            self.counted += 1;
            self.latencies.push(nanoseconds(ended - began));
        }
        !window.is_over(ended)
    }

    /// Counts an operation whose time does not matter.
    pub(super) fn done_untimed(&mut self) {
        self.total += 1;
    }

    /// Counts a failure.
    pub(super) fn failed(&mut self, why: impl ToString) {
        self.failures += 1;
        if self.first_failure.is_none() {
            self.first_failure = Some(why.to_string());
        }
    }

    pub(super) fn add(&mut self, mut other: Self) {
        self.counted += other.counted;
        self.total += other.total;
        self.latencies.append(&mut other.latencies);
        self.failures += other.failures;
        self.first_failure = self.first_failure.take().or(other.first_failure);
    }

    /// Makes a result of it.
    pub(super) fn part(mut self, name: PartName, window: &Window) -> Part {
        self.latencies.sort_unstable();
        let at = |share| percentile(&self.latencies, share).map(|time| f64::from(time) / 1e3);
        Part {
            name,
            rate: if self.counted == 0 { 0.0 } else { self.counted as f64 / window.seconds() },
            p50: at(0.5),
            p99: at(0.99),
            total: self.total,
            failures: self.failures,
            first_failure: self.first_failure,
        }
    }
}

/// Longer than four seconds reads as four seconds: nothing here takes that long and works.
fn nanoseconds(time: Duration) -> u32 {
    u32::try_from(time.as_nanos()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_keep_the_first_failure() {
        let window = Window::after(Duration::ZERO, Duration::from_secs(100));
        let (mut one, mut other) = (Tally::default(), Tally::default());
        assert!(one.done(Instant::now(), &window));
        one.failed("first");
        other.failed("second");
        other.moved(9, &window, Instant::now());
        one.add(other);
        let part = one.part(PartName::Echo, &window);
        assert_eq!((part.total, part.failures), (10, 2));
        assert_eq!(part.first_failure.as_deref(), Some("first"));
        assert!((part.rate - 0.1).abs() < 1e-9);
        assert!(part.p50.is_some());
    }
}
