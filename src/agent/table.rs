//! The pods as the nodes shall see them: published whole by the enrolment, reconciled by every node session.
//!
//! Immutable once published. `None` stands for "not known yet": a snapshot sent before the first pass over the pods
//! would make a running node drop the pods it serves.

use std::collections::BTreeMap;
use std::sync::Arc;

use culvert_sys::netns::Netns;
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

/// A pod whose packet rules are in place. Two entries are the same enrolment only when they are the same `Arc`.
#[derive(Debug)]
pub(crate) struct Enrolled {
    pub(crate) workload: Workload,
    pub(crate) netns: Arc<Netns>,
}

impl Enrolled {
    /// Another enrolment that says the same: nodes drop the pod and are told of it anew.
    pub(crate) fn again(&self) -> Self {
        Self { workload: self.workload.clone(), netns: Arc::clone(&self.netns) }
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Serve(a), Self::Serve(b)) => Arc::ptr_eq(a, b),
            (Self::Keep, Self::Keep) => true,
            (Self::Serve(_), Self::Keep) | (Self::Keep, Self::Serve(_)) => false,
        }
    }
}
