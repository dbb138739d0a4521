//! When a server that cannot serve wants its clients back: it knows how it is loaded, and they do not.
//!
//! In go the text of the header and what a client would do by itself; out comes how long it waits. Deliberately absent: which
//! answers carry the header, and the client's own pauses.

use std::time::Duration;

/// The longest time that is waited because a server says so, before jitter.
pub const LONGEST: Duration = Duration::from_secs(60);

/// After so many failures in a row the client's own pause counts where it is longer. Clients by the book try no more than five times
/// in all (gRPC proposal A6), and what they would load a server with is bounded by that.
const BELIEVED: u32 = 5;

/// What a server wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pushback {
    /// They may come back after this time.
    After(Duration),
    /// They shall not come back soon; it does not say when.
    NotSoon,
}

/// The pauses a client makes by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pauses {
    /// The one it would make.
    pub usual: Duration,
    /// No server makes it come back earlier.
    pub shortest: Duration,
    /// The longest.
    pub longest: Duration,
}

impl Pushback {
    /// The name of the header, or trailer: milliseconds as a number.
    pub const HEADER: &str = "grpc-retry-pushback-ms";

    /// Reads its value. What is no number, or a negative one, asks not to come back soon.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let millis = text.trim().parse::<i64>().ok().and_then(|millis| u64::try_from(millis).ok());
        millis.map_or(Self::NotSoon, |millis| Self::After(Duration::from_millis(millis).min(LONGEST)))
    }

    /// Gives the pause after the `failures`-th failure in a row (the first is 1).
    #[must_use]
    pub fn pause(self, failures: u32, pauses: Pauses, entropy: u64) -> Duration {
        let wanted = self.wanted(pauses, entropy);
        if failures > BELIEVED { wanted.max(pauses.usual) } else { wanted }
    }

    /// Gives the time before which the server does not want anybody back, whatever has failed: up to half as long again, so that
    /// not all come at once.
    #[must_use]
    pub fn wanted(self, pauses: Pauses, entropy: u64) -> Duration {
        let parts = u32::try_from(entropy >> 48).unwrap_or_default();
        match self {
            Self::After(time) => {
                let time = time.clamp(pauses.shortest, LONGEST);
                time + time / 2 * parts / (1 << 16)
            }
            Self::NotSoon => pauses.longest * 2 / 3 + pauses.longest / 3 * parts / (1 << 16),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAUSES: Pauses = Pauses {
        usual: Duration::from_secs(8),
        shortest: Duration::from_millis(100),
        longest: Duration::from_secs(15),
    };

    /// Asserts between what the pause is after the first failure, in milliseconds.
    #[track_caller]
    fn check(text: &str, least: u64, most: u64) {
        let pause = |entropy| Pushback::parse(text).pause(1, PAUSES, entropy);
        assert_eq!(pause(0), Duration::from_millis(least), "{text}");
        let latest = pause(u64::MAX);
        assert!(latest <= Duration::from_millis(most), "{text}: {latest:?}");
        assert!(
            latest > Duration::from_millis(least + (most - least) * 9 / 10),
            "{text}: {latest:?} is spread"
        );
    }

    #[test]
    fn a_server_is_given_the_time_it_wants_and_not_too_much() {
        check("1000", 1000, 1500);
        check(" 250 ", 250, 375);
        check("60000", 60_000, 90_000);
        check("60001", 60_000, 90_000);
        check("9223372036854775807", 60_000, 90_000);
    }

    #[test]
    fn no_server_makes_a_client_spin() {
        check("0", 100, 150);
        check("1", 100, 150);
    }

    #[test]
    fn a_negative_number_and_none_at_all_mean_as_late_as_ever() {
        for text in ["-1", "-9223372036854775808", "", "soon", "1.5", "99999999999999999999"] {
            check(text, 10_000, 15_000);
        }
    }

    #[test]
    fn whoever_fails_for_long_waits_as_long_as_it_would_by_itself() {
        let pause = |failures| Pushback::parse("1000").pause(failures, PAUSES, 0);
        assert_eq!([pause(5), pause(6)], [Duration::from_secs(1), PAUSES.usual]);
        let longer = Pushback::parse("30000").pause(6, PAUSES, 0);
        assert_eq!(longer, Duration::from_secs(30));
        assert_eq!(Pushback::parse("1000").wanted(PAUSES, 0), Duration::from_secs(1));
    }
}
