//! Which accounts have pods on which nodes, and whether those are in the mesh: as much of pods and namespaces as decides who may act
//! for whom.
//!
//! In go pods and namespaces, one at a time or all there are; out comes the [`Presence`] of an account on a node. A change costs one
//! entry: what a namespace says counts when somebody asks. Deliberately absent: asking the API server, which [`lookup`] does for what
//! is not known here yet.

pub(crate) mod lookup;
mod wire;

use std::collections::{BTreeMap, HashMap};
use std::sync::{PoisonError, RwLock};

use culvert_kubernetes::Delta;

pub(crate) use wire::{Namespace, Pod};

/// How an account is on a node, from nothing to everything: what the best of its pods is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Presence {
    /// It has no pods there.
    Absent,
    /// They have ended.
    Ended,
    /// They share the node's network.
    HostNetwork,
    /// They run, and are not in the mesh.
    NotEnrolled,
    /// One is in the mesh, or shall be.
    Enrolled,
}

/// Whoever knows the pods of a cluster.
pub(crate) trait Pods: Send + Sync + 'static {
    /// Tells how an account is on a node.
    fn presence(&self, node: &str, namespace: &str, account: &str) -> Presence;
}

/// What of a pod decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PodFacts {
    pub(crate) namespace: String,
    pub(crate) name: String,
    /// Empty as long as it has none.
    pub(crate) node: String,
    pub(crate) account: String,
    pub(crate) standing: Standing,
}

/// What a pod says by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    Ended,
    HostNetwork,
    /// It is not in the mesh, whatever its namespace says.
    Out,
    /// It is in the mesh if its namespace says so.
    AsNamespace,
    /// It is in the mesh, or shall be.
    In,
}

/// What of a namespace decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NamespaceFacts {
    pub(crate) name: String,
    /// Whether its pods are in the mesh that do not say otherwise.
    pub(crate) includes: bool,
}

impl Standing {
    /// What it means in a namespace that includes its pods, or does not.
    pub(crate) fn presence(self, included: bool) -> Presence {
        match self {
            Self::Ended => Presence::Ended,
            Self::HostNetwork => Presence::HostNetwork,
            Self::In => Presence::Enrolled,
            Self::AsNamespace if included => Presence::Enrolled,
            Self::AsNamespace | Self::Out => Presence::NotEnrolled,
        }
    }
}

/// The pods of a cluster, by account and node. Lives as long as the program; fed by one, read by many.
#[derive(Debug, Default)]
pub(crate) struct Index(RwLock<Tables>);

#[derive(Debug, Default)]
struct Tables {
    namespaces: HashMap<String, Residence>,
}

/// A namespace, and the pods in it.
#[derive(Debug, Default)]
struct Residence {
    includes: bool,
    /// Where each pod is, by its name.
    places: HashMap<String, Place>,
    /// What the pods of an account say that are on a node, by their names.
    standings: HashMap<Place, BTreeMap<String, Standing>>,
}

/// An account on a node.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Place {
    node: String,
    account: String,
}

impl Index {
    /// Takes note of what has happened to pods.
    pub(crate) fn pods(&self, delta: Delta<PodFacts>) {
        let mut tables = self.0.write().unwrap_or_else(PoisonError::into_inner);
        match delta {
            Delta::All(pods) => {
                tables.namespaces.retain(|_, residence| residence.clear());
                pods.into_iter().for_each(|pod| tables.put(pod));
            }
            Delta::One(pod) => tables.put(pod),
            Delta::Gone(pod) => tables.remove(&pod),
        }
    }

    /// Takes note of what has happened to namespaces.
    pub(crate) fn namespaces(&self, delta: Delta<NamespaceFacts>) {
        let mut tables = self.0.write().unwrap_or_else(PoisonError::into_inner);
        match delta {
            Delta::All(namespaces) => {
                tables.namespaces.values_mut().for_each(|residence| residence.includes = false);
                namespaces.into_iter().for_each(|namespace| tables.set(namespace));
            }
            Delta::One(namespace) => tables.set(namespace),
            Delta::Gone(namespace) => tables.set(NamespaceFacts { includes: false, ..namespace }),
        }
    }
}

impl Pods for Index {
    fn presence(&self, node: &str, namespace: &str, account: &str) -> Presence {
        let tables = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let Some(residence) = tables.namespaces.get(namespace) else { return Presence::Absent };
        let place = Place { node: node.to_owned(), account: account.to_owned() };
        let standings = residence.standings.get(&place).into_iter().flatten();
        let presences = standings.map(|(_, standing)| standing.presence(residence.includes));
        presences.max().unwrap_or(Presence::Absent)
    }
}

impl Tables {
    fn put(&mut self, pod: PodFacts) {
        let PodFacts { namespace, name, node, account, standing } = pod;
        let residence = self.namespaces.entry(namespace).or_default();
        residence.remove(&name);
        if !node.is_empty() {
            let place = Place { node, account };
            residence.standings.entry(place.clone()).or_default().insert(name.clone(), standing);
            residence.places.insert(name, place);
        }
    }

    fn remove(&mut self, pod: &PodFacts) {
        if let Some(residence) = self.namespaces.get_mut(&pod.namespace) {
            residence.remove(&pod.name);
        }
        self.forget_empty(&pod.namespace);
    }

    fn set(&mut self, namespace: NamespaceFacts) {
        let NamespaceFacts { name, includes } = namespace;
        self.namespaces.entry(name.clone()).or_default().includes = includes;
        self.forget_empty(&name);
    }

    fn forget_empty(&mut self, namespace: &str) {
        let empty = |residence: &Residence| !residence.includes && residence.places.is_empty();
        if self.namespaces.get(namespace).is_some_and(empty) {
            self.namespaces.remove(namespace);
        }
    }
}

impl Residence {
    /// Forgets all pods; tells whether anything is left.
    fn clear(&mut self) -> bool {
        self.places.clear();
        self.standings.clear();
        self.includes
    }

    fn remove(&mut self, name: &str) {
        let Some(place) = self.places.remove(name) else { return };
        if let Some(standings) = self.standings.get_mut(&place) {
            standings.remove(name);
            if standings.is_empty() {
                self.standings.remove(&place);
            }
        }
    }
}

#[cfg(test)]
mod tests;
