//! Whether a peer may come in, when it knocks and for as long as its connection lives.
//!
//! In go a pod's workload and what is known of the peer; out comes the policy that lets it in, or a denial. What the policies
//! mean is decided in [`culvert_core::policy`]; this follows them as the mesh state changes. Kubelet's probes are let in beside
//! the policies ([`probes`]).

mod gate;
mod probes;
mod telling;

use std::sync::Arc;

use culvert_core::policy::{Denial, Peer, Verdict};
use culvert_core::refusal::Refusal;

use crate::outcome::Failure;
use crate::proxy::{Local, Proxy};

pub(crate) use gate::Gate;
pub(crate) use probes::{Probes, Recogniser};
pub(crate) use telling::Telling;

/// Whether the peer may come in; names the policy that lets it in.
pub(crate) async fn admit(proxy: &Proxy, local: &Local, peer: &Peer) -> Result<Option<Arc<str>>, Failure> {
    match proxy.gate.admit(&local.workload, peer).await {
        Verdict::Allow { policy } => Ok(policy),
        Verdict::Deny(denial) => Err(Refusal::Denied(denial).into()),
    }
}

/// Judges a live connection again whenever other policies apply than before; resolves when it is no longer allowed.
pub(crate) fn denied<'c>(
    proxy: &'c Proxy,
    local: &'c Local,
    peer: &'c Peer,
) -> impl Future<Output = Denial> + Send + 'c {
    proxy.gate.denied(&local.workload, peer)
}
