//! What one client wants of one type: everything, or what it names and what comes with that.
//!
//! Without the wildcard a client gets the resources it names (by name or by address), the workloads behind a service it
//! named, and the workloads of its own node. A hostname that the namespace it names does not have stands for the service that is canonical
//! for it. What it has once been sent is kept up to date until it says otherwise, or, where the
//! wildcard follows what the client knows ([`Scope::Around`]), until that is over.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use crate::catalog::{Catalog, Collection, Entry, Kind, Touched, Version, is_block};

use crate::nonces::Nonces;
use crate::push::{Aliases, Push};
use crate::replica::{Removals, Replica};
use crate::scope::Scope;
use crate::stand_ins::{Answer, StandIns};

mod around;
mod dropped;
mod keys;

use keys::Keys;

/// What stands for everything.
const WILDCARD: &str = "*";

/// A subscription.
#[derive(Debug)]
pub(crate) struct Subscription {
    collection: Collection,
    /// The client's node, empty if it has none.
    node: Arc<str>,
    /// What the wildcard stands for.
    all: Scope,
    begun: bool,
    wildcard: bool,
    /// What the client named.
    keys: Keys,
    /// Services that were named; their workloads come along.
    followed: HashSet<Arc<str>>,
    stand_ins: StandIns,
    replica: Replica,
    /// The first request is answered even when there is nothing to say: the client waits for it.
    owes_answer: bool,
    /// A block of addresses came, changed or went, in which any of the keys may be.
    is_block_touched: bool,
    pub(crate) nonces: Nonces,
}

/// A client wants everything that may not.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TooMuch;

impl Subscription {
    pub(crate) fn new(collection: Collection, node: Arc<str>, all: Scope) -> Self {
        Self {
            collection,
            node,
            all,
            begun: false,
            wildcard: false,
            keys: Keys::default(),
            followed: HashSet::new(),
            stand_ins: StandIns::default(),
            replica: Replica::new(collection),
            owes_answer: false,
            is_block_touched: false,
            nonces: Nonces::default(),
        }
    }

    /// How many names are kept for the client.
    pub(crate) fn len(&self) -> usize {
        self.keys.len() + self.replica.len()
    }

    /// How many names the client asks for.
    pub(crate) fn asked(&self) -> usize {
        self.keys.len()
    }

    /// The names of a request: first those that come, then those that go.
    ///
    /// # Errors
    /// When the client wants everything, and may not.
    pub(crate) fn change(
        &mut self,
        catalog: &Catalog,
        subscribe: &[String],
        unsubscribe: &[String],
    ) -> Result<(), TooMuch> {
        let first = !std::mem::replace(&mut self.begun, true);
        let everything = |names: &[String]| names.iter().any(|name| name == WILDCARD);
        let wildcard = self.wildcard || everything(subscribe) || (first && subscribe.is_empty());
        let wildcard = wildcard && !everything(unsubscribe);
        if wildcard && matches!(self.all, Scope::Nothing) {
            return Err(TooMuch);
        }
        if wildcard && !self.wildcard {
            self.doubt_everything(catalog);
        }
        self.wildcard = wildcard;
        if first {
            self.owes_answer = true;
            self.doubt_own_node(catalog);
        }
        let named = |name: &&String| *name != WILDCARD;
        let asked: BTreeSet<_> = subscribe.iter().filter(named).collect();
        asked.into_iter().for_each(|key| self.ask(catalog, key));
        let dropped: BTreeSet<_> = unsubscribe.iter().filter(named).collect();
        self.drop_keys(catalog, &dropped);
        Ok(())
    }

    /// What the client says it has. On demand, it also wants to hear of it.
    pub(crate) fn claim(&mut self, catalog: &Catalog, name: &str, version: &str) {
        if !self.wildcard {
            let known = catalog.find(self.collection, name);
            if known.is_none() && !catalog.resolve(self.collection, name).is_empty() {
                // It was asked for on an earlier stream.
                self.ask(catalog, name);
                if catalog.stand_in(name).is_none() {
                    // By an address, of which nobody has anything.
                    return;
                }
            } else {
                self.keys.insert(known.map_or_else(|| name.into(), |entry| entry.name.clone()));
                self.meet(catalog, name);
            }
        }
        self.replica.claim(catalog, name, Version::parse(version));
    }

    /// Takes note of what became of what the client has, by one change of the catalog.
    pub(crate) fn note(&mut self, touched: &Touched) {
        self.replica.note(touched);
    }

    /// Finds out what the client has to be told after one change of the catalog. All changes have been taken note of.
    pub(crate) fn follow(&mut self, catalog: &Catalog, touched: &Touched) {
        if !self.begun {
            return;
        }
        let is_included =
            catalog.find(self.collection, &touched.name).is_some_and(|entry| self.includes(entry));
        if is_included || self.wants(catalog, &touched.name) {
            self.replica.doubt(catalog, &touched.name);
        } else if self.replica.has(catalog, &touched.name) {
            self.hold(catalog, &touched.name);
        }
        if self.keys.is_empty() {
            return;
        }
        for key in self.stand_ins.asked_like(&touched.name) {
            self.meet(catalog, &key);
        }
        if touched.aliases.iter().any(|alias| is_block(alias)) {
            self.is_block_touched = true;
            return;
        }
        for key in touched.aliases.iter().chain([&touched.name]) {
            if self.keys.contains(key) {
                self.meet(catalog, key);
            }
        }
    }

