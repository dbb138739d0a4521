//! Follows the authority of a cluster, wherever it is kept.
//!
//! What is trusted already is known from the ConfigMap in our own namespace, which outlives every replica: a root that does not fit to it
//! is not taken, at the start either, and none is made where one has been.

mod trusted;

use std::sync::Arc;
use std::time::SystemTime;

use culvert_kubernetes::{Client, Delta, Follow, Freshness, Pace, Pauses, Resource};
use culvert_process::exit::Chain;
use k8s_openapi::api::core::v1::Secret;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::ASKER;
use super::api::Api;
use super::secret::{self, Before, Data, Error, OWN, PLUGGED};
use crate::live::Live;
use crate::root::Root;

use trusted::Trusted;

/// What is known of one of the Secrets.
#[derive(Debug, Default)]
enum Known {
    #[default]
    Nothing,
    Absent,
    There(Data),
}

/// Where the authority is looked for.
#[derive(Debug, Clone, Copy)]
enum Place {
    Plugged,
    Own,
}

/// Follows both Secrets.
pub(super) struct Following {
    secrets: Api,
    plugged: Known,
    own: Known,
    changes: mpsc::Receiver<(Place, Known)>,
    pauses: Pauses,
    watches: JoinSet<()>,
}

impl Following {
    /// Begins to watch.
    pub(super) fn start(client: &Client, namespace: &str, pace: Pace, freshness: &Freshness) -> Self {
        let secrets = secret::secrets(client, namespace);
        let (sender, changes) = mpsc::channel(4);
        let mut watches = JoinSet::new();
        for (place, name) in [(Place::Plugged, PLUGGED), (Place::Own, OWN)] {
            let resource = Resource::new("secrets", secrets.path()).selected(format!("metadata.name={name}"));
            let (client, pulse) = (client.clone(), freshness.pulse());
            let follow = Follow { client, resource, pace, pulse, asker: ASKER };
            let keep = |secret: Secret| Some(secret.data.unwrap_or_default());
            watches.spawn(follow.run(keep, move |delta| (place, known(delta)), sender.clone()));
        }
        let pauses = Pauses::new(&pace);
        Self { secrets, plugged: Known::default(), own: Known::default(), changes, pauses, watches }
    }

    /// Waits for an authority that can be used; makes one if there never was one.
    async fn first(&mut self, mut trusted: Trusted) -> Arc<Root> {
        loop {
            let before = trusted.before();
            if let Some(root) = self.root().and_then(|found| secret::next(found, before)) {
                return root;
            }
            if matches!((&self.plugged, &self.own), (Known::Absent, Known::Absent)) {
                match before {
                    Before::Nothing => self.make().await,
                    Before::Published(_) | Before::Signing(_) => {
                        tracing::error!(error = %Chain(&Error::Lost), "there is no root")
                    }
                }
            }
            tokio::select! {
                _ = self.changed() => {}
                () = trusted.changed() => {}
            }
        }
    }

    /// Runs for ever; publishes whatever can be used. Ends when one of the watches has.
    pub(super) async fn run(mut self, publish: watch::Sender<Arc<Root>>) {
        while self.changed().await {
            let Some(found) = self.root() else { continue };
            let before = Arc::clone(&publish.borrow());
            let Some(root) = secret::next(found, Before::Signing(&before)) else { continue };
            if *root != *before {
                tracing::info!(stage = %root.stage(), "root taken");
                publish.send_replace(root);
            }
        }
    }

    /// What the Secrets say, if there is one and both are known.
    fn root(&self) -> Option<Result<Root, Error>> {
        let now = SystemTime::now();
        match (&self.plugged, &self.own) {
            (Known::There(data), _) => Some(secret::plugged_in(data, now)),
            (Known::Absent, Known::There(data)) => Some(secret::own(data, now)),
            (Known::Nothing | Known::Absent, _) => None,
        }
    }

    /// Makes a root, unless another replica is faster. That it is there is heard of.
    async fn make(&mut self) {
        while let Err(error) = secret::make(&self.secrets, SystemTime::now()).await {
            tracing::warn!(error = %Chain(&error), "a root cannot be made; it is tried again");
            sleep(self.pauses.next()).await;
        }
    }

    /// Waits until something is known that was not before; gives whether that can still be.
    async fn changed(&mut self) -> bool {
        tokio::select! {
            Some((place, known)) = self.changes.recv() => {
                match place {
                    Place::Plugged => self.plugged = known,
                    Place::Own => self.own = known,
                }
                true
            }
            _ = self.watches.join_next() => false,
        }
    }
}

/// Waits for the authority of a namespace; the second value follows it for as long as it is run.
pub(super) async fn follow(
    client: &Client,
    namespace: &str,
    pace: Pace,
    freshness: &Freshness,
) -> (Live<Root>, impl Future<Output = ()> + Send + use<>) {
    let trusted = Trusted::known(client, namespace, pace).await;
    let mut following = Following::start(client, namespace, pace, freshness);
    let (publish, live) = watch::channel(following.first(trusted).await);
    (live, following.run(publish))
}

fn known(delta: Delta<Data>) -> Known {
    match delta {
        Delta::All(all) => all.into_iter().next().map_or(Known::Absent, Known::There),
        Delta::One(data) => Known::There(data),
        Delta::Gone(_) => Known::Absent,
    }
}

#[cfg(test)]
mod tests;
