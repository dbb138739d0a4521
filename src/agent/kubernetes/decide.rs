//! What becomes of a pod: whether it shall be in the mesh, and what of it is captured.
//!
//! A pure function of what Kubernetes says of it. Who is in the mesh `culvert-membership` decides, for the control plane as well. What
//! an annotation says wrongly has no effect, so that the pod is captured as if it were not there, and a complaint says what would be
//! right.

use std::collections::BTreeSet;
use std::sync::Arc;

use culvert_membership::{Membership, Settings};
use ebpf_free_iptables::Options;

use super::facts::{NamespaceFacts, PodFacts};
use crate::annotations;
use crate::cluster::Wish;
use crate::pod::Capture;

#[cfg(test)]
mod tests;

/// As much of a pod's annotation as capture depends on; nothing of one that means nothing.
pub(super) fn of_pod(name: &str, value: String) -> Option<String> {
    annotations::CAPTURE.contains(&name).then(|| annotations::cut(value))
}

/// The same for a namespace's.
pub(super) fn of_namespace(name: &str, value: String) -> Option<String> {
    annotations::OF_NAMESPACES.contains(&name).then(|| annotations::cut(value))
}

/// What holds for all pods.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Enablement {
    /// Which of them are in the mesh.
    pub(super) membership: Settings,
    /// What the packet rules do, unless a pod says otherwise.
    pub(super) rules: Options,
}

/// About one pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Decision {
    pub(super) wish: Wish,
    pub(super) complaints: Vec<String>,
}

/// Decides about one pod.
pub(super) fn decide(pod: &PodFacts, namespace: &NamespaceFacts, usual: &Options) -> Decision {
    if let Membership::Out(why) = pod.standing.within(namespace.backing) {
        return Decision { wish: Wish::Pass(why), complaints: Vec::new() };
    }
    let mut complaints = Vec::new();
    let capture = capture(pod, namespace, usual, &mut complaints);
    Decision { wish: Wish::Enrol(Arc::new(capture)), complaints }
}

fn capture(
    pod: &PodFacts,
    namespace: &NamespaceFacts,
    usual: &Options,
    complaints: &mut Vec<String>,
) -> Capture {
    let rules = annotations::rules(&pod.annotations, &namespace.annotations, usual, complaints);
    // Probes that come from an address of their own need no ports.
    let probe_ports = if rules.probes.is_some() { BTreeSet::new() } else { pod.probe_ports.clone() };
    Capture { rules, probe_ports }
}
