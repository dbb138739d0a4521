//! The pods as the nodes shall see them: published whole by the enrolment, reconciled by every node session.
//!
//! Immutable once published. `None` stands for "not known yet": a snapshot sent before the first pass over the pods
//! would make a running node drop the pods it serves.

use std::collections::BTreeMap;
use std::sync::Arc;

use culvert_sys::netns::Netns;
use culvert_zds::Probes;
use tokio::sync::watch;

use crate::pod::{Uid, Workload};

/// All pods of the node by UID.
pub(crate) type Table = BTreeMap<Uid, Entry>;

/// Where the enrolment publishes.
pub(crate) type Publisher = watch::Sender<Option<Arc<Table>>>;

/// Where node sessions read.
pub(crate) type Subscriber = watch::Receiver<Option<Arc<Table>>>;

/// What a node shall do about one pod.
#[derive(Debug, Clone)]
pub(crate) enum Entry {
    /// Serve it.
    Serve(Arc<Enrolled>),
    /// Go on with whatever it did: the pod's rules are not verified (yet), so it is neither offered nor withdrawn.
    Keep,
}

/// A pod whose packet rules are in place.
#[derive(Debug)]
pub(crate) struct Enrolled {
    pub(crate) workload: Workload,
    pub(crate) netns: Arc<Netns>,
    pub(crate) probes: Probes,
    /// What nodes do anew when it is another one. Only made by [`Self::new`].
    enrolment: Arc<()>,
}

impl Enrolled {
    /// A new enrolment, though it may be of the same pod in the same namespace: nodes end what they do for the former.
    pub(crate) fn new(workload: Workload, netns: Arc<Netns>, probes: Probes) -> Self {
        Self { workload, netns, probes, enrolment: Arc::new(()) }
    }

    /// Another enrolment that says the same.
    pub(crate) fn again(&self) -> Self {
        Self::new(self.workload.clone(), Arc::clone(&self.netns), self.probes.clone())
    }

    /// The same enrolment, of which nodes are told other facts.
    pub(crate) fn with_probes(&self, probes: Probes) -> Self {
        let (workload, netns) = (self.workload.clone(), Arc::clone(&self.netns));
        Self { workload, netns, probes, enrolment: Arc::clone(&self.enrolment) }
    }

    /// Whether nodes may go on with what they do for the other one.
    pub(crate) fn is_same_enrolment(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.enrolment, &other.enrolment)
    }
}

/// Whether a node has to be told anything.
impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Serve(a), Self::Serve(b)) => Arc::ptr_eq(a, b),
            (Self::Keep, Self::Keep) => true,
            (Self::Serve(_), Self::Keep) | (Self::Keep, Self::Serve(_)) => false,
        }
    }
}
