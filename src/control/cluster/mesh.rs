//! The mesh of a cluster: what the API server says of its objects becomes resources of the catalog.
//!
//! In go lists and watches of every kind a mesh is derived from; out come changes of a [`Published`] catalog, what is to be said of
//! objects, and who is on which node ([`Index`]). Nothing is published before every kind has been listed: a mesh without its policies would let everybody in.

use std::collections::BTreeSet;
use std::sync::Arc;

use culvert_derive::entry::{Allotment, Wanted};
use culvert_derive::{self as derive, Cluster, Key, Kind, Object, Outcome};
use culvert_discovery::catalog::{Catalog, Change, Collection, Entry};
use culvert_kubernetes::{Client, Delta, Follow, Freshness, Pace, Resource, Unreadable};
use serde_json::value::RawValue;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::ASKER;
use super::pods::{Index, Read};
use super::status::Statuses;
use crate::published::Published;

/// Changes that wait to be taken. Watches wait when there are more.
const QUEUE: usize = 256;

/// Objects asked for at a time.
const PAGE: u32 = 500;

/// What has happened to the objects of a kind.
type News = (Kind, Delta<Read>);

/// What is to be written into the status of `ServiceEntries` without addresses.
pub(super) type Allotments = watch::Receiver<Arc<[Allotment]>>;

/// Kinds that have not been listed yet.
pub(super) type Missing = watch::Receiver<BTreeSet<Kind>>;

/// Keeps a catalog up with a cluster.
pub(super) struct Mesh {
    cluster: Cluster,
    published: Arc<Published>,
    statuses: Statuses,
    /// Who is on which node.
    residents: Arc<Index>,
    missing: watch::Sender<BTreeSet<Kind>>,
    allotments: watch::Sender<Arc<[Allotment]>>,
    news: mpsc::Receiver<News>,
    watches: JoinSet<()>,
}

impl Mesh {
    /// Begins to watch.
    pub(super) fn start(
        client: &Client,
        settings: derive::Settings,
        (statuses, residents): (Statuses, Arc<Index>),
        (pace, freshness): (Pace, &Freshness),
    ) -> Self {
        let (sender, news) = mpsc::channel(QUEUE);
        let mut watches = JoinSet::new();
        for kind in Kind::ALL {
            let (_, _, name) = kind.names();
            let resource = Resource::new(name, kind.path()).in_pages_of(PAGE);
            let resource = if kind.is_built_in() { resource } else { resource.optional() };
            let (client, pulse) = (client.clone(), freshness.pulse());
            let follow = Follow { client, resource, pace, pulse, asker: ASKER };
            watches.spawn(watch(kind, follow, sender.clone()));
        }
        Self {
            cluster: Cluster::new(settings),
            published: Arc::new(Published::new(Catalog::default())),
            statuses,
            residents,
            missing: watch::Sender::new(Kind::ALL.into()),
            allotments: watch::Sender::new(Arc::default()),
            news,
            watches,
        }
    }

    /// What is served.
    pub(super) fn published(&self) -> Arc<Published> {
        Arc::clone(&self.published)
    }

    /// What has to be listed before anything is served.
    pub(super) fn missing(&self) -> Missing {
        self.missing.subscribe()
    }

    /// Who is to be given which addresses.
    pub(super) fn allotments(&self) -> Allotments {
        self.allotments.subscribe()
    }

    /// Runs for ever; ends when one of the watches has, because what it followed would stay as it is.
    pub(super) async fn run(mut self) {
        let mut batch = Vec::with_capacity(QUEUE);
        loop {
            tokio::select! {
                taken = self.news.recv_many(&mut batch, QUEUE) => {
                    if taken == 0 {
                        return;
                    }
                    // A whole cluster takes a second.
                    tokio::task::block_in_place(|| self.take(batch.drain(..)));
                }
                _ = self.watches.join_next() => return,
            }
        }
    }

