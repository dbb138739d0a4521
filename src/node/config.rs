//! Settings: environment variables in, one struct per part out. Nobody reads the environment after this.
//!
//! [`VARIABLES`] is the one table of what exists: the README's table is made from it, and a variable that is not in
//! it cannot be read. It does not check that files exist or that peers answer: the part that uses them does.

mod control;
mod dns;
mod issuer;
mod proxy_config;
mod shown;
mod telemetry;
mod value;
mod variables;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use culvert_core::xds;
use culvert_metrics::Settings;
use culvert_sys::tcp::{Keepalive, Transparent};

pub(crate) use variables::Environment;

use crate::admission::Telling;
use crate::dns::Config as DnsConfig;
use crate::identity::{ca, spire};
use crate::outcome::sampling::Sampling;
use crate::outcome::{Labels, access};
use crate::proxy::PodInfo;
use crate::stream::quiet::Limits;
use crate::{admin, control_plane, crypto, limits, stats};

/// Everything the environment says, by part. Not shown whole anywhere: it holds secrets.
#[derive(Clone)]
pub(crate) struct Config {
    pub(crate) mode: Mode,
    pub(crate) mesh: MeshConfig,
    /// `None` without a control plane.
    pub(crate) xds: Option<XdsConfig>,
    pub(crate) issuer: IssuerConfig,
    pub(crate) trust: TrustConfig,
    pub(crate) policy: crypto::Policy,
    pub(crate) admin: admin::Config,
    pub(crate) socket: SocketConfig,
    pub(crate) tunnel: TunnelConfig,
    pub(crate) dns: DnsConfig,
    pub(crate) limits: limits::Config,
    pub(crate) telling: Telling,
    pub(crate) stats: stats::Config,
    pub(crate) access: access::Config,
    /// `None` when there is no collector.
    pub(crate) telemetry: Option<crate::telemetry::Config>,
    /// Whether pods' applications can ask for connections by SOCKS.
    pub(crate) socks: bool,
    /// For how long nothing may move on a connection.
    pub(crate) quiet: Limits,
    /// The pod this process runs in, if that is known and others are served besides.
    pub(crate) own_pod: Option<PodInfo>,
    /// How long connections may go on after the process was asked to stop.
    pub(crate) drain_deadline: Duration,
    pub(crate) worker_threads: usize,
}

/// Whom this process serves.
#[derive(Debug, Clone)]
pub(crate) enum Mode {
    /// All pods the node agent announces on this socket.
    Shared { agent: PathBuf },
    /// The one workload whose network namespace the process was started in.
    Dedicated { namespace: String, name: String, service_account: String },
}

/// Where the mesh state comes from besides the control plane, and where this node is.
#[derive(Debug, Clone)]
pub(crate) struct MeshConfig {
    pub(crate) source: Option<MeshSource>,
    /// The network this node is in.
    pub(crate) network: String,
    /// The Kubernetes node; without it all workloads count as local.
    pub(crate) node_name: Option<String>,
}

/// A file that is followed, or a text that stays.
#[derive(Debug, Clone)]
pub(crate) enum MeshSource {
    File(PathBuf),
    Inline(String),
}

/// How to take the mesh state from a control plane.
#[derive(Debug, Clone)]
pub(crate) struct XdsConfig {
    pub(crate) server: control_plane::Config,
    pub(crate) mode: xds::Mode,
    pub(crate) node: NodeConfig,
}

/// Who issues the certificates.
#[derive(Debug, Clone)]
pub(crate) enum IssuerConfig {
    Authority(ca::Config),
    Spire(spire::Config),
}

/// What the control plane is told of this process.
#[derive(Debug, Clone)]
pub(crate) struct NodeConfig {
    pub(crate) pod_name: String,
    pub(crate) pod_namespace: String,
    pub(crate) instance_ip: String,
    pub(crate) node_name: String,
    pub(crate) cluster_domain: String,
    pub(crate) metadata: BTreeMap<String, serde_json::Value>,
}

