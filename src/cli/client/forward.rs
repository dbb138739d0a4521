//! `kubectl port-forward`: a port of this machine that leads to a pod's admin port, for as long as the value lives.
//!
//! kubectl is killed with the value, and by the kernel when this program ends in any other way.

use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, BufReader};
use tokio::process::Child;
use tokio::task::JoinSet;

use super::Error;
use super::address::{ClusterOptions, PORT};
use super::pods::{self, NodePod};

/// Until kubectl listens.
const LISTEN: Duration = Duration::from_secs(30);
/// What kubectl may say before it listens, and complain when it cannot.
const LONGEST: u64 = 4096;
/// What it says when it listens, before the port.
const LISTENING: &str = "Forwarding from 127.0.0.1:";

/// A port that leads to a pod.
#[derive(Debug)]
pub(super) struct Forward {
    port: u16,
    /// Killed when dropped.
    _kubectl: Child,
    /// Takes what it says of each connection, so that it need not wait for a reader.
    _listeners: JoinSet<()>,
}

impl Forward {
    /// Starts it, and waits until it listens.
    pub(super) async fn start(cluster: &ClusterOptions, pod: &NodePod) -> Result<Self, Error> {
        const WHAT: &str = "port-forward";
        let mut command = pods::kubectl(cluster);
        command.args(["port-forward", "--address=127.0.0.1", &format!("--namespace={}", pod.namespace)]);
        command.args([&format!("pod/{}", pod.name), &format!(":{PORT}")]);
        let mut kubectl = pods::start(command).map_err(|source| pods::not_run(cluster, source))?;
        let mut out = kubectl.stdout.take().map(BufReader::new);
        let mut complaints = kubectl.stderr.take();
        let begun = tokio::time::timeout(LISTEN, listening(out.as_mut())).await;
        match begun.map_err(|_| Error::SlowKubectl { what: WHAT, within: LISTEN })? {
            Some(port) => {
                let mut listeners = JoinSet::new();
                listeners.spawn(ignored(out));
                listeners.spawn(ignored(complaints));
                Ok(Self { port, _kubectl: kubectl, _listeners: listeners })
            }
            None => Err(Error::Kubectl { what: WHAT, said: complaint(complaints.as_mut()).await }),
        }
    }

    /// The port of this machine.
    pub(super) fn port(&self) -> u16 {
        self.port
    }
}

/// The port kubectl listens on; `None` when it ends before it does, or says something else.
async fn listening(out: Option<&mut BufReader<impl AsyncRead + Unpin>>) -> Option<u16> {
    let mut lines = out?.take(LONGEST).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        if let Some(rest) = line.strip_prefix(LISTENING) {
            return rest.split_whitespace().next()?.parse().ok();
        }
    }
    None
}

async fn complaint(from: Option<&mut (impl AsyncRead + Unpin)>) -> String {
    // A kubectl that is stuck over its complaint has said enough.
    let said = tokio::time::timeout(Duration::from_secs(2), pods::drained(from, LONGEST)).await;
    pods::in_one_line(&said.unwrap_or_default())
}

async fn ignored(from: Option<impl AsyncRead + Unpin>) {
    if let Some(mut from) = from {
        // That nobody speaks any more is for the connections to notice.
        let _ = tokio::io::copy(&mut from, &mut tokio::io::sink()).await;
    }
}
