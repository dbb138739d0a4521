//! What one client has of one type, by what it claimed and what it was sent, and which of it may be out of date.
//!
//! ```text
//! what the client has     what there is     what it is told
//! the same version        –                 nothing
//! anything else           a resource        the resource
//! something               nothing           removed
//! nothing                 nothing           nothing
//! ```
//! Nothing is queued for a client but what to look up: what it is told is looked up when it can take it. However many changes come
//! in the meantime, a client that is slow is told the newest state once.
//!
//! What a client has is what there was when the catalog was last looked at ([`Replica::note`]), but for what is written down here. So
//! a resource costs a bit or two, and only what the client is behind with costs more. Of that, versions are remembered up to
//! [`MOST_VERSIONS`]: a client that is further behind may be told again what it has.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::catalog::{Catalog, Collection, Entry, Kind, Now, Slot, Touched, Version};

use crate::push::Push;
use crate::slots::Slots;

/// Versions that are remembered of what a client is behind with.
const MOST_VERSIONS: usize = 1024;

/// What a client has.
#[derive(Debug)]
pub(crate) struct Replica {
    collection: Collection,
    /// What it has as it is.
    current: Slots,
    /// What it has as it was, or as nobody knows.
    outdated: Slots,
    /// As it was, where that is remembered.
    versions: HashMap<Slot, Version>,
    /// What it may have to be told, in this order: what others refer to, and the others.
    stale: [Slots; 2],
    /// What it has and is to have no more: because it is not there, or is not for this client.
    gone: BTreeMap<Arc<str>, Option<Version>>,
    /// Whether the client has, or is to have, something else than when that was last asked.
    moved: bool,
}

impl Replica {
    pub(crate) fn new(collection: Collection) -> Self {
        Self {
            collection,
            current: Slots::default(),
            outdated: Slots::default(),
            versions: HashMap::new(),
            stale: Default::default(),
            gone: BTreeMap::new(),
            moved: false,
        }
    }

    /// How many resources the client has or is taken to have.
    pub(crate) fn len(&self) -> usize {
        self.current.len() + self.outdated.len() + self.gone.len()
    }

    pub(crate) fn has(&self, catalog: &Catalog, name: &str) -> bool {
        catalog.slot(self.collection, name).is_some_and(|slot| self.holds(slot))
            || self.gone.contains_key(name)
    }

    /// Takes note of what became of a resource, whether or not it is wanted. Of each change once, and in their order: nothing else here
    /// may be asked in between.
    pub(crate) fn note(&mut self, touched: &Touched) {
        let slot = touched.slot;
        if self.current.remove(slot) {
            self.outdate(slot, touched.before);
        }
        if touched.now == Now::Gone {
            self.believe(slot);
            if self.outdated.remove(slot) {
                self.gone.insert(touched.name.clone(), self.versions.remove(&slot));
            }
            self.moved = true;
        }
    }

    /// The client says what it has from an earlier stream. What this stream sent is known better.
    pub(crate) fn claim(&mut self, catalog: &Catalog, name: &str, version: Option<Version>) {
        let Some((slot, entry)) = self.look_up(catalog, name) else {
            self.gone.entry(name.into()).or_insert(version);
            return;
        };
        if !self.holds(slot) && !self.gone.contains_key(name) {
            if version == Some(entry.version) {
                return self.settle(slot);
            }
            self.outdate(slot, version);
        }
        self.doubt(catalog, name);
    }

    /// The client wants an answer about a name, even if it has the newest state already.
    pub(crate) fn ask(&mut self, catalog: &Catalog, name: &Arc<str>) {
        match self.look_up(catalog, name) {
            Some((slot, entry)) => {
                self.gone.remove(name);
                self.lose(slot);
                self.outdated.insert(slot);
                self.suspect(slot, entry);
            }
            None => {
                self.gone.insert(name.clone(), None);
            }
        }
    }

    /// The client may have something else than what there is.
    pub(crate) fn doubt(&mut self, catalog: &Catalog, name: &str) {
        let Some((slot, entry)) = self.look_up(catalog, name) else { return };
        if let Some(version) = self.gone.remove(name) {
            self.outdate(slot, version);
        }
        self.suspect(slot, entry);
    }

    /// The client may have something else than what there is of all these.
    pub(crate) fn doubt_all(&mut self, catalog: &Catalog, which: impl Fn(&Entry) -> bool) {
        for (slot, entry) in catalog.all(self.collection).filter(|(_, entry)| which(entry)) {
            if self.gone.contains_key(&entry.name) {
                self.doubt(catalog, &entry.name);
            } else {
                self.suspect(slot, entry);
            }
        }
    }

    /// The client is to have nothing else than this of what there is.
    pub(crate) fn keep(&mut self, catalog: &Catalog, which: impl Fn(&Entry) -> bool) {
        let others: Vec<_> =
            self.entries(catalog).filter(|entry| !which(entry)).map(|entry| entry.name.clone()).collect();
        others.iter().for_each(|name| self.take(catalog, name));
    }

