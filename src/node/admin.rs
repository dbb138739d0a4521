//! The HTTP servers: admin (15000, loopback), metrics (15020) and readiness (15021), in the node's own namespace.

mod dump;

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use axum::Router;
use axum::extract::State as Extract;
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse};
use axum::routing::{any, get, post};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tokio::net::TcpListener;
use tokio::sync::Notify;

use crate::config::Ports;
use crate::control_plane::status::State as Reachable;
use crate::identity::Identities;
use crate::identity::revocation::Revocation;
use crate::outcome::describe_metrics;
use crate::state::State;
use crate::{dns, mesh, set_aside};

const READINESS: u16 = 15021;

/// A server that cannot start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("cannot listen on {address} for the {what} server; is another node running here?")]
    Listen { what: &'static str, address: SocketAddr, source: io::Error },
    #[error("metrics cannot be recorded")]
    Metrics(#[source] metrics_exporter_prometheus::BuildError),
}

/// The open servers.
#[derive(Debug)]
pub(crate) struct Admin {
    listeners: Vec<(TcpListener, Router)>,
    quit: Arc<Notify>,
}

#[derive(Clone)]
struct Context {
    state: State,
    identities: Identities,
    revocation: Revocation,
    quit: Arc<Notify>,
}

impl Admin {
    /// Starts to record metrics and opens all servers.
    pub(crate) async fn open(
        ports: Ports,
        state: State,
        identities: Identities,
        revocation: Revocation,
    ) -> Result<Self, Error> {
        let (duration, bounds) = dns::DURATION;
        let metrics = PrometheusBuilder::new()
            .set_buckets_for_metric(Matcher::Full(duration.to_owned()), bounds)
            .and_then(PrometheusBuilder::install_recorder)
            .map_err(Error::Metrics)?;
        describe_metrics();
        dns::describe_metrics();
        set_aside::describe_metrics();
        mesh::describe_metrics();
        let quit = Arc::new(Notify::new());
        let context = Context { state, identities, revocation, quit: Arc::clone(&quit) };
        let admin = Router::new()
            .route("/", get(index))
            .route("/config_dump", any(config_dump))
            .route("/quitquitquit", post(quit_now))
            .with_state(context.clone());
        let readiness = Router::new().route("/healthz/ready", get(ready)).with_state(context);
        let stats = Router::new()
            .route("/metrics", any(exposition))
            .route("/stats/prometheus", any(exposition))
            .with_state(metrics);
        let mut listeners = Vec::new();
        for loopback in [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()] {
            match listen("admin", SocketAddr::new(loopback, ports.admin)).await {
                Ok(listener) => listeners.push((listener, admin.clone())),
                // A host without IPv6 has no ::1.
                Err(error) if loopback.is_ipv6() => tracing::debug!(%error, "no admin server on IPv6"),
                Err(error) => return Err(error),
            }
        }
        listeners.push((listen_wildcard("metrics", ports.stats).await?, stats));
        listeners.push((listen_wildcard("readiness", READINESS).await?, readiness));
        Ok(Self { listeners, quit })
    }

    /// Serves until somebody asks the process to quit.
    pub(crate) async fn serve(self) {
        let mut servers = tokio::task::JoinSet::new();
        for (listener, router) in self.listeners {
            servers.spawn(async move { axum::serve(listener, router).await });
        }
        self.quit.notified().await;
    }
}

async fn listen(what: &'static str, address: SocketAddr) -> Result<TcpListener, Error> {
    TcpListener::bind(address).await.map_err(|source| Error::Listen { what, address, source })
}

/// Listens on both families, or on IPv4 alone where there is no IPv6.
async fn listen_wildcard(what: &'static str, port: u16) -> Result<TcpListener, Error> {
    match listen(what, (Ipv6Addr::UNSPECIFIED, port).into()).await {
        Err(Error::Listen { source, .. }) if source.kind() != io::ErrorKind::AddrInUse => {
            listen(what, (Ipv4Addr::UNSPECIFIED, port).into()).await
        }
        settled => settled,
    }
}

async fn index() -> Html<&'static str> {
    Html(concat!(
        "<!doctype html><title>Culvert node</title><h1>Culvert node</h1><ul>",
        "<li><a href=\"/config_dump\">/config_dump</a>: pods and certificates of this node, as JSON",
        "<li>POST /quitquitquit: drain and end",
        "</ul><p>Metrics are on port 15020 at /metrics, readiness on port 15021 at /healthz/ready.",
    ))
}

async fn config_dump(Extract(context): Extract<Context>) -> impl IntoResponse {
    let json = dump::dump(&context.state, &context.identities, &context.revocation);
    ([(header::CONTENT_TYPE, "application/json")], json)
}

async fn quit_now(Extract(context): Extract<Context>) -> &'static str {
    context.quit.notify_one();
    "shutdown now\n"
}

async fn ready(Extract(context): Extract<Context>) -> (StatusCode, String) {
    let pending = context.state.pending();
    if pending.is_empty() {
        return (StatusCode::OK, "ready\n".into());
    }
    let mut text = format!("not ready, pending: {}\n", pending.join(", "));
    for status in context.state.control_planes() {
        let view = status.view();
        if let Reachable::Down(why) = view.state {
            let (service, address, since) = (status.key(), status.address(), dump::rfc3339(view.since));
            text += &format!(
                "{service} at {address} does not answer since {}: {why}\n",
                since.unwrap_or_default()
            );
        }
    }
    (StatusCode::INTERNAL_SERVER_ERROR, text)
}

async fn exposition(Extract(metrics): Extract<PrometheusHandle>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], metrics.render())
}
