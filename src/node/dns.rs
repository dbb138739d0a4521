//! DNS of a pod: its queries, redirected to 15053 over UDP and TCP, are answered by the mesh or else by whom they were for.
//!
//! In go messages, out come messages, which [`culvert_dns`] reads and writes. What the mesh says about a name is decided by
//! [`culvert_core::dns`]; what others say is passed on as it is. Search lists and retries stay the business of the client. A name the snapshot lacks is waited for on demand
//! alone, and briefly: others are asked.
//!
//! | module | question |
//! |---|---|
//! | `udp`, `tcp` | who asks, and whom did they want to ask? |
//! | `message` | what is asked? |
//! | `handler` | who knows? |
//! | `own` | what does the mesh say? |
//! | `demand` | what could it say, if the control plane were asked? |
//! | `others`, `ask`, `resolv_conf`, `cache` | what do others say? |
//! | `hosts`, `flights` | where is a host, for connections to a name? |
//! | `account`, `status` | what is told of it? |

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use culvert_core::dns::Settings;
use culvert_dns::{message, own, wire};
use culvert_process::exit::Chain;
use culvert_sys::conntrack::Conntrack;
use culvert_sys::netns::Netns;
use culvert_sys::tcp::{Listen, Transparent};
use tokio::net::UdpSocket;

use crate::capture::{self, Error, FIRST_PAUSE};
use crate::config::SocketConfig;
use crate::deliver::dial::Dialer;
use crate::drain::Guard;
use crate::limits;
use crate::mesh::Mesh;
use crate::proxy::PodInfo;

mod account;
mod ask;
mod cache;
mod demand;
mod flights;
mod handler;
pub(crate) mod hosts;
mod others;
mod resolv_conf;
mod status;
mod tcp;
mod udp;

use ask::Messenger;
use demand::{Demands, Patience};
use handler::Handler;
use hosts::Hosts;
use others::Others;
use resolv_conf::{From, ResolvConf};
pub(crate) use status::Status;
use status::Trouble;

/// How names are resolved for pods.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    /// Where queries are taken; `None` when those of pods are not captured.
    pub(crate) capture: Option<Address>,
    pub(crate) settings: Settings,
    /// Whether the process is in the network namespace of the pod, so that both mean the same by a loopback address.
    pub(crate) dedicated: bool,
}

/// Where queries are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Address {
    /// On this port of the loopback address, of both families where the pod has them.
    Loopback(u16),
    /// Just there.
    Exactly(SocketAddr),
}

/// What the pods of a node share.
#[derive(Debug, Clone)]
pub(crate) struct Dns {
    config: Config,
    resolv_conf: Arc<ResolvConf>,
    status: Status,
    patience: Patience,
}

/// The pod whose queries are answered.
#[derive(Debug)]
pub(crate) struct Pod {
    pub(crate) info: PodInfo,
    pub(crate) mesh: Mesh,
    /// `None`: the namespace of this process.
    pub(crate) netns: Option<Arc<Netns>>,
    pub(crate) socket: SocketConfig,
    pub(crate) dialer: Dialer,
    pub(crate) limits: Arc<limits::OfPod>,
}

/// What resolves names for one pod.
#[derive(Debug)]
pub(crate) struct OfPod {
    handler: Arc<Handler>,
    netns: Option<Arc<Netns>>,
    socket: SocketConfig,
    capture: Option<Address>,
    hosts: Hosts,
    status: Status,
    trouble: Trouble,
}

/// The open listeners of one pod, and what answers.
#[derive(Debug)]
pub(crate) struct Listeners {
    handler: Arc<Handler>,
    udp: Vec<udp::Listener>,
    tcp: Vec<capture::Listener>,
}

/// Describes the metrics, once at start.
pub(crate) fn describe_metrics() {
    account::describe();
}

/// The metric that shows how long other servers take, and what it is divided into, in seconds.
pub(crate) const DURATION: (&str, &[f64]) =
    (account::UPSTREAM_DURATION, &[0.0005, 0.001, 0.01, 0.1, 1.0, 5.0]);

