//! Watches the pods of this node and all namespaces, and publishes what is known of them as whole views.
//!
//! In go lists and watches; out comes a [`View`] after each change, and never before both lists were complete. While the API server
//! is away the last view stays; [`Freshness`] says how long nothing was heard.

use std::sync::Arc;

use kube::Client;
use tokio::sync::{mpsc, watch};
use tokio::time::{Duration, interval};
use tracing::info;

use self::follow::{Delta, Follow};
pub(crate) use self::freshness::Freshness;
use self::freshness::Resource;
use self::index::Index;
use super::decide::Enablement;
use super::facts::{NamespaceFacts, PodFacts};
use super::pause::Pace;
use super::settings::Settings;
use crate::cluster::View;

mod follow;
mod freshness;
mod index;

#[cfg(test)]
mod tests;

/// Changes that wait for the index. Followers wait when there are more.
const QUEUE: usize = 64;

/// How often the age of the view is measured.
const MEASURE: Duration = Duration::from_secs(5);

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
        let follow = |resource, selector: String| Follow {
            client: self.client.clone(),
            resource,
            selector,
            relevant: self.enablement.relevant(),
            pace: self.pace,
            freshness: self.freshness.clone(),
            changes: changes.clone(),
        };
        let pods = follow(Resource::Pods, format!("spec.nodeName={}", self.node));
        let namespaces = follow(Resource::Namespaces, String::new());
        tokio::select! {
            () = pods.run::<PodFacts>() => {}
            () = namespaces.run::<NamespaceFacts>() => {}
            () = publish(Index::new(self.enablement), queue, &views) => {}
            () = measure(&self.freshness) => {}
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

async fn measure(freshness: &Freshness) {
    let mut ticks = interval(MEASURE);
    loop {
        ticks.tick().await;
        freshness.measure();
    }
}