    /// All changes have been followed: what is about many names is looked at once.
    pub(crate) fn followed_all(&mut self, catalog: &Catalog) {
        if std::mem::take(&mut self.is_block_touched) {
            self.meet_all(catalog);
        }
    }

    /// Tells whether something that is there may have to be told.
    pub(crate) fn may_add(&self) -> bool {
        self.replica.may_add()
    }

    /// Tells whether something may have to be told, of what is there or is gone.
    pub(crate) fn may_change(&self) -> bool {
        self.replica.may_change()
    }

    /// Tells whether there may be something to tell.
    pub(crate) fn is_pending(&self) -> bool {
        self.owes_answer || self.replica.may_change()
    }

    /// Gives the next push, if there is something to tell. What is gone comes with `removals` alone.
    pub(crate) fn push(&mut self, catalog: &Catalog, removals: Removals) -> Option<Push> {
        let by_address = !self.wildcard || !self.keys.is_empty();
        let aliases = if by_address { Aliases::Named(self.stand_ins.names()) } else { Aliases::LeftOut };
        let mut push = Push::new(aliases);
        self.replica.fill(catalog, &mut push, removals);
        let done = !self.replica.may_change();
        let worth = !push.is_empty() || (done && self.owes_answer);
        self.owes_answer &= !worth;
        worth.then_some(push)
    }

    /// The client named something, and waits for what it is or that it is not.
    fn ask(&mut self, catalog: &Catalog, key: &str) {
        let found: Vec<Arc<str>> =
            catalog.resolve(self.collection, key).into_iter().map(|entry| entry.name.clone()).collect();
        self.keys.insert(key.into());
        if found.is_empty() {
            self.replica.ask(catalog, &key.into());
        }
        found.iter().for_each(|name| self.replica.ask(catalog, name));
        self.meet(catalog, key);
    }

    /// What a key stands for by now is wanted, and what comes with it.
    fn meet(&mut self, catalog: &Catalog, key: &str) {
        let key = &Arc::from(key);
        let answer = match self.collection {
            Collection::Addresses => self.stand_ins.look(catalog, key),
            Collection::Policies => Answer::Same,
        };
        match answer {
            Answer::Same => {}
            // Even if the client has it: it is to hear that this is what it asked for, and that nothing has the name itself, which
            // it may have seen on an earlier stream.
            Answer::By(service) => {
                self.replica.ask(catalog, &service);
                self.replica.ask(catalog, key);
            }
            Answer::Nobody => self.replica.ask(catalog, key),
        }
        for entry in catalog.resolve(self.collection, key) {
            self.replica.doubt(catalog, &entry.name);
            if matches!(entry.kind, Kind::Service(_)) {
                // From then on each of them is told when it changes.
                if self.followed.insert(entry.name.clone()) {
                    catalog.members(&entry.name).for_each(|member| self.replica.doubt(catalog, &member.name));
                }
            }
        }
    }

    fn meet_all(&mut self, catalog: &Catalog) {
        let keys: Vec<_> = self.keys.iter().cloned().collect();
        keys.iter().for_each(|key| self.meet(catalog, key));
    }

    fn doubt_everything(&mut self, catalog: &Catalog) {
        self.replica.doubt_all(catalog, |entry| self.all.includes(entry));
    }

    /// Tells whether the wildcard, if there is one, stands for a resource.
    fn includes(&self, entry: &Entry) -> bool {
        self.wildcard && self.all.includes(entry)
    }

    fn doubt_own_node(&mut self, catalog: &Catalog) {
        if !self.node.is_empty() && self.collection == Collection::Addresses {
            catalog.on_node(&self.node).for_each(|entry| self.replica.doubt(catalog, &entry.name));
        }
    }

    /// Tells whether a client without the wildcard wants a resource.
    fn wants(&self, catalog: &Catalog, name: &str) -> bool {
        let Some(entry) = catalog.find(self.collection, name) else { return self.keys.contains(name) };
        let comes_along = entry.place().is_some_and(|place| {
            let own = !self.node.is_empty() && place.node == self.node;
            own || place.services.iter().any(|service| self.followed.contains(service))
        });
        comes_along || self.is_named(entry)
    }

    /// Tells whether a key is a name or an address of a resource, or is answered by it. Whether one is in its block is not looked at.
    fn is_named(&self, entry: &Entry) -> bool {
        self.keys.contains(&entry.name)
            || entry.aliases.iter().any(|alias| self.keys.contains(alias))
            || self.stand_ins.is_one(&entry.name)
    }
}
