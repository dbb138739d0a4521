//! Whether a pod shall be in the mesh, and what of it is captured: a pure function of what Kubernetes says of it.
//!
//! The first that holds decides: excluded namespace, the host's network, a proxy of its own, label `none`, the selectors; last,
//! whether anything runs in it at all. What an annotation says wrongly has no effect, so that the pod is captured as if it were not
//! there, and a complaint says what would be right.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ebpf_free_iptables::Options;

pub(super) use self::selector::Selectors;
use super::facts::{Life, NamespaceFacts, PodFacts, Relevant};
use crate::annotations;
use crate::cluster::{Claim, Why, Wish};
use crate::pod::Capture;

pub(super) mod selector;

#[cfg(test)]
mod tests;

/// The label of pods and namespaces that says whether they are in the mesh.
const MODE: &str = "istio.io/dataplane-mode";

/// What others believe of a pod.
pub(super) const REDIRECTION: &str = "ambient.istio.io/redirection";
/// Kubelet puts it on what it shows of static pods.
const MIRROR: &str = "kubernetes.io/config.mirror";
const SIDECAR: &str = "sidecar.istio.io/status";

/// As much of a pod's annotation as decisions depend on; nothing of one that means nothing.
pub(super) fn of_pod(name: &str, value: String) -> Option<String> {
    match name {
        // Only whether they are there matters.
        MIRROR | SIDECAR => Some(String::new()),
        REDIRECTION if matches!(value.as_str(), "enabled" | "pending") => Some(value),
        REDIRECTION => Some(String::new()),
        _ => annotations::CAPTURE.contains(&name).then(|| annotations::cut(value)),
    }
}

/// The same for a namespace's.
pub(super) fn of_namespace(name: &str, value: String) -> Option<String> {
    annotations::OF_NAMESPACES.contains(&name).then(|| annotations::cut(value))
}

/// What holds for all pods.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Enablement {
    pub(super) selectors: Selectors,
    /// Namespaces whose pods are never in the mesh.
    pub(super) excluded: BTreeSet<String>,
    /// What the packet rules do, unless a pod says otherwise.
    pub(super) rules: Options,
}

impl Enablement {
    /// The labels decisions depend on.
    pub(super) fn relevant(&self) -> Relevant {
        let mut pod = self.selectors.pod_labels();
        pod.insert(MODE.to_owned());
        Relevant { pod: pod.into(), namespace: self.selectors.namespace_labels().into() }
    }
}

/// About one pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Decision {
    pub(super) wish: Wish,
    pub(super) complaints: Vec<String>,
}

/// Decides about one pod.
pub(super) fn decide(pod: &PodFacts, namespace: &NamespaceFacts, enablement: &Enablement) -> Decision {
    if let Some(why) = passes(pod, namespace, enablement) {
        return Decision { wish: Wish::Pass(why), complaints: Vec::new() };
    }
    let mut complaints = Vec::new();
    let capture = capture(pod, namespace, enablement, &mut complaints);
    Decision { wish: Wish::Enrol(Arc::new(capture)), complaints }
}

/// Whether a pod of the namespace is in the mesh that says nothing about it.
pub(super) fn includes_by_default(namespace: &NamespaceFacts, enablement: &Enablement) -> bool {
    !enablement.excluded.contains(&*namespace.name)
        && enablement.selectors.matches(&BTreeMap::new(), &namespace.labels)
}

/// What others believe of the pod.
pub(super) fn claim(pod: &PodFacts) -> Claim {
    match pod.annotations.get(REDIRECTION).map(String::as_str) {
        None => Claim::Absent,
        Some("enabled") => Claim::Enabled,
        Some("pending") => Claim::Pending,
        Some(_) => Claim::Other,
    }
}

fn passes(pod: &PodFacts, namespace: &NamespaceFacts, enablement: &Enablement) -> Option<Why> {
    if enablement.excluded.contains(&pod.workload.namespace) {
        return Some(Why::ExcludedNamespace);
    }
    if pod.host_network {
        return Some(Why::HostNetwork);
    }
    if pod.annotations.contains_key(MIRROR) {
        return Some(Why::Static);
    }
    if pod.annotations.contains_key(SIDECAR) {
        return Some(Why::Sidecar);
    }
    // Whatever the selectors are: this is how our own pods keep out of a labelled namespace.
    if pod.labels.get(MODE).is_some_and(|mode| mode == "none") {
        return Some(Why::OptedOut);
    }
    if !enablement.selectors.matches(&pod.labels, &namespace.labels) {
        return Some(Why::NotLabelled);
    }
    (pod.life == Life::Ended).then_some(Why::Finished)
}

fn capture(
    pod: &PodFacts,
    namespace: &NamespaceFacts,
    enablement: &Enablement,
    complaints: &mut Vec<String>,
) -> Capture {
    let rules = annotations::rules(&pod.annotations, &namespace.annotations, &enablement.rules, complaints);
    // Probes that come from an address of their own need no ports.
    let probe_ports = if rules.probes.is_some() { BTreeSet::new() } else { pod.probe_ports.clone() };
    Capture { rules, probe_ports }
}
