//! The wiring: builds the parts from the settings, runs them, and takes them down in order.

use std::io;
use std::path::Path;

use culvert_core::store::Locality;
use culvert_process::signal::Stop;
use culvert_sys::limits;

use crate::admin::{self, Admin};
use crate::agent;
use crate::capture;
use crate::config::{Config, Mode};
use crate::drain;
use crate::identity::{Identities, ca};
use crate::mesh;
use crate::pods::Pods;
use crate::proxy::{self, PodInfo, Shared};
use crate::state::State;
use crate::tasks::Tasks;

/// Why the node cannot run.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Mesh(#[from] mesh::file::Error),
    #[error("the certificate authority's settings are not usable")]
    Authority(#[source] ca::Invalid),
    #[error("cannot enter network namespaces; run as root with CAP_SYS_ADMIN")]
    Namespaces(#[source] io::Error),
    #[error("cannot mark packets with {mark}; run as root with CAP_NET_ADMIN")]
    Mark { mark: u32, source: io::Error },
    #[error("cannot serve workload {workload}")]
    Dedicated { workload: String, source: capture::Error },
    #[error(transparent)]
    Admin(#[from] admin::Error),
    #[error("cannot listen for signals")]
    Signals(#[source] io::Error),
}

/// The start-up task of the proxies.
const PROXY: &str = "proxy";

/// Runs until asked to stop; connections may then go on until the drain deadline.
pub(crate) async fn run(config: Config) -> Result<(), Error> {
    let mut stop = Stop::listen().map_err(Error::Signals)?;
    check_privileges(&config)?;
    let (first, followed) = mesh::file::read(&config.mesh.source)?;
    let locality = Locality { network: config.mesh.network.as_str().into(), node: None };
    let (mesh, feed, owner) = mesh::start(locality, first, None);
    let identities = Identities::new(authority(&config)?);
    let state = State::default();
    state.task(PROXY);
    let background = Tasks::default();
    background.spawn(owner.run());
    background.spawn(followed.run(feed));
    let admin = Admin::open(state.clone(), identities.clone()).await?;
    let shared = Shared { mesh, identities, socket: config.socket, tunnel: config.tunnel };
    let asked = async {
        tokio::select! {
            signal = stop.asked() => signal,
            () = admin.serve() => "quitquitquit",
        }
    };
    match &config.mode {
        Mode::Shared { agent } => serve_node(&config, shared, agent, &state, asked).await,
        Mode::Dedicated { namespace, name, service_account } => {
            let pod = PodInfo {
                name: name.clone(),
                namespace: namespace.clone(),
                service_account: service_account.clone(),
            };
            serve_workload(&config, shared, pod, &state, asked).await
        }
    }
}

fn check_privileges(config: &Config) -> Result<(), Error> {
    match limits::raise_open_files() {
        Ok(limit) => tracing::debug!(limit, "open files"),
        Err(error) => tracing::warn!(%error, "cannot raise the limit on open files"),
    }
    if matches!(config.mode, Mode::Shared { .. }) {
        limits::may_enter_namespaces().map_err(Error::Namespaces)?;
    }
    if let Some(mark) = config.socket.mark {
        limits::may_mark_packets(mark).map_err(|source| Error::Mark { mark, source })?;
    }
    Ok(())
}

fn authority(config: &Config) -> Result<ca::Client, Error> {
    let from = &config.ca;
    ca::Client::new(ca::Config {
        address: from.address.clone(),
        root: from.root.clone(),
        token: from.token.clone(),
        cluster_id: from.cluster_id.clone(),
        ttl: from.ttl,
        alt_hostname: from.alternative_name.clone(),
        headers: from.headers.clone(),
        impersonate: matches!(config.mode, Mode::Shared { .. }),
        tls12: config.tunnel.tls12,
    })
    .map_err(Error::Authority)
}

/// Shared mode: serves the pods the agent announces.
async fn serve_node(
    config: &Config,
    shared: Shared,
    agent: &Path,
    state: &State,
    asked: impl Future<Output = &'static str>,
) -> Result<(), Error> {
    state.task(agent::TASK);
    state.done(PROXY);
    let mesh = shared.mesh.clone();
    let mut pods = Pods::new(shared, state.clone());
    let (_drain, guard) = drain::channel();
    let why = tokio::select! {
        why = asked => why,
        () = agent::follow(agent, &mut pods, mesh, state, &guard) => "the agent's connection ended",
    };
    tracing::info!(why, deadline = ?config.drain_deadline, "draining");
    pods.drain(config.drain_deadline).await;
    Ok(())
}

/// Dedicated mode: serves one workload in the current namespace.
async fn serve_workload(
    config: &Config,
    shared: Shared,
    pod: PodInfo,
    state: &State,
    asked: impl Future<Output = &'static str>,
) -> Result<(), Error> {
    let workload = format!("{}/{}", pod.namespace, pod.name);
    let (drain, guard) = drain::channel();
    let serve = proxy::start(&shared, pod, None, guard);
    let serve = serve.map_err(|source| Error::Dedicated { workload: workload.clone(), source })?;
    let serving = Tasks::default();
    serving.spawn(serve);
    state.done(PROXY);
    tracing::info!(workload, "serving the workload of this network namespace");
    let why = asked.await;
    tracing::info!(why, deadline = ?config.drain_deadline, "draining");
    drain.drain(config.drain_deadline).await;
    Ok(())
}
