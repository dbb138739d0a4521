//! What has become of each pod, for those who show it, tell Kubernetes of it, or wait for it.
//!
//! Published by the enrolment; immutable once published.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::SystemTime;

use culvert_sys::netns::NetnsId;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, watch};

use crate::pod::{Capture, Uid, Workload};

/// All pods the agent has to do with.
pub(crate) type Board = BTreeMap<Uid, Arc<Status>>;

/// Where others read.
pub(crate) type Boards = watch::Receiver<Arc<Board>>;

/// One pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Status {
    pub(crate) workload: Workload,
    pub(crate) addresses: Arc<[IpAddr]>,
    pub(crate) capture: Arc<Capture>,
    pub(crate) state: State,
    /// Since when it is in this state.
    pub(crate) since: SystemTime,
    pub(crate) netns: Option<NetnsId>,
    /// Nodes that have said that they serve it where it is.
    pub(crate) nodes: usize,
    /// Why a node does not serve it, in the node's words.
    pub(crate) refusal: Option<Arc<str>>,
    /// How often its rules had to be repaired.
    pub(crate) repairs: u64,
}

/// How far a pod is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum State {
    /// It has no network namespace yet.
    Awaited,
    /// Its rules are being programmed.
    Programming,
    /// Its rules are in and verified.
    Enrolled,
    /// It is captured, and something is wrong; tried again.
    Impaired { reason: Arc<str> },
    /// It could not be captured; tried again.
    Quarantined { reason: Arc<str> },
    /// It is on its way out.
    Leaving,
}

impl State {
    /// One word for it, as in metrics and answers.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Awaited => "awaited",
            Self::Programming => "programming",
            Self::Enrolled => "enrolled",
            Self::Impaired { .. } => "impaired",
            Self::Quarantined { .. } => "quarantined",
            Self::Leaving => "leaving",
        }
    }
}

impl Status {
    /// Whether its traffic is captured, verified, and taken by a node.
    pub(crate) fn is_protected(&self) -> bool {
        self.state == State::Enrolled && self.nodes > 0
    }
}

/// Something that happened to a pod and that people should be told.
#[derive(Debug, Clone)]
pub(crate) struct Occurrence {
    pub(crate) uid: Uid,
    pub(crate) workload: Workload,
    pub(crate) what: What,
}

/// What happened. The texts are for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum What {
    /// It is in the mesh, all of it verified.
    Enrolled,
    /// It was said to be in the mesh, or ran before the agent did, and its traffic was not captured.
    FoundInPlaintext,
    /// Its rules were not as they should be, and were repaired.
    Drifted { differences: String },
    /// It cannot be enrolled, or not be taken out.
    Quarantined { reason: String },
    /// Its annotations say something that makes no sense.
    Misannotated { complaint: String },
    /// It is no longer in the mesh.
    Left,
}

/// Occurrences that wait for somebody to pass them on. More are lost, and counted.
pub(crate) const QUEUE: usize = 256;

/// Where occurrences are told. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Telling(mpsc::Sender<Occurrence>);

/// Where they are heard.
pub(crate) type Told = mpsc::Receiver<Occurrence>;

/// A way for occurrences.
pub(crate) fn telling() -> (Telling, Told) {
    let (sender, receiver) = mpsc::channel(QUEUE);
    (Telling(sender), receiver)
}

impl Telling {
    /// Never waits: what happens to pods must not depend on whether people can be told. Where nobody listens, nothing is lost.
    pub(crate) fn tell(&self, occurrence: Occurrence) {
        if let Err(TrySendError::Full(_)) = self.0.try_send(occurrence) {
            metrics::counter!("culvert_agent_occurrences_lost_total").increment(1);
        }
    }
}
