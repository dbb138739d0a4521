//! The table of environment variables, and the one way to read them.
//!
//! A name that ends in `*` stands for all variables that start with what is before it.

use std::collections::BTreeMap;
use std::ffi::OsString;

use super::Error;

/// One environment variable.
#[derive(Debug)]
struct Variable {
    name: &'static str,
    /// The text used when it is unset; empty when there is no default.
    default: &'static str,
    #[cfg_attr(not(test), expect(dead_code, reason = "read by the README's table"))]
    doc: &'static str,
}

impl Variable {
    fn covers(&self, name: &str) -> bool {
        self.name == name || self.name.strip_suffix('*').is_some_and(|prefix| name.starts_with(prefix))
    }
}

const fn row(name: &'static str, default: &'static str, doc: &'static str) -> Variable {
    Variable { name, default, doc }
}

/// Every variable there is, in the order of the README.
const VARIABLES: &[Variable] = &[
    row(
        "PROXY_MODE",
        "shared",
        "`shared`: serve all pods the agent announces; `dedicated`: serve one workload in the current network namespace",
    ),
    row("PROXY_WORKLOAD_INFO", "", "dedicated mode: `namespace/name/service-account` of the workload"),
    row("INPOD_UDS", "/var/run/ztunnel/ztunnel.sock", "socket of the node agent"),
    row(
        "XDS_ADDRESS",
        "",
        "control plane to take the mesh state from (delta xDS), `host:port` or URL; empty: none; unset: `discoveryAddress` of the proxy configuration, else istiod in Kubernetes, else none if there is a mesh state file, else `https://localhost:15012`",
    ),
    row(
        "XDS_ROOT_CA",
        "./var/run/secrets/istio/root-cert.pem",
        "roots the control plane's certificate must chain to: file, `SYSTEM`, or PEM text",
    ),
    row("ALT_XDS_HOSTNAME", "", "a second server name to accept from the control plane"),
    row(
        "XDS_HEADER_*",
        "",
        "a header to send with each request to the control plane; its name is what follows",
    ),
    row(
        "XDS_ON_DEMAND",
        "false",
        "`true`: take workloads and services when a connection or a DNS query first needs them, not all at once",
    ),
    row("LOCAL_XDS_PATH", "", "mesh state file (YAML), followed for changes; beside or in place of xDS"),
    row("LOCAL_XDS", "", "mesh state as text, in place of a file"),
    row("NETWORK", "", "network this node is in"),
    row("NODE_NAME", "", "Kubernetes node this is; unset: every workload counts as one of this node"),
    row("POD_NAME", "", "pod this process is, told to the control plane"),
    row("POD_NAMESPACE", "", "namespace of that pod"),
    row(
        "SERVICE_ACCOUNT",
        "",
        "service account of that pod; with both names set, its metrics can be had through tunnels, too, as the policies for it say",
    ),
    row("INSTANCE_IP", "1.1.1.1", "address of that pod"),
    row("CLUSTER_DOMAIN", "cluster.local", "DNS domain of the cluster"),
    row(
        "ISTIO_META_DNS_CAPTURE",
        "true",
        "`true`: answer the DNS queries of pods; also in `proxyMetadata` of the proxy configuration",
    ),
    row(
        "ISTIO_META_DNS_PROXY_ADDR",
        "localhost:15053",
        "where in a pod: `localhost:PORT` (both families), or an address and a port; also in `proxyMetadata`",
    ),
    row(
        "PREFERED_SERVICE_NAMESPACE",
        "",
        "namespace whose service is meant by a name that is in several, when the client's own has none",
    ),
    row(
        "KUBERNETES_SERVICE_HOST",
        "",
        "set by Kubernetes: the control plane is istiod unless something else is said",
    ),
    row(
        "ISTIO_META_*",
        "",
        "metadata of this node for the control plane, over `proxyMetadata` of the proxy configuration",
    ),
    row("ISTIO_METAJSON_*", "", "the same, as JSON; left out with an error in the log when it is none"),
    row(
        "CULVERT_ISSUER",
        "ca",
        "who issues certificates: `ca`, the certificate authority; `spire-delegated`, SPIRE's agent to the proxy of a node; `spire-workload`, SPIRE's agent (or another SPIFFE one) to a dedicated proxy; see [docs/issuers.md](docs/issuers.md)",
    ),
    row("SPIRE_ADMIN_ENDPOINT_SOCKET", "", "`spire-delegated`: the agent's admin socket, `unix:///path`"),
    row("SPIFFE_ENDPOINT_SOCKET", "", "`spire-workload`: the agent's socket, `unix:///path`"),
    row(
        "CA_ADDRESS",
        "",
        "certificate authority, `host:port` or URL; unset: like `XDS_ADDRESS`, but never none",
    ),
    row(
        "CA_ROOT_CA",
        "./var/run/secrets/istio/root-cert.pem",
        "roots the authority's server certificate must chain to: file, `SYSTEM`, or PEM text",
    ),
    row("ALT_CA_HOSTNAME", "", "a second server name to accept from the authority"),
    row("CA_HEADER_*", "", "a header to send with each request to the authority; its name is what follows"),
    row(
        "AUTH_TOKEN",
        "",
        "bearer token for control plane and authority: file (read anew for each request) or text; unset: `./var/run/secrets/tokens/istio-token` if it exists",
    ),
    row(
        "ISTIO_META_CLUSTER_ID",
        "",
        "cluster id sent to control plane and authority; wins over `CLUSTER_ID`",
    ),
    row("CLUSTER_ID", "Kubernetes", "cluster id sent to control plane and authority"),
    row(
        "CULVERT_TRUST_DOMAIN_ALIASES",
        "",
        "other trust domains whose identities count as those of our own, separated by commas",
    ),
    row(
        "CRL_PATH",
        "",
        "revocation lists (PEM or DER), followed for changes, enforced on new and live connections",
    ),
    row(
        "COMPLIANCE_POLICY",
        "",
        "`pqc`: X25519MLKEM768 is the only key exchange; else it is the first offered",
    ),
    row("PROXY_CONFIG", "", "Istio's `ProxyConfig` as YAML, over `./etc/istio/config/mesh`"),
    row("SECRET_TTL", "24h", "lifetime to ask for in certificates"),
    row("TLS12_ENABLED", "", "`true` allows TLS 1.2 beside 1.3 in tunnels"),
    row(
        "PACKET_MARK",
        "",
        "mark of every socket made in a pod; unset: 1337 in shared mode, none in dedicated; 0: none",
    ),
    row(
        "ENABLE_ORIG_SRC",
        "",
        "keep the client's address towards the workload: `true` must, `false` never; unset: when the kernel allows it",
    ),
    row(
        "INPOD_PORT_REUSE",
        "true",
        "SO_REUSEPORT on listeners in pods, so that the next process can bind while this one drains",
    ),
    row("IPV6_ENABLED", "true", "listen on IPv6 as well"),
    row("KEEPALIVE_ENABLED", "true", "TCP keepalive"),
    row("KEEPALIVE_TIME", "180s", "idle time before the first keepalive probe"),
    row("KEEPALIVE_INTERVAL", "180s", "time between keepalive probes"),
    row("KEEPALIVE_RETRIES", "9", "keepalive probes before a connection is given up"),
    row("USER_TIMEOUT_ENABLED", "false", "TCP_USER_TIMEOUT of time + interval × retries"),
    row(
        "CULVERT_HALF_CLOSED_IDLE",
        "1h",
        "how long nothing may move on a connection of which one direction has ended, before it is reset; 0: for ever",
    ),
    row(
        "CULVERT_IDLE_TIMEOUT",
        "0",
        "how long nothing may move on any connection, before it is reset; 0: for ever",
    ),
    row(
        "CULVERT_HALF_CLOSED_PROBE",
        "20s",
        "how often a connection of which one direction has ended is probed while nothing moves, so that the kernel does not forget where it leads; 0: as any other",
    ),
    row(
        "HTTP2_STREAM_WINDOW_SIZE",
        "4194304",
        "what the receive window of a tunnelled connection grows to while its reader keeps up, bytes",
    ),
    row(
        "HTTP2_CONNECTION_WINDOW_SIZE",
        "16777216",
        "receive window of a tunnel: what is held of all its connections together at most, bytes",
    ),
    row("HTTP2_FRAME_SIZE", "1048576", "largest HTTP/2 frame to accept, bytes"),
    row(
        "POOL_MAX_STREAMS_PER_CONNECTION",
        "100",
        "connections a tunnel carries before another tunnel is opened",
    ),
    row("POOL_UNUSED_RELEASE_TIMEOUT", "5m", "how long a tunnel without connections is kept"),
    row(
        "ENABLE_RESPONSE_BAGGAGE",
        "true",
        "describe the destination in the CONNECT response, and read the peer's description of itself",
    ),
    row(
        "LOCALHOST_APP_TUNNEL",
        "true",
        "connect to application tunnels with PROXY protocol on the loopback address",
    ),
    row(
        "UNSTABLE_ENABLE_SOCKS5",
        "false",
        "`true`: pods' applications can ask for connections by SOCKS5, on port 15080 of their loopback addresses",
    ),
    row(
        "CONNECTION_TERMINATION_DEADLINE",
        "",
        "how long connections may go on after the process was asked to stop; unset: see the next row, else 5 s",
    ),
    row("TERMINATION_GRACE_PERIOD_SECONDS", "", "the pod's grace period; the deadline is a little less"),
    row(
        "ZTUNNEL_WORKER_THREADS",
        "",
        "data plane threads: a number, `0` for all CPUs, or a percentage; unset: a quarter of the CPUs, at least 2",
    ),
    row("ZTUNNEL_CPU_LIMIT", "", "CPUs to count percentages of"),
    row("ZTUNNEL_RESOURCE_CPU_LIMIT", "", "CPU limit as a Kubernetes quantity; sets the number of threads"),
    row(
        "ZTUNNEL_RESOURCE_CPU_REQUEST",
        "",
        "CPU request as a Kubernetes quantity; the least number of threads",
    ),
    row(
        "AUTHZ_POLICY_INFO_LOGGING",
        "",
        "`true`: log each policy decision, dry runs included, at level info; else at level debug",
    ),
    row(
        "CULVERT_ADMIN_SOCKET",
        "",
        "Unix socket to serve the admin port's answers on as well, to root alone",
    ),
    row(
        "CULVERT_METRICS_LABELS",
        "full",
        "what metrics tell of the ends of connections: `full`; `service`: workloads and revisions are `unknown`, places left out; `minimal`: namespaces, services, flags and policy alone",
    ),
    row(
        "CULVERT_METRICS_IDLE",
        "15m",
        "how long a series of metrics is shown that does not change and that no open connection counts in; 0: for ever",
    ),
    row(
        "CULVERT_MOST_CONNECTIONS_PER_POD",
        "",
        "connections a pod may have, those it makes and those others make to it; one more is reset; unset: as its share of the descriptors allows ([docs/limits.md](docs/limits.md#shares))",
    ),
    row(
        "CULVERT_MOST_BUFFERED_BYTES",
        "",
        "memory for what applications do not take from their tunnels; a connection whose bytes have no place is reset at both ends; unset: a quarter of what the process may have, at least 67108864, at most 1073741824 ([docs/limits.md](docs/limits.md#bytes-nobody-takes))",
    ),
    row(
        "CULVERT_METRICS_MOST_SERIES",
        "10000",
        "series of a family of metrics; what is beyond is counted in one that is labelled `overflow`",
    ),
    row(
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        "",
        "URL of a collector of OpenTelemetry, `http://` or `https://`; unset: nothing is sent",
    ),
    row("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf", "`grpc` or `http/protobuf`"),
    row(
        "OTEL_EXPORTER_OTLP_HEADERS",
        "",
        "headers to send with each request, `KEY=VALUE` separated by commas; shown nowhere",
    ),
    row("OTEL_EXPORTER_OTLP_TIMEOUT", "10000", "how long a request may take, milliseconds"),
    row(
        "OTEL_EXPORTER_OTLP_CERTIFICATE",
        "",
        "roots the collector's certificate must chain to (PEM file); unset: the system's",
    ),
    row("OTEL_SERVICE_NAME", "culvert-node", "`service.name` of what is sent"),
    row(
        "OTEL_RESOURCE_ATTRIBUTES",
        "",
        "more attributes of this process, `KEY=VALUE` separated by commas, over what is known by itself",
    ),
    row("OTEL_TRACES_EXPORTER", "otlp", "spans: `otlp` or `none`"),
    row("OTEL_LOGS_EXPORTER", "otlp", "log records: `otlp` or `none`"),
    row(
        "OTEL_TRACES_SAMPLER",
        "parentbased_always_on",
        "which traces are kept: `always_on`, `always_off` or `traceidratio`; after `parentbased_` those that begin here, and of others what the caller keeps",
    ),
    row("OTEL_TRACES_SAMPLER_ARG", "1", "the share `traceidratio` keeps, from 0 to 1"),
    row("OTEL_BSP_MAX_QUEUE_SIZE", "2048", "spans that may wait to be sent; those beyond are dropped"),
    row("OTEL_BLRP_MAX_QUEUE_SIZE", "2048", "log records that may wait to be sent; those beyond are dropped"),
    row("ISTIO_META_ISTIO_VERSION", "unknown", "version of Istio that `istio_build` shows"),
    row(
        "CULVERT_ACCESS_LOG_SAMPLING",
        "1",
        "share of the connections that ended well to log: `0.1`, or `PATTERN=SHARE` for the SPIFFE id of either end, the first match counts: `spiffe://cluster.local/ns/batch/*=0.01,1`; both ends of a tunnel keep the same ones, and failures are always logged",
    ),
    row(
        "CULVERT_ACCESS_LOG_INTERVAL",
        "0",
        "log each open connection again after this long, and so on; `0`: only at its end",
    ),
    row(
        "RUST_LOG",
        "info",
        "log filter: `LEVEL` and `TARGET=LEVEL`, separated by commas; `POST /logging` on the admin port changes it while the node runs",
    ),
    row("LOG_FORMAT", "plain", "`plain` or `json`"),
    row(
        "CULVERT_SECCOMP",
        "enforce",
        "system calls this program has no use for: `enforce`: refused; `log`: made, and written to the kernel's log; `off`",
    ),
    row("CULVERT_LANDLOCK", "enforce", "files this program has no use for: `enforce`: refused; `off`"),
];

