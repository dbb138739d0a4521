//! Objects by something they have to do with.

use std::borrow::Borrow;
use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;

use super::Id;

/// Objects by something they have to do with.
#[derive(Debug)]
pub(crate) struct Index<K>(HashMap<K, BTreeSet<Id>>);

impl<K: Hash + Eq> Index<K> {
    pub(crate) fn insert(&mut self, key: K, id: &Id) {
        self.0.entry(key).or_default().insert(id.clone());
    }

    pub(crate) fn remove<Q: Hash + Eq + ?Sized>(&mut self, key: &Q, id: &Id)
    where
        K: Borrow<Q>,
    {
        if let Some(ids) = self.0.get_mut(key) {
            ids.remove(id);
            if ids.is_empty() {
                self.0.remove(key);
            }
        }
    }

    pub(crate) fn of<Q: Hash + Eq + ?Sized>(&self, key: &Q) -> impl Iterator<Item = &Id>
    where
        K: Borrow<Q>,
    {
        self.0.get(key).into_iter().flatten()
    }
}

impl<K> Default for Index<K> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}
