//! The two kinds of tables a catalog is made of.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::Entry;

/// The place of a resource in its collection: its own for as long as it is there, and somebody else's afterwards.
///
/// Places are dense, so that what is known of each resource can be kept in bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(u32);

/// Resources by name.
#[derive(Debug, Default)]
pub(super) struct Named {
    slots: HashMap<Arc<str>, Slot>,
    entries: Vec<Option<Arc<Entry>>>,
    free: Vec<Slot>,
}

impl Slot {
    pub(crate) fn of_index(index: usize) -> Self {
        Self(u32::try_from(index).expect("no mesh has that many resources"))
    }

    pub(crate) fn index(self) -> usize {
        self.0 as usize
    }
}

impl Named {
    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    pub(super) fn get(&self, name: &str) -> Option<&Arc<Entry>> {
        self.at(self.slot(name)?)
    }

    pub(super) fn slot(&self, name: &str) -> Option<Slot> {
        self.slots.get(name).copied()
    }

    pub(super) fn at(&self, slot: Slot) -> Option<&Arc<Entry>> {
        self.entries.get(slot.index())?.as_ref()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (Slot, &Arc<Entry>)> {
        let all = self.entries.iter().enumerate();
        all.filter_map(|(index, entry)| Some((Slot::of_index(index), entry.as_ref()?)))
    }

    /// Puts a resource where its name is, or else where there is room.
    pub(super) fn insert(&mut self, entry: Arc<Entry>) -> Slot {
        let slot = self.slot(&entry.name).unwrap_or_else(|| {
            let slot = self.free.pop().unwrap_or_else(|| {
                self.entries.push(None);
                Slot::of_index(self.entries.len() - 1)
            });
            self.slots.insert(entry.name.clone(), slot);
            slot
        });
        self.entries[slot.index()] = Some(entry);
        slot
    }

    pub(super) fn remove(&mut self, name: &str) -> Option<(Slot, Arc<Entry>)> {
        let slot = self.slots.remove(name)?;
        self.free.push(slot);
        Some((slot, self.entries[slot.index()].take()?))
    }
}

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
