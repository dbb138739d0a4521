//! Where a node's admin port is, as people write it.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// The admin port of a node that was told nothing else.
pub(super) const PORT: u16 = 15000;

/// Which node is asked.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct NodeOptions {
    /// Admin port of the node: HOST[:PORT], http://HOST:PORT, unix:PATH, pid:PROCESS[:PORT] (the loopback address in that
    /// process's network namespace; needs root), or pod/NAME[.NAMESPACE] (through kubectl)
    #[arg(long, value_name = "ADDRESS", env = "CULVERT_NODE", default_value = "127.0.0.1:15000")]
    pub(crate) node: Address,
    /// Ask the node program on this node of the cluster, through kubectl; goes before --node
    #[arg(long, value_name = "NODE")]
    pub(crate) kube_node: Option<String>,
    #[command(flatten)]
    pub(crate) cluster: ClusterOptions,
}

impl fmt::Display for NodeOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kube_node {
            Some(node) => write!(f, "node {node} of the cluster"),
            None => self.node.fmt(f),
        }
    }
}

/// How a cluster is reached.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct ClusterOptions {
    /// The kubectl to run
    #[arg(long, value_name = "PATH", default_value = "kubectl")]
    pub(crate) kubectl: PathBuf,
    /// Context of the kubeconfig
    #[arg(long, value_name = "CONTEXT")]
    pub(crate) context: Option<String>,
}

/// Where a node's admin port is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Address {
    /// Where a connection can be made to.
    Direct(Endpoint),
    /// A pod of the cluster, through `kubectl port-forward`.
    Pod {
        /// Its name.
        name: String,
        /// Its namespace; found when it is not said.
        namespace: Option<String>,
    },
}

/// What a connection can be made to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Endpoint {
    /// On the network: host and port.
    Tcp(String),
    /// A Unix socket.
    Unix(PathBuf),
    /// The loopback address in the network namespace of a process.
    Process {
        /// Its number.
        pid: u32,
        /// The port there.
        port: u16,
    },
}

/// A text that is no address of a node.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{fault}; use HOST:PORT, unix:PATH, pid:PROCESS or pod/NAME.NAMESPACE")]
pub(crate) struct NoAddress {
    fault: &'static str,
}

impl FromStr for Address {
    type Err = NoAddress;

    fn from_str(text: &str) -> Result<Self, NoAddress> {
        if text.starts_with("https://") {
            return Err(NoAddress { fault: "the admin port speaks plain HTTP" });
        }
        if let Some(pod) = text.strip_prefix("pod/") {
            return of_pod(pod);
        }
        endpoint(text).map(Self::Direct)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Direct(endpoint) => endpoint.fmt(f),
            Self::Pod { name, namespace: None } => write!(f, "pod/{name}"),
            Self::Pod { name, namespace: Some(namespace) } => write!(f, "pod/{name}.{namespace}"),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(authority) => f.write_str(authority),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Process { pid, port } => write!(f, "127.0.0.1:{port} of process {pid}"),
        }
    }
}

fn endpoint(text: &str) -> Result<Endpoint, NoAddress> {
    if let Some(path) = text.strip_prefix("unix:") {
        return unix(path.strip_prefix("//").unwrap_or(path));
    }
    if let Some(process) = text.strip_prefix("pid:") {
        return of_process(process);
    }
    tcp(text.strip_prefix("http://").unwrap_or(text).trim_end_matches('/'))
}

fn unix(path: &str) -> Result<Endpoint, NoAddress> {
    if path.is_empty() {
        return Err(NoAddress { fault: "the path of the Unix socket is missing" });
    }
    Ok(Endpoint::Unix(path.into()))
}

fn of_process(text: &str) -> Result<Endpoint, NoAddress> {
    let fault = NoAddress { fault: "this is no number of a process" };
    let (pid, port) = text.split_once(':').map_or((text, None), |(pid, port)| (pid, Some(port)));
    let pid = pid.parse().ok().filter(|pid| *pid > 0).ok_or(fault)?;
    Ok(Endpoint::Process { pid, port: port.map_or(Ok(PORT), number)? })
}

