//! Sizes, lengths of time and moments as people say them.

use std::time::Duration;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// A number of bytes: `512 B`, `1.2 MB`.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [&str; 7] = ["B", "kB", "MB", "GB", "TB", "PB", "EB"];
    let (mut unit, mut scale) = (0, 1_u64);
    // 999.95 kB would read as 1000.0 kB.
    while unit + 1 < UNITS.len() && bytes as f64 / scale as f64 >= if unit == 0 { 1000.0 } else { 999.95 } {
        unit += 1;
        scale *= 1000;
    }
    if unit == 0 {
        return format!("{bytes} B");
    }
    format!("{:.1} {}", bytes as f64 / scale as f64, UNITS[unit])
}

/// A length of time in its largest fitting unit: `120ms`, `45s`, `3m`, `5h`, `12d`, `3y`.
pub(crate) fn lasting(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0 => format!("{}ms", time.as_millis()),
        1..120 => format!("{seconds}s"),
        120..7_200 => format!("{}m", seconds / 60),
        7_200..172_800 => format!("{}h", seconds / 3_600),
        172_800..63_072_000 => format!("{}d", seconds / 86_400),
        _ => format!("{}y", seconds / 31_536_000),
    }
}

/// Microseconds: `85us`, `1.2ms`, `3s`.
pub(crate) fn round_trip(microseconds: u64) -> String {
    match microseconds {
        0..1_000 => format!("{microseconds}us"),
        1_000..1_000_000 => format!("{:.1}ms", microseconds as f64 / 1000.0),
        _ => lasting(Duration::from_micros(microseconds)),
    }
}

/// Seconds from a moment written as RFC 3339 until now; negative when it is yet to come, `None` when it is no such text.
pub(crate) fn seconds_since(moment: &str, now: OffsetDateTime) -> Option<i64> {
    OffsetDateTime::parse(moment, &Rfc3339).ok().map(|moment| (now - moment).whole_seconds())
}

/// How long a number of seconds is. Clocks differ: what lies a little ahead counts as now.
pub(crate) fn ago(seconds: i64) -> String {
    match u64::try_from(seconds) {
        Ok(0) | Err(_) => "0s".to_owned(),
        Ok(seconds) => lasting(Duration::from_secs(seconds)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_a_unit_and_one_decimal() {
        let all = [0, 999, 1_000, 1_234_567, 999_949, 999_950, 1_000_000_000, u64::MAX];
        let said = ["0 B", "999 B", "1.0 kB", "1.2 MB", "999.9 kB", "1.0 MB", "1.0 GB", "18.4 EB"];
        assert_eq!(all.map(size), said);
    }

    #[test]
    fn lengths_of_time_change_units_where_the_smaller_one_says_no_more() {
        let all = [0, 1, 119, 120, 7_199, 7_200, 172_799, 172_800, 63_072_000].map(Duration::from_secs);
        assert_eq!(all.map(lasting), ["0ms", "1s", "119s", "2m", "119m", "2h", "47h", "2d", "2y"]);
        assert_eq!(lasting(Duration::from_millis(120)), "120ms");
        assert_eq!([85, 1_240, 3_000_000].map(round_trip), ["85us", "1.2ms", "3s"]);
    }

    #[test]
    fn moments_are_told_from_now_whatever_their_zone() {
        let now = OffsetDateTime::parse("2026-03-01T12:00:00Z", &Rfc3339).unwrap();
        assert_eq!(seconds_since("2026-03-01T13:59:00+02:00", now), Some(60));
        assert_eq!(seconds_since("2026-03-01T12:00:05.5Z", now), Some(-5));
        assert_eq!(seconds_since("yesterday", now), None);
        assert_eq!([-5, 0, 61].map(ago), ["0s", "0s", "61s"]);
    }
}
