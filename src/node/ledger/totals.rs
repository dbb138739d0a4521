//! What the connections of one pod come to.

use std::sync::atomic::{AtomicU64, Ordering};

use super::record::{Ended, Facts};

/// Counts of one pod, since it is served.
#[derive(Debug, Default)]
pub(crate) struct Totals {
    begun: AtomicU64,
    refused: AtomicU64,
    broken: AtomicU64,
    to_server: AtomicU64,
    to_client: AtomicU64,
}

impl Totals {
    pub(super) fn begin(&self) {
        self.begun.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn end(&self, facts: &Facts, ended: &Ended) {
        if ended.result.is_err() {
            let count = if ended.was_open { &self.broken } else { &self.refused };
            count.fetch_add(1, Ordering::Relaxed);
        }
        self.to_server.fetch_add(facts.moved.forth.bytes(), Ordering::Relaxed);
        self.to_client.fetch_add(facts.moved.back.bytes(), Ordering::Relaxed);
    }

    /// Connections there were.
    pub(crate) fn begun(&self) -> u64 {
        self.begun.load(Ordering::Relaxed)
    }

    /// Those that were never made.
    pub(crate) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Those that broke or were cut.
    pub(crate) fn broken(&self) -> u64 {
        self.broken.load(Ordering::Relaxed)
    }

    /// What those that are over have moved, to servers and back.
    pub(crate) fn bytes(&self) -> (u64, u64) {
        (self.to_server.load(Ordering::Relaxed), self.to_client.load(Ordering::Relaxed))
    }
}
