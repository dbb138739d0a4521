//! The gate of one pod: the policies that apply to it, and everybody who lives by them.
//!
//! ```text
//! mesh ──"policies may have changed"──▶ gate: do others apply to this pod than before? ──yes──▶ its connections
//! ```
//! A change of the mesh costs each pod with connections one comparison; connections hear of it only when it concerns them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use culvert_core::policy::{self, Denial, Peer, PolicySet, Verdict};
use culvert_core::workload::Workload;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::telling::Telling;
use crate::mesh::{Mesh, Revision};
use crate::proxy::PodInfo;

/// How long a policy that a workload refers to may come after the workload: control planes push the one and the other
/// separately, and in either order.
const POLICY_DEADLINE: Duration = Duration::from_secs(1);

/// Lets peers in to one pod.
#[derive(Debug)]
pub(crate) struct Gate {
    pod: PodInfo,
    mesh: Mesh,
    telling: Telling,
    applying: Mutex<Applying>,
    /// Told when other policies apply than before.
    others_apply: Notify,
}

/// What applies to the pod.
#[derive(Debug, Default)]
struct Applying {
    /// As of when; nothing before the first connection.
    revision: Option<Revision>,
    /// The pod. A workload that has left the mesh is judged as it was.
    workload: Option<Arc<Workload>>,
    /// Held by every connection that lives under them.
    policies: Arc<PolicySet>,
}

impl Gate {
    /// The gate of `pod`, which has to be [followed](Self::follow).
    pub(crate) fn new(pod: PodInfo, mesh: Mesh, telling: Telling) -> Self {
        Self { pod, mesh, telling, applying: Mutex::default(), others_apply: Notify::new() }
    }

    /// Tells live connections of changes that concern them, for ever.
    pub(crate) async fn follow(&self) {
        let mut mesh = self.mesh.clone();
        loop {
            mesh.verdicts_changed().await;
            // Without connections there is nobody to tell; who comes next looks for himself.
            if Arc::strong_count(&self.lock().policies) > 1 {
                self.policies(None);
            }
        }
    }

    /// The verdict on a peer. A policy that is referred to and unknown has [`POLICY_DEADLINE`] to come; then it denies.
    pub(super) async fn admit(&self, local: &Arc<Workload>, peer: &Peer) -> Verdict {
        let end = Instant::now() + POLICY_DEADLINE;
        loop {
            // Hears of changes from here on.
            let others_apply = self.others_apply.notified();
            let policies = self.policies(Some(local));
            let verdict = policy::judge(&policies, peer);
            let unknown = matches!(verdict, Verdict::Deny(Denial::UnknownPolicy { .. }));
            if unknown && tokio::time::timeout_at(end, others_apply).await.is_ok() {
                continue;
            }
            // A connection that is let in is told of when it begins to live.
            if !verdict.is_allowed() {
                self.telling.tell(&policies, peer, &verdict, local);
            }
            return verdict;
        }
    }

    /// Resolves when a live connection is no longer allowed. It is judged at once, because the policies may have changed
    /// since it was let in, and whenever others apply.
    #[expect(
        clippy::manual_async_fn,
        reason = "every connection waits here, and an async fn has its arguments twice"
    )]
    pub(super) fn denied<'c>(
        &'c self,
        local: &'c Arc<Workload>,
        peer: &'c Peer,
    ) -> impl Future<Output = Denial> + Send + 'c {
        async move {
            let mut judged_by = None;
            loop {
                // Hears of changes from here on.
                let others_apply = self.others_apply.notified();
                // Boxed because it is rare.
                if !self.still_allows(local, peer, &mut judged_by)
                    && let Verdict::Deny(denial) = Box::pin(self.admit(local, peer)).await
                {
                    return denial;
                }
                others_apply.await;
            }
        }
    }

    /// Judges a live connection, unless it has been judged by the same policies before.
    fn still_allows(
        &self,
        local: &Arc<Workload>,
        peer: &Peer,
        judged_by: &mut Option<Arc<PolicySet>>,
    ) -> bool {
        let policies = self.policies(Some(local));
        if judged_by.as_ref().is_some_and(|before| Arc::ptr_eq(before, &policies)) {
            return true;
        }
        let verdict = policy::judge(&policies, peer);
        if verdict.is_allowed() {
            self.telling.tell(&policies, peer, &verdict, local);
        }
        *judged_by = Some(policies);
        verdict.is_allowed()
    }

    /// The policies of this moment. Connections are told when they are not the same as before.
    fn policies(&self, local: Option<&Arc<Workload>>) -> Arc<PolicySet> {
        let mut applying = self.lock();
        let others =
            applying.revision != Some(self.mesh.revision()) && applying.renew(&self.mesh, &self.pod, local);
        let policies = Arc::clone(&applying.policies);
        drop(applying);
        if others {
            self.others_apply.notify_waiters();
        }
        policies
    }

    fn lock(&self) -> MutexGuard<'_, Applying> {
        self.applying.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Applying {
    /// Takes what applies from the mesh of this moment; says whether that is something else than before.
    fn renew(&mut self, mesh: &Mesh, pod: &PodInfo, local: Option<&Arc<Workload>>) -> bool {
        // In this order: the snapshot is at least as new as its revision.
        let (revision, snapshot) = (mesh.revision(), mesh.snapshot());
        let newest = snapshot.local_workload(&pod.namespace, &pod.name, &pod.service_account);
        let Some(workload) = newest.or(self.workload.as_ref()).or(local).cloned() else { return false };
        let policies = snapshot.policies_for(&workload);
        (self.revision, self.workload) = (Some(revision), Some(workload));
        let others = !policies.is_same_as(&self.policies);
        if others {
            self.policies = Arc::new(policies);
        }
        others
    }
}

#[cfg(test)]
mod tests;