impl Dns {
    pub(crate) fn new(config: Config) -> Self {
        let from = if config.dedicated { From::Here } else { From::Pods };
        let resolv_conf = ResolvConf::new(PathBuf::from(resolv_conf::PATH), from);
        if config.capture.is_none() {
            tracing::info!(
                "DNS queries of pods are not answered (ISTIO_META_DNS_CAPTURE); where the agent captures them (--dns-capture), they are lost"
            );
        }
        let status = Status::new(config.capture);
        Self { config, resolv_conf: Arc::new(resolv_conf), status, patience: Patience::default() }
    }

    /// How it goes.
    pub(crate) fn status(&self) -> Status {
        self.status.clone()
    }

    /// Prepares to resolve names for a pod.
    pub(crate) fn of_pod(&self, pod: Pod) -> OfPod {
        let capture = self.config.capture;
        let messenger = Messenger { netns: pod.netns.clone(), mark: pod.socket.mark, dialer: pod.dialer };
        let own = capture.map_or_else(Vec::new, Address::all);
        let (status, trouble) = (self.status.clone(), self.status.of_pod(pod.info.clone()));
        let handler = Handler {
            pod: pod.info,
            demands: Demands::new(pod.mesh.clone(), self.patience.clone()),
            mesh: pod.mesh,
            settings: self.config.settings.clone(),
            others: Others::new(messenger, Arc::clone(&self.resolv_conf), own, pod.limits),
        };
        let handler = Arc::new(handler);
        let hosts = Hosts::new(Arc::clone(&handler));
        OfPod { handler, netns: pod.netns, socket: pod.socket, capture, hosts, status, trouble }
    }
}

impl OfPod {
    /// Looks hosts up for the pod, also where its own queries are not captured.
    pub(crate) fn hosts(&self) -> Hosts {
        self.hosts.clone()
    }

    /// Opens the listeners, and returns what serves them until the guard drains. Once this returns, queries are taken by the
    /// kernel and wait. Listeners that cannot be opened are tried again: the pod's connections need not wait for them, and its
    /// queries are lost until then.
    pub(crate) fn serve(self, guard: Guard) -> impl Future<Output = ()> + use<> {
        let first = self.try_open(FIRST_PAUSE);
        async move {
            if self.capture.is_none() {
                return;
            }
            let listeners = tokio::select! {
                biased;
                listeners = capture::open_at_last(first, |pause| self.try_open(pause)) => listeners,
                () = guard.draining() => return,
            };
            listeners.serve(guard).await;
        }
    }

    fn try_open(&self, pause: Duration) -> Option<Listeners> {
        let address = self.capture?;
        match self.open(address) {
            Ok((listeners, trouble)) => {
                self.trouble.set(trouble.map(|error| self.untold(&error)));
                Some(listeners)
            }
            Err(error) => {
                let (error, pod) = (Chain(&error).to_string(), self.trouble.pod());
                tracing::error!(pod = pod.name, namespace = pod.namespace, error, retry = ?pause,
                    "cannot take the pod's DNS queries; captured ones are lost");
                self.trouble.set(Some(error));
                None
            }
        }
    }

    /// Opens the listeners, or none; and says why the kernel does not tell whom queries were for, if so.
    fn open(&self, address: Address) -> Result<(Listeners, Option<io::Error>), Error> {
        let open = || open_all(address, &self.socket);
        let opened = match &self.netns {
            Some(netns) => netns.run(open).map_err(Error::Enter)??,
            None => open()?,
        };
        let (mut udp, mut tcp, mut trouble) = (Vec::new(), Vec::new(), None);
        for Opened { here, datagrams, connections, conntrack } in opened {
            let failed = |source| Error::Listen { port: here.port(), source };
            let socket = Arc::new(UdpSocket::from_std(datagrams).map_err(failed)?);
            let conntrack = conntrack.map_err(|error| trouble = Some(error)).ok();
            udp.push(udp::Listener { socket, here, conntrack });
            tcp.push(capture::Listener::of_redirected(connections).map_err(failed)?);
        }
        Ok((Listeners { handler: Arc::clone(&self.handler), udp, tcp }, trouble))
    }

