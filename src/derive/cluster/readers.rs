//! Who has looked at which Gateways when it was derived, found or not.

use std::collections::BTreeMap;
use std::sync::Arc;

use culvert_core::intern::Pool;

use super::Id;
use super::index::Index;
use crate::{Key, Kind};

/// Who has looked at what.
#[derive(Debug, Default)]
pub(crate) struct Readers {
    looked: BTreeMap<Id, Arc<Vec<Key>>>,
    readers: Index<Key>,
    /// All pods of a namespace look at the same objects.
    pool: Pool<Vec<Key>>,
}

impl Readers {
    /// Takes note of what an object has looked at. Who has not come to a Gateway has not read anything that indexes do not tell of.
    pub(crate) fn set(&mut self, id: &Id, looked_at: Vec<Key>) {
        let through = looked_at.iter().any(|key| key.kind == Kind::Gateway);
        let looked_at = if through { looked_at } else { Vec::new() };
        if self.looked.get(id).map_or(looked_at.is_empty(), |known| **known == looked_at) {
            return;
        }
        for key in self.looked.remove(id).iter().flat_map(|keys| keys.iter()) {
            self.readers.remove(key, id);
        }
        looked_at.iter().for_each(|key| self.readers.insert(key.clone(), id));
        if through {
            self.looked.insert(id.clone(), self.pool.one(looked_at));
        }
    }

    /// Gives who has looked at an object.
    pub(crate) fn of(&self, key: &Key) -> impl Iterator<Item = &Id> {
        self.readers.of(key)
    }
}
