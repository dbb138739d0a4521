//! How often a pod was written to lately, and how long it rests because of that.

use std::time::Duration;

use tokio::time::Instant;

/// Writes that follow each other without a rest: a pod may well become protected, get into doubt, and be protected again.
const FREE: u32 = 3;

/// The first rest. It doubles with each further write.
const FIRST: Duration = Duration::from_secs(1);

const LONGEST: Duration = Duration::from_secs(30);

/// After this long without a write all is forgotten.
const QUIET: Duration = Duration::from_secs(60);

/// Writes that followed each other. Fewer come before more.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Lately {
    writes: u32,
    last: Option<Instant>,
}

impl Lately {
    /// There was one more.
    pub(super) fn note(&mut self, now: Instant) {
        let is_quiet = self.last.is_none_or(|last| now.saturating_duration_since(last) >= QUIET);
        self.writes = if is_quiet { 1 } else { self.writes.saturating_add(1) };
        self.last = Some(now);
    }

    /// When it may be written to again.
    pub(super) fn rests_until(self) -> Option<Instant> {
        let beyond = self.writes.checked_sub(FREE)?;
        Some(self.last? + FIRST.saturating_mul(1 << beyond.min(16)).min(LONGEST))
    }
}
