//! Settings: environment variables in, one struct per part out. Nobody reads the environment after this.
//!
//! [`VARIABLES`] is the one table of what exists: the README's table is made from it, and a variable that is not in
//! it cannot be read. It does not check that files exist or that peers answer: the part that uses them does.

mod control;
mod proxy_config;
mod value;
mod variables;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use culvert_core::xds;
use culvert_sys::tcp::{Keepalive, Transparent};

pub(crate) use variables::Environment;

use proxy_config::ProxyConfig;

use crate::identity::ca;
use crate::{control_plane, crypto};

/// Everything the environment says, by part. Not shown whole anywhere: it holds secrets.
#[derive(Clone)]
pub(crate) struct Config {
    pub(crate) mode: Mode,
    pub(crate) mesh: MeshConfig,
    /// `None` without a control plane.
    pub(crate) xds: Option<XdsConfig>,
    pub(crate) ca: ca::Config,
    pub(crate) trust: TrustConfig,
    pub(crate) policy: crypto::Policy,
    pub(crate) ports: Ports,
    pub(crate) socket: SocketConfig,
    pub(crate) tunnel: TunnelConfig,
    /// How long connections may go on after the process was asked to stop.
    pub(crate) drain_deadline: Duration,
    pub(crate) worker_threads: usize,
}

/// Where the HTTP servers listen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ports {
    pub(crate) admin: u16,
    pub(crate) stats: u16,
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

impl XdsConfig {
    fn marked(mut self, mark: Option<u32>) -> Self {
        self.server.mark = mark;
        self
    }
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
    pub(crate) tls12: bool,
    /// Whether to describe ourselves in the CONNECT response, and to believe what the peer says of itself.
    pub(crate) baggage: bool,
}

/// A setting that cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("{name}=`{value}`: {reason}")]
    Invalid { name: &'static str, value: String, reason: String },
    #[error("{0}")]
    Contradiction(String),
}

/// The mesh config file the chart mounts.
const MESH_CONFIG: &str = "./etc/istio/config/mesh";

impl Config {
    /// Reads all settings.
    pub(crate) fn read(env: &Environment) -> Result<Self, Error> {
        let mode = read_mode(env)?;
        let shared = matches!(mode, Mode::Shared { .. });
        let proxy = read_proxy_config(env)?;
        let mesh = read_mesh(env)?;
        let socket = read_socket(env, shared)?;
        // A process of a pod's own is subject to the pod's rules; that of a node is not.
        let mark = socket.mark.filter(|_| !shared);
        let xds = control::xds(env, &proxy, mesh.source.is_some())?.map(|xds| xds.marked(mark));
        if xds.is_none() && mesh.source.is_none() {
            let text = "no mesh state: set XDS_ADDRESS to a control plane, or LOCAL_XDS_PATH to a mesh file";
            return Err(Error::Contradiction(text.into()));
        }
        Ok(Self {
            mesh,
            xds,
            ca: control::authority(env, &proxy, shared)?.marked(mark),
            trust: read_trust(env),
            policy: read_policy(env)?,
            ports: Ports {
                admin: proxy.admin_port.unwrap_or(15000),
                stats: proxy.stats_port.unwrap_or(15020),
            },
            socket,
            tunnel: read_tunnel(env)?,
            drain_deadline: read_drain_deadline(env)?,
            worker_threads: value::worker_threads(env, proxy.concurrency)?,
            mode,
        })
    }
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
        (Some(_), Some(_)) => {
            return Err(Error::Contradiction(
                "LOCAL_XDS_PATH and LOCAL_XDS are both set; keep one of them".into(),
            ));
        }
        (None, None) => None,
    };
    let node_name = env.optional("NODE_NAME").filter(|name| !name.is_empty());
    Ok(MeshConfig { source, network: env.text("NETWORK"), node_name })
}

fn read_proxy_config(env: &Environment) -> Result<ProxyConfig, Error> {
    let file = match std::fs::read_to_string(MESH_CONFIG) {
        Ok(text) => Some(text),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => return Err(Error::Contradiction(format!("cannot read {MESH_CONFIG}: {error}"))),
    };
    let inline = env.optional("PROXY_CONFIG").filter(|text| !text.is_empty());
    let of_file = proxy_config::read(file.as_deref(), None);
    of_file.map_err(|reason| Error::Contradiction(format!("{MESH_CONFIG}: {reason}")))?;
    proxy_config::read(file.as_deref(), inline.as_deref())
        .map_err(|reason| env.invalid("PROXY_CONFIG", &reason))
}

fn read_trust(env: &Environment) -> TrustConfig {
    let aliases = env.text("CULVERT_TRUST_DOMAIN_ALIASES");
    let aliases = aliases.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned);
    let revoked = env.optional("CRL_PATH").filter(|path| !path.is_empty());
    TrustConfig { aliases: aliases.collect(), revoked: revoked.map(PathBuf::from) }
}