/// What certificates are accepted beyond the usual.
#[derive(Debug, Clone, Default)]
pub(crate) struct TrustConfig {
    /// Other trust domains that count as our own.
    pub(crate) aliases: Vec<String>,
    /// The revocation lists.
    pub(crate) revoked: Option<PathBuf>,
}

/// Options of the sockets made in pods.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SocketConfig {
    pub(crate) mark: Option<u32>,
    pub(crate) transparent: Transparent,
    pub(crate) reuse_port: bool,
    pub(crate) ipv6: bool,
    pub(crate) keepalive: Option<Keepalive>,
    pub(crate) user_timeout: Option<Duration>,
    /// How often a connection is probed of which one direction has ended; never when there is none.
    pub(crate) half_closed_probe: Option<Duration>,
}

/// Limits of the tunnels.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TunnelConfig {
    pub(crate) stream_window: u32,
    pub(crate) connection_window: u32,
    pub(crate) frame_size: u32,
    /// Streams a tunnel carries before another is opened.
    pub(crate) streams: usize,
    /// How long a tunnel without streams is kept.
    pub(crate) idle: Duration,
    /// As in [`SocketConfig`], for the applications' connections.
    pub(crate) half_closed_probe: Option<Duration>,
    /// Whether to describe ourselves in the CONNECT response, and to believe what the peer says of itself.
    pub(crate) baggage: bool,
    /// Whether workloads that want a PROXY protocol header get their connections on the loopback address.
    pub(crate) announce_on_loopback: bool,
}

