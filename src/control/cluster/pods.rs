//! Which accounts have pods on which nodes, and whether those are in the mesh: as much of pods and namespaces as decides who may act
//! for whom.
//!
//! In go pods and namespaces as they were read for the mesh, one at a time or all there are; out comes the [`Presence`] of an account
//! on a node. Who is in the mesh `culvert-membership` decides, as for the agents. A change costs one entry: what a namespace says counts
//! when somebody asks. Deliberately absent: asking the API server, which [`lookup`] does for what is not known here yet; and what
//! agents claim of pods, since whoever may write that would decide who gets an identity.

pub(crate) mod lookup;

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use culvert_derive::{Key, Kind, Object};
use culvert_kubernetes::{Delta, Unreadable};
use culvert_membership::{Backing, Membership, Settings, Standing};

/// An object, or that there is one that cannot be read.
pub(crate) type Read = Result<Object, Unreadable>;

/// How an account is on a node, from nothing to everything: what the best of its pods is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Presence {
    /// It has no pods there.
    Absent,
    /// It has, and this is the nearest that one of them is to being in the mesh.
    There(Membership),
}

impl Presence {
    /// What the best of an account's pods on a node is, in a namespace that says this.
    fn best(standings: impl Iterator<Item = Standing>, backing: Backing) -> Self {
        standings.map(|standing| Self::There(standing.within(backing))).max().unwrap_or(Self::Absent)
    }
}

/// Whoever knows the pods of a cluster.
pub(crate) trait Pods: Send + Sync + 'static {
    /// Tells how an account is on a node.
    fn presence(&self, node: &str, namespace: &str, account: &str) -> Presence;

    /// Tells whether there is a pod of this name on a node, under this account.
    fn runs(&self, namespace: &str, pod: &str, account: &str) -> bool;

    /// By what it is decided who is in the mesh.
    fn settings(&self) -> &Settings;
}

/// The pods of a cluster, by account and node. Lives as long as the program; fed by one, read by many.
#[derive(Debug, Default)]
pub(crate) struct Index {
    settings: Settings,
    tables: RwLock<Tables>,
}

#[derive(Debug, Default)]
struct Tables {
    namespaces: HashMap<Arc<str>, Residence>,
}

/// A namespace, and the pods in it.
#[derive(Debug, Default)]
struct Residence {
    /// None as long as nobody knows the namespace: then nothing in it is in the mesh, whatever selectors there are.
    backing: Option<Backing>,
    /// Where each pod is, by its name.
    places: HashMap<Arc<str>, Place>,
    /// What the pods of an account come to that are on a node, with their names. Mostly there is one.
    standings: HashMap<Place, Vec<(Arc<str>, Standing)>>,
}

/// An account on a node.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Place {
    node: Arc<str>,
    account: Arc<str>,
}

impl Index {
    /// Begins with nothing; the settings decide who is in the mesh.
    pub(crate) fn new(settings: Settings) -> Self {
        Self { settings, tables: RwLock::default() }
    }

    /// Takes note of what has happened to objects of a kind. What cannot be read counts as not being there.
    pub(crate) fn note(&self, kind: Kind, delta: &Delta<Read>) {
        let tables = || self.tables.write().unwrap_or_else(PoisonError::into_inner);
        match kind {
            Kind::Pod => tables().pods(&self.settings, delta),
            Kind::Namespace => tables().namespaces(&self.settings, delta),
            Kind::Node
            | Kind::Service
            | Kind::EndpointSlice
            | Kind::ServiceEntry
            | Kind::WorkloadEntry
            | Kind::Gateway
            | Kind::GatewayClass
            | Kind::AuthorizationPolicy
            | Kind::PeerAuthentication => {}
        }
    }
}

impl Pods for Index {
    fn presence(&self, node: &str, namespace: &str, account: &str) -> Presence {
        let tables = self.tables.read().unwrap_or_else(PoisonError::into_inner);
        let Some(residence) = tables.namespaces.get(namespace) else { return Presence::Absent };
        let Some(backing) = residence.backing else { return Presence::Absent };
        let place = Place { node: node.into(), account: account.into() };
        let standings = residence.standings.get(&place).into_iter().flatten();
        Presence::best(standings.map(|(_, standing)| *standing), backing)
    }