/// The README's table.
#[cfg(test)]
pub(super) fn table() -> String {
    let rows = VARIABLES.iter().map(|Variable { name, default, doc }| {
        let default = if default.is_empty() { "–".to_owned() } else { format!("`{default}`") };
        format!("| `{name}` | {default} | {doc} |\n")
    });
    format!("| variable | default | meaning |\n|---|---|---|\n{}", rows.collect::<String>())
}

/// A copy of the environment. Shown nowhere: it holds secrets.
#[derive(Default)]
pub(crate) struct Environment {
    values: BTreeMap<String, String>,
    /// Variables of the table whose values are not text.
    unreadable: Vec<String>,
}

impl Environment {
    /// Copies the process's environment.
    pub(crate) fn of_process() -> Self {
        Self::of_texts(std::env::vars_os())
    }

    #[cfg(test)]
    pub(crate) fn of<'a>(vars: impl Iterator<Item = (&'a str, &'a str)>) -> Self {
        Self::of_texts(vars.map(|(name, value)| (name.into(), value.into())))
    }

    fn of_texts(vars: impl Iterator<Item = (OsString, OsString)>) -> Self {
        let mut env = Self::default();
        for (name, value) in vars {
            // Variables with other names are none of ours.
            let Ok(name) = name.into_string() else { continue };
            match value.into_string() {
                Ok(value) => drop(env.values.insert(name, value)),
                Err(_) if VARIABLES.iter().any(|variable| variable.covers(&name)) => {
                    env.unreadable.push(name)
                }
                Err(_) => {}
            }
        }
        env
    }

    /// Fails when a setting is not even text: to go on without it could be to go on without protection.
    pub(super) fn check(&self) -> Result<(), Error> {
        match self.unreadable.first() {
            Some(name) => Err(Error::NotText { name: name.clone() }),
            None => Ok(()),
        }
    }

    /// The value or the default.
    pub(super) fn text(&self, name: &'static str) -> String {
        self.optional(name).unwrap_or_else(|| variable(name).default.to_owned())
    }

    /// The value, if set.
    pub(super) fn optional(&self, name: &'static str) -> Option<String> {
        self.values.get(variable(name).name).cloned()
    }

    /// The value, if set and not empty.
    pub(super) fn filled(&self, name: &'static str) -> Option<String> {
        self.optional(name).filter(|value| !value.is_empty())
    }

    /// The value, or the default also for an empty one.
    pub(super) fn filled_or_default(&self, name: &'static str) -> String {
        self.filled(name).unwrap_or_else(|| variable(name).default.to_owned())
    }

    /// The value or the default, parsed.
    pub(super) fn parse<T>(
        &self,
        name: &'static str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<T, Error> {
        parse(&self.text(name)).map_err(|reason| self.invalid(name, &reason))
    }

    /// All variables of a row that ends in `*`, by what stands for the `*`.
    pub(super) fn with_prefix(&self, name: &'static str) -> impl Iterator<Item = (String, String)> {
        let prefix = variable(name).name.trim_end_matches('*');
        self.values
            .iter()
            .filter_map(move |(name, value)| Some((name.strip_prefix(prefix)?.to_owned(), value.clone())))
    }

    pub(super) fn invalid(&self, name: &'static str, reason: &str) -> Error {
        Error::Invalid { name, value: self.text(name), reason: reason.to_owned() }
    }

    /// The same, of a value that must not be shown.
    pub(super) fn hidden(&self, name: &'static str, reason: &str) -> Error {
        Error::Hidden { name: variable(name).name, reason: reason.to_owned() }
    }
}

fn variable(name: &str) -> &'static Variable {
    VARIABLES.iter().find(|variable| variable.name == name).expect("only variables of the table are read")
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt as _;

    use super::*;

    #[test]
    fn a_setting_that_is_not_text_is_not_taken_for_unset() {
        let check = |name: &str| {
            let value = OsString::from_vec(vec![0xff]);
            Environment::of_texts([(OsString::from(name), value)].into_iter()).check()
        };
        for name in ["CRL_PATH", "CA_HEADER_X", "ISTIO_META_Y"] {
            let error = check(name).unwrap_err().to_string();
            assert!(error.contains(name), "{error}");
        }
        for name in ["PATH", "CA_HEADER", "MY_CRL_PATH"] {
            assert!(check(name).is_ok(), "{name}");
        }
    }

    #[test]
    fn rows_are_unique() {
        let names: std::collections::BTreeSet<_> = VARIABLES.iter().map(|variable| variable.name).collect();
        assert_eq!(names.len(), VARIABLES.len());
    }
}
