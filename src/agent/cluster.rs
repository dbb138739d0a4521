//! The pods of this node and the namespaces as the cluster describes them, and which of them shall be in the mesh.
//!
//! Plain values, published whole by whoever watches the cluster; nothing here watches or decides.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

pub(crate) use culvert_membership::{Claim, Why};
use tokio::sync::watch;

use crate::pod::{Capture, Uid, Workload};

/// Everything known. `None` until the first complete lists: "no pods" and "not known yet" are different things.
pub(crate) type Views = watch::Receiver<Option<Arc<View>>>;

/// The cluster at one moment, as far as it concerns this node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct View {
    /// The pods of this node.
    pub(crate) pods: BTreeMap<Uid, Arc<PodView>>,
    /// All namespaces, and whether their pods are in the mesh unless they say otherwise.
    pub(crate) namespaces: BTreeMap<Arc<str>, bool>,
}

/// One pod of this node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PodView {
    pub(crate) workload: Workload,
    /// As in its status; none before it has been started.
    pub(crate) addresses: Arc<[IpAddr]>,
    pub(crate) wish: Wish,
    /// What `ambient.istio.io/redirection` says of it: what others believe.
    pub(crate) claim: Claim,
    /// What is wrong with its annotations, in words; what is wrong has no effect.
    pub(crate) complaints: Vec<String>,
}

/// Whether a pod shall be in the mesh.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Wish {
    Enrol(Arc<Capture>),
    Pass(Why),
}
