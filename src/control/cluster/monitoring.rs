//! What those who look after a replica are told: its metrics, and what it still waits for.

use std::collections::BTreeSet;
use std::time::Duration;

use axum::Router;
use axum::routing::any;
use culvert_derive::Kind;
use culvert_kubernetes::Freshness;
use culvert_metrics::{Metrics, Settings, http, process};
use culvert_serving::liveness::Liveness;
use culvert_serving::monitoring::{self, LIMITS, Lack};
use culvert_serving::port;
use tokio::sync::watch;

use super::ASKER;
use super::mesh::Missing;
use crate::metered;

/// What this replica waits for.
#[derive(Debug, Clone)]
pub(super) struct Progress {
    /// Kinds of objects that have not been listed.
    pub(super) missing: Missing,
    /// Whether there is a root that signs.
    pub(super) has_root: watch::Receiver<bool>,
    /// Whether it is about to end.
    pub(super) leaves: watch::Receiver<bool>,
    pub(super) freshness: Freshness,
}

/// Starts to record metrics. Once in a process.
pub(super) fn record() -> Result<Metrics, culvert_metrics::Error> {
    let metrics =
        culvert_metrics::install(Settings { buckets: metered::BUCKETS.to_vec(), ..Settings::default() })?;
    process::collect(&metrics);
    ASKER.describe();
    metered::describe();
    Ok(metrics)
}

/// Opens the port; the result serves for as long as it is run.
pub(super) fn serve(
    port: u16,
    metrics: Metrics,
    (progress, liveness): (Progress, Liveness),
) -> Result<impl Future<Output = ()> + Send, port::Error> {
    let listener = port::listen_everywhere(port)?;
    let exposition = Router::new().route("/metrics", any(http::exposition)).with_state(metrics);
    let router = monitoring::router(progress).merge(exposition).merge(liveness.clone().router());
    let serve = culvert_serving::serve(listener, router, LIMITS);
    Ok(async { _ = tokio::join!(serve, liveness.count()) })
}

impl monitoring::Progress for Progress {
    fn missing(&self) -> Vec<Lack> {
        let mut lacks = Vec::new();
        let unlisted = listed(&self.missing.borrow());
        if !unlisted.is_empty() {
            let why = format!("not listed yet: {unlisted}; see the log for the API server");
            lacks.push(Lack { what: "cluster", why });
        }
        if !*self.has_root.borrow() {
            let why = "there is no root to sign with yet; see the log for the Secrets of this namespace";
            lacks.push(Lack { what: "root", why: why.to_owned() });
        }
        if *self.leaves.borrow() {
            let why = "this replica was asked to stop; another one serves";
            lacks.push(Lack { what: "replica", why: why.to_owned() });
        }
        lacks
    }

    fn age(&self) -> Option<Duration> {
        self.freshness.age()
    }
}

fn listed(kinds: &BTreeSet<Kind>) -> String {
    kinds.iter().map(|kind| kind.names().2).collect::<Vec<_>>().join(", ")
}
