//! When what is done counts: after the warm-up, until the end.

use std::time::{Duration, Instant};

/// The time in which a job is measured.
#[derive(Debug)]
pub(super) struct Window {
    from: Instant,
    until: Instant,
}

impl Window {
    /// Opens in `warm`, for `length`.
    pub(super) fn after(warm: Duration, length: Duration) -> Self {
        let from = Instant::now() + warm;
        Self { from, until: from + length }
    }

    /// Whether what ended at this moment counts.
    pub(super) fn counts(&self, moment: Instant) -> bool {
        (self.from..self.until).contains(&moment)
    }

    pub(super) fn is_over(&self, moment: Instant) -> bool {
        moment >= self.until
    }

    /// How long it is until the end.
    pub(super) fn left(&self) -> Duration {
        self.until.saturating_duration_since(Instant::now())
    }

    /// Its length in seconds.
    pub(super) fn seconds(&self) -> f64 {
        (self.until - self.from).as_secs_f64()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_warm_up_does_not_count() {
        let start = Instant::now();
        let window = Window::after(Duration::from_secs(10), Duration::from_secs(5));
        assert!(!window.counts(start) && !window.is_over(start));
        assert!(window.counts(start + Duration::from_secs(12)));
        let end = start + Duration::from_secs(16);
        assert!(!window.counts(end) && window.is_over(end));
        assert!((window.seconds() - 5.0).abs() < 1e-9);
    }
}
