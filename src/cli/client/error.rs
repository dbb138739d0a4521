//! Why a node could not be asked. Each says what to try.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(
        "no node answers at {address}: is culvert-node running here? name another one with --node or --kube-node"
    )]
    NoAnswer {
        address: String,
        #[source]
        source: io::Error,
    },
    #[error(
        "the network namespace of process {pid} cannot be entered; this needs root, and a process that is there"
    )]
    Namespace {
        pid: u32,
        #[source]
        source: io::Error,
    },
    #[error("{address} did not answer {path} within {} s: the node is busy or stuck, or this is no admin port", within.as_secs())]
    Slow { address: String, path: String, within: Duration },
    #[error("{address} ended the connection over {path}; the node may have been restarted: try again")]
    Broken {
        address: String,
        path: String,
        #[source]
        source: hyper::Error,
    },
    #[error("{address} has more to say to {path} than {most} bytes; narrow it down with a filter")]
    TooLong { address: String, path: String, most: usize },
    #[error("{address} says: {detail}")]
    Refused { address: String, detail: String },
    #[error(
        "{address} answers {path} with HTTP {status}: is it the admin port of a culvert-node that knows this command?"
    )]
    Foreign { address: String, path: String, status: u16 },
    #[error(
        "{address} answers {path} with something that is not understood: is it a culvert-node of this version?"
    )]
    Malformed {
        address: String,
        path: String,
        #[source]
        source: serde_json::Error,
    },
    #[error("the list at {path} of {address} does not end")]
    Endless { address: String, path: String },
    #[error("`{}` cannot be run; name it with --kubectl", program.display())]
    NoKubectl {
        program: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("`kubectl {what}` failed: {said}")]
    Kubectl { what: &'static str, said: String },
    #[error("`kubectl {what}` did not answer within {} s: is the cluster reachable?", within.as_secs())]
    SlowKubectl { what: &'static str, within: Duration },
    #[error("what `kubectl get pods` says is not understood")]
    StrangePods(#[source] serde_json::Error),
    #[error(
        "no running pod of culvert-node or ztunnel {wanted}; `kubectl get pods -A -l 'app in (culvert-node,ztunnel)'` lists them"
    )]
    NoPod { wanted: String },
}
