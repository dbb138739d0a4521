//! What is wrong with the DNS of pods, for the admin port.
//!
//! In goes the trouble of a pod, as it comes and goes; out comes a list. A pod that is gone takes its trouble along.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Address;
use crate::proxy::PodInfo;

/// How DNS is served on this node; all handles say the same.
#[derive(Debug, Clone)]
pub(crate) struct Status {
    capture: Option<Address>,
    known: Arc<Known>,
}

#[derive(Debug, Default)]
struct Known {
    troubles: Mutex<Troubles>,
    /// Whether it was said already that the kernel does not tell whom queries were for.
    told: AtomicBool,
}

#[derive(Debug, Default)]
struct Troubles {
    pods: BTreeMap<u64, (PodInfo, String)>,
    next: u64,
}

/// The trouble of one pod, if it has any.
#[derive(Debug)]
pub(super) struct Trouble {
    pod: PodInfo,
    number: u64,
    known: Arc<Known>,
}

impl Status {
    pub(super) fn new(capture: Option<Address>) -> Self {
        Self { capture, known: Arc::default() }
    }

    /// Where queries of pods are taken; `None` when they are not.
    pub(crate) fn capture(&self) -> Option<Address> {
        self.capture
    }

    /// The pods with trouble, and what it is.
    pub(crate) fn troubles(&self) -> Vec<(PodInfo, String)> {
        self.known.lock().pods.values().cloned().collect()
    }

    /// Begins without trouble for a pod.
    pub(super) fn of_pod(&self, pod: PodInfo) -> Trouble {
        let mut troubles = self.known.lock();
        troubles.next += 1;
        Trouble { pod, number: troubles.next, known: Arc::clone(&self.known) }
    }

    /// Whether this is the first time; the kernel is the same for all pods.
    pub(super) fn is_news(&self) -> bool {
        !self.known.told.swap(true, Ordering::Relaxed)
    }
}

impl Known {
    fn lock(&self) -> MutexGuard<'_, Troubles> {
        self.troubles.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Trouble {
    pub(super) fn pod(&self) -> &PodInfo {
        &self.pod
    }

    /// Says what is wrong, or that nothing is.
    pub(super) fn set(&self, trouble: Option<String>) {
        let mut troubles = self.known.lock();
        match trouble {
            Some(trouble) => drop(troubles.pods.insert(self.number, (self.pod.clone(), trouble))),
            None => drop(troubles.pods.remove(&self.number)),
        }
    }
}

impl Drop for Trouble {
    fn drop(&mut self) {
        self.set(None);
    }
}
