//! Watches the pods of this node and all namespaces, and publishes what is known of them as whole views.
//!
//! In go lists and watches; out comes a [`View`] after each change, and never before both lists were complete. While the API server
//! is away the last view stays; [`Freshness`] says how long nothing was heard.

use std::sync::Arc;

use culvert_kubernetes::{Client, Delta, Follow, Freshness, Pace, Resource};
use tokio::sync::{mpsc, watch};
use tracing::info;

use self::index::Index;
use super::decide::Enablement;
use super::facts::{NamespaceFacts, PodFacts};
use super::metered::AGENT;
use super::settings::Settings;
use super::wire;
use crate::cluster::View;

mod index;

#[cfg(test)]
mod tests;

/// Changes that wait for the index. Followers wait when there are more.
const QUEUE: usize = 64;

/// Where views go.
pub(crate) type Publisher = watch::Sender<Option<Arc<View>>>;

/// What one of the followers has learnt.
#[derive(Debug)]
enum Change {
    Pods(Delta<PodFacts>),
    Namespaces(Delta<NamespaceFacts>),
}

/// Watches the cluster.
pub(crate) struct Source {
    client: Client,
    node: String,
    enablement: Enablement,
    pace: Pace,
    freshness: Freshness,
}

impl Source {
    pub(crate) fn new(client: Client, settings: &Settings, pace: Pace) -> Self {
        let enablement = settings.enablement.clone();
        Self { client, node: settings.node.clone(), enablement, pace, freshness: Freshness::default() }
    }

    /// How old what is published may be.
    pub(crate) fn freshness(&self) -> Freshness {
        self.freshness.clone()
    }

    /// Runs for as long as anybody reads the views.
    pub(crate) async fn run(self, views: Publisher) {
        let (changes, queue) = mpsc::channel(QUEUE);
        let follow = |resource| Follow {
            client: self.client.clone(),
            resource,
            pace: self.pace,
            pulse: self.freshness.pulse(),
            asker: AGENT,
        };
        let pods = follow(wire::pods_of(&self.node));
        let namespaces = follow(Resource::new("namespaces", "/api/v1/namespaces"));
        let Enablement { membership, rules } = self.enablement;
        let membership = Arc::new(membership);
        let of_pod = {
            let membership = Arc::clone(&membership);
            move |pod| PodFacts::of(pod, &membership)
        };
        let of_namespace = move |namespace| NamespaceFacts::of(namespace, &membership);
        tokio::select! {
            () = pods.run(of_pod, Change::Pods, changes.clone()) => {}
            () = namespaces.run(of_namespace, Change::Namespaces, changes) => {}
            () = publish(Index::new(rules), queue, &views) => {}
            () = self.freshness.measured(AGENT) => {}
            () = views.closed() => {}
        }
    }
}

async fn publish(mut index: Index, mut queue: mpsc::Receiver<Change>, views: &Publisher) {
    let mut changes = Vec::with_capacity(QUEUE);
    while queue.recv_many(&mut changes, QUEUE).await > 0 {
        for change in changes.drain(..) {
            index.apply(change);
        }
        let Some(view) = index.view() else { continue };
        views.send_if_modified(|published| match published {
            Some(last) if **last == view => false,
            Some(_) | None => {
                if published.is_none() {
                    info!(pods = view.pods.len(), namespaces = view.namespaces.len(), "the cluster is known");
                }
                index::count(&view);
                *published = Some(Arc::new(view));
                true
            }
        });
    }
}
