//! The HTTP server for those who look after the agent: metrics, whether it lives, and whether it is ready.
//!
//! In go watched values, out come answers; nothing can be changed here, and nothing is said of single pods.

use std::io;
use std::net::SocketAddr;

use axum::Router;
use axum::extract::State as Extract;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::{any, get};
use culvert_metrics::{Metrics, Settings, http, process};
use culvert_serving::{Limits, port};
use serde_json::{Value, json};
use tokio::net::TcpListener;

mod texts;

use crate::api;
use crate::cluster::Views;
use crate::install::Installation;
use crate::kubernetes::source::Freshness;
use crate::table::Subscriber;

/// Scrapers and probes at once. Anybody can connect, so nobody can keep a place by doing nothing.
const LIMITS: Limits = Limits::Replace { most: 64, per_source: 8 };

/// Where the server listens.
#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
pub(crate) struct Args {
    /// The port of /metrics, /healthz and /readyz
    #[arg(long, value_name = "PORT", env = "MONITORING_PORT", default_value_t = 15014)]
    monitoring_port: u16,
}

/// A server that cannot start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(
        "cannot listen on {address} for metrics and readiness; is another agent running here? choose another --monitoring-port"
    )]
    Listen { address: SocketAddr, source: io::Error },
    #[error(transparent)]
    Metrics(#[from] culvert_metrics::Error),
}

/// What being ready depends on.
#[derive(Debug, Clone)]
pub(crate) struct Progress {
    /// `None` for an agent that does not watch a cluster.
    pub(crate) views: Option<Views>,
    /// Since when nothing was heard of the cluster. An old view is no reason not to be ready: the pods stay as they are.
    pub(crate) freshness: Option<Freshness>,
    pub(crate) table: Subscriber,
    /// `None` if nothing shall be installed.
    pub(crate) installation: Option<tokio::sync::watch::Receiver<Installation>>,
}

/// Starts to record metrics. Once in a process.
pub(crate) fn record() -> Result<Metrics, Error> {
    let metrics = culvert_metrics::install(Settings { buckets: vec![api::DURATION], ..Settings::default() })?;
    process::collect(&metrics);
    api::describe_metrics();
    texts::describe();
    Ok(metrics)
}

/// Opens the server: on both families, or on IPv4 alone where there is no IPv6.
pub(crate) fn bind(args: &Args) -> Result<TcpListener, Error> {
    let failed = |port::Error { address, source }| Error::Listen { address, source };
    port::listen_everywhere(args.monitoring_port).map_err(failed)
}

/// Serves until it is dropped.
pub(crate) async fn serve(listener: TcpListener, metrics: Metrics, progress: Progress) {
    culvert_serving::serve(listener, router(metrics, progress), LIMITS).await;
}

fn router(metrics: Metrics, progress: Progress) -> Router {
    let exposition = Router::new().route("/metrics", any(http::exposition)).with_state(metrics);
    Router::new()
        .route("/readyz", get(ready))
        .with_state(progress)
        // Whoever reads this has been served by the one thread that does everything: it turns.
        .route("/healthz", get(async || "ok\n"))
        .merge(exposition)
}

async fn ready(Extract(progress): Extract<Progress>) -> impl IntoResponse {
    let missing = progress.missing();
    let status = if missing.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let age = progress.freshness.and_then(|freshness| freshness.age()).map(|age| age.as_secs());
    let body = json!({ "ready": missing.is_empty(), "missing": missing, "clusterAgeSeconds": age });
    (status, [(header::CONTENT_TYPE, "application/json")], format!("{body}\n"))
}

impl Progress {
    /// What has not been done yet, and why.
    fn missing(&self) -> Vec<Value> {
        let mut missing = Vec::new();
        let mut lacks = |what: &str, why: &str| missing.push(json!({ "what": what, "why": why }));
        if self.views.as_ref().is_some_and(|views| views.borrow().is_none()) {
            lacks(
                "cluster",
                "the pods and namespaces have not been listed yet; see the log for the API server",
            );
        }
        if self.table.borrow().is_none() {
            lacks("pods", "the first pass over the pods is not over yet");
        }
        if let Some(installation) = &self.installation
            && let Some(why) = installation.borrow().why_not()
        {
            lacks("installation", why);
        }
        missing
    }
}

#[cfg(test)]
mod tests;
