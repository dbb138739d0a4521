//! How long to wait before the next stream: never not at all, and not all nodes alike.

use std::time::Duration;

use crate::pushback::{Pauses, Pushback};

/// How a stream, or the attempt at one, ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closed {
    /// It could not be opened: TCP, TLS, HTTP, or the first status.
    Unreachable,
    /// Something on this side is missing: a root file, a token.
    Local,
    /// The server recycled it, or the connection went away.
    Recycled,
    /// The server ended it with an error.
    Failed,
    /// The server ended it without one.
    Clean,
}

/// The first pause, before jitter.
const FIRST: Duration = Duration::from_millis(100);
/// The longest pause.
const LONGEST: Duration = Duration::from_secs(15);
/// The pause after a stream that was of use, before jitter.
const AFTER_USE: Duration = Duration::from_millis(150);
/// How long a stream must have lived to have been of use.
const USEFUL: Duration = Duration::from_secs(10);

/// Counts what went wrong in a row.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    failures: u32,
}

impl Closed {
    /// Classifies the status a stream broke with, after the server had answered on it.
    #[must_use]
    pub fn of_status(code: i32, message: &str) -> Self {
        const CANCELLED: i32 = 1;
        const UNKNOWN: i32 = 2;
        const DEADLINE_EXCEEDED: i32 = 4;
        const UNAVAILABLE: i32 = 14;
        let leaving = ["transport is closing", "received prior goaway"];
        match code {
            CANCELLED | UNKNOWN | DEADLINE_EXCEEDED => Self::Recycled,
            UNAVAILABLE if leaving.iter().any(|text| message.contains(text)) => Self::Recycled,
            _ => Self::Failed,
        }
    }

    /// Gives the label of the metric.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::Unreachable => "ConnectionError",
            Self::Local | Self::Failed => "Error",
            Self::Recycled => "Reconnect",
            Self::Clean => "Complete",
        }
    }
}

impl Backoff {
    /// Gives the pause after a stream that brought an answer and lived for `useful`, or brought none; and after which the server
    /// wants nobody back for a while, perhaps.
    pub(super) fn pause(
        &mut self,
        useful: Option<Duration>,
        pushback: Option<Pushback>,
        entropy: u64,
    ) -> Duration {
        let usual = self.usual(useful, entropy);
        let pauses = Pauses { usual, shortest: FIRST, longest: LONGEST };
        pushback.map_or(usual, |pushback| pushback.pause(self.failures, pauses, entropy))
    }

    fn usual(&mut self, useful: Option<Duration>, entropy: u64) -> Duration {
        if useful.is_some_and(|lived| lived >= USEFUL) {
            self.failures = 0;
            return between_a_third_and_all(AFTER_USE, entropy);
        }
        let pause = FIRST.saturating_mul(1 << self.failures.min(16)).min(LONGEST);
        self.failures = self.failures.saturating_add(1);
        between_a_third_and_all(pause, entropy)
    }
}

fn between_a_third_and_all(whole: Duration, entropy: u64) -> Duration {
    let parts = u32::try_from(entropy >> 48).unwrap_or_default();
    whole / 3 + whole * 2 / 3 * parts / (1 << 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_pause_is_short_enough_to_spin() {
        let mut backoff = Backoff::default();
        let total: Duration = (0..1000).map(|_| backoff.pause(Some(Duration::ZERO), None, 0)).sum();
        assert!(total > Duration::from_secs(4000), "{total:?}");
        let longest = backoff.pause(Some(Duration::ZERO), None, u64::MAX);
        assert!(longest <= LONGEST && longest > LONGEST * 9 / 10, "{longest:?}");
    }

    #[test]
    fn only_a_useful_stream_is_followed_by_a_short_pause() {
        let mut backoff = Backoff::default();
        for _ in 0..10 {
            backoff.pause(None, None, 0);
        }
        assert!(backoff.pause(None, None, 0) >= Duration::from_secs(5), "silent, however long it lived");
        assert_eq!(backoff.pause(Some(USEFUL), None, 0), Duration::from_millis(50));
        assert!(backoff.pause(Some(Duration::ZERO), None, u64::MAX) <= FIRST);
    }

    #[test]
    fn a_server_that_wants_nobody_back_for_a_while_is_left_alone_for_that_while() {
        let second = Some(Pushback::parse("1000"));
        let mut backoff = Backoff::default();
        assert_eq!(backoff.pause(None, second, 0), Duration::from_secs(1), "longer than usual");
        assert_eq!(backoff.pause(Some(USEFUL), second, 0), Duration::from_secs(1), "also by who served well");
        for _ in 0..4 {
            backoff.pause(None, None, 0);
        }
        assert_eq!(backoff.pause(None, second, u64::MAX).as_secs(), 1, "shorter than usual");
        for _ in 0..10 {
            backoff.pause(None, None, 0);
        }
        assert!(backoff.pause(None, second, 0) >= LONGEST / 3, "not for ever, though");
        assert!(backoff.pause(None, Some(Pushback::NotSoon), 0) >= LONGEST * 2 / 3);
    }

    #[test]
    fn statuses_are_classified() {
        for (code, message, expected) in [
            (1, "", Closed::Recycled),
            (2, "", Closed::Recycled),
            (4, "", Closed::Recycled),
            (14, "error: transport is closing", Closed::Recycled),
            (14, "received prior goaway: code: NO_ERROR", Closed::Recycled),
            (14, "no healthy upstream", Closed::Failed),
            (7, "", Closed::Failed),
            (10, "", Closed::Failed),
        ] {
            assert_eq!(Closed::of_status(code, message), expected, "{code} {message}");
        }
    }
}
