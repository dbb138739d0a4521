//! The wiring: builds the parts from the settings, runs them, and takes them down in order.

use std::io;
use std::path::Path;
use std::sync::Arc;

use culvert_core::store::Locality;
use culvert_core::xds::{Kind, Mode};
use culvert_process::signal::Stop;
use tokio::sync::{mpsc, watch};

use crate::admin::{self, Admin};
use crate::admission::Recogniser;
use crate::agent;
use crate::capture;
use crate::config::{Config, IssuerConfig, Mode as Serves, TrustConfig};
use crate::control_plane::roots::RootWatch;
use crate::dns::Dns;
use crate::drain;
use crate::identity::revocation::Revocation;
use crate::identity::spire::Residents;
use crate::identity::{Identities, Trust, ca, spire};
use crate::limits;
use crate::mesh::{self, Mesh};
use crate::outcome::access;
use crate::pods::Pods;
use crate::proxy::{self, PodInfo, Shared, Whose};
use crate::quiet;
use crate::state::State;
use crate::stats;
use crate::tasks::Tasks;
use crate::telemetry::Telemetry;
use crate::{control_plane, xds};

/// Why the node cannot run.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Mesh(#[from] mesh::file::Error),
    #[error(transparent)]
    ControlPlane(#[from] control_plane::Invalid),
    #[error("cannot enter network namespaces; run as root with CAP_SYS_ADMIN")]
    Namespaces(#[source] io::Error),
    #[error("cannot mark packets with {mark}; run as root with CAP_NET_ADMIN")]
    Mark { mark: u32, source: io::Error },
    #[error("cannot serve workload {workload}")]
    Dedicated { workload: String, source: capture::Error },
    #[error(transparent)]
    Metrics(#[from] culvert_metrics::Error),
    #[error(transparent)]
    Admin(#[from] admin::Error),
    #[error("cannot listen for signals")]
    Signals(#[source] io::Error),
}

/// The start-up task of the proxies.
const PROXY: &str = "proxy";

/// The start-up task of the mesh state.
const MESH: &str = "state manager";

/// Names that may wait to be asked for.
const DEMANDS: usize = 1024;

/// Runs until asked to stop; connections may then go on until the drain deadline.
pub(crate) async fn run(config: Config, telemetry: Telemetry) -> Result<(), Error> {
    let mut stop = Stop::listen().map_err(Error::Signals)?;
    check_privileges(&config)?;
    // Before anything is counted: what is counted without a recorder is lost.
    let metrics = stats::start(config.stats.clone(), tokio::runtime::Handle::current().metrics())?;
    access::configure(config.access.clone());
    telemetry.show(&metrics);
    let state = State::new(telemetry, limits::OfNode::new(config.limits));
    state.task(PROXY);
    let background = Tasks::default();
    background.spawn(state.liveness().count());
    let (trust, revocation) = trust(&config.trust, &background);
    let residents = Residents::default();
    let identities = certify(&config.issuer, trust, &residents, &state, &background)?;
    let mesh = follow_mesh(&config, &state, &background)?;
    stats::watch_certificates(&metrics, identities.clone());
    quiet::watch(&metrics, state.ledger());
    let sources = admin::Sources {
        state: state.clone(),
        identities: identities.clone(),
        revocation,
        mesh: mesh.clone(),
        settings: Arc::new(config.shown()),
        static_config: config.mesh.source.clone(),
        mark: config.socket.mark,
        istio_version: Arc::clone(&config.stats.version),
        metrics,
    };
    let admin = Admin::open(&config.admin, sources)?;
    let shared = share(&config, &state, mesh, (identities, residents));
    background.spawn(access::tell_of_long_ones(state.ledger()));
    background.spawn(quiet::end_quiet_ones(state.ledger(), config.quiet));
    let asked = async {
        tokio::select! {
            signal = stop.asked() => signal,
            () = admin.serve() => "quitquitquit",
        }
    };
    tokio::pin!(asked);
    // Without the mesh state nobody could be served truthfully: neither the agent nor the kernel hears of us before.
    let why = tokio::select! {
        () = state.wait_for_done(MESH) => None,
        why = &mut asked => Some(why),
    };
    if let Some(why) = why {
        tracing::info!(why, "asked to end before the mesh state was complete");
        return Ok(());
    }
    serve(&config, shared, &state, asked).await
}

/// Serves what the mode says, until asked to stop.
async fn serve(
    config: &Config,
    shared: Shared,
    state: &State,
    asked: impl Future<Output = &'static str>,
) -> Result<(), Error> {
    match &config.mode {
        Serves::Shared { agent } => {
            let serve = serve_node(config, shared, agent, state, asked);
            state.liveness().main("serving the agent's pods").beside(serve).await
        }
        Serves::Dedicated { namespace, name, service_account } => {
            let pod = PodInfo {
                name: name.clone(),
                namespace: namespace.clone(),
                service_account: service_account.clone(),
            };
            serve_workload(config, shared, pod, state, asked).await
        }
    }
}

/// Puts together what all pods share.
fn share(
    config: &Config,
    state: &State,
    mesh: Mesh,
    (identities, residents): (Identities, Residents),
) -> Shared {
    let dns = Dns::new(config.dns.clone());
    state.resolves(dns.status());
    Shared {
        mesh,
        identities,
        residents,
        socket: config.socket,
        tunnel: config.tunnel,
        telling: config.telling,
        socks: config.socks,
        set_aside: state.set_aside(),
        ledger: state.ledger(),
        limits: state.limits(),
        liveness: state.liveness(),
        dns,
    }
}

/// Starts to keep certificates of whoever issues them.
fn certify(
    config: &IssuerConfig,
    trust: Trust,
    residents: &Residents,
    state: &State,
    background: &Tasks,
) -> Result<Identities, Error> {
    match config {
        IssuerConfig::Authority(config) => {
            let authority = ca::Client::new(config.clone())?;
            state.control_plane(authority.status());
            let roots = RootWatch::new(&config.server.root);
            let identities = Identities::new(authority, trust);
            background.spawn(renew_with_roots(roots, identities.clone()));
            Ok(identities)
        }
        IssuerConfig::Spire(config) => {
            let (agent, follow) = spire::Client::new(config, residents);
            state.control_plane(agent.status());
            if let Some(follow) = follow {
                background.spawn(follow.run());
            }
            Ok(Identities::new(agent, trust))
        }
    }
}

/// What is accepted of peers besides what comes with certificates.
fn trust(config: &TrustConfig, background: &Tasks) -> (Trust, Revocation) {
    let revocation = match &config.revoked {
        None => Revocation::off(),
        Some(path) => {
            let (revocation, follow) = Revocation::of_file(path);
            background.spawn(follow.run());
            revocation
        }
    };
    (Trust::new(config.aliases.clone(), &revocation), revocation)
}

/// Renews all certificates when the roots of the mesh have changed: the roots of our peers come with them.
async fn renew_with_roots(mut roots: RootWatch, identities: Identities) {
    loop {
        roots.changed().await;
        tracing::info!("the roots of the mesh have changed; all certificates are renewed");
        identities.renew_all();
    }
}

/// Starts to keep the mesh state, from a file, a control plane, or both.
fn follow_mesh(config: &Config, state: &State, background: &Tasks) -> Result<Mesh, Error> {
    let (first, followed) = match &config.mesh.source {
        Some(source) => mesh::file::read(source)?,
        None => (Vec::new(), mesh::file::Followed::default()),
    };
    let locality = Locality {
        network: config.mesh.network.as_str().into(),
        node: config.mesh.node_name.as_deref().map(Into::into),
    };
    let (demands, asked) = mpsc::channel(DEMANDS);
    let on_demand = config.xds.as_ref().is_some_and(|xds| xds.mode == Mode::OnDemand);
    let (mesh, feed, owner) = mesh::start(locality, first, on_demand.then_some(demands));
    background.spawn(state.liveness().main("the mesh state").beside(owner.run()));
    background.spawn(followed.run(feed.clone()));
    if let Some(config) = &config.xds {
        let (client, waits_for) = xds::Client::new(config, feed, asked)?;
        state.control_plane(client.status());
        state.task(MESH);
        background.spawn(client.run());
        background.spawn(tell_when_complete(waits_for, state.clone()));
    }
    Ok(mesh)
}

/// Marks the mesh state as complete once nothing of it is waited for.
async fn tell_when_complete(mut waits_for: watch::Receiver<Vec<Kind>>, state: State) {
    if waits_for.wait_for(Vec::is_empty).await.is_ok() {
        state.done(MESH);
    }
}

fn check_privileges(config: &Config) -> Result<(), Error> {
    match culvert_sys::limits::raise_open_files() {
        Ok(limit) => tracing::debug!(limit, "open files"),
        Err(error) => tracing::warn!(%error, "cannot raise the limit on open files"),
    }
    if matches!(config.mode, Serves::Shared { .. }) {
        culvert_sys::limits::may_enter_namespaces().map_err(Error::Namespaces)?;
    }
    if let Some(mark) = config.socket.mark {
        culvert_sys::limits::may_mark_packets(mark).map_err(|source| Error::Mark { mark, source })?;
    }
    Ok(())
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
    if let Some(own) = config.own_pod.clone() {
        pods.serve_own(own);
    }
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
    let whose = Whose { pod: pod.clone(), netns: None, probes: Recogniser::of_nothing() };
    let serve = proxy::start(&shared, whose, guard);
    let serve = serve.map_err(|source| Error::Dedicated { workload: workload.clone(), source })?;
    let serving = Tasks::default();
    serving.spawn(serve);
    state.serves_own(&pod);
    state.done(PROXY);
    tracing::info!(workload, "serving the workload of this network namespace");
    let why = asked.await;
    tracing::info!(why, deadline = ?config.drain_deadline, "draining");
    drain.drain(config.drain_deadline).await;
    Ok(())
}
