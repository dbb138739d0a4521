//! The descriptors of the process, which all that is carried needs: shared by all pods, so that none can take them from the others.

use std::sync::atomic::{AtomicU64, Ordering};

/// Kept for the process itself: its own ports, whoever looks, the control plane and the authority, files, and what is accepted to be
/// refused.
const KEPT: u64 = 256;

/// Where descriptors are few: this part is kept.
const KEPT_PART: u64 = 4;

/// What serving a pod takes, whatever it does: its listeners, its namespace, and what is beside them.
pub(super) const OF_EACH_POD: u64 = 16;

/// How many descriptors there are, and how many are taken.
#[derive(Debug)]
pub(super) struct Room {
    /// How many files the process may have open at the moment. It can be changed while it runs.
    open_files: fn() -> u64,
    taken: AtomicU64,
}

impl Room {
    pub(super) const fn new(open_files: fn() -> u64) -> Self {
        Self { open_files, taken: AtomicU64::new(0) }
    }

    /// Those there are for pods.
    pub(super) fn all(&self) -> u64 {
        let open_files = (self.open_files)();
        open_files - KEPT.min(open_files / KEPT_PART)
    }

    pub(super) fn taken(&self) -> u64 {
        self.taken.load(Ordering::Relaxed)
    }

    pub(super) fn free(&self) -> u64 {
        self.all().saturating_sub(self.taken())
    }

    /// Takes some, be they there or not, and tells how many were free before.
    pub(super) fn take(&self, more: u64) -> u64 {
        let taken = self.taken.fetch_add(more, Ordering::Relaxed);
        self.all().saturating_sub(taken)
    }

    pub(super) fn give_back(&self, some: u64) {
        self.taken.fetch_sub(some, Ordering::Relaxed);
    }
}

/// How many files the process may have open.
pub(super) fn open_files() -> u64 {
    // The kernel always says.
    culvert_sys::limits::open_files().unwrap_or(u64::MAX)
}
