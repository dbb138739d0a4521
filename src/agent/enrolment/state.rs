//! What the agent knows about each pod it has started on.
//!
//! ```text
//!             rules programmed         new connections         rules out, or the
//!             and verified             are let pass            namespace is gone
//!   Nothing ──▶ Touched ──────▶ Enrolled ────────▶ Released ─────────▶ Nothing
//!                │ │                │              ▲   │
//!                │ └──── trouble ◀──┴──────────────┼───┘   retried; an enrolled pod in trouble stays enrolled
//!                └─────────────────────────────────┘
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;

use culvert_process::exit::Chain;
use culvert_sys::netns::{Netns, NetnsId};
use culvert_zds::Probes;
use tokio::time::Instant;

use super::watching::Watch;
use crate::backoff::Backoff;
use crate::descriptors::Full;
use crate::namespaces::Missing;
use crate::pod::{NetnsSource, PodSpec, Uid, Workload};
use crate::rules::{Cause, Fingerprint};
use crate::table::Enrolled;

/// All pods by UID.
pub(crate) type Pods = BTreeMap<Uid, Pod>;

/// One pod.
#[derive(Debug)]
pub(crate) struct Pod {
    /// What was wished for when the pod was last worked on.
    pub(crate) spec: PodSpec,
    pub(crate) hold: Hold,
    pub(crate) work: Work,
    /// Why the pod is quarantined, if it is.
    pub(crate) trouble: Option<Trouble>,
    /// How often its rules had to be repaired.
    pub(crate) repairs: u64,
    /// How its namespace looked when all was last as it should be.
    pub(crate) intact: Option<Fingerprint>,
    /// Looks in a row at which nobody took what is captured, though a node says that it serves the pod.
    pub(crate) untaken: u32,
    /// Whether it was being worked on at a look: what follows from that for it is still to be found out.
    pub(crate) passed_by: bool,
    /// Says when something changes in its namespace.
    pub(crate) watch: Option<Watch>,
}

/// The namespace the pod's rules are in. Holding it keeps its id from being reused.
#[derive(Debug)]
pub(crate) enum Hold {
    /// None: nothing of ours is anywhere.
    Nothing,
    /// Rules may be in, and no node has been told. One may serve the pod all the same, from before this agent was.
    Touched(Arc<Netns>),
    /// Rules are in, and the nodes have been told.
    Enrolled(Arc<Enrolled>),
    /// New connections pass, and nodes have been told to let go of the others. They have time until then: without the rest of
    /// the rules what is said on those would go out as it is.
    Released(Arc<Netns>, Instant),
}

/// Whether a job is at work on the pod; at most one is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Work {
    Idle,
    Busy,
}

/// A quarantined pod's reason and next attempt.
#[derive(Debug)]
pub(crate) struct Trouble {
    pub(crate) text: Arc<str>,
    pub(crate) backoff: Backoff,
    /// Whether a node that serves the pod shall go on.
    pub(crate) node: Unserved,
}

/// What a new node is told about a pod that is not enrolled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unserved {
    /// The pod and its namespace are there; only our part is missing.
    Keep,
    /// There is nothing to serve.
    Omit,
}

/// Why a pod is quarantined. Each says what to do.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Reason {
    #[error("network namespace {from} cannot be opened; start the pod or correct the pods file")]
    Namespace { from: NetnsSource, source: Missing },
    #[error(
        "{from} is the network namespace of the host or of the agent; name the pod's own in the pods file"
    )]
    Host { from: NetnsSource },
    #[error(
        "network namespace {netns} belongs to pod {with} already; give each pod its own in the pods file"
    )]
    Shared { netns: NetnsId, with: Uid },
    #[error("packet rules cannot be programmed; see why iptables fails in the pod's network namespace")]
    Program(#[source] Cause),
    #[error("packet rules changed under our hands ({}); find out what else programs the pod", drift.join("; "))]
    Unsteady { drift: Vec<String> },
    #[error("packet rules cannot be removed; see why iptables fails in the pod's network namespace")]
    Remove(#[source] Cause),
    #[error(
        "connections that were captured are still carried, and without the packet rules what is said on them would go out in \
         plaintext; see why the node does not end them"
    )]
    Carried,
    #[error(transparent)]
    Full(Full),
}

impl Pod {
    pub(crate) fn new(spec: PodSpec) -> Self {
        Self {
            spec,
            hold: Hold::Nothing,
            work: Work::Idle,
            trouble: None,
            repairs: 0,
            intact: None,
            untaken: 0,
            passed_by: false,
            watch: None,
        }
    }

    /// Records a failure; returns whether it is news.
    pub(crate) fn quarantine(&mut self, reason: &Reason, now: Instant) -> bool {
        let text: Arc<str> = Chain(reason).to_string().into();
        let (backoff, news) = match &self.trouble {
            Some(old) => (old.backoff.again(now), old.text != text),
            None => (Backoff::begin(now), true),
        };
        self.trouble = Some(Trouble { text, backoff, node: reason.unserved() });
        news
    }

    /// Has nothing more to do with the namespace the pod was in.
    pub(crate) fn let_go(&mut self) {
        *self = Self { repairs: self.repairs, ..Self::new(self.spec.clone()) };
    }

    /// Whether the pod may be tried (again) by now.
    pub(crate) fn due(&self, now: Instant) -> bool {
        self.trouble.as_ref().is_none_or(|trouble| trouble.backoff.due(now))
    }
}

impl Hold {
    pub(crate) fn netns(&self) -> Option<&Arc<Netns>> {
        match self {
            Self::Nothing => None,
            Self::Touched(netns) | Self::Released(netns, _) => Some(netns),
            Self::Enrolled(enrolled) => Some(&enrolled.netns),
        }
    }

    /// After the rules were found in place. An enrolment that is told already stays the same one, though nodes may be told of
    /// other probes.
    /// Returns whether there is anything to tell.
    pub(crate) fn enrol(&mut self, workload: &Workload, probes: Option<Probes>) -> bool {
        let enrolled = match self {
            Self::Nothing => return false,
            Self::Touched(netns) | Self::Released(netns, _) => {
                Enrolled::new(workload.clone(), Arc::clone(netns), probes.unwrap_or_default())
            }
            Self::Enrolled(enrolled) => match probes {
                Some(probes) if probes != enrolled.probes => enrolled.with_probes(probes),
                Some(_) | None => return false,
            },
        };
        *self = Self::Enrolled(Arc::new(enrolled));
        true
    }
}

impl Reason {
    fn unserved(&self) -> Unserved {
        match self {
            Self::Namespace { .. } | Self::Host { .. } | Self::Shared { .. } => Unserved::Omit,
            Self::Program(_) | Self::Unsteady { .. } | Self::Remove(_) | Self::Carried | Self::Full(_) => {
                Unserved::Keep
            }
        }
    }
}
