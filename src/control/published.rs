//! The catalog, shared: one writer, many readers that are told when there is something new.

use std::sync::{PoisonError, RwLock, RwLockReadGuard};

use culvert_discovery::catalog::{Catalog, Change};
use tokio::sync::watch;

/// A catalog others can read.
///
/// A lock and no snapshots: readers hold it for as long as it takes to find a few thousand resources, never across an
/// await, and what they take along are shared bytes.
#[derive(Debug)]
pub(crate) struct Published {
    catalog: RwLock<Catalog>,
    newest: watch::Sender<u64>,
}

impl Published {
    pub(crate) fn new(catalog: Catalog) -> Self {
        let newest = watch::Sender::new(catalog.generation());
        Self { catalog: RwLock::new(catalog), newest }
    }

    pub(crate) fn read(&self) -> RwLockReadGuard<'_, Catalog> {
        // Should a writer ever panic, what it had put in place is still worth serving.
        self.catalog.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Follows the number of the newest generation.
    pub(crate) fn newest(&self) -> watch::Receiver<u64> {
        self.newest.subscribe()
    }

    pub(crate) fn apply(&self, changes: impl IntoIterator<Item = Change>) {
        let generation = {
            let mut catalog = self.catalog.write().unwrap_or_else(PoisonError::into_inner);
            catalog.apply(changes);
            catalog.generation()
        };
        self.newest.send_replace(generation);
    }
}
