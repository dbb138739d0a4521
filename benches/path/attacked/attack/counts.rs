//! What an attacker got, counted by all of its threads.

use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

/// Counts that go on.
#[derive(Debug, Default)]
pub(super) struct Counts {
    opened: AtomicU64,
    refused: AtomicU64,
    held: AtomicU64,
    most: AtomicU64,
}

/// What it came to: connections, or streams.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::path::attacked) struct Toll {
    pub(in crate::path::attacked) opened: u64,
    /// Never opened, or taken away by the other side.
    pub(in crate::path::attacked) refused: u64,
    /// Open at once, at most.
    pub(in crate::path::attacked) most: u64,
}

impl Counts {
    /// So many more are open.
    pub(super) fn opened(&self, count: u64) {
        self.opened.fetch_add(count, Ordering::Relaxed);
        let held = self.held.fetch_add(count, Ordering::Relaxed) + count;
        self.most.fetch_max(held, Ordering::Relaxed);
    }

    /// So many were not opened.
    pub(super) fn refused(&self, count: u64) {
        self.refused.fetch_add(count, Ordering::Relaxed);
    }

    /// So many that were open were given up.
    pub(super) fn closed(&self, count: u64) {
        self.held.fetch_sub(count, Ordering::Relaxed);
    }

    pub(super) fn toll(&self) -> Toll {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Toll { opened: read(&self.opened), refused: read(&self.refused), most: read(&self.most) }
    }
}

impl Toll {
    /// With what another attacker got after this one.
    pub(in crate::path::attacked) fn and(self, other: Self) -> Self {
        Self {
            opened: self.opened + other.opened,
            refused: self.refused + other.refused,
            most: self.most.max(other.most),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_open_at_most_is_remembered() {
        let counts = Counts::default();
        counts.opened(5);
        counts.closed(3);
        counts.refused(3);
        counts.opened(2);
        let toll = counts.toll();
        assert_eq!(toll, Toll { opened: 7, refused: 3, most: 5 });
        let both = toll.and(Toll { opened: 1, refused: 1, most: 9 });
        assert_eq!(both, Toll { opened: 8, refused: 4, most: 9 });
    }
}