    fn take(&mut self, batch: impl Iterator<Item = News>) {
        let (mut listed, mut are_entries_new) = (BTreeSet::new(), false);
        for (kind, delta) in batch {
            self.residents.note(kind, &delta);
            are_entries_new |= kind == Kind::ServiceEntry;
            if matches!(delta, Delta::All(_)) {
                listed.insert(kind);
            }
            self.note(kind, delta);
        }
        let left = &*self.missing.borrow() - &listed;
        if left.is_empty() {
            let outcome = self.cluster.settle();
            self.publish(outcome);
            if are_entries_new || !self.missing.borrow().is_empty() {
                self.allot();
            }
        }
        self.missing.send_if_modified(|missing| {
            let is_new = *missing != left;
            *missing = left;
            is_new
        });
    }

    fn note(&mut self, kind: Kind, delta: Delta<Read>) {
        match delta {
            Delta::All(objects) => {
                self.statuses.retain(kind, || keys(kind, &objects));
                let (objects, unreadable): (Vec<_>, Vec<_>) = objects.into_iter().partition(Result::is_ok);
                self.cluster.replace(kind, objects.into_iter().flatten().collect());
                unreadable.into_iter().filter_map(Result::err).for_each(|it| self.unreadable(kind, &it));
            }
            Delta::One(Ok(object)) => self.cluster.put(object),
            Delta::One(Err(unreadable)) => self.unreadable(kind, &unreadable),
            Delta::Gone(gone) => {
                let key = key(kind, &gone);
                self.cluster.remove(&key);
                self.statuses.forget(&key);
            }
        }
    }

    fn unreadable(&mut self, kind: Kind, unreadable: &Unreadable) {
        let key = named(kind, unreadable);
        tracing::warn!(object = %key, why = unreadable.why, "an object cannot be read");
        self.cluster.unreadable(&key, &unreadable.why);
    }

    /// Says who is to be given which addresses, and for whom there are none.
    fn allot(&self) {
        let Wanted { allotments, lacking } = self.cluster.allotments();
        self.statuses.say_besides(lacking);
        self.allotments.send_if_modified(|known| {
            let is_new = **known != *allotments;
            if is_new {
                *known = allotments.into();
            }
            is_new
        });
    }

    fn publish(&self, Outcome { changes, conditions }: Outcome) {
        if !changes.is_empty() {
            self.published.apply(changes.into_iter().map(change));
        }
        if !conditions.is_empty() {
            self.statuses.say(conditions);
        }
    }
}

fn read(kind: Kind, json: &RawValue) -> Read {
    Object::parse(kind, json.get().as_bytes()).map_err(|error| Unreadable::of(json.get(), &error))
}

/// Follows the objects of a kind.
async fn watch(kind: Kind, follow: Follow, sender: mpsc::Sender<News>) {
    let keep = move |json: Box<RawValue>| Some(read(kind, &json));
    follow.run(keep, move |delta| (kind, delta), sender).await;
}

fn keys(kind: Kind, objects: &[Read]) -> BTreeSet<Key> {
    objects.iter().map(|object| key(kind, object)).collect()
}

fn key(kind: Kind, object: &Read) -> Key {
    object.as_ref().map_or_else(|unreadable| named(kind, unreadable), |object| object.key().clone())
}

fn named(kind: Kind, Unreadable { namespace, name, .. }: &Unreadable) -> Key {
    Key { kind, namespace: namespace.as_str().into(), name: name.as_str().into() }
}

/// As the catalog has it: workloads and services are one collection.
fn change(change: derive::Change) -> Change {
    match change {
        derive::Change::Workload(workload) => Change::Put(Entry::workload(&workload).into()),
        derive::Change::Service(service) => Change::Put(Entry::service(&service).into()),
        derive::Change::Policy(policy) => Change::Put(Entry::policy(&policy).into()),
        derive::Change::Gone(derive::Collection::Policies, name) => {
            Change::Remove(Collection::Policies, name)
        }
        derive::Change::Gone(derive::Collection::Services | derive::Collection::Workloads, name) => {
            Change::Remove(Collection::Addresses, name)
        }
    }
}

#[cfg(test)]
mod tests;
