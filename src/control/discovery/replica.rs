//! What one client has of one type, by what it claimed and what it was sent, and which of it may be out of date.
//!
//! ```text
//! what the client has     what there is     what it is told
//! the same version        –                 nothing
//! anything else           a resource        the resource
//! something               nothing           removed
//! nothing                 nothing           nothing
//! ```
//! Nothing is queued for a client but names: what it is told is looked up when it can take it. However many changes come
//! in the meantime, a client that is slow is told the newest state once.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use crate::catalog::{Catalog, Collection, Entry, Kind, Version};

use super::push::Push;

/// What a client has.
#[derive(Debug)]
pub(super) struct Replica {
    collection: Collection,
    /// `None` is for a version nobody knows.
    held: HashMap<Arc<str>, Option<Version>>,
    stale: BTreeSet<(Rank, Arc<str>)>,
}

/// The order in which things are told: nothing is used before it is there, nothing goes while it is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Policy,
    Service,
    Workload,
    Gone,
}

impl Replica {
    pub(super) fn new(collection: Collection) -> Self {
        Self { collection, held: HashMap::new(), stale: BTreeSet::new() }
    }

    /// How many resources the client has or is taken to have.
    pub(super) fn len(&self) -> usize {
        self.held.len()
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.held.contains_key(name)
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &Arc<str>> {
        self.held.keys()
    }

    /// The client says what it has from an earlier stream. What this stream sent is known better.
    pub(super) fn claim(&mut self, catalog: &Catalog, name: &Arc<str>, version: Option<Version>) {
        self.held.entry(name.clone()).or_insert(version);
        self.doubt(catalog, name);
    }

    /// The client wants an answer about a name, even if it has the newest state already.
    pub(super) fn ask(&mut self, catalog: &Catalog, name: &Arc<str>) {
        self.held.insert(name.clone(), None);
        self.doubt(catalog, name);
    }

    /// The client may have something else than what there is.
    pub(super) fn doubt(&mut self, catalog: &Catalog, name: &Arc<str>) {
        let rank = catalog.find(self.collection, name).map_or(Rank::Gone, |entry| rank(entry));
        self.stale.insert((rank, name.clone()));
    }

    /// The client is not interested any more. It is still told what it may be behind with: what it keeps nevertheless, under
    /// another name, would stay out of date.
    pub(super) fn forget(&mut self, name: &Arc<str>) {
        let ranks = [Rank::Policy, Rank::Service, Rank::Workload, Rank::Gone];
        if !ranks.iter().any(|rank| self.stale.contains(&(*rank, name.clone()))) {
            self.held.remove(name);
        }
    }

    /// Tells whether something that is there may have to be told.
    pub(super) fn may_add(&self) -> bool {
        self.stale.first().is_some_and(|(rank, _)| *rank != Rank::Gone)
    }

    /// Tells whether anything may have to be told.
    pub(super) fn may_change(&self) -> bool {
        !self.stale.is_empty()
    }

    /// Moves what there is to tell into a push, for as long as it has room; what is gone with `removals` alone.
    pub(super) fn fill(&mut self, catalog: &Catalog, push: &mut Push, removals: Removals) {
        while let Some((rank, name)) = self.stale.first().cloned() {
            if rank == Rank::Gone && removals == Removals::Later {
                return;
            }
            match (catalog.find(self.collection, &name), self.held.get(&name)) {
                (Some(entry), held) if held != Some(&Some(entry.version)) => {
                    if !push.add(entry) {
                        return;
                    }
                    self.held.insert(name.clone(), Some(entry.version));
                }
                (None, Some(_)) if rank == Rank::Gone => {
                    if !push.remove(&name) {
                        return;
                    }
                    self.held.remove(&name);
                }
                (None, Some(_)) => {
                    self.stale.insert((Rank::Gone, name.clone()));
                }
                (Some(_) | None, _) => {}
            }
            self.stale.remove(&(rank, name));
        }
    }
}

/// Whether a push may say what is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Removals {
    Included,
    Later,
}

fn rank(entry: &Entry) -> Rank {
    match entry.kind {
        Kind::Policy => Rank::Policy,
        Kind::Service => Rank::Service,
        Kind::Workload(_) => Rank::Workload,
    }
}
