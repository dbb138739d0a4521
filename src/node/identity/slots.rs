//! Who may call the certificate authority at the same time.
//!
//! At most [`CALLS`] calls run at once, at most [`QUIET`] of them for identities no connection waits for: a burst of
//! prefetches or renewals never holds up a connection.

use tokio::sync::{Notify, Semaphore, SemaphorePermit};

/// Calls at once.
const CALLS: usize = 8;

/// Calls at once that nobody waits for.
const QUIET: usize = 6;

/// The places for calls.
pub(super) struct Slots {
    all: Semaphore,
    quiet: Semaphore,
}

/// A place; free again when dropped.
pub(super) struct Slot<'s> {
    _place: SemaphorePermit<'s>,
    _quiet: Option<SemaphorePermit<'s>>,
}

impl Slots {
    pub(super) fn new() -> Self {
        Self { all: Semaphore::new(CALLS), quiet: Semaphore::new(QUIET) }
    }

    /// Waits for a place; `demand` moves the caller before all that nobody waits for. Cancel safe.
    pub(super) async fn take(&self, demand: &Notify) -> Slot<'_> {
        let quiet = tokio::select! {
            biased;
            () = demand.notified() => None,
            quiet = self.quiet.acquire() => Some(quiet.expect("the semaphore is never closed")),
        };
        let place = self.all.acquire().await.expect("the semaphore is never closed");
        Slot { _place: place, _quiet: quiet }
    }
}
