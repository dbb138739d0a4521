//! Whether this machine's clock is kept right, and how far it is from somebody else's.

use culvert_sys::clock::{Discipline, discipline};
use time::{Date, Month, OffsetDateTime, Time};

use super::Context;
use super::catalogue::Family;
use super::finding::{Check, Finding, Verdict};

pub(crate) const FAMILY: Family = Family { name: "clock", checks: &[&SYNCHRONISED], look };

const SYNCHRONISED: Check = Check {
    name: "clock-synchronised",
    why: "certificates are valid for hours and dated to the second; clocks that drift apart refuse each other's",
};

/// Certificates are mostly dated so much back, in seconds.
const TOLERATED: i64 = 120;
/// More than answers take to arrive.
const NOTICED: i64 = 30;
const REMEDY: &str = "set the clock: timedatectl set-ntp true, or chronyc makestep";

fn look(_: &Context<'_>) -> Vec<Finding> {
    vec![SYNCHRONISED.judged(discipline(), synchronised)]
}

fn synchronised(discipline: Discipline) -> Verdict {
    let Discipline { is_synchronised, largest_error } = discipline;
    if is_synchronised {
        return Verdict::ok(format!(
            "somebody keeps the clock right, to {} ms at worst",
            largest_error.as_millis()
        ));
    }
    Verdict::warning("nobody says that the clock is kept right", "timedatectl set-ntp true (or run chronyd)")
}

/// Compares this clock with the date of an answer, or at least with when a certificate that is in use is valid. All in seconds
/// since 1970.
pub(super) fn skew(ours: i64, theirs: Option<i64>, [from, until]: [i64; 2]) -> Verdict {
    if let Some(theirs) = theirs {
        return difference(ours - theirs);
    }
    if ours < from {
        let found = format!("this clock says {}, before the control plane's certificate begins", date(ours));
        return Verdict::problem(found, REMEDY);
    }
    if ours > until {
        let found =
            format!("this clock says {}, after the control plane's certificate has ended", date(ours));
        return Verdict::warning(
            found,
            format!("see which is wrong, the certificate or the clock; {REMEDY}"),
        );
    }
    Verdict::ok("the control plane tells no time; its certificate is valid by this clock")
}

fn difference(seconds: i64) -> Verdict {
    let way = if seconds < 0 { "behind" } else { "ahead of" };
    let found = format!("this clock is {} s {way} the control plane's", seconds.abs());
    match seconds.abs() {
        0..=NOTICED => Verdict::ok(found),
        ..=TOLERATED => Verdict::warning(found, REMEDY),
        _ => Verdict::problem(found, REMEDY),
    }
}

/// A moment as people write it.
pub(super) fn date(seconds: i64) -> String {
    let Ok(moment) = OffsetDateTime::from_unix_timestamp(seconds) else {
        return format!("{seconds} s after 1970");
    };
    let (date, hour, minute) = (moment.date(), moment.hour(), moment.minute());
    format!("{date} {hour:02}:{minute:02} UTC")
}

/// Reads `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110, section 5.6.7), the only form that is still sent.
pub(super) fn http_date(text: &str) -> Option<i64> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let [_, day, month, year, clock, "GMT"] = words[..] else { return None };
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let month = u8::try_from(MONTHS.iter().position(|name| *name == month)? + 1).ok()?;
    let date =
        Date::from_calendar_date(year.parse().ok()?, Month::try_from(month).ok()?, day.parse().ok()?).ok()?;
    let numbers: Vec<u8> = clock.split(':').map_while(|part| part.parse().ok()).collect();
    let [hour, minute, second] = numbers[..] else { return None };
    Some(date.with_time(Time::from_hms(hour, minute, second).ok()?).assume_utc().unix_timestamp())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::check::finding::State;

    #[test]
    fn clocks_that_are_apart_are_a_problem_before_certificates_are_refused() {
        for (seconds, state) in [
            (0, State::Ok),
            (-20, State::Ok),
            (60, State::Warning),
            (-119, State::Warning),
            (-600, State::Problem),
        ] {
            assert_eq!(skew(1_000_000 + seconds, Some(1_000_000), [0, 1]).state, state, "{seconds}");
        }
        assert!(skew(0, Some(600), [0, 1]).found.contains("600 s behind"));
        assert!(skew(700, Some(100), [0, 1]).found.contains("600 s ahead of"));
        for (ours, state) in [(5, State::Problem), (15, State::Ok), (25, State::Warning)] {
            assert_eq!(skew(ours, None, [10, 20]).state, state, "{ours}");
        }
    }

    #[test]
    fn a_clock_nobody_keeps_is_a_warning() {
        let kept = |is_synchronised| {
            synchronised(Discipline { is_synchronised, largest_error: Duration::ZERO }).state
        };
        assert_eq!((kept(true), kept(false)), (State::Ok, State::Warning));
    }

    #[test]
    fn dates_are_read_and_written() {
        assert_eq!(http_date("Sun, 06 Nov 1994 08:49:37 GMT"), Some(784_111_777));
        for bad in [
            "",
            "Sun, 06 Nov 1994 08:49:37",
            "Sun, 31 Feb 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 25:49:37 GMT",
        ] {
            assert_eq!(http_date(bad), None, "{bad}");
        }
        assert_eq!(date(784_111_777), "1994-11-06 08:49 UTC");
        assert_eq!(date(i64::MAX), format!("{} s after 1970", i64::MAX));
    }
}
