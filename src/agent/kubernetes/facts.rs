//! What decisions about a pod depend on, out of what the API server writes.
//!
//! Kept for as long as the pod or the namespace is there, and anybody may write on them: labels and annotations that nobody asks for
//! are dropped, and no more is kept of the others than is looked at. Nothing is decided here.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use super::{decide, wire};
use crate::pod::{Uid, Workload};

mod probes;

#[cfg(test)]
mod tests;

/// Keys of the labels that decisions depend on.
#[derive(Debug, Clone)]
pub(super) struct Relevant {
    pub(super) pod: Arc<BTreeSet<String>>,
    pub(super) namespace: Arc<BTreeSet<String>>,
}

/// One pod of the node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PodFacts {
    pub(super) uid: Uid,
    pub(super) workload: Workload,
    /// Those that decisions depend on.
    pub(super) labels: BTreeMap<String, String>,
    /// The same, as far as they are looked at.
    pub(super) annotations: BTreeMap<String, String>,
    pub(super) host_network: bool,
    pub(super) life: Life,
    pub(super) addresses: Arc<[IpAddr]>,
    pub(super) probe_ports: BTreeSet<u16>,
}

/// Whether something may still run in the pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Life {
    /// It may; also when it is being deleted.
    Going,
    /// Nothing does, and nothing will.
    Ended,
}

/// One namespace.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct NamespaceFacts {
    pub(super) uid: String,
    pub(super) name: Arc<str>,
    /// Those that decisions depend on.
    pub(super) labels: BTreeMap<String, String>,
    /// The same, as far as they are looked at.
    pub(super) annotations: BTreeMap<String, String>,
}

impl PodFacts {
    /// Nothing when it is no pod of a cluster: it has no UID.
    pub(super) fn of(pod: wire::Pod, relevant: &Relevant) -> Option<Self> {
        let wire::Pod { metadata, spec, status } = pod;
        if metadata.uid.is_empty() {
            return None;
        }
        let addresses = addresses(&status);
        let account =
            if spec.service_account_name.is_empty() { "default" } else { &spec.service_account_name };
        Some(Self {
            uid: Uid::from(metadata.uid.as_str()),
            life: life(&status, metadata.deletion_timestamp.is_some()),
            probe_ports: probes::ports(&spec, &addresses),
            workload: Workload {
                service_account: account.to_owned(),
                name: metadata.name,
                namespace: metadata.namespace,
            },
            labels: known(metadata.labels, &relevant.pod),
            annotations: parts(metadata.annotations, decide::of_pod),
            host_network: spec.host_network,
            addresses: addresses.into(),
        })
    }
}

impl NamespaceFacts {
    pub(super) fn of(namespace: wire::Namespace, relevant: &Relevant) -> Option<Self> {
        let wire::Meta { uid, name, labels, annotations, .. } = namespace.metadata;
        (!name.is_empty()).then(|| Self {
            uid,
            name: name.into(),
            labels: known(labels, &relevant.namespace),
            annotations: parts(annotations, decide::of_namespace),
        })
    }
}

fn known(mut labels: BTreeMap<String, String>, keys: &BTreeSet<String>) -> BTreeMap<String, String> {
    labels.retain(|key, _| keys.contains(key));
    labels
}

fn parts(
    annotations: BTreeMap<String, String>,
    part: fn(&str, String) -> Option<String>,
) -> BTreeMap<String, String> {
    let part = |(name, value): (String, String)| part(&name, value).map(|value| (name, value));
    annotations.into_iter().filter_map(part).collect()
}

fn addresses(status: &wire::Status) -> Vec<IpAddr> {
    let listed = status.pod_ips.iter().map(|entry| entry.ip.as_str());
    let all = listed.chain([status.pod_ip.as_str()]).filter_map(|text| text.parse().ok());
    let mut addresses = Vec::new();
    for address in all {
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    addresses
}

/// A pod is over only when its status says so of all of its containers. A status may lag behind, and a pod that is let go too early
/// would go on in plaintext: an evicted pod is `Failed` while its containers still have time to end, and one that is deleted before
/// its first status has been written has no containers in it at all.
fn life(status: &wire::Status, deleting: bool) -> Life {
    let containers = || {
        let of_all = [&status.container_statuses, &status.ephemeral_container_statuses];
        of_all.into_iter().chain([&status.init_container_statuses]).flatten()
    };
    let terminal = matches!(status.phase.as_str(), "Succeeded" | "Failed");
    let some_runs = containers().any(|container| container.state.running.is_some());
    let all_ended = !status.container_statuses.is_empty()
        && containers().all(|container| container.state.terminated.is_some());
    if (terminal && !some_runs) || (deleting && all_ended) { Life::Ended } else { Life::Going }
}
