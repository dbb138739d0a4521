//! What a client does not name any more: what goes with it, and what the client wants all the same.
//!
//! A resource can be wanted by several keys: its name, an address of its own, a name it answers for, an address in its block; and a workload
//! for its service or its node. Whatever is wanted by one of these stays.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::catalog::{Catalog, Entry, as_block};

use super::Subscription;

impl Subscription {
    /// The client does not name these any more.
    pub(super) fn drop_keys(&mut self, catalog: &Catalog, keys: &BTreeSet<&String>) {
        for key in keys {
            self.keys.remove(key);
            self.stand_ins.forget(key);
        }
        if self.wildcard {
            return;
        }
        // Each once: very many keys can stand for one.
        let found = keys.iter().flat_map(|key| catalog.resolve(self.collection, key));
        let found: BTreeMap<&str, &Arc<Entry>> = found.map(|entry| (&*entry.name, entry)).collect();
        found.into_values().for_each(|entry| self.let_go(catalog, entry));
    }

    /// The client does not name something by one of its keys any more.
    fn let_go(&mut self, catalog: &Catalog, entry: &Arc<Entry>) {
        if self.is_named(entry) || self.is_block_of_a_key(catalog, entry) {
            return;
        }
        let members = self.followed.remove(&entry.name).then(|| catalog.members(&entry.name));
        for name in members.into_iter().flatten().chain([entry]).map(|entry| &entry.name) {
            if !self.wants(catalog, name) {
                self.replica.forget(catalog, name);
            }
        }
    }

    /// Tells whether a key is an address that a service stands for because it is in its block, and nobody's own.
    fn is_block_of_a_key(&self, catalog: &Catalog, entry: &Entry) -> bool {
        let stands_for = |key: &Arc<str>| {
            catalog.resolve(self.collection, key).into_iter().any(|found| found.name == entry.name)
        };
        let blocks = entry.aliases.iter().filter_map(|alias| as_block(alias));
        blocks.flat_map(|block| self.keys.inside(block)).any(stands_for)
    }
}
