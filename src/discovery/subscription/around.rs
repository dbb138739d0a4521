//! The wildcard of policies, for a client that asks for addresses: what it stands for follows what the client knows.

use crate::catalog::Catalog;
use crate::scope::{Namespaces, Scope};

use super::Subscription;

impl Subscription {
    /// The client has something it does not want by itself: it is kept up to date, unless what it has follows what it knows.
    pub(crate) fn hold(&mut self, catalog: &Catalog, name: &str) {
        if self.wildcard && self.all.is_around() {
            self.replica.take(catalog, name);
        } else {
            self.replica.doubt(catalog, name);
        }
    }

    /// Whether the client has, or is to have, other addresses than when this was last asked.
    pub(crate) fn has_moved(&mut self) -> bool {
        self.replica.has_moved()
    }

    /// The namespaces of the workloads that a client without the wildcard has or is to be told of; none for who has everything, or has
    /// not said what it wants.
    pub(crate) fn namespaces(&self, catalog: &Catalog) -> Option<Namespaces> {
        let workloads = || self.replica.entries(catalog).filter_map(|entry| entry.place());
        let on_demand = self.begun && !self.wildcard;
        on_demand.then(|| workloads().flat_map(|place| place.namespaces.iter().cloned()).collect())
    }

    /// The wildcard stands for everything the client may have.
    pub(crate) fn widen(&mut self, catalog: &Catalog) {
        if self.all.is_around() {
            self.all = Scope::Everything;
            self.resume(catalog);
        }
    }

    /// The wildcard stands for what matters to these namespaces, and to those it stood for before.
    pub(crate) fn surround(&mut self, catalog: &Catalog, namespaces: Namespaces) {
        match &mut self.all {
            Scope::Around(known) if namespaces.is_subset(known) => {}
            Scope::Around(known) => {
                known.extend(namespaces);
                self.resume(catalog);
            }
            Scope::Everything => self.confine(catalog, namespaces),
            Scope::Of(_) | Scope::Nothing => {}
        }
    }

    /// The wildcard stands for what matters to these namespaces, and to no others. What the client has of others is taken from it.
    pub(crate) fn confine(&mut self, catalog: &Catalog, namespaces: Namespaces) {
        let is_same = matches!(&self.all, Scope::Around(known) if *known == namespaces);
        let is_fixed = matches!(self.all, Scope::Of(_) | Scope::Nothing);
        if is_fixed || (!self.replica.has_moved() && is_same) {
            return;
        }
        self.all = Scope::Around(namespaces);
        if self.wildcard {
            let (all, keys) = (&self.all, &self.keys);
            self.replica.keep(catalog, |entry| all.includes(entry) || keys.contains(&entry.name));
            self.resume(catalog);
        }
    }

    /// The wildcard may stand for more than before.
    fn resume(&mut self, catalog: &Catalog) {
        if self.wildcard {
            self.doubt_everything(catalog);
        }
    }
}
