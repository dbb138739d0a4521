//! The proxy of one pod: what its connections need, and its listeners.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use culvert_core::identity::SpiffeId;
use culvert_core::route;
use culvert_core::workload::Workload;
use culvert_process::exit::Chain;
use culvert_serving::liveness::Liveness;
use culvert_sys::netns::Netns;
use tokio::sync::Semaphore;

use crate::admission::{Gate, Recogniser, Telling};
use crate::capture::{self, FIRST_PAUSE, Listener, Listeners};
use crate::config::{SocketConfig, TunnelConfig};
use crate::deliver::dial::Dialer;
use crate::dns::hosts::Hosts;
use crate::dns::{self, Dns};
use crate::drain::Guard;
use crate::flow;
use crate::identity::Identities;
use crate::identity::spire::Residents;
use crate::ledger;
use crate::limits;
use crate::mesh::Mesh;
use crate::outcome::Failure;
use crate::set_aside::{self, SetAside};
use crate::socks;
use crate::tunnel::client::Establish;
use crate::tunnel::pool::Pool;

/// Who a pod is, as the node agent says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PodInfo {
    pub(crate) name: String,
    pub(crate) namespace: String,
    pub(crate) service_account: String,
}

/// What the connections of one pod share. Knows nothing of other pods.
pub(crate) struct Proxy {
    pub(crate) pod: PodInfo,
    pub(crate) mesh: Mesh,
    pub(crate) gate: Gate,
    pub(crate) probes: Recogniser,
    pub(crate) identities: Identities,
    pub(crate) tunnels: Pool,
    /// Of this pod alone: a network policy may keep it from what others reach.
    pub(crate) set_aside: SetAside,
    /// What is known of its connections.
    pub(crate) ledger: ledger::OfPod,
    /// What it may have only so much of.
    pub(crate) limits: Arc<limits::OfPod>,
    /// Of this pod alone: names are asked for through its network.
    pub(crate) hosts: Hosts,
    /// What peers may have the control plane asked for at a time.
    pub(crate) asking: Semaphore,
    pub(crate) dialer: Dialer,
    pub(crate) tunnel: TunnelConfig,
    /// Whether its applications can ask for connections.
    socks: bool,
    /// Whether deliveries carry the client's address.
    pub(crate) keep_client_address: bool,
    netns: Option<Arc<Netns>>,
}

/// Names the control plane is asked for at a time because of what peers of one pod ask for. Each is given up at the demand deadline.
const ASKING: usize = 64;

/// What all pods of a node share.
#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) mesh: Mesh,
    pub(crate) identities: Identities,
    /// Which pods are served, for issuers that want to know.
    pub(crate) residents: Residents,
    pub(crate) socket: SocketConfig,
    pub(crate) tunnel: TunnelConfig,
    pub(crate) telling: Telling,
    /// Whether pods' applications can ask for connections by SOCKS.
    pub(crate) socks: bool,
    /// What the pods could not reach.
    pub(crate) set_aside: set_aside::OfNode,
    /// What is known of their connections.
    pub(crate) ledger: ledger::OfNode,
    /// What there may be only so much of.
    pub(crate) limits: limits::OfNode,
    pub(crate) liveness: Liveness,
    pub(crate) dns: Dns,
}

/// The pod's own workload, and who it is.
#[derive(Debug, Clone)]
pub(crate) struct Local {
    pub(crate) workload: Arc<Workload>,
    pub(crate) identity: SpiffeId,
}

/// Which pod a proxy is for.
#[derive(Debug)]
pub(crate) struct Whose {
    pub(crate) pod: PodInfo,
    /// `None`: the current network namespace.
    pub(crate) netns: Option<Arc<Netns>>,
    pub(crate) probes: Recogniser,
}

/// Opens a pod's listeners and returns what serves them until the guard drains. Once this returns, connections are
/// accepted by the kernel and wait.
pub(crate) fn start(
    shared: &Shared,
    whose: Whose,
    guard: Guard,
) -> Result<impl Future<Output = ()> + use<>, capture::Error> {
    let listeners = Listeners::open(whose.netns.as_deref(), shared.socket)?;
    let beat = shared.liveness.one_of_many(format!("pod {}/{}", whose.pod.namespace, whose.pod.name));
    let (proxy, resolver) = assemble(shared, whose, listeners.transparent);
    let socks = shared.socks.then(|| try_socks(&proxy, &shared.socket, FIRST_PAUSE));
    let socks = socks.map(|first| (first, shared.socket));
    let serve_dns = resolver.serve(guard.clone());
    Ok(beat.beside(async move {
        tokio::join!(serve(proxy, (listeners, socks), guard), serve_dns);
    }))
}

/// Opens the tunnel port of the pod this process runs in, so that its metrics can be had under its own identity and policies.
pub(crate) fn start_own(
    shared: &Shared,
    pod: PodInfo,
    guard: Guard,
) -> Result<impl Future<Output = ()> + use<>, capture::Error> {
    let listener = Listener::open_tunnel(&shared.socket)?;
    let whose = Whose { pod, netns: None, probes: Recogniser::of_nothing() };
    let (proxy, _) = assemble(shared, whose, false);
    Ok(async move {
        let serving = Arc::clone(&proxy);
        let serve = move |captured, pulse, guard| {
            flow::inbound_tunnel(Arc::clone(&serving), (captured, pulse), guard)
        };
        tokio::select! {
            () = listener.each_unproven(guard, &proxy.limits, serve) => {}
            () = proxy.gate.follow() => {}
        }
    })
}

