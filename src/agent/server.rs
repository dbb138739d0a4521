//! The HTTP server for those who look after the agent: metrics, whether it lives, and whether it is ready.
//!
//! In go watched values, out come answers; nothing can be changed here, and nothing is said of single pods.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::routing::any;
use culvert_kubernetes::Freshness;
use culvert_metrics::{Metrics, Settings, http, process};
use culvert_serving::liveness::Liveness;
use culvert_serving::monitoring::{self, LIMITS, Lack};
use culvert_serving::port;
use tokio::net::TcpListener;

mod texts;

use crate::api;
use crate::cluster::Views;
use crate::install::Installation;
use crate::table::Subscriber;

/// Where the server listens.
#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
pub(crate) struct Args {
    /// The port of /metrics, /healthz, /healthz/live and /readyz
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
pub(crate) async fn serve(
    listener: TcpListener,
    metrics: Metrics,
    (progress, liveness): (Progress, Liveness),
) {
    let exposition = Router::new().route("/metrics", any(http::exposition)).with_state(metrics);
    let router = monitoring::router(progress).merge(exposition).merge(liveness.clone().router());
    tokio::join!(culvert_serving::serve(listener, router, LIMITS), liveness.count());
}

impl monitoring::Progress for Progress {
    fn age(&self) -> Option<Duration> {
        self.freshness.as_ref()?.age()
    }

    fn missing(&self) -> Vec<Lack> {
        let mut missing = Vec::new();
        let mut lacks = |what, why: &str| missing.push(Lack { what, why: why.to_owned() });
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
