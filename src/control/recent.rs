//! A table of bounded size that forgets what was not used for longest, roughly, at no cost.
//!
//! Two tables: what is used goes into the young one; when that is full it becomes the old one, and what was old is forgotten.

use std::collections::HashMap;
use std::hash::Hash;

/// What was used lately, by key.
#[derive(Debug)]
pub(crate) struct Recent<K, V> {
    young: HashMap<K, V>,
    old: HashMap<K, V>,
    half: usize,
}

impl<K: Eq + Hash + Clone, V> Recent<K, V> {
    /// One of at most so many entries.
    pub(crate) fn new(most: usize) -> Self {
        Self { young: HashMap::new(), old: HashMap::new(), half: (most / 2).max(1) }
    }

    /// Gives the entry of a key, which is used by that.
    pub(crate) fn get(&mut self, key: &K) -> Option<&mut V> {
        if !self.young.contains_key(key)
            && let Some((key, value)) = self.old.remove_entry(key)
        {
            self.insert(key, value);
        }
        self.young.get_mut(key)
    }

    pub(crate) fn insert(&mut self, key: K, value: V) {
        self.old.remove(&key);
        if self.young.len() >= self.half && !self.young.contains_key(&key) {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, value);
    }

    pub(crate) fn remove(&mut self, key: &K) {
        self.young.remove(key);
        self.old.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_stays_and_the_rest_is_forgotten() {
        let mut recent = Recent::new(10);
        recent.insert(0, "kept");
        for number in 1..100 {
            recent.insert(number, "passing");
            assert_eq!(recent.get(&0), Some(&mut "kept"));
            assert!(recent.young.len() + recent.old.len() <= 10);
        }
        assert_eq!(recent.get(&50), None);
        assert_eq!(recent.get(&99), Some(&mut "passing"));
        recent.insert(0, "new");
        assert_eq!(recent.get(&0), Some(&mut "new"));
        recent.remove(&0);
        assert_eq!(recent.get(&0), None);
    }
}
