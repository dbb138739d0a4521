//! When to ask for the next certificate.
//!
//! In go a certificate's validity, the time, the number of failures in a row, and entropy for the jitter; out comes how
//! long to wait. It does not ask, sleep or look at a clock.
//!
//! A success is followed by half of the life that remains, a failure by [`after_failure`]'s growing pause. No answer
//! is shorter than [`FLOOR`] after a success, so neither a wrong clock nor a certificate that is old when it arrives
//! makes a tight loop.

use std::time::{Duration, SystemTime};

use crate::pushback::{Pauses, Pushback};

/// The shortest wait after a success.
pub const FLOOR: Duration = Duration::from_secs(1);

/// The longest wait after a failure, jitter included.
pub const LONGEST_PAUSE: Duration = Duration::from_secs(150);

/// The wait after the first failure, before jitter.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// Where doubling stops: 120 % of it is [`LONGEST_PAUSE`].
const LAST_PAUSE: Duration = Duration::from_secs(125);

/// When a certificate is valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    /// The first moment.
    pub not_before: SystemTime,
    /// The last moment.
    pub not_after: SystemTime,
}

impl Validity {
    /// Tells whether `now` is within.
    #[must_use]
    pub fn contains(&self, now: SystemTime) -> bool {
        self.not_before <= now && now <= self.not_after
    }

    /// How long it lasts from `now` on; zero once it is over.
    #[must_use]
    pub fn remaining(&self, now: SystemTime) -> Duration {
        self.not_after.duration_since(now).unwrap_or_default()
    }
}

/// How long to use a certificate that arrived at `now` before asking for the next one.
///
/// Half of the life that remains, and up to a fifth of that longer, so that certificates fetched in one burst are not
/// renewed in one burst. What remains is what counts, not the whole life: authorities date certificates back, and the
/// middle of a short life may lie in the past.
#[must_use]
pub fn after_success(validity: Validity, now: SystemTime, entropy: u64) -> Duration {
    let half = validity.remaining(now) / 2;
    (half + scaled(half / 5, entropy)).max(FLOOR)
}

/// How long to wait after the `failures`-th failure in a row (the first is 1).
///
/// One second, doubled each time, varied by 20 % either way, at most [`LONGEST_PAUSE`]. `held` is how long the
/// certificate that is still in use lasts: the next attempt comes no later than its end. An authority that says when it wants to be
/// asked again is listened to.
#[must_use]
pub fn after_failure(
    failures: u32,
    held: Option<Duration>,
    pushback: Option<Pushback>,
    entropy: u64,
) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    let pause = (FIRST_PAUSE * (1 << doublings)).min(LAST_PAUSE);
    let usual = pause * 4 / 5 + scaled(pause * 2 / 5, entropy);
    let pause = pushback.map_or(usual, |it| it.pause(failures, pauses(usual), entropy));
    match held {
        Some(held) => pause.min(held.max(FLOOR)),
        None => pause,
    }
}

/// How long nobody is to ask after a failure, for whatever reason; nothing unless the authority says so.
#[must_use]
pub fn quiet(pushback: Option<Pushback>, entropy: u64) -> Duration {
    pushback.map_or(Duration::ZERO, |it| it.wanted(pauses(FIRST_PAUSE), entropy))
}

fn pauses(usual: Duration) -> Pauses {
    Pauses { usual, shortest: FIRST_PAUSE, longest: LAST_PAUSE }
}