/// Puts together what the connections of one pod share.
fn assemble(shared: &Shared, whose: Whose, keep_client_address: bool) -> (Arc<Proxy>, dns::OfPod) {
    let Whose { pod, netns, probes } = whose;
    let dialer = Dialer::new(netns.clone(), shared.socket);
    let limits = shared.limits.begin(pod.clone());
    let resolver = dns_of(shared, (&pod, &limits), netns.as_ref(), &dialer);
    let ledger = shared.ledger.begin(pod.clone(), netns.as_ref());
    let establish = Establish {
        identities: shared.identities.clone(),
        dialer: dialer.clone(),
        config: shared.tunnel,
        tunnels: ledger.book().tunnels.clone(),
        limits: Arc::clone(&limits),
    };
    let proxy = Proxy {
        set_aside: shared.set_aside.begin(pod.clone()),
        ledger,
        limits,
        gate: Gate::new(pod.clone(), shared.mesh.clone(), shared.telling),
        probes,
        pod,
        mesh: shared.mesh.clone(),
        identities: shared.identities.clone(),
        tunnels: Pool::new(establish),
        hosts: resolver.hosts(),
        asking: Semaphore::new(ASKING),
        dialer,
        tunnel: shared.tunnel,
        socks: shared.socks,
        keep_client_address,
        netns,
    };
    (Arc::new(proxy), resolver)
}

fn dns_of(
    shared: &Shared,
    (pod, limits): (&PodInfo, &Arc<limits::OfPod>),
    netns: Option<&Arc<Netns>>,
    dialer: &Dialer,
) -> dns::OfPod {
    shared.dns.of_pod(dns::Pod {
        info: pod.clone(),
        mesh: shared.mesh.clone(),
        netns: netns.cloned(),
        socket: shared.socket,
        dialer: dialer.clone(),
        limits: Arc::clone(limits),
    })
}

/// The SOCKS listeners of a pod, if they could be opened; and how to open them.
type Socks = (Option<socks::Listeners>, SocketConfig);

async fn serve(proxy: Arc<Proxy>, (listeners, socks): (Listeners, Option<Socks>), guard: Guard) {
    let (outbound, plain, tunnel) = (Arc::clone(&proxy), Arc::clone(&proxy), Arc::clone(&proxy));
    let callers = limits::Turnstile::default();
    let connections = async {
        tokio::join!(
            listeners.outbound.each(guard.clone(), &proxy.limits.turnstile, move |captured, guard| {
                flow::outbound(Arc::clone(&outbound), captured, guard)
            }),
            listeners.inbound_plain.each(guard.clone(), &callers, move |captured, guard| {
                flow::inbound_plain(Arc::clone(&plain), captured, guard)
            }),
            listeners.inbound_tunnel.each_unproven(
                guard.clone(),
                &proxy.limits,
                move |captured, pulse, guard| {
                    flow::inbound_tunnel(Arc::clone(&tunnel), (captured, pulse), guard)
                }
            ),
            serve_socks(&proxy, socks, &guard),
        )
    };
    tokio::select! {
        ((), (), (), ()) = connections => {}
        () = proxy.gate.follow() => {}
    }
    // Connections end when their last bytes are on their way; here the tunnels get to send them.
    tokio::select! {
        () = proxy.tunnels.leave() => {}
        () = guard.cut() => {}
    }
}

async fn serve_socks(proxy: &Arc<Proxy>, socks: Option<Socks>, guard: &Guard) {
    let Some((first, socket)) = socks else { return };
    let listeners = tokio::select! {
        biased;
        listeners = capture::open_at_last(first, |pause| try_socks(proxy, &socket, pause)) => listeners,
        () = guard.draining() => return,
    };
    let (turnstile, proxy) = (&proxy.limits.turnstile, Arc::clone(proxy));
    let each = move |captured, guard| flow::socks(Arc::clone(&proxy), captured, guard);
    listeners.each(guard.clone(), turnstile, each).await;
}

/// Opens the SOCKS listeners. An application may have the port; nothing else of the pod waits for them.
fn try_socks(proxy: &Proxy, socket: &SocketConfig, retry: Duration) -> Option<socks::Listeners> {
    let opened = socks::Listeners::open(proxy.netns.as_deref(), socket);
    let PodInfo { name, namespace, .. } = &proxy.pod;
    opened
        .inspect_err(|error| {
            tracing::warn!(pod = name, namespace, error = %Chain(error), ?retry, "no SOCKS in this pod");
        })
        .ok()
}

impl Proxy {
    /// Whether it is one of our own ports in the pod: connections to it would come back to us.
    pub(crate) fn is_own_port(&self, port: u16) -> bool {
        route::is_own_port(port) || (self.socks && port == socks::PORT)
    }

    /// The pod's own workload, waited for up to a deadline: the pod may be announced before the mesh knows it.
    pub(crate) async fn local(&self) -> Result<Local, Failure> {
        let PodInfo { name, namespace, service_account } = &self.pod;
        let found = self.mesh.local_workload(namespace, name, service_account).await;
        let workload = found.ok_or_else(|| Failure::NoWorkload {
            namespace: namespace.clone(),
            name: name.clone(),
            service_account: service_account.clone(),
        })?;
        let identity = workload.identity().map_err(Failure::NoIdentity)?;
        Ok(Local { workload, identity })
    }

    /// Whether an address belongs to the pod: what is redirected to us may have been sent to any.
    pub(crate) fn owns(&self, ip: IpAddr) -> bool {
        let ask = || culvert_sys::tcp::is_local(ip);
        match &self.netns {
            Some(netns) => netns.run(ask).unwrap_or(false),
            None => ask(),
        }
    }
}
