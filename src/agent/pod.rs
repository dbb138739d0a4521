//! What a pod is to the agent: its UID, who it is in Kubernetes, where its network namespace is found, and what of its traffic
//! is captured.
//!
//! Plain values; nothing here opens or checks anything.

use std::borrow::Borrow;
use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use ebpf_free_iptables::Options;

/// A pod's Kubernetes UID, which everything is keyed by: names are reused, UIDs are not. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Uid(Arc<str>);

impl Uid {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Uid {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl Borrow<str> for Uid {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Who the pod is: what the node joins with the workloads of the control plane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Workload {
    pub(crate) name: String,
    pub(crate) namespace: String,
    pub(crate) service_account: String,
}

/// `namespace/name`, as people say it.
impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// How a pod's network namespace is found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NetnsSource {
    /// A file that is bound to it.
    Path(PathBuf),
    /// It is the one this process lives in.
    Process(u32),
    /// It is the one the container runtime has named for the pod, or else that of the pod's processes, with these addresses. Without
    /// addresses only the runtime is believed.
    Found(Arc<[IpAddr]>),
}

impl NetnsSource {
    /// Whether somebody says where the pod is, so that it moves when they say otherwise; one that is found elsewhere was made anew.
    pub(crate) fn is_named(&self) -> bool {
        match self {
            Self::Path(_) | Self::Process(_) => true,
            Self::Found(_) => false,
        }
    }
}

impl fmt::Display for NetnsSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => write!(f, "{}", path.display()),
            Self::Process(pid) => write!(f, "/proc/{pid}/ns/net"),
            Self::Found(_) => f.write_str("the pod's sandbox"),
        }
    }
}

/// What of a pod's traffic is captured, and which plaintext comes in all the same.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Capture {
    /// What the packet rules do.
    pub(crate) rules: Options,
    /// The ports kubelet probes, at which the node may let the host in.
    pub(crate) probe_ports: BTreeSet<u16>,
}

/// One pod that shall be in the mesh.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PodSpec {
    pub(crate) uid: Uid,
    pub(crate) workload: Workload,
    pub(crate) netns: NetnsSource,
    pub(crate) capture: Arc<Capture>,
    /// Whether it should be captured already: others believe it is, or it should have been from its first moment on.
    pub(crate) expected: bool,
}

/// What is wanted of the pods of this node, from whoever says so: a file, or the cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Wishes {
    /// The pods that shall be in the mesh, in order of precedence.
    pub(crate) pods: Vec<PodSpec>,
    /// What is known of all others.
    pub(crate) others: Others,
}

/// The pods that shall not be in the mesh.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum Others {
    /// Each may be running: what is no longer wanted has to be taken out of it.
    #[default]
    Unknown,
    /// These are there; every other one is gone, or is about to go, and nothing is to be done in it. Where it is not gone yet, what was
    /// captured stays so.
    Known(BTreeSet<Uid>),
}

impl Others {
    /// Whether a pod that is not wanted may still be running outside the mesh.
    pub(crate) fn may_run(&self, uid: &Uid) -> bool {
        match self {
            Self::Unknown => true,
            Self::Known(there) => there.contains(uid),
        }
    }
}

/// As the enrolment is told.
pub(crate) type Desired = Arc<Wishes>;
