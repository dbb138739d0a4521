//! Moments, as JSON has them.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// When an answer is made, by both clocks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Now {
    pub(super) instant: Instant,
    system: SystemTime,
}

impl Now {
    pub(super) fn read() -> Self {
        Self { instant: Instant::now(), system: SystemTime::now() }
    }

    /// What the wall clock said at a moment, as it is set now.
    pub(super) fn at(&self, moment: Instant) -> String {
        let ago = self.instant.saturating_duration_since(moment);
        text(self.system.checked_sub(ago).unwrap_or(UNIX_EPOCH))
    }

    /// How long ago a moment was, in milliseconds.
    pub(super) fn since(&self, moment: Instant) -> u64 {
        milliseconds(self.instant.saturating_duration_since(moment))
    }
}

/// Writes a moment, to the millisecond.
pub(super) fn text(moment: SystemTime) -> String {
    let since = moment.duration_since(UNIX_EPOCH).unwrap_or_default();
    let rounded = UNIX_EPOCH + Duration::from_millis(milliseconds(since));
    // A year with five digits has no such text.
    OffsetDateTime::from(rounded).format(&Rfc3339).unwrap_or_default()
}

/// A length of time in milliseconds.
pub(super) fn milliseconds(length: Duration) -> u64 {
    u64::try_from(length.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_written_in_utc_to_the_millisecond() {
        let moment = UNIX_EPOCH + Duration::new(1_800_000_000, 123_456_789);
        assert_eq!(text(moment), "2027-01-15T08:00:00.123Z");
        assert_eq!(text(UNIX_EPOCH), "1970-01-01T00:00:00Z");
    }
}
