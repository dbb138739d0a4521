//! The mesh state: one task owns the store, everybody else reads immutable snapshots.
//!
//! ```text
//! file ──┐
//!        ├─▶ Feed ─▶ owner: Store ─▶ Arc<Snapshot> ─▶ Mesh (readers)
//! xDS ───┘                                             │ on demand: the name of what a reader misses
//!   ▲──────────────────────────────────────────────────┘
//! ```
//! In go changes, in batches; out come snapshots, and a word when verdicts or this node's workloads may have changed. It does
//! not decide what a change means: the store does.

mod demand;
pub(crate) mod file;

use std::sync::Arc;
use std::time::Duration;

use culvert_core::snapshot::Snapshot;
use culvert_core::store::{Changes, Locality, Store};
use culvert_core::workload::Workload;
use tokio::sync::{mpsc, oneshot, watch};

pub(crate) use culvert_core::store::Change;
pub(crate) use demand::{Demand, Heard, Unanswered};

/// How long a connection waits for the workload of its own pod to appear in the mesh state.
pub(crate) const LOCAL_WORKLOAD_DEADLINE: Duration = Duration::from_secs(5);

/// Batches that may wait for the owner.
const BATCHES: usize = 2;

/// A reader's handle on the newest snapshot.
#[derive(Debug, Clone)]
pub(crate) struct Mesh {
    latest: watch::Receiver<Arc<Snapshot>>,
    verdicts: watch::Receiver<Revision>,
    local: watch::Receiver<()>,
    /// Where to ask for what a snapshot lacks; `None` when snapshots are complete.
    demands: Option<mpsc::Sender<Demand>>,
}

/// A number for what policies apply to whom: while it is the same, so is every verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Revision(u64);

/// Where changes go in.
#[derive(Debug, Clone)]
pub(crate) struct Feed(mpsc::Sender<Step>);

#[derive(Debug)]
enum Step {
    Apply(Vec<Change>),
    Publish(oneshot::Sender<()>),
}

/// Owns the store.
#[derive(Debug)]
pub(crate) struct Owner {
    store: Store,
    steps: mpsc::Receiver<Step>,
    latest: watch::Sender<Arc<Snapshot>>,
    verdicts: watch::Sender<Revision>,
    local: watch::Sender<()>,
}

/// How many policies there are that could not be understood.
const UNUSABLE_POLICIES: &str = "culvert_policies_unusable";

/// Describes the metrics, once at start.
pub(crate) fn describe_metrics() {
    let what = "Policies that cannot be understood: what they govern is denied (unstable).";
    metrics::describe_gauge!(UNUSABLE_POLICIES, what);
}

/// Starts with `first`; the owner must be run for changes to be seen.
pub(crate) fn start(
    locality: Locality,
    first: Vec<Change>,
    demands: Option<mpsc::Sender<Demand>>,
) -> (Mesh, Feed, Owner) {
    let mut store = Store::new(locality);
    first.into_iter().for_each(|change| store.apply(change));
    store.take_changes();
    let (feed, steps) = mpsc::channel(BATCHES);
    let (latest, snapshots) = watch::channel(Arc::new(store.snapshot()));
    let (verdicts, verdicts_changed) = watch::channel(Revision::default());
    let (local, local_changed) = watch::channel(());
    let mesh = Mesh { latest: snapshots, verdicts: verdicts_changed, local: local_changed, demands };
    (mesh, Feed(feed), Owner { store, steps, latest, verdicts, local })
}

impl Feed {
    /// Hands changes over, in order; readers see them once they are published.
    pub(crate) async fn apply(&self, changes: Vec<Change>) {
        // Fails only when the process ends.
        let _ = self.0.send(Step::Apply(changes)).await;
    }

    /// Returns when readers see everything handed over before.
    pub(crate) async fn publish(&self) {
        let (done, published) = oneshot::channel();
        let _ = self.0.send(Step::Publish(done)).await;
        let _ = published.await;
    }
}

impl Owner {
    /// Runs until nobody can change anything any more.
    pub(crate) async fn run(mut self) {
        self.count_unusable();
        while let Some(step) = self.steps.recv().await {
            match step {
                Step::Apply(changes) => changes.into_iter().for_each(|change| self.store.apply(change)),
                Step::Publish(done) => {
                    self.publish();
                    // The other side may have gone meanwhile.
                    let _ = done.send(());
                }
            }
        }
        // What was published last stays.
        self.latest.closed().await;
    }

    fn count_unusable(&self) {
        metrics::gauge!(UNUSABLE_POLICIES).set(self.store.unusable_policies() as f64);
    }

    fn publish(&mut self) {
        let Changes { verdicts, local } = self.store.take_changes();
        self.latest.send_replace(Arc::new(self.store.snapshot()));
        if verdicts {
            self.count_unusable();
            self.verdicts.send_modify(|Revision(number)| *number += 1);
        }
        if local {
            self.local.send_replace(());
        }
    }
}

impl Mesh {
    /// The state of this moment.
    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.latest.borrow())
    }

    /// What number verdicts have. A snapshot that is taken afterwards is at least as new.
    pub(crate) fn revision(&self) -> Revision {
        *self.verdicts.borrow()
    }

    /// Resolves when policies, or the policies a workload of this node refers to, have changed since this handle last
    /// looked. Cancel safe.
    pub(crate) async fn verdicts_changed(&mut self) {
        changed(&mut self.verdicts).await;
    }

    /// Resolves when workloads of this node have changed since this handle last looked. Cancel safe.
    pub(crate) async fn local_changed(&mut self) {
        changed(&mut self.local).await;
    }

    /// The workload of a pod, waiting for it up to [`LOCAL_WORKLOAD_DEADLINE`].
    pub(crate) async fn local_workload(
        &self,
        namespace: &str,
        name: &str,
        service_account: &str,
    ) -> Option<Arc<Workload>> {
        let find = |snapshot: &Arc<Snapshot>| {
            snapshot.local_workload(namespace, name, service_account).map(Arc::clone)
        };
        let mut latest = self.latest.clone();
        let appears = latest.wait_for(|snapshot| find(snapshot).is_some());
        let snapshot = tokio::time::timeout(LOCAL_WORKLOAD_DEADLINE, appears).await.ok()?.ok()?;
        find(&snapshot)
    }
}

/// A state whose owner has gone never changes.
async fn changed<T>(signal: &mut watch::Receiver<T>) {
    if signal.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}

#[cfg(test)]
pub(crate) mod tests;
