//! What this process says about itself: which start-up tasks are open, what it depends on, which pods it serves, and what those
//! could not reach.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use culvert_serving::liveness::Liveness;
use tokio::sync::Notify;

use crate::control_plane::Status;
use crate::dns;
use crate::ledger;
use crate::limits;
use crate::proxy::PodInfo;
use crate::set_aside;
use crate::telemetry::Telemetry;

/// A handle on the state; all handles see the same.
#[derive(Debug, Clone, Default)]
pub(crate) struct State {
    inner: Arc<Mutex<Inner>>,
    set_aside: set_aside::OfNode,
    ledger: ledger::OfNode,
    limits: limits::OfNode,
    liveness: Liveness,
    /// Told when a start-up task is done.
    done: Arc<Notify>,
}

#[derive(Debug, Default)]
struct Inner {
    pending: BTreeSet<&'static str>,
    pods: Vec<PodState>,
    control_plane: Vec<Status>,
    dns: Option<dns::Status>,
    own: Option<PodState>,
    agent: Option<AgentState>,
}

/// One pod, for the admin port.
#[derive(Debug, Clone)]
pub(crate) struct PodState {
    pub(crate) uid: String,
    pub(crate) pod: PodInfo,
    /// `Up` or `Pending`.
    pub(crate) state: &'static str,
    /// Since when that is so.
    pub(crate) since: SystemTime,
    /// Why it is pending.
    pub(crate) trouble: Option<Trouble>,
}

/// Why a pod is not served.
#[derive(Debug, Clone)]
pub(crate) struct Trouble {
    /// What went wrong the last time, in words.
    pub(crate) error: String,
    /// When it is tried again.
    pub(crate) next: SystemTime,
}

/// The node agent, as it looks from here.
#[derive(Debug, Clone)]
pub(crate) struct AgentState {
    /// Its socket.
    pub(crate) socket: PathBuf,
    pub(crate) connected: bool,
    /// Since when that is so.
    pub(crate) since: SystemTime,
}

impl State {
    /// That of a process that tells of connections that are over.
    pub(crate) fn new(telemetry: Telemetry, limits: limits::OfNode) -> Self {
        Self { ledger: ledger::OfNode::new(telemetry), limits, ..Self::default() }
    }

    /// A start-up task must be done before the process is ready.
    pub(crate) fn task(&self, name: &'static str) {
        self.lock().pending.insert(name);
    }

    /// The task is done; ready never becomes unready again by it.
    pub(crate) fn done(&self, name: &'static str) {
        self.lock().pending.remove(name);
        self.done.notify_waiters();
    }

    /// Returns when a start-up task is done, or was never begun.
    pub(crate) async fn wait_for_done(&self, name: &'static str) {
        loop {
            let done = self.done.notified();
            tokio::pin!(done);
            done.as_mut().enable();
            if !self.lock().pending.contains(name) {
                return;
            }
            done.await;
        }
    }

    /// A service of the control plane this node depends on.
    pub(crate) fn control_plane(&self, status: Status) {
        self.lock().control_plane.push(status);
    }

    /// The services of the control plane.
    pub(crate) fn control_planes(&self) -> Vec<Status> {
        self.lock().control_plane.clone()
    }

    /// How names are resolved for pods.
    pub(crate) fn resolves(&self, status: dns::Status) {
        self.lock().dns = Some(status);
    }

    /// How names are resolved for pods.
    pub(crate) fn dns(&self) -> Option<dns::Status> {
        self.lock().dns.clone()
    }

    /// Whether there is a connection to the node agent.
    pub(crate) fn agent_is(&self, socket: &Path, connected: bool) {
        let mut state = self.lock();
        let same = |agent: &AgentState| agent.connected == connected;
        if !state.agent.as_ref().is_some_and(same) {
            state.agent = Some(AgentState { socket: socket.to_owned(), connected, since: SystemTime::now() });
        }
    }

    /// The node agent; none in dedicated mode.
    pub(crate) fn agent(&self) -> Option<AgentState> {
        self.lock().agent.clone()
    }

    /// The tasks still open, sorted.
    pub(crate) fn pending(&self) -> Vec<&'static str> {
        self.lock().pending.iter().copied().collect()
    }

    pub(crate) fn set_pods(&self, pods: Vec<PodState>) {
        self.lock().pods = pods;
    }

    pub(crate) fn pods(&self) -> Vec<PodState> {
        self.lock().pods.clone()
    }

    /// A pod is served without the agent: the one this process runs in, or is for.
    pub(crate) fn serves_own(&self, pod: &PodInfo) {
        let uid = format!("{}/{}", pod.namespace, pod.name);
        let since = SystemTime::now();
        let own = PodState { uid, pod: pod.clone(), state: "Up", since, trouble: None };
        self.lock().own = Some(own);
    }

    /// The pod that is served without the agent.
    pub(crate) fn own_pod(&self) -> Option<PodState> {
        self.lock().own.clone()
    }

    /// The endpoints pods could not reach.
    pub(crate) fn set_aside(&self) -> set_aside::OfNode {
        self.set_aside.clone()
    }

    /// The connections of pods.
    pub(crate) fn ledger(&self) -> ledger::OfNode {
        self.ledger.clone()
    }

    /// What there may be only so much of, and what the pods have of it.
    pub(crate) fn limits(&self) -> limits::OfNode {
        self.limits.clone()
    }

    /// The tasks that have to go on.
    pub(crate) fn liveness(&self) -> Liveness {
        self.liveness.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
