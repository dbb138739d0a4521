//! What is trusted in the mesh already: the ConfigMap in our own namespace, for as long as a replica waits for a root that fits to it.
//!
//! In goes what the API server has; out comes what a root has to fit to. Another control plane may have written there, and whoever leads
//! puts that right: so it is looked at again. Gone it is when it was not there at two looks: one that somebody replaces is gone for a
//! moment, too. Who is right is not decided here.

use std::time::Duration;

use culvert_kubernetes::{Client, Error, Pace, Pauses};
use culvert_process::exit::Chain;
use k8s_openapi::api::core::v1::ConfigMap;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, sleep};

use super::super::api::Api;
use super::super::publish::{KEY, MAP};
use super::super::secret::Before;

/// How often it is looked at again.
const LOOK: Duration = Duration::from_secs(5);

/// What is trusted, as far as is known.
pub(super) struct Trusted {
    maps: Api,
    roots: Option<String>,
    looks: Interval,
    /// It was not there at the last look.
    was_gone: bool,
}

impl Trusted {
    /// Waits until it is known.
    pub(super) async fn known(client: &Client, namespace: &str, pace: Pace) -> Self {
        let maps = maps(client, namespace);
        let mut pauses = Pauses::new(&pace);
        let roots = loop {
            match read(&maps).await {
                Ok(roots) => break roots,
                Err(error) => {
                    tracing::warn!(error = %Chain(&error), "what is trusted cannot be read; it is tried again");
                    sleep(pauses.next()).await;
                }
            }
        };
        Self::of(maps, roots, pace)
    }

    pub(super) fn of(maps: Api, roots: Option<String>, pace: Pace) -> Self {
        let every = LOOK.min(pace.longest);
        let mut looks = interval_at(Instant::now() + every, every);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { maps, roots, looks, was_gone: false }
    }

    /// What a root has to fit to.
    pub(super) fn before(&self) -> Before<'_> {
        self.roots.as_deref().map_or(Before::Nothing, Before::Published)
    }

    /// Waits until it is otherwise.
    pub(super) async fn changed(&mut self) {
        loop {
            self.looks.tick().await;
            match read(&self.maps).await {
                Ok(roots) => {
                    if self.note(roots) {
                        return;
                    }
                }
                Err(error) => {
                    tracing::warn!(error = %Chain(&error), "what is trusted cannot be read again; it is tried again");
                }
            }
        }
    }

    /// Takes note of what was seen; gives whether it is otherwise than before.
    pub(super) fn note(&mut self, roots: Option<String>) -> bool {
        let is_gone = roots.is_none();
        let was_gone = std::mem::replace(&mut self.was_gone, is_gone);
        let is_other = roots != self.roots && (!is_gone || was_gone);
        if is_other {
            self.roots = roots;
        }
        is_other
    }
}

/// The ConfigMaps of a namespace.
pub(super) fn maps(client: &Client, namespace: &str) -> Api {
    Api::at(client, format!("/api/v1/namespaces/{namespace}/configmaps"))
}

async fn read(maps: &Api) -> Result<Option<String>, Error> {
    let map = maps.get::<ConfigMap>(MAP).await?;
    Ok(map.and_then(|map| map.data?.remove(KEY)))
}
