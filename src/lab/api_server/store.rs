//! The objects, and what has happened to them: the part of the server that etcd is in a real one.
//!
//! One revision counts all changes. The history of changes is kept until it is compacted, so that a watch can go on where
//! another one ended and a list can be read as it was. What a client may do is not decided here.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// All objects of a resource, whichever version of its group they were written in.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Table {
    pub(crate) group: String,
    pub(crate) resource: String,
}

/// Where an object is. The namespace of an object without one is empty.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    pub(crate) table: Table,
    pub(crate) namespace: String,
    pub(crate) name: String,
}

/// One change: an object was made, replaced, or deleted.
#[derive(Debug, Clone)]
pub(crate) struct Change {
    pub(crate) revision: u64,
    pub(crate) key: Key,
    pub(crate) before: Option<Arc<Value>>,
    pub(crate) after: Option<Arc<Value>>,
}

/// That part of history is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Compacted;

/// Objects and history.
#[derive(Debug, Default)]
pub(crate) struct Store {
    revision: u64,
    /// Changes up to this revision have been forgotten.
    compacted: u64,
    objects: BTreeMap<Key, Arc<Value>>,
    history: VecDeque<Change>,
    uids: u64,
}

/// How many changes are remembered.
const HISTORY: usize = 10_000;

impl Store {
    /// The revision of the last change.
    pub(crate) fn revision(&self) -> u64 {
        self.revision
    }

    pub(crate) fn object(&self, key: &Key) -> Option<&Arc<Value>> {
        self.objects.get(key)
    }

    /// All objects of a resource, by namespace and name.
    pub(crate) fn objects<'s>(
        &'s self,
        table: &Table,
    ) -> impl Iterator<Item = (&'s Key, &'s Arc<Value>)> + use<'s> {
        let first = Key { table: table.clone(), namespace: String::new(), name: String::new() };
        let table = table.clone();
        self.objects.range(first..).take_while(move |(key, _)| key.table == table)
    }

    /// The objects of a resource as they were at a revision.
    pub(crate) fn at(&self, table: &Table, revision: u64) -> Result<BTreeMap<Key, Arc<Value>>, Compacted> {
        let mut objects: BTreeMap<_, _> =
            self.objects(table).map(|(key, object)| (key.clone(), Arc::clone(object))).collect();
        let since: Vec<_> = self.since(revision)?.filter(|change| change.key.table == *table).collect();
        for change in since.into_iter().rev() {
            match &change.before {
                Some(before) => objects.insert(change.key.clone(), Arc::clone(before)),
                None => objects.remove(&change.key),
            };
        }
        Ok(objects)
    }

    /// The changes after a revision.
    pub(crate) fn since(&self, revision: u64) -> Result<impl Iterator<Item = &Change>, Compacted> {
        if revision < self.compacted {
            return Err(Compacted);
        }
        let known = self.history.partition_point(|change| change.revision <= revision);
        Ok(self.history.range(known..))
    }

    /// Forgets all changes; the objects stay.
    pub(crate) fn compact(&mut self) {
        self.history.clear();
        self.compacted = self.revision;
    }

    /// Makes an object, with what a server adds to it. There must be none at that place.
    pub(crate) fn create(&mut self, key: Key, mut object: Value) -> Arc<Value> {
        self.uids += 1;
        let metadata = &mut object["metadata"];
        if metadata["uid"].is_null() {
            metadata["uid"] = json!(format!("00000000-0000-4000-8000-{:012x}", self.uids));
        }
        metadata["creationTimestamp"] = json!(timestamp());
        metadata["name"] = json!(key.name);
        if !key.namespace.is_empty() {
            metadata["namespace"] = json!(key.namespace);
        }
        self.write(key, object)
    }

    /// Replaces an object as a whole. When nothing is different nothing happens, as in a real server.
    pub(crate) fn replace(&mut self, key: Key, mut object: Value) -> Arc<Value> {
        if let Some(old) = self.objects.get(&key) {
            for fixed in ["uid", "creationTimestamp", "name", "namespace", "resourceVersion"] {
                copy(fixed, &old["metadata"], &mut object["metadata"]);
            }
            if **old == object {
                return Arc::clone(old);
            }
        }
        self.write(key, object)
    }

    /// Deletes an object; what is returned is its last state, with the revision of the deletion.
    pub(crate) fn remove(&mut self, key: &Key) -> Option<Arc<Value>> {
        let before = self.objects.remove(key)?;
        let revision = self.next_revision();
        let last = with_revision(&before, revision);
        self.remember(Change { revision, key: key.clone(), before: Some(before), after: None });
        Some(last)
    }

    fn write(&mut self, key: Key, mut object: Value) -> Arc<Value> {
        let revision = self.next_revision();
        object["metadata"]["resourceVersion"] = json!(revision.to_string());
        let object = Arc::new(object);
        let before = self.objects.insert(key.clone(), Arc::clone(&object));
        self.remember(Change { revision, key, before, after: Some(Arc::clone(&object)) });
        object
    }

    fn next_revision(&mut self) -> u64 {
        self.revision += 1;
        self.revision
    }

    fn remember(&mut self, change: Change) {
        self.history.push_back(change);
        if self.history.len() > HISTORY
            && let Some(forgotten) = self.history.pop_front()
        {
            self.compacted = forgotten.revision;
        }
    }
}