/// A setting that cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("{name}=`{value}`: {reason}")]
    Invalid { name: &'static str, value: String, reason: String },
    /// Of a value that must not be shown.
    #[error("{name}: {reason}")]
    Hidden { name: &'static str, reason: String },
    #[error("{name}: the value is not UTF-8 text")]
    NotText { name: String },
    #[error("LOCAL_XDS_PATH and LOCAL_XDS are both set; keep one of them")]
    TwoMeshSources,
    #[error("no mesh state: set XDS_ADDRESS to a control plane, or LOCAL_XDS_PATH to a mesh file")]
    NoMeshSource,
    #[error("the mesh config file {} cannot be read", path.display())]
    MeshConfig { path: PathBuf, source: io::Error },
    #[error("{origin} is not a proxy configuration: {reason}")]
    ProxyConfig { origin: String, reason: String },
    #[error(transparent)]
    ControlPlane(#[from] control_plane::Invalid),
}

/// The mesh config file the chart mounts.
const MESH_CONFIG: &str = "./etc/istio/config/mesh";

impl Config {
    /// Reads all settings.
    pub(crate) fn read(env: &Environment) -> Result<Self, Error> {
        env.check()?;
        let mode = read_mode(env)?;
        let shared = matches!(mode, Mode::Shared { .. });
        let proxy = proxy_config::read(Path::new(MESH_CONFIG), env.optional("PROXY_CONFIG").as_deref())?;
        let mesh = read_mesh(env)?;
        let socket = read_socket(env, shared)?;
        // A process of a pod's own is subject to the pod's rules; that of a node is not.
        let mark = socket.mark.filter(|_| !shared);
        let said = control::Said { env, proxy: &proxy, mark };
        let xds = said.xds(mesh.source.is_some())?;
        if xds.is_none() && mesh.source.is_none() {
            return Err(Error::NoMeshSource);
        }
        Ok(Self {
            mesh,
            xds,
            issuer: said.issuer(shared)?,
            trust: read_trust(env),
            policy: read_policy(env)?,
            admin: admin::Config {
                admin: proxy.admin_port.unwrap_or(15000),
                stats: proxy.stats_port.unwrap_or(15020),
                socket: env.filled("CULVERT_ADMIN_SOCKET").map(PathBuf::from),
            },
            socket,
            tunnel: read_tunnel(env)?,
            dns: dns::read(env, &proxy, !shared)?,
            limits: read_limits(env)?,
            telling: read_telling(env),
            stats: read_stats(env)?,
            access: read_access(env)?,
            telemetry: telemetry::read(env, mark)?,
            socks: env.parse("UNSTABLE_ENABLE_SOCKS5", value::boolean)?,
            quiet: read_quiet(env)?,
            own_pod: if shared { read_own_pod(env) } else { None },
            drain_deadline: read_drain_deadline(env)?,
            worker_threads: value::worker_threads(env, proxy.concurrency)?,
            mode,
        })
    }
}

/// All three are needed to know who it is.
fn read_own_pod(env: &Environment) -> Option<PodInfo> {
    Some(PodInfo {
        name: env.filled("POD_NAME")?,
        namespace: env.filled("POD_NAMESPACE")?,
        service_account: env.filled("SERVICE_ACCOUNT")?,
    })
}

fn read_mode(env: &Environment) -> Result<Mode, Error> {
    match env.text("PROXY_MODE").as_str() {
        "shared" => Ok(Mode::Shared { agent: env.text("INPOD_UDS").into() }),
        "dedicated" => read_dedicated(env),
        _ => Err(env.invalid("PROXY_MODE", "use `shared` or `dedicated`")),
    }
}

fn read_dedicated(env: &Environment) -> Result<Mode, Error> {
    let text = env.text("PROXY_WORKLOAD_INFO");
    let parts: Vec<&str> = text.split('/').collect();
    let [namespace, name, service_account] = parts[..] else {
        return Err(env.invalid(
            "PROXY_WORKLOAD_INFO",
            "PROXY_MODE=dedicated needs it as `namespace/name/service-account`",
        ));
    };
    Ok(Mode::Dedicated {
        namespace: namespace.into(),
        name: name.into(),
        service_account: service_account.into(),
    })
}

fn read_mesh(env: &Environment) -> Result<MeshConfig, Error> {
    let source = match (env.optional("LOCAL_XDS_PATH"), env.optional("LOCAL_XDS")) {
        (Some(path), None) => Some(MeshSource::File(path.into())),
        (None, Some(text)) => Some(MeshSource::Inline(text)),
        (Some(_), Some(_)) => return Err(Error::TwoMeshSources),
        (None, None) => None,
    };
    Ok(MeshConfig { source, network: env.text("NETWORK"), node_name: env.filled("NODE_NAME") })
}

fn read_trust(env: &Environment) -> TrustConfig {
    let aliases = env.text("CULVERT_TRUST_DOMAIN_ALIASES");
    let aliases = aliases.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned);
    TrustConfig { aliases: aliases.collect(), revoked: env.filled("CRL_PATH").map(PathBuf::from) }
}

fn read_policy(env: &Environment) -> Result<crypto::Policy, Error> {
    match env.text("COMPLIANCE_POLICY").as_str() {
        "" => Ok(crypto::Policy::Default),
        "pqc" => Ok(crypto::Policy::PostQuantum),
        _ => Err(env.invalid("COMPLIANCE_POLICY", "use `pqc`, or leave it out")),
    }
}

fn read_limits(env: &Environment) -> Result<limits::Config, Error> {
    let set = |name, parse: fn(&str) -> Result<u64, String>| {
        env.filled(name).map(|_| env.parse(name, parse)).transpose()
    };
    let tunnel = read_tunnel(env)?;
    Ok(limits::Config {
        most_connections: set("CULVERT_MOST_CONNECTIONS_PER_POD", value::at_least_one)?,
        most_bytes: set("CULVERT_MOST_BUFFERED_BYTES", value::buffered)?,
        of_stream: tunnel.stream_window.into(),
        of_tunnel: tunnel.connection_window.into(),
        quiet: read_quiet(env)?,
    })
}

fn read_telling(env: &Environment) -> Telling {
    if env.text("AUTHZ_POLICY_INFO_LOGGING") == "true" { Telling::Info } else { Telling::Debug }
}

fn read_stats(env: &Environment) -> Result<stats::Config, Error> {
    let idle = env.parse("CULVERT_METRICS_IDLE", value::duration)?;
    let settings = Settings {
        most_series: env.parse("CULVERT_METRICS_MOST_SERIES", value::most_series)?,
        idle: Some(idle).filter(|idle| !idle.is_zero()),
        ..Settings::default()
    };
    let labels = env.parse("CULVERT_METRICS_LABELS", Labels::parse)?;
    Ok(stats::Config { settings, labels, version: env.filled_or_default("ISTIO_META_ISTIO_VERSION").into() })
}

fn read_access(env: &Environment) -> Result<access::Config, Error> {
    Ok(access::Config {
        sampling: env.parse("CULVERT_ACCESS_LOG_SAMPLING", Sampling::parse)?,
        interval: env.parse("CULVERT_ACCESS_LOG_INTERVAL", value::interval)?,
    })
}

fn read_socket(env: &Environment, shared: bool) -> Result<SocketConfig, Error> {
    let mark = match env.optional("PACKET_MARK") {
        Some(_) => Some(env.parse("PACKET_MARK", value::number::<u32>)?),
        None => shared.then_some(1337),
    };
    let transparent = match env.optional("ENABLE_ORIG_SRC") {
        None => Transparent::Try,
        Some(_) if env.parse("ENABLE_ORIG_SRC", value::boolean)? => Transparent::Require,
        Some(_) => Transparent::Never,
    };
    let keepalive = Keepalive {
        time: env.parse("KEEPALIVE_TIME", value::keepalive_time)?,
        interval: env.parse("KEEPALIVE_INTERVAL", value::keepalive_time)?,
        retries: env.parse("KEEPALIVE_RETRIES", value::keepalive_retries)?,
    };
    let dead_after = keepalive.time + keepalive.interval * keepalive.retries;
    Ok(SocketConfig {
        mark: mark.filter(|mark| *mark != 0),
        transparent,
        reuse_port: env.parse("INPOD_PORT_REUSE", value::boolean)?,
        ipv6: env.parse("IPV6_ENABLED", value::boolean)?,
        keepalive: env.parse("KEEPALIVE_ENABLED", value::boolean)?.then_some(keepalive),
        user_timeout: env.parse("USER_TIMEOUT_ENABLED", value::boolean)?.then_some(dead_after),
        half_closed_probe: env.parse("CULVERT_HALF_CLOSED_PROBE", value::probe)?,
    })
}

fn read_quiet(env: &Environment) -> Result<Limits, Error> {
    Ok(Limits {
        half_closed: env.parse("CULVERT_HALF_CLOSED_IDLE", value::interval)?,
        open: env.parse("CULVERT_IDLE_TIMEOUT", value::interval)?,
    })
}

fn read_tunnel(env: &Environment) -> Result<TunnelConfig, Error> {
    Ok(TunnelConfig {
        stream_window: env.parse("HTTP2_STREAM_WINDOW_SIZE", value::window)?,
        connection_window: env.parse("HTTP2_CONNECTION_WINDOW_SIZE", value::window)?,
        frame_size: env.parse("HTTP2_FRAME_SIZE", value::frame_size)?,
        streams: usize::from(env.parse("POOL_MAX_STREAMS_PER_CONNECTION", value::number::<u16>)?.max(1)),
        idle: env.parse("POOL_UNUSED_RELEASE_TIMEOUT", value::duration)?,
        half_closed_probe: env.parse("CULVERT_HALF_CLOSED_PROBE", value::probe)?,
        baggage: env.parse("ENABLE_RESPONSE_BAGGAGE", value::boolean)?,
        announce_on_loopback: env.parse("LOCALHOST_APP_TUNNEL", value::boolean)?,
    })
}

/// An explicit deadline, else a little less than Kubernetes grants, else 5 s.
fn read_drain_deadline(env: &Environment) -> Result<Duration, Error> {
    if env.optional("CONNECTION_TERMINATION_DEADLINE").is_some() {
        return env.parse("CONNECTION_TERMINATION_DEADLINE", value::duration);
    }
    if env.optional("TERMINATION_GRACE_PERIOD_SECONDS").is_none() {
        return Ok(Duration::from_secs(5));
    }
    let grace = env.parse("TERMINATION_GRACE_PERIOD_SECONDS", value::number::<u64>)?;
    let margin = if grace > 10 { 5 } else { 1 };
    Ok(Duration::from_secs(grace.saturating_sub(margin).max(1)))
}

#[cfg(test)]
mod tests;