fn of_pod(text: &str) -> Result<Address, NoAddress> {
    let (name, namespace) = match text.split_once('.') {
        Some((name, namespace)) => (name, Some(namespace)),
        None => (text, None),
    };
    // It becomes an argument of kubectl's.
    if !is_label(name) || !namespace.is_none_or(is_label) {
        return Err(NoAddress { fault: "this is no name of a pod" });
    }
    Ok(Address::Pod { name: name.to_owned(), namespace: namespace.map(str::to_owned) })
}

/// Whether a text can be the name of a pod, node or namespace in Kubernetes, but for dots.
fn is_label(text: &str) -> bool {
    !text.starts_with('-') && !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
}

fn tcp(text: &str) -> Result<Endpoint, NoAddress> {
    let fault = NoAddress { fault: "this is no host and port" };
    if text.is_empty() || text.contains(|c: char| c.is_whitespace() || "/?#@%".contains(c)) {
        return Err(fault);
    }
    // Of IPv6 addresses, only those in brackets have a port.
    if let Ok(address) = text.trim_matches(['[', ']']).parse::<std::net::Ipv6Addr>() {
        return Ok(Endpoint::Tcp(format!("[{address}]:{PORT}")));
    }
    let Some((host, port)) = text.rsplit_once(':') else {
        return Ok(Endpoint::Tcp(format!("{text}:{PORT}")));
    };
    if host.is_empty() || (host.contains(':') && !host.starts_with('[')) {
        return Err(fault);
    }
    number(port)?;
    Ok(Endpoint::Tcp(text.to_owned()))
}

fn number(port: &str) -> Result<u16, NoAddress> {
    port.parse().ok().filter(|port| *port > 0).ok_or(NoAddress { fault: "this is no port" })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Endpoint) {
        assert_eq!(text.parse(), Ok(Address::Direct(expected)), "{text}");
    }

    #[test]
    fn all_ways_to_write_an_address_are_understood() {
        let tcp = |text: &str| Endpoint::Tcp(text.to_owned());
        check("127.0.0.1:15000", tcp("127.0.0.1:15000"));
        check("http://node-a:80/", tcp("node-a:80"));
        check("node-a", tcp("node-a:15000"));
        check("[::1]:15000", tcp("[::1]:15000"));
        check("::1", tcp("[::1]:15000"));
        check("unix:/run/admin.sock", Endpoint::Unix("/run/admin.sock".into()));
        check("unix:///run/admin.sock", Endpoint::Unix("/run/admin.sock".into()));
        check("pid:4711", Endpoint::Process { pid: 4711, port: 15000 });
        check("pid:4711:15001", Endpoint::Process { pid: 4711, port: 15001 });
    }

    #[test]
    fn a_pod_has_a_name_and_perhaps_a_namespace() {
        let pod = |namespace: Option<&str>| Address::Pod {
            name: "ztunnel-x7".into(),
            namespace: namespace.map(Into::into),
        };
        assert_eq!("pod/ztunnel-x7".parse(), Ok(pod(None)));
        assert_eq!("pod/ztunnel-x7.istio-system".parse(), Ok(pod(Some("istio-system"))));
    }

    #[test]
    fn what_is_no_address_is_refused_with_what_to_write() {
        let odd = [
            "",
            "https://x:1",
            "x:0",
            "x:99999",
            "a b",
            "unix:",
            "pid:x",
            "pid:0",
            "pod/",
            "pod/-A",
            "pod/a.",
            "1:2:3",
            ":80",
            "http://a/b",
        ];
        for text in odd {
            let error = text.parse::<Address>().expect_err(text).to_string();
            assert!(error.contains("use HOST:PORT"), "{text}: {error}");
        }
    }
}