/// A part of `whole`: none for entropy 0, nearly all for the largest.
fn scaled(whole: Duration, entropy: u64) -> Duration {
    let parts = u32::try_from(entropy >> 48).unwrap_or_default();
    whole * parts / (1 << 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 3600;
    const ENTROPIES: [u64; 4] = [0, u64::MAX / 3, u64::MAX / 2, u64::MAX];

    fn epoch() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)
    }

    /// A certificate of this life in seconds that is `age` seconds old at the epoch.
    fn validity(life: u64, age: u64) -> Validity {
        let not_before = epoch() - Duration::from_secs(age);
        Validity { not_before, not_after: not_before + Duration::from_secs(life) }
    }

    fn check(validity: Validity, expected: std::ops::RangeInclusive<f64>) {
        for entropy in ENTROPIES {
            let wait = after_success(validity, epoch(), entropy).as_secs_f64();
            assert!(
                expected.contains(&wait),
                "{validity:?} entropy {entropy}: {wait} is not in {expected:?}"
            );
        }
    }

    #[test]
    fn renewal_comes_between_the_half_and_three_fifths_of_the_life() {
        check(validity(24 * HOUR, 0), 43200.0..=51840.0);
        check(validity(10, 0), 5.0..=6.0);
    }

    #[test]
    fn what_remains_counts_when_a_certificate_is_dated_back() {
        check(validity(24 * HOUR + 120, 120), 43200.0..=51840.0);
        check(validity(60 + 120, 120), 30.0..=36.0);
        check(validity(60, 50), 5.0..=6.0);
    }

    #[test]
    fn an_old_an_expired_and_a_senseless_certificate_make_no_loop() {
        check(validity(1000, 999), 1.0..=1.0);
        check(validity(1000, 5000), 1.0..=1.0);
        let backwards = Validity { not_before: epoch(), not_after: epoch() - Duration::from_secs(9) };
        check(backwards, 1.0..=1.0);
    }

    #[test]
    fn renewal_comes_before_the_end_whatever_the_age() {
        for age in 0..998 {
            let validity = validity(1000, age);
            let wait = after_success(validity, epoch(), u64::MAX);
            assert!(wait < validity.remaining(epoch()), "age {age}: {wait:?}");
        }
    }

    #[test]
    fn jitter_spreads() {
        let waits = ENTROPIES.map(|entropy| after_success(validity(1000, 0), epoch(), entropy));
        assert!(waits.windows(2).all(|pair| pair[0] < pair[1]), "{waits:?}");
    }

    #[test]
    fn pauses_double_and_stay_under_the_longest() {
        for (failures, least, most) in
            [(0, 0.8, 1.2), (1, 0.8, 1.2), (2, 1.6, 2.4), (7, 51.2, 76.8), (8, 100.0, 150.0)]
        {
            for entropy in ENTROPIES {
                let pause = after_failure(failures, None, None, entropy).as_secs_f64();
                assert!((least..=most).contains(&pause), "{failures} failures, entropy {entropy}: {pause}");
            }
        }
        assert!(after_failure(u32::MAX, None, None, u64::MAX) <= LONGEST_PAUSE);
    }

    #[test]
    fn the_end_of_the_held_certificate_shortens_the_pause() {
        let held = |seconds| Some(Duration::from_secs(seconds));
        assert_eq!(after_failure(8, held(20), None, 0), Duration::from_secs(20));
        assert_eq!(after_failure(8, held(0), None, 0), FLOOR);
        assert_eq!(after_failure(8, held(9000), None, 0), after_failure(8, None, None, 0));
        let late = Some(Pushback::parse("60000"));
        assert_eq!(after_failure(1, held(20), late, 0), Duration::from_secs(20));
    }

    #[test]
    fn an_authority_that_says_when_is_asked_then() {
        let second = Some(Pushback::parse("1000"));
        assert_eq!(after_failure(5, None, second, 0), Duration::from_secs(1), "earlier than usual");
        assert_eq!(after_failure(1, None, Some(Pushback::parse("30000")), 0), Duration::from_secs(30));
        assert!(after_failure(8, None, second, 0) >= Duration::from_secs(100), "not again and again");
        assert_eq!([quiet(second, 0), quiet(None, 0)], [Duration::from_secs(1), Duration::ZERO]);
        assert_eq!(after_failure(1, None, Some(Pushback::NotSoon), u64::MAX).as_secs(), 124);
    }

    #[test]
    fn validity_includes_both_ends() {
        let validity = validity(60, 60);
        assert!(validity.contains(validity.not_before) && validity.contains(epoch()));
        assert!(!validity.contains(validity.not_before - Duration::from_secs(1)));
        assert!(!validity.contains(epoch() + Duration::from_secs(1)));
    }
}
