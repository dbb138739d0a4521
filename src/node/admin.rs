//! The HTTP servers: admin (15000, loopback, and a socket if one is wanted), metrics (15020) and readiness (15021, with liveness), in the node's own
//! namespace.
//!
//! The last is served by the threads of the data plane, and so shows that they live. All else is served by a thread that gives way
//! to them: whoever looks slows down nobody but others who look.

mod dump;
mod guard;
mod logging;
mod pace;
mod page;
mod profile;
mod readiness;
mod v1;

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State as Extract;
use axum::http::header;
use axum::middleware::from_fn;
use axum::response::IntoResponse;
use axum::routing::{any, post};
use culvert_metrics::Metrics;
use culvert_process::log;
use culvert_serving::monitoring;
use culvert_serving::port::{self, listen, listen_everywhere};
use culvert_serving::root_socket::RootSocket;
use culvert_serving::socket_file;
use culvert_serving::{LIFE, Limits, READ_AHEAD, Terms, serve_until};
use futures::future::{BoxFuture, join_all};
use tokio::net::TcpListener;
use tokio::sync::{Notify, oneshot, watch};

use crate::aside::Aside;
use crate::config::MeshSource;
use crate::identity::Identities;
use crate::identity::revocation::Revocation;
use crate::mesh::Mesh;
use crate::state::State;
use crate::stats;

use pace::Pace;

const READINESS: u16 = 15021;

/// Those who look at a node: people, and what they have running.
const ADMIN: Terms = Terms {
    limits: Limits::Replace { most: 64, per_source: 64 },
    life: Duration::from_secs(400),
    read_ahead: READ_AHEAD,
};

/// Scrapers and probes.
const OPEN_TO_ALL: Terms = Terms { limits: monitoring::LIMITS, life: LIFE, read_ahead: READ_AHEAD };

/// A server that cannot start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("cannot listen on {address} for the {what} server; is another node running here?")]
    Listen { what: &'static str, address: SocketAddr, source: io::Error },
    #[error("cannot open the socket of CULVERT_ADMIN_SOCKET")]
    Socket(#[source] socket_file::Error),
    #[error("cannot start the thread of the admin server")]
    Thread(#[source] io::Error),
}

/// Where the servers listen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Config {
    pub(crate) admin: u16,
    pub(crate) stats: u16,
    /// A Unix socket for the admin server, beside its port.
    pub(crate) socket: Option<PathBuf>,
}

/// What is shown.
#[derive(Clone)]
pub(crate) struct Sources {
    pub(crate) state: State,
    pub(crate) identities: Identities,
    pub(crate) revocation: Revocation,
    pub(crate) mesh: Mesh,
    /// The settings, without secrets.
    pub(crate) settings: Arc<serde_json::Value>,
    /// Where mesh state comes from besides the control plane.
    pub(crate) static_config: Option<MeshSource>,
    /// The mark of sockets made in pods.
    pub(crate) mark: Option<u32>,
    /// What the installation says it is.
    pub(crate) istio_version: Arc<str>,
    pub(crate) metrics: Metrics,
}

/// The open servers. They end with it.
#[derive(Debug)]
pub(crate) struct Admin {
    quit: Arc<Notify>,
    /// Dropped to end them.
    end: watch::Sender<()>,
    /// Resolves when they have.
    over: oneshot::Receiver<()>,
}

impl Admin {
    /// Opens all servers.
    pub(crate) fn open(config: &Config, sources: Sources) -> Result<Self, Error> {
        let quit = Arc::new(Notify::new());
        let (end, ended) = watch::channel(());
        let readiness = listen_everywhere(READINESS).map_err(of("readiness"))?;
        let ready = readiness::router(sources.state.clone()).merge(sources.state.liveness().router());
        tokio::spawn(serve_until(readiness, ready, OPEN_TO_ALL, at_the_end(ended.clone())));
        let aside = Aside::new().map_err(Error::Thread)?;
        let servers = {
            let _inside = aside.enter();
            looked_at(config, sources, &quit, &ended)?
        };
        let (done, over) = oneshot::channel();
        let serve = async {
            servers.await;
            // Who waits may have gone.
            let _ = done.send(());
        };
        aside.run("culvert-admin", serve).map_err(Error::Thread)?;
        Ok(Self { quit, end, over })
    }

    /// Serves until somebody asks the process to quit, and has been answered; or until this is dropped.
    pub(crate) async fn serve(self) {
        let Self { quit, end, over } = self;
        quit.notified().await;
        drop(end);
        // However the thread has ended.
        let _ = over.await;
    }
}

/// Opens the servers of those who look; they run until the end.
fn looked_at(
    config: &Config,
    sources: Sources,
    quit: &Arc<Notify>,
    ended: &watch::Receiver<()>,
) -> Result<impl Future<Output = ()> + Send + use<>, Error> {
    let mut servers: Vec<BoxFuture<'static, ()>> = Vec::new();
    let pace = Pace::default();
    let admin = pace.of(router(&sources, quit, ended));
    for listener in listen_on_loopback(config.admin)? {
        servers.push(Box::pin(serve_until(listener, admin.clone(), ADMIN, at_the_end(ended.clone()))));
    }
    if let Some(path) = &config.socket {
        let socket = RootSocket::bind(path).map_err(Error::Socket)?;
        servers.push(Box::pin(serve_until(socket, admin, ADMIN, at_the_end(ended.clone()))));
    }
    let listener = listen_everywhere(config.stats).map_err(of("metrics"))?;
    servers.push(Box::pin(serve_until(
        listener,
        pace.of(stats::router(sources.metrics)),
        OPEN_TO_ALL,
        at_the_end(ended.clone()),
    )));
    Ok(async move { drop(join_all(servers).await) })
}

/// What the admin server answers, to whom it is meant for.
fn router(sources: &Sources, quit: &Arc<Notify>, ended: &watch::Receiver<()>) -> Router {
    let looks = Router::new()
        .merge(page::router())
        .route("/config_dump", any(config_dump))
        .with_state(sources.clone());
    let quits = Router::new().route("/quitquitquit", post(quit_now)).with_state(Arc::clone(quit));
    let v1 = v1::router(v1::Sources::new(sources));
    let logging = log::filter().map(logging::router).unwrap_or_default();
    let profiles = profile::router(ended.clone());
    looks.merge(quits).merge(v1).merge(logging).merge(profiles).layer(from_fn(guard::check))
}

/// Resolves at the end.
async fn at_the_end(mut ended: watch::Receiver<()>) {
    // Nothing is ever sent: what ends is the sender.
    while ended.changed().await.is_ok() {}
}

fn listen_on_loopback(port: u16) -> Result<Vec<TcpListener>, Error> {
    let mut listeners = vec![listen((Ipv4Addr::LOCALHOST, port).into()).map_err(of("admin"))?];
    match listen((Ipv6Addr::LOCALHOST, port).into()) {
        Ok(listener) => listeners.push(listener),
        // A host without IPv6 has no ::1.
        Err(error) => tracing::debug!(%error, "no admin server on IPv6"),
    }
    Ok(listeners)
}

/// Names the server whose port cannot be had.
fn of(what: &'static str) -> impl Fn(port::Error) -> Error {
    move |port::Error { address, source }| Error::Listen { what, address, source }
}

async fn config_dump(Extract(sources): Extract<Sources>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], dump::dump(&sources))
}

async fn quit_now(Extract(quit): Extract<Arc<Notify>>) -> &'static str {
    quit.notify_one();
    "shutdown now\n"
}