    /// The client is to have nothing of a name, whether or not there is something.
    pub(crate) fn take(&mut self, catalog: &Catalog, name: &str) {
        let Some((slot, entry)) = self.look_up(catalog, name) else { return };
        if self.holds(slot) {
            let as_it_is = self.current.contains(slot).then_some(entry.version);
            let version = as_it_is.or_else(|| self.versions.get(&slot).copied());
            self.gone.insert(entry.name.clone(), version);
        }
        self.lose(slot);
        self.believe(slot);
    }

    /// What the client has or may be told, of what there is.
    pub(crate) fn entries<'c>(&self, catalog: &'c Catalog) -> impl Iterator<Item = &'c Arc<Entry>> {
        self.places().filter_map(|slot| catalog.at(self.collection, slot))
    }

    /// Tells whether the client has, or is to have, something else than when this was last asked.
    pub(crate) fn has_moved(&mut self) -> bool {
        std::mem::take(&mut self.moved)
    }

    /// The client is not interested any more. It is still told what it may be behind with: what it keeps nevertheless, under
    /// another name, would stay out of date.
    pub(crate) fn forget(&mut self, catalog: &Catalog, name: &str) {
        let Some(slot) = catalog.slot(self.collection, name) else { return };
        if !self.stale.iter().any(|stale| stale.contains(slot)) {
            self.lose(slot);
        }
    }

    /// Tells whether something that is there may have to be told.
    pub(crate) fn may_add(&self) -> bool {
        self.stale.iter().any(|stale| !stale.is_empty())
    }

    /// Tells whether anything may have to be told.
    pub(crate) fn may_change(&self) -> bool {
        self.may_add() || !self.gone.is_empty()
    }

    /// Moves what there is to tell into a push, for as long as it has room; what is gone with `removals` alone.
    pub(crate) fn fill(&mut self, catalog: &Catalog, push: &mut Push, removals: Removals) {
        for rank in 0..self.stale.len() {
            while let Some(slot) = self.stale[rank].first() {
                let Some(entry) = catalog.at(self.collection, slot) else {
                    self.stale[rank].remove(slot);
                    continue;
                };
                if !push.add(entry) {
                    return;
                }
                self.settle(slot);
            }
        }
        while let Some((name, _)) = self.gone.first_key_value() {
            if removals == Removals::Later || !push.remove(name) {
                return;
            }
            self.gone.pop_first();
            self.moved = true;
        }
    }

    fn look_up<'c>(&self, catalog: &'c Catalog, name: &str) -> Option<(Slot, &'c Arc<Entry>)> {
        let slot = catalog.slot(self.collection, name)?;
        Some((slot, catalog.at(self.collection, slot)?))
    }

    /// Of what the client has or may be told; some of it more than once.
    fn places(&self) -> impl Iterator<Item = Slot> {
        let [first, second] = &self.stale;
        [&self.current, &self.outdated, first, second].into_iter().flat_map(Slots::iter)
    }

    /// The client may have something else than what is at a place.
    fn suspect(&mut self, slot: Slot, entry: &Entry) {
        if self.current.contains(slot) {
            return;
        }
        if self.holds_version(slot, entry.version) {
            return self.settle(slot);
        }
        self.stale[rank(entry)].insert(slot);
        self.moved = true;
    }

    fn holds(&self, slot: Slot) -> bool {
        self.current.contains(slot) || self.outdated.contains(slot)
    }

    fn holds_version(&self, slot: Slot, version: Version) -> bool {
        self.current.contains(slot) || self.versions.get(&slot) == Some(&version)
    }

    /// The client has it as it was.
    fn outdate(&mut self, slot: Slot, version: Option<Version>) {
        self.outdated.insert(slot);
        self.moved = true;
        if let Some(version) = version.filter(|_| self.versions.len() < MOST_VERSIONS) {
            self.versions.insert(slot, version);
        }
    }

    /// The client has it as it is.
    fn settle(&mut self, slot: Slot) {
        self.lose(slot);
        self.believe(slot);
        self.current.insert(slot);
    }

    /// There is no doubt about it.
    fn believe(&mut self, slot: Slot) {
        for stale in &mut self.stale {
            stale.remove(slot);
        }
    }

    /// The client does not have it, as far as is known.
    fn lose(&mut self, slot: Slot) {
        self.moved = true;
        self.current.remove(slot);
        self.outdated.remove(slot);
        self.versions.remove(&slot);
    }
}

/// Whether a push may say what is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Removals {
    Included,
    Later,
}

/// The order in which things are told: nothing is used before it is there. What is gone comes last: nothing goes while it is used.
fn rank(entry: &Entry) -> usize {
    match entry.kind {
        Kind::Policy(_) | Kind::Service(_) => 0,
        Kind::Workload(_) => 1,
    }
}

#[cfg(test)]
mod tests;
