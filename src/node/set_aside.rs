//! Endpoints the connections of a pod could not reach, and what they are given for it: others come first for a while.
//!
//! Goes in: how attempts to connect ended. Comes out: the reputation of an endpoint, which is the choice's to use. Each pod makes
//! its own experience: what keeps one from an endpoint, a network policy for instance, need not keep another, and no pod can
//! talk others out of an endpoint. Deliberately absent: attempts of our own to find out.

mod records;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use culvert_core::route::Reputation;
use culvert_core::workload::Workload;

use crate::proxy::PodInfo;
use records::Records;

/// How often endpoints were set aside, by all pods.
const COUNTED: &str = "culvert_endpoints_set_aside_total";

/// Describes the metrics, once at start.
pub(crate) fn describe_metrics() {
    let what = "Endpoints set aside for a while after connections to them failed, once for each pod and time (unstable).";
    metrics::describe_counter!(COUNTED, what);
}

/// A workload, by the address and port it was chosen by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Endpoint {
    pub(crate) workload: Arc<str>,
    /// Which of those with this uid it is.
    pub(crate) incarnation: u16,
    pub(crate) address: SocketAddr,
}

/// What one pod knows of endpoints; all handles know the same.
#[derive(Debug, Clone)]
pub(crate) struct SetAside(Arc<Known>);

#[derive(Debug)]
struct Known {
    pod: PodInfo,
    records: Mutex<Records>,
    /// How many records there are. Mostly none, and then nobody locks anything.
    count: AtomicUsize,
}

/// What the pods of this node know, for the admin port. A pod that is gone takes its experience along.
#[derive(Debug, Clone, Default)]
pub(crate) struct OfNode(Arc<Mutex<Vec<Weak<Known>>>>);

/// An endpoint that is set aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Listed {
    pub(crate) endpoint: Endpoint,
    /// For how long it was set aside, and how much of that is left.
    pub(crate) pause: Duration,
    pub(crate) left: Duration,
}

impl Endpoint {
    pub(crate) fn new(workload: &Workload, address: SocketAddr) -> Self {
        Self { workload: Arc::clone(&workload.uid), incarnation: workload.incarnation.number(), address }
    }

    pub(crate) fn is(&self, workload: &Workload, address: SocketAddr) -> bool {
        self.address == address
            && self.workload == workload.uid
            && self.incarnation == workload.incarnation.number()
    }
}

impl SetAside {
    /// What is said of an endpoint when one is chosen.
    pub(crate) fn reputation(&self, workload: &Workload, address: SocketAddr, now: Instant) -> Reputation {
        if self.knows_nothing() {
            return Reputation::Good;
        }
        let endpoint = Endpoint::new(workload, address);
        if self.lock().is_set_aside(&endpoint, now) { Reputation::SetAside } else { Reputation::Good }
    }

    /// An attempt was refused, or nobody answered in time.
    pub(crate) fn failed(&self, endpoint: &Endpoint, now: Instant) {
        let pause = self.change(|records| records.failed(endpoint, now));
        if let Some(pause) = pause {
            let Endpoint { workload, address, .. } = endpoint;
            let PodInfo { name, namespace, .. } = &self.0.pod;
            metrics::counter!(COUNTED).increment(1);
            tracing::warn!(pod = name, namespace, %workload, %address, ?pause, "endpoint set aside");
        }
    }

    /// An attempt succeeded.
    pub(crate) fn succeeded(&self, endpoint: &Endpoint) {
        if !self.knows_nothing() {
            self.change(|records| records.succeeded(endpoint));
        }
    }

    fn knows_nothing(&self) -> bool {
        // Whoever has just learned something need not have told others yet.
        self.0.count.load(Ordering::Relaxed) == 0
    }

    fn change<T>(&self, change: impl FnOnce(&mut Records) -> T) -> T {
        let mut records = self.lock();
        let result = change(&mut records);
        self.0.count.store(records.len(), Ordering::Relaxed);
        result
    }

    fn lock(&self) -> MutexGuard<'_, Records> {
        self.0.records.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl OfNode {
    /// Begins without experience for a pod.
    pub(crate) fn begin(&self, pod: PodInfo) -> SetAside {
        let known = Arc::new(Known { pod, records: Mutex::default(), count: AtomicUsize::new(0) });
        let mut pods = self.lock();
        pods.retain(|pod| pod.strong_count() > 0);
        pods.push(Arc::downgrade(&known));
        SetAside(known)
    }

    /// The endpoints that are set aside, by pod, sorted; pods without any are left out.
    pub(crate) fn list(&self, now: Instant) -> Vec<(PodInfo, Vec<Listed>)> {
        let pods: Vec<SetAside> = self.lock().iter().filter_map(Weak::upgrade).map(SetAside).collect();
        let mut listed: Vec<(PodInfo, Vec<Listed>)> =
            pods.iter().map(|pod| (pod.0.pod.clone(), pod.lock().list(now))).collect();
        listed.retain(|(_, endpoints)| !endpoints.is_empty());
        listed.sort_by(|(one, _), (other, _)| {
            (&one.namespace, &one.name).cmp(&(&other.namespace, &other.name))
        });
        listed
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Weak<Known>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
