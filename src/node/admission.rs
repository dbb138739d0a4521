//! Whether a peer may come in, when it knocks and for as long as its connection lives.
//!
//! In go a pod's workload and what is known of the peer; out comes the policy that lets it in, or a denial. What the policies
//! mean is decided in [`culvert_core::policy`]; this follows them as the mesh state changes.

use std::sync::Arc;
use std::time::Duration;

use culvert_core::policy::{self, Denial, Peer, Verdict};
use culvert_core::refusal::Refusal;
use culvert_core::workload::Workload;

use crate::mesh::Mesh;
use crate::outcome::Failure;
use crate::proxy::{Local, PodInfo, Proxy};

/// Whether the peer may come in; names the policy that lets it in.
pub(crate) async fn admit(proxy: &Proxy, local: &Local, peer: &Peer) -> Result<Option<Arc<str>>, Failure> {
    let mut judged = Judged::new(proxy, local);
    match judged.settled(peer).await {
        Verdict::Allow { policy } => Ok(policy),
        Verdict::Deny(denial) => Err(Refusal::Denied(denial).into()),
    }
}

/// How long a policy that a workload refers to may come after the workload: control planes push the one and the other
/// separately, and in either order.
const POLICY_DEADLINE: Duration = Duration::from_secs(1);

/// The workload of a pod as the policies see it, from one mesh state to the next.
struct Judged<'p> {
    pod: &'p PodInfo,
    mesh: Mesh,
    workload: Arc<Workload>,
}

impl<'p> Judged<'p> {
    fn new(proxy: &'p Proxy, local: &Local) -> Self {
        Self { pod: &proxy.pod, mesh: proxy.mesh.clone(), workload: Arc::clone(&local.workload) }
    }

    /// The verdict on a peer. A policy that is referred to and unknown has [`POLICY_DEADLINE`] to come; then it denies.
    async fn settled(&mut self, peer: &Peer) -> Verdict {
        let end = tokio::time::Instant::now() + POLICY_DEADLINE;
        loop {
            let verdict = self.verdict(peer);
            let unknown = matches!(verdict, Verdict::Deny(Denial::UnknownPolicy { .. }));
            if !unknown || tokio::time::timeout_at(end, self.mesh.verdicts_changed()).await.is_err() {
                return verdict;
            }
        }
    }

    /// The verdict of this moment. A workload that has left the mesh is judged as it was.
    fn verdict(&mut self, peer: &Peer) -> Verdict {
        let snapshot = self.mesh.snapshot();
        let PodInfo { namespace, name, service_account } = self.pod;
        if let Some(newest) = snapshot.local_workload(namespace, name, service_account) {
            self.workload.clone_from(newest);
        }
        policy::judge(&snapshot.policies_for(&self.workload), peer)
    }
}

/// Judges a live connection again whenever the policies for it may have changed; resolves when it is no longer allowed.
pub(crate) async fn denied(proxy: &Proxy, local: &Local, peer: &Peer) -> Denial {
    let mut judged = Judged::new(proxy, local);
    loop {
        judged.mesh.verdicts_changed().await;
        // Boxed: it is rare, and every connection waits here.
        if let Verdict::Deny(denial) = Box::pin(judged.settled(peer)).await {
            return denial;
        }
    }
}
