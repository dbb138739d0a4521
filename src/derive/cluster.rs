//! The mesh of a cluster, kept up with its objects.
//!
//! ```text
//! object ──▶ WORLD ────────▶ dirty objects ──▶ DERIVE ──▶ what each object makes ──▶ differences
//!            objects,        those that read    one object    compared with what
//!            indexes         what has changed   at a time     it made before
//! ```
//!
//! Every object makes something of its own: a pod its workload, a Service its service, a slice the workloads of its endpoints that
//! are no pods. When an object changes, indexes tell whose making reads it, and only they are derived again, each once for all
//! changes since the last time. Deliberately absent: when that is, and whether all objects have been listed yet.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use culvert_core::intern::{Interner, Pool};
use culvert_core::policy::Policy;
use culvert_core::service::Service;
use culvert_core::workload::Workload;

mod affected;
mod backing;
mod census;
mod derive;
mod hosts;
mod index;
mod indexed;
mod made;
mod readers;
mod selectable;
mod selecting;
mod world;

use backing::Backing;
use derive::Deriver;
use made::{Made, News, Output};
use world::World;

use crate::entry::Wanted;
use crate::facts::Facts;
use crate::pod::Shape;
use crate::{Condition, Key, Kind, Object, Settings};

/// Names an object wherever it is referred to, for the price of a pointer.
pub(crate) type Id = Arc<Key>;

/// The mesh of a cluster.
#[derive(Debug)]
pub struct Cluster {
    world: World,
    names: Interner,
    shapes: Pool<Shape>,
    made: BTreeMap<Id, Made>,
    backing: Backing,
    derivations: u64,
}

/// What differs from before.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Outcome {
    /// For the nodes: policies, services and workloads, and then what is gone.
    pub changes: Vec<Change>,
    /// What is to be written into the status of objects, with the generation it is about. It is all there is to be said about an
    /// object; nothing is said about one that is gone.
    pub conditions: Vec<(Key, i64, Vec<Condition>)>,
}

/// One difference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// This is there, in the place of what had its uid.
    Workload(Workload),
    /// This is there, in the place of what had its key.
    Service(Box<Service>),
    /// This is there, in the place of what had its key.
    Policy(Box<Policy>),
    /// What had this name is gone.
    Gone(Collection, Arc<str>),
}

/// What names are unique in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Collection {
    /// Policies, by key.
    Policies,
    /// Services, by key.
    Services,
    /// Workloads, by uid.
    Workloads,
}

impl Cluster {
    /// Starts with no objects.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self {
            world: World::new(settings),
            names: Interner::default(),
            shapes: Pool::default(),
            made: BTreeMap::new(),
            backing: Backing::default(),
            derivations: 0,
        }
    }

    /// Takes these for all objects of a kind there are.
    pub fn replace(&mut self, kind: Kind, objects: Vec<Object>) {
        let listed: HashSet<Key> = objects.iter().map(|object| object.key.clone()).collect();
        let gone: Vec<Id> = self.world.of_kind(kind).filter(|id| !listed.contains(&***id)).cloned().collect();
        gone.iter().for_each(|id| self.remove(id));
        objects.into_iter().for_each(|object| self.put(object));
    }

    /// Takes an object, in the place of the one with its key.
    pub fn put(&mut self, object: Object) {
        let Object { key, facts } = object;
        let mut facts = facts.shared(&mut self.names, &mut self.shapes);
        if let Facts::EndpointSlice(slice) = &mut facts {
            slice.name_pods_as(|pod| self.world.known(pod).cloned());
        }
        let id = self.world.known(&key).cloned().unwrap_or_else(|| self.id(&key));
        self.world.set(&id, Some(facts));
    }

    /// Lets an object go; one that is not known is fine.
    pub fn remove(&mut self, key: &Key) {
        if let Some(id) = self.world.known(key).cloned() {
            self.world.set(&id, None);
        }
    }

    /// Takes note that an object is there and cannot be read.
    ///
    /// A policy denies what it could govern; whatever else it is counts as not being there.
    pub fn unreadable(&mut self, key: &Key, why: &str) {
        match Object::unreadable(key, why) {
            Some(object) => self.put(object),
            None => self.remove(key),
        }
    }

    /// Gives all that differs from the last time.
    pub fn settle(&mut self) -> Outcome {
        let mut news = News::default();
        let mut leaving = BTreeMap::new();
        for id in std::mem::take(&mut self.world.dirty) {
            let mut output = self.derive(&id);
            self.world.readers.set(&id, std::mem::take(&mut output.used));
            self.backing.update(&id, made::workloads(self.made.get(&id)), &output.workloads);
            if output.is_leaving() {
                leaving.insert(id, output);
            } else {
                self.commit(id, output, &mut news);
            }
        }
        // All who take part are known: whether those who leave are still needed is known as well.
        for id in self.backing.take_reconsidered() {
            let made = || self.made.get(&id).map(Made::output).filter(Output::is_leaving);
            if let Some(mut output) = leaving.remove(&id).or_else(made) {
                output.workloads.iter_mut().for_each(|endpoint| self.backing.judge(endpoint));
                self.commit(id, output, &mut news);
            }
        }
        news.into_outcome()
    }

    /// Gives the addresses that hosts of `ServiceEntries` want and have not been given, to be written into the status of these by
    /// who allocates addresses in this cluster; nothing comes of them before they are there. Other objects have no part in it.
    #[must_use]
    pub fn allotments(&self) -> Wanted {
        self.world.allocation.wanted()
    }

    /// Counts how often the making of an object has been derived: what the changes have cost.
    #[must_use]
    pub fn derivations(&self) -> u64 {
        self.derivations
    }

    fn derive(&mut self, id: &Id) -> Output {
        self.derivations += 1;
        Deriver { world: &self.world, names: &mut self.names }.derive(id)
    }

    fn commit(&mut self, id: Id, output: Output, news: &mut News) {
        news.compare(&id, self.made.get(&id), &output, self.world.get(&id).is_some());
        match Made::from_output(output) {
            Some(made) => self.made.insert(id, made),
            None => self.made.remove(&id),
        };
    }

    fn id(&mut self, key: &Key) -> Id {
        Key { kind: key.kind, namespace: self.names.text(&key.namespace), name: key.name.clone() }.into()
    }
}

impl Facts {
    /// Gives the same facts, made of values that are kept once.
    fn shared(self, names: &mut Interner, shapes: &mut Pool<Shape>) -> Self {
        match self {
            Self::Node(node) => Self::Node(Box::new(node.shared(names))),
            Self::Pod(pod) => {
                let shape = shapes.one(pod.shape.shared(names));
                let mut pod = pod.shared(names);
                pod.shape = shape;
                Self::Pod(pod)
            }
            Self::Namespace(_)
            | Self::Service(_)
            | Self::EndpointSlice(_)
            | Self::ServiceEntry(_)
            | Self::WorkloadEntry(_)
            | Self::Gateway(_)
            | Self::GatewayClass(_)
            | Self::AuthorizationPolicy(_)
            | Self::PeerAuthentication(_) => self,
        }
    }
}

#[cfg(test)]
mod tests;
