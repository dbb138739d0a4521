//! What this process says about itself: which start-up tasks are open, and which pods it serves.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::proxy::PodInfo;

/// A handle on the state; all handles see the same.
#[derive(Debug, Clone, Default)]
pub(crate) struct State(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    pending: BTreeSet<&'static str>,
    pods: Vec<PodState>,
}

/// One pod, for the admin port.
#[derive(Debug, Clone)]
pub(crate) struct PodState {
    pub(crate) uid: String,
    pub(crate) pod: PodInfo,
    /// `Up` or `Pending`.
    pub(crate) state: &'static str,
}

impl State {
    /// A start-up task must be done before the process is ready.
    pub(crate) fn task(&self, name: &'static str) {
        self.lock().pending.insert(name);
    }

    /// The task is done; ready never becomes unready again by it.
    pub(crate) fn done(&self, name: &'static str) {
        self.lock().pending.remove(name);
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

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