    fn untold(&self, error: &io::Error) -> String {
        let trouble = format!(
            "whom queries over UDP were for is not known ({error}), so the nameservers of the node are asked; \
             load the kernel module nf_conntrack_netlink"
        );
        if self.status.is_news() {
            tracing::warn!("{trouble}");
        }
        trouble
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Loopback(port) => write!(f, "localhost:{port}"),
            Self::Exactly(address) => address.fmt(f),
        }
    }
}

impl Address {
    /// All addresses it may stand for.
    fn all(self) -> Vec<SocketAddr> {
        match self {
            Self::Exactly(address) => vec![address],
            Self::Loopback(port) => {
                vec![(Ipv4Addr::LOCALHOST, port).into(), (Ipv6Addr::LOCALHOST, port).into()]
            }
        }
    }
}

/// Opens the listeners in the namespace the calling thread is in.
fn open_all(address: Address, socket: &SocketConfig) -> Result<Vec<Opened>, Error> {
    let port = match address {
        Address::Exactly(address) => return Ok(vec![Opened::open(address, socket)?]),
        Address::Loopback(port) => port,
    };
    let mut opened = vec![Opened::open((Ipv4Addr::LOCALHOST, port).into(), socket)?];
    if !socket.ipv6 {
        return Ok(opened);
    }
    match Opened::open((Ipv6Addr::LOCALHOST, port).into(), socket) {
        Ok(more) => opened.push(more),
        Err(Error::Listen { source, .. }) if culvert_sys::udp::is_for_lack_of_ipv6(&source) => {
            tracing::debug!(%source, "no DNS on IPv6 in this pod");
        }
        Err(error) => return Err(error),
    }
    Ok(opened)
}

/// The sockets of one address.
struct Opened {
    here: SocketAddr,
    datagrams: std::net::UdpSocket,
    connections: std::net::TcpListener,
    conntrack: io::Result<Conntrack>,
}

impl Opened {
    /// Opens them in the namespace the calling thread is in.
    fn open(address: SocketAddr, socket: &SocketConfig) -> Result<Self, Error> {
        let failed = |source| Error::Listen { port: address.port(), source };
        let (mark, reuse_port) = (socket.mark, socket.reuse_port);
        let bind = culvert_sys::udp::Bind { address, mark, reuse_port };
        let datagrams = culvert_sys::udp::bind(&bind).map_err(failed)?;
        let listen = Listen { address, mark, reuse_port, transparent: Transparent::Never };
        let (connections, _) = culvert_sys::tcp::listen(&listen).map_err(failed)?;
        Ok(Self { here: address, datagrams, connections, conntrack: Conntrack::open() })
    }
}

impl Listeners {
    /// Serves until the guard drains; what was asked by then is answered.
    pub(crate) async fn serve(self, guard: Guard) {
        let Self { handler, udp, tcp } = self;
        let mut serving = tokio::task::JoinSet::new();
        for listener in udp {
            serving.spawn(listener.serve(Arc::clone(&handler), guard.clone()));
        }
        let turnstile = Arc::clone(&handler.others.limits.turnstile);
        let server = tcp::Server::new(handler);
        for listener in tcp {
            let (server, turnstile, guard) = (server.clone(), Arc::clone(&turnstile), guard.clone());
            let serve = move |captured, guard| server.clone().serve(captured, guard);
            serving.spawn(async move { listener.each(guard, &turnstile, serve).await });
        }
        while let Some(ended) = serving.join_next().await {
            if let Err(error) = ended {
                tracing::error!(%error, "a DNS listener ended unexpectedly");
            }
        }
    }
}

#[cfg(test)]
mod tests;
