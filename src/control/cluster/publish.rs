//! What is to be trusted, for every namespace: a ConfigMap in each, from which nodes and applications read the roots of the mesh.
//!
//! In go the root and what the API server has; out come ConfigMaps that say the same everywhere, also when somebody has changed one or
//! taken it away. One replica writes: the one that leads.

use std::collections::{BTreeMap, BTreeSet};

use culvert_kubernetes::{Client, Delta, Error, Follow, Freshness, Pace, Pauses, Resource};
use culvert_process::exit::Chain;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use serde_json::json;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::ASKER;
use super::api::Api;
use crate::live::Live;
use crate::root::Root;

/// The name of the ConfigMaps, and the key of the roots in them, which mounts refer to.
pub(super) const MAP: &str = "istio-ca-root-cert";
pub(super) const KEY: &str = "root-cert.pem";

/// Says that the ConfigMap belongs to the mesh.
const LABEL: (&str, &str) = ("istio.io/config", "true");

/// Namespaces of the cluster itself, in which nothing of the mesh runs.
const LEFT_OUT: [&str; 2] = ["kube-public", "kube-node-lease"];

/// What has been heard.
#[derive(Debug)]
enum Change {
    Namespaces(Delta<Place>),
    Maps(Delta<Held>),
}

/// A namespace, and whether something can be made in it.
#[derive(Debug)]
struct Place {
    name: String,
    is_open: bool,
}

/// What a ConfigMap says.
#[derive(Debug)]
struct Held {
    namespace: String,
    roots: Option<String>,
    is_labelled: bool,
}

/// Keeps the ConfigMaps as they are to be.
pub(super) struct Publisher {
    client: Client,
    root: Live<Root>,
    leads: watch::Receiver<bool>,
    changes: mpsc::Receiver<Change>,
    /// Namespaces in which there shall be one.
    open: BTreeSet<String>,
    held: BTreeMap<String, Held>,
    /// Namespaces to look at.
    pending: BTreeSet<String>,
    /// Those in which it could not be written, and when that is tried again.
    failed: BTreeSet<String>,
    again: Option<Instant>,
    pauses: Pauses,
    watches: JoinSet<()>,
}

impl Publisher {
    /// Begins to watch namespaces and ConfigMaps; writes when `leads`.
    pub(super) fn start(
        client: &Client,
        (root, leads): (Live<Root>, watch::Receiver<bool>),
        pace: Pace,
        freshness: &Freshness,
    ) -> Self {
        let (sender, changes) = mpsc::channel(64);
        let mut watches = JoinSet::new();
        let follow = |resource| {
            let (client, pulse) = (client.clone(), freshness.pulse());
            Follow { client, resource, pace, pulse, asker: ASKER }
        };
        let namespaces = follow(Resource::new("namespaces", "/api/v1/namespaces"));
        watches.spawn(namespaces.run(place, Change::Namespaces, sender.clone()));
        let named = format!("metadata.name={MAP}");
        let maps = follow(Resource::new("configmaps", "/api/v1/configmaps").selected(named));
        watches.spawn(maps.run(held, Change::Maps, sender));
        Self {
            client: client.clone(),
            root,
            leads,
            changes,
            open: BTreeSet::new(),
            held: BTreeMap::new(),
            pending: BTreeSet::new(),
            failed: BTreeSet::new(),
            again: None,
            pauses: Pauses::new(&pace),
            watches,
        }
    }

    /// Runs for ever; ends when one of the watches has.
    pub(super) async fn run(mut self) {
        loop {
            let works = *self.leads.borrow_and_update() && !self.pending.is_empty();
            tokio::select! {
                biased;
                Some(change) = self.changes.recv() => self.note(change),
                _ = self.watches.join_next() => return,
                Ok(()) = self.root.changed() => self.pending.clone_from(&self.open),
                () = wait(self.again) => {
                    self.again = None;
                    self.pending.append(&mut self.failed);
                }
                Ok(()) = self.leads.changed(), if !works => {}
                () = std::future::ready(()), if works => self.look().await,
            }
        }
    }

    fn note(&mut self, change: Change) {
        match change {
            Change::Namespaces(Delta::All(places)) => {
                self.open.clear();
                places.into_iter().for_each(|place| self.namespace(place));
            }
            Change::Namespaces(Delta::One(place)) => self.namespace(place),
            Change::Namespaces(Delta::Gone(place)) => {
                self.open.remove(&place.name);
            }
            Change::Maps(Delta::All(all)) => {
                self.held = all.into_iter().map(|held| (held.namespace.clone(), held)).collect();
                self.pending.clone_from(&self.open);
            }
            Change::Maps(Delta::One(held)) => {
                self.pending.insert(held.namespace.clone());
                self.held.insert(held.namespace.clone(), held);
            }
            Change::Maps(Delta::Gone(held)) => {
                self.held.remove(&held.namespace);
                self.pending.insert(held.namespace);
            }
        }
    }

    fn namespace(&mut self, Place { name, is_open }: Place) {
        if is_open && !LEFT_OUT.contains(&name.as_str()) {
            self.pending.insert(name.clone());
            self.open.insert(name);
        } else {
            self.open.remove(&name);
        }
    }

    /// Looks at one namespace.
    async fn look(&mut self) {
        let Some(namespace) = self.pending.pop_first() else { return };
        let roots = self.root.borrow().bundle().to_owned();
        let held = self.held.get(&namespace);
        let is_right = held.is_some_and(|held| held.is_labelled && held.roots.as_ref() == Some(&roots));
        if is_right || !self.open.contains(&namespace) {
            return;
        }
        match self.write(&namespace, &roots, held.is_some()).await {
            Ok(()) => self.pauses.reset(),
            // It goes, or has gone.
            Err(error) if error.code() == Some(404) => {}
            Err(error) => {
                tracing::warn!(namespace, error = %Chain(&error), "the roots of the mesh are not written there; it is tried again");
                self.failed.insert(namespace);
                let pause = self.pauses.next();
                self.again.get_or_insert_with(|| Instant::now() + pause);
            }
        }
    }

    /// Somebody else may be faster: that is heard of, and looked at again.
    async fn write(&self, namespace: &str, roots: &str, is_there: bool) -> Result<(), Error> {
        let maps = Api::at(&self.client, format!("/api/v1/namespaces/{namespace}/configmaps"));
        let mut map = json!({
            "metadata": { "labels": { LABEL.0: LABEL.1 } },
            "data": { KEY: roots },
        });
        if is_there {
            return maps.merge(MAP, &map).await.map(drop);
        }
        map["apiVersion"] = "v1".into();
        map["kind"] = "ConfigMap".into();
        map["metadata"]["name"] = MAP.into();
        maps.create(&map).await.map(drop)
    }
}

fn place(namespace: Namespace) -> Option<Place> {
    let is_open = namespace.metadata.deletion_timestamp.is_none();
    Some(Place { name: namespace.metadata.name?, is_open })
}

fn held(map: ConfigMap) -> Option<Held> {
    let labels = map.metadata.labels.unwrap_or_default();
    Some(Held {
        namespace: map.metadata.namespace?,
        roots: map.data.and_then(|mut data| data.remove(KEY)),
        is_labelled: labels.get(LABEL.0).is_some_and(|value| value == LABEL.1),
    })
}

async fn wait(until: Option<Instant>) {
    match until {
        Some(until) => sleep_until(until).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