fn read_policy(env: &Environment) -> Result<crypto::Policy, Error> {
    match env.text("COMPLIANCE_POLICY").as_str() {
        "" => Ok(crypto::Policy::Default),
        "pqc" => Ok(crypto::Policy::PostQuantum),
        _ => Err(env.invalid("COMPLIANCE_POLICY", "use `pqc`, or leave it out")),
    }
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
    })
}

fn read_tunnel(env: &Environment) -> Result<TunnelConfig, Error> {
    Ok(TunnelConfig {
        stream_window: env.parse("HTTP2_STREAM_WINDOW_SIZE", value::window)?,
        connection_window: env.parse("HTTP2_CONNECTION_WINDOW_SIZE", value::window)?,
        frame_size: env.parse("HTTP2_FRAME_SIZE", value::frame_size)?,
        streams: usize::from(env.parse("POOL_MAX_STREAMS_PER_CONNECTION", value::number::<u16>)?.max(1)),
        idle: env.parse("POOL_UNUSED_RELEASE_TIMEOUT", value::duration)?,
        tls12: env.optional("TLS12_ENABLED").as_deref() == Some("true"),
        baggage: env.parse("ENABLE_RESPONSE_BAGGAGE", value::boolean)?,
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
mod tests {
    use super::*;

    fn read(set: &[(&str, &str)]) -> Result<Config, String> {
        let base = [("LOCAL_XDS_PATH", "mesh.yaml"), ("CA_ADDRESS", "ca:15012")];
        let env = Environment::of(base.iter().chain(set).copied());
        Config::read(&env).map_err(|error| error.to_string())
    }

    #[test]
    fn nothing_set_gives_the_documented_defaults() {
        let config = read(&[]).unwrap();
        assert!(config.xds.is_none());
        assert_eq!((config.ports.admin, config.ports.stats), (15000, 15020));
        assert!(matches!(config.mode, Mode::Shared { ref agent } if agent.ends_with("ztunnel.sock")));
        assert_eq!(config.socket.mark, Some(1337));
        assert_eq!(config.tunnel.streams, 100);
        assert_eq!(config.drain_deadline, Duration::from_secs(5));
        assert_eq!(config.ca.ttl, Duration::from_secs(86_400));
    }

    #[test]
    fn dedicated_mode_marks_nothing_by_itself() {
        let set = [("PROXY_MODE", "dedicated"), ("PROXY_WORKLOAD_INFO", "ns/pod/sa")];
        assert_eq!(read(&set).unwrap().socket.mark, None);
    }

    #[test]
    fn a_bad_value_is_named_with_its_reason() {
        for (name, value, part) in [
            ("PROXY_MODE", "both", "use `shared` or `dedicated`"),
            ("PACKET_MARK", "x", "not a whole number"),
            ("IPV6_ENABLED", "yes", "use `true` or `false`"),
            ("SECRET_TTL", "1 parsec", "not a duration"),
            ("HTTP2_FRAME_SIZE", "1", "between 16384"),
            ("LOCAL_XDS", "{}", "both set"),
            ("KEEPALIVE_TIME", "500ms", "between 1s and 32767s"),
            ("KEEPALIVE_INTERVAL", "0", "between 1s and 32767s"),
            ("KEEPALIVE_RETRIES", "128", "between 1 and 127"),
            ("CA_ADDRESS", "", "name the certificate authority"),
            ("XDS_ADDRESS", "http://istiod:15010", "https"),
            ("COMPLIANCE_POLICY", "fips", "use `pqc`"),
            ("XDS_ON_DEMAND", "yes", "use `true` or `false`"),
            ("PROXY_CONFIG", "statsPort: x", "statsPort"),
            ("ZTUNNEL_WORKER_THREADS", "0%", "percentage"),
        ] {
            let error = read(&[(name, value)]).err().expect(name);
            assert!(error.contains(name) && error.contains(part), "{error}");
        }
    }

    #[test]
    fn the_grace_period_leaves_a_margin_and_never_underflows() {
        for (grace, seconds) in [("0", 1), ("1", 1), ("5", 4), ("10", 9), ("11", 6), ("30", 25), ("60", 55)] {
            let config = read(&[("TERMINATION_GRACE_PERIOD_SECONDS", grace)]).unwrap();
            assert_eq!(config.drain_deadline, Duration::from_secs(seconds), "{grace}");
        }
    }

    #[test]
    fn extra_headers_are_collected() {
        let config = read(&[("CA_HEADER_X_Team", "blue")]).unwrap();
        assert_eq!(config.ca.server.headers, [("x_team".to_owned(), "blue".to_owned())]);
    }

    #[test]
    fn the_readme_lists_every_variable() {
        let readme = include_str!("../../README.md");
        let table = variables::table();
        assert!(readme.contains(&table), "put this table into README.md:\n{table}");
    }
}