/// A copy that says it is of another revision.
pub(crate) fn with_revision(object: &Value, revision: u64) -> Arc<Value> {
    let mut object = object.clone();
    object["metadata"]["resourceVersion"] = json!(revision.to_string());
    Arc::new(object)
}

/// Makes a field of one object what it is in another, absent included.
pub(crate) fn copy(field: &str, from: &Value, to: &mut Value) {
    match from.get(field) {
        Some(value) => to[field] = value.clone(),
        None => {
            if let Some(fields) = to.as_object_mut() {
                fields.remove(field);
            }
        }
    }
}

/// The time, as in `creationTimestamp`: whole seconds.
pub(crate) fn timestamp() -> String {
    let now = OffsetDateTime::now_utc();
    let whole = now.replace_nanosecond(0).unwrap_or(now);
    whole.format(&Rfc3339).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> Key {
        let table = Table { group: String::new(), resource: "pods".into() };
        Key { table, namespace: "shop".into(), name: name.into() }
    }

    fn names_at(store: &Store, revision: u64) -> Result<Vec<String>, Compacted> {
        Ok(store.at(&key("").table, revision)?.into_keys().map(|key| key.name).collect())
    }

    #[test]
    fn the_past_can_be_read_until_it_is_compacted() {
        let mut store = Store::default();
        store.create(key("a"), json!({}));
        store.create(key("b"), json!({}));
        let then = store.revision();
        store.remove(&key("a")).unwrap();
        store.create(key("c"), json!({}));
        assert_eq!(names_at(&store, then), Ok(vec!["a".into(), "b".into()]));
        assert_eq!(names_at(&store, store.revision()), Ok(vec!["b".into(), "c".into()]));
        store.compact();
        assert_eq!(names_at(&store, then), Err(Compacted));
        assert_eq!(names_at(&store, store.revision()), Ok(vec!["b".into(), "c".into()]));
    }

    #[test]
    fn every_change_has_a_revision_of_its_own_and_no_change_has_none() {
        let mut store = Store::default();
        let made = store.create(key("a"), json!({"spec": {"nodeName": "n1"}}));
        let same = store.replace(key("a"), json!({"spec": {"nodeName": "n1"}}));
        assert_eq!(made, same);
        let changed = store.replace(key("a"), json!({"spec": {"nodeName": "n2"}}));
        assert_ne!(made["metadata"]["resourceVersion"], changed["metadata"]["resourceVersion"]);
        assert_eq!(made["metadata"]["uid"], changed["metadata"]["uid"]);
        let last = store.remove(&key("a")).unwrap();
        assert_eq!(last["metadata"]["resourceVersion"], store.revision().to_string());
    }

    #[test]
    fn an_object_made_again_under_its_old_name_is_another_one() {
        let mut store = Store::default();
        let first = store.create(key("a"), json!({}));
        store.remove(&key("a")).unwrap();
        let second = store.create(key("a"), json!({}));
        assert_ne!(first["metadata"]["uid"], second["metadata"]["uid"]);
    }

    #[test]
    fn history_is_bounded() {
        let mut store = Store::default();
        for number in 0..=HISTORY {
            store.create(key(&number.to_string()), json!({}));
        }
        assert_eq!(store.since(0).err(), Some(Compacted));
        assert_eq!(store.since(1).unwrap().count(), HISTORY);
    }
}
