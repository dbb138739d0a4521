//! The two kinds of tables a catalog is made of.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::Entry;

/// Resources by name.
pub(super) type Named = HashMap<Arc<str>, Arc<Entry>>;

/// Names of resources by something they share.
#[derive(Debug, Default)]
pub(super) struct Names(HashMap<Arc<str>, BTreeSet<Arc<str>>>);

impl Names {
    pub(super) fn of(&self, key: &str) -> impl Iterator<Item = &Arc<str>> {
        self.0.get(key).into_iter().flatten()
    }

    /// The names of a key, if any resource has it.
    pub(super) fn known(&self, key: &str) -> Option<&BTreeSet<Arc<str>>> {
        self.0.get(key)
    }

    pub(super) fn add(&mut self, key: &Arc<str>, name: &Arc<str>) {
        self.0.entry(key.clone()).or_default().insert(name.clone());
    }

    pub(super) fn remove(&mut self, key: &str, name: &str) {
        let Some(names) = self.0.get_mut(key) else { return };
        names.remove(name);
        if names.is_empty() {
            self.0.remove(key);
        }
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
