//! What this node shows of itself in numbers: how it is recorded, what the families mean, and the router that shows them.
//!
//! In go settings, the runtime that carries the connections, and the certificates that are held. Each part counts what it does by
//! itself; here is what nobody counts because it can be looked up when somebody asks. Nothing is served here: whoever has the
//! listener runs the router.

mod certificates;
mod lines;
pub(crate) mod open;
mod runtime;
mod texts;

use std::sync::Arc;

use axum::Router;
use axum::routing::any;
use culvert_metrics::{Metrics, Settings, http, process};
use culvert_tls::fips;
use tokio::runtime::RuntimeMetrics;

use crate::identity::Identities;
use crate::ledger::Direction;
use crate::outcome::{self, Labels};
use crate::version::VERSION;
use crate::{dns, limits, mesh, set_aside};

/// What is recorded.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    pub(crate) settings: Settings,
    /// What is told of the ends of connections.
    pub(crate) labels: Labels,
    /// Of Istio, as the installation says.
    pub(crate) version: Arc<str>,
}

/// Starts to record, once in a process. What was counted before is lost, that of connections excepted.
///
/// # Errors
/// The second time.
pub(crate) fn start(config: Config, data_plane: RuntimeMetrics) -> Result<Metrics, culvert_metrics::Error> {
    let settings = Settings { buckets: vec![dns::DURATION, certificates::DURATION], ..config.settings };
    let metrics = culvert_metrics::install(settings)?;
    texts::describe();
    outcome::describe_metrics();
    dns::describe_metrics();
    set_aside::describe_metrics();
    mesh::describe_metrics();
    limits::describe_metrics();
    outcome::show(&metrics, config.labels);
    process::collect(&metrics);
    metrics.collect(move || runtime::look(&data_plane));
    metrics.collect(open::look);
    metrics.collect(lines::look);
    metrics::gauge!("istio_build", "component" => "ztunnel", "tag" => config.version).set(1.0);
    metrics::gauge!("culvert_build_info", "version" => VERSION, "crypto" => fips::MODULE).set(1.0);
    Ok(metrics)
}

/// Has the certificates that are held looked up, too.
pub(crate) fn watch_certificates(metrics: &Metrics, identities: Identities) {
    metrics.collect(move || certificates::look(&identities));
}

/// Counts an attempt to bring a tunnel up; `ok`, or why it failed.
pub(crate) fn handshake(direction: Direction, result: &'static str) {
    let direction = direction.as_str();
    metrics::counter!("culvert_tunnel_handshakes_total", "direction" => direction, "result" => result)
        .increment(1);
}

/// Shows everything, at both usual paths.
pub(crate) fn router(metrics: Metrics) -> Router {
    Router::new()
        .route("/metrics", any(http::exposition))
        .route("/stats/prometheus", any(http::exposition))
        .with_state(metrics)
}

#[cfg(test)]
mod tests;
