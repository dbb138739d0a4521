//! Which pod of the cluster the node program is, found with kubectl.

use std::fmt;
use std::io;
use std::process::Stdio;
use std::time::Duration;

use serde::Deserialize;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::{Child, Command};

use super::Error;
use super::address::ClusterOptions;

/// The label of the node program's pods, ours and the one it takes the place of.
const SELECTOR: &str = "app in (culvert-node,ztunnel)";
/// Until kubectl has the pods. It may have to ask a person's credential plugin first.
const LIST: Duration = Duration::from_secs(30);
/// What kubectl may say; a pod is some ten kilobytes.
const LONGEST: u64 = 64 << 20;
/// What it may complain.
const LONGEST_COMPLAINT: u64 = 4096;

/// A pod of the node program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NodePod {
    pub(super) name: String,
    pub(super) namespace: String,
}

impl fmt::Display for NodePod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pod/{}.{}", self.name, self.namespace)
    }
}

/// The pod on a node of the cluster.
pub(super) async fn on_node(cluster: &ClusterOptions, node: &str) -> Result<NodePod, Error> {
    let field = format!("spec.nodeName={node}");
    first(cluster, &field, |_| true).await?.ok_or_else(|| Error::NoPod { wanted: format!("on node {node}") })
}

/// The pod of a name. Nobody is asked when its namespace is known.
pub(super) async fn named(
    cluster: &ClusterOptions,
    name: &str,
    namespace: Option<&str>,
) -> Result<NodePod, Error> {
    if let Some(namespace) = namespace {
        return Ok(NodePod { name: name.to_owned(), namespace: namespace.to_owned() });
    }
    let found = first(cluster, &format!("metadata.name={name}"), |pod| pod.metadata.name == name).await?;
    found.ok_or_else(|| Error::NoPod { wanted: format!("with the name {name}") })
}

/// A kubectl in the cluster that is meant.
pub(super) fn kubectl(cluster: &ClusterOptions) -> std::process::Command {
    let mut command = std::process::Command::new(&cluster.kubectl);
    if let Some(context) = &cluster.context {
        command.arg(format!("--context={context}"));
    }
    command
}

#[derive(Debug, Deserialize)]
struct List {
    items: Vec<Pod>,
}

#[derive(Debug, Deserialize)]
struct Pod {
    metadata: Metadata,
    #[serde(default)]
    status: Status,
}

#[derive(Debug, Deserialize)]
struct Metadata {
    name: String,
    namespace: String,
}

#[derive(Debug, Default, Deserialize)]
struct Status {
    #[serde(default)]
    phase: String,
}

/// The first running pod, in order of names, so that two calls mean the same one.
async fn first(
    cluster: &ClusterOptions,
    field: &str,
    wanted: impl Fn(&Pod) -> bool,
) -> Result<Option<NodePod>, Error> {
    let mut command = kubectl(cluster);
    command.args(["get", "pods", "--all-namespaces", "--selector", SELECTOR]);
    command.args([&format!("--field-selector={field}"), "--output=json"]);
    let said = output(command, cluster).await?;
    let list: List = serde_json::from_slice(&said).map_err(Error::StrangePods)?;
    let running = list.items.into_iter().filter(|pod| pod.status.phase == "Running" && wanted(pod));
    let named = running.map(|pod| NodePod { name: pod.metadata.name, namespace: pod.metadata.namespace });
    Ok(named.min_by(|a, b| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name))))
}

async fn output(command: std::process::Command, cluster: &ClusterOptions) -> Result<Vec<u8>, Error> {
    const WHAT: &str = "get pods";
    let mut child = start(command).map_err(|source| not_run(cluster, source))?;
    let finished = async {
        let (out, complaint) = (child.stdout.take(), child.stderr.take());
        let (out, complaint) = tokio::join!(drained(out, LONGEST), drained(complaint, LONGEST_COMPLAINT));
        (child.wait().await, out, complaint)
    };
    let (status, out, complaint) = tokio::time::timeout(LIST, finished)
        .await
        .map_err(|_| Error::SlowKubectl { what: WHAT, within: LIST })?;
    if status.is_ok_and(|status| status.success()) {
        return Ok(out);
    }
    Err(Error::Kubectl { what: WHAT, said: in_one_line(&complaint) })
}

/// Starts a child that ends with the value, and with this program however that ends.
pub(super) fn start(mut command: std::process::Command) -> io::Result<Child> {
    culvert_sys::child::die_with_parent(&mut command);
    let mut command = Command::from(command);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.kill_on_drop(true).spawn()
}

pub(super) fn not_run(cluster: &ClusterOptions, source: io::Error) -> Error {
    Error::NoKubectl { program: cluster.kubectl.clone(), source }
}

/// What somebody says to the end, as far as it is kept.
pub(super) async fn drained(from: Option<impl AsyncRead + Unpin>, most: u64) -> Vec<u8> {
    let mut said = Vec::new();
    if let Some(from) = from {
        // What came before a failure is still worth showing; an incomplete answer is no JSON.
        let _ = from.take(most).read_to_end(&mut said).await;
    }
    said
}

/// A complaint of another program's, for our own line.
pub(super) fn in_one_line(complaint: &[u8]) -> String {
    let text = String::from_utf8_lossy(complaint);
    let lines: Vec<_> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    if lines.is_empty() { "it said nothing".to_owned() } else { crate::output::clean(&lines.join("; ")) }
}