    fn settings(&self) -> &Settings {
        &self.settings
    }

    fn runs(&self, namespace: &str, pod: &str, account: &str) -> bool {
        let tables = self.tables.read().unwrap_or_else(PoisonError::into_inner);
        let place = tables.namespaces.get(namespace).and_then(|residence| residence.places.get(pod));
        place.is_some_and(|place| &*place.account == account)
    }
}

impl Tables {
    fn pods(&mut self, settings: &Settings, delta: &Delta<Read>) {
        match delta {
            Delta::All(pods) => {
                self.namespaces.retain(|_, residence| residence.clear());
                pods.iter().flatten().for_each(|pod| self.put(settings, pod));
            }
            Delta::One(Ok(pod)) => self.put(settings, pod),
            Delta::One(Err(unreadable)) => self.remove(&unreadable.namespace, &unreadable.name),
            Delta::Gone(gone) => {
                let (namespace, name) = named(gone);
                self.remove(namespace, name);
            }
        }
    }

    fn namespaces(&mut self, settings: &Settings, delta: &Delta<Read>) {
        let backing = |object: &Object| Some(settings.of_namespace(object.as_namespace()?));
        match delta {
            Delta::All(namespaces) => {
                self.namespaces.values_mut().for_each(|residence| residence.backing = None);
                namespaces.iter().flatten().for_each(|it| self.set(&it.key().name, backing(it)));
                self.namespaces.retain(|_, residence| !residence.is_empty());
            }
            Delta::One(Ok(namespace)) => self.set(&namespace.key().name, backing(namespace)),
            Delta::One(Err(unreadable)) => self.set(&unreadable.name.as_str().into(), None),
            Delta::Gone(gone) => self.set(&named(gone).1.into(), None),
        }
    }

    fn put(&mut self, settings: &Settings, object: &Object) {
        let Some(pod) = object.as_resident() else { return };
        let Key { namespace, name, .. } = object.key();
        self.remove(namespace, name);
        if !pod.node.is_empty() {
            let residence = self.namespaces.entry(Arc::clone(namespace)).or_default();
            let place = Place { node: Arc::clone(pod.node), account: Arc::clone(pod.account) };
            let standings = residence.standings.entry(place.clone()).or_insert_with(|| Vec::with_capacity(1));
            standings.push((Arc::clone(name), settings.of_pod(&pod.says)));
            residence.places.insert(Arc::clone(name), place);
        }
    }

    fn remove(&mut self, namespace: &str, name: &str) {
        if let Some(residence) = self.namespaces.get_mut(namespace) {
            residence.remove(name);
        }
        self.forget_empty(namespace);
    }

    fn set(&mut self, namespace: &Arc<str>, backing: Option<Backing>) {
        self.namespaces.entry(Arc::clone(namespace)).or_default().backing = backing;
        self.forget_empty(namespace);
    }

    fn forget_empty(&mut self, namespace: &str) {
        if self.namespaces.get(namespace).is_some_and(Residence::is_empty) {
            self.namespaces.remove(namespace);
        }
    }
}

impl Residence {
    fn is_empty(&self) -> bool {
        self.backing.is_none() && self.places.is_empty()
    }

    /// Forgets all pods; tells whether anything is left.
    fn clear(&mut self) -> bool {
        self.places.clear();
        self.standings.clear();
        !self.is_empty()
    }

    fn remove(&mut self, name: &str) {
        let Some(place) = self.places.remove(name) else { return };
        if let Some(standings) = self.standings.get_mut(&place) {
            standings.retain(|(other, _)| **other != *name);
            if standings.is_empty() {
                self.standings.remove(&place);
            }
        }
    }
}

/// The namespace and the name of an object.
fn named(object: &Read) -> (&str, &str) {
    match object {
        Ok(object) => (&object.key().namespace, &object.key().name),
        Err(Unreadable { namespace, name, .. }) => (namespace, name),
    }
}

#[cfg(test)]
mod memory;
#[cfg(test)]
mod tests;
