//! What decisions about a pod depend on, out of what the API server writes.
//!
//! Kept for as long as the pod or the namespace is there, and anybody may write on them: of labels only what they come to is kept,
//! annotations that nobody asks for are dropped, and no more is kept of the others than is looked at.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use culvert_membership::{Annotations, Backing, Claim, Pod, Settings, Standing, Status};

use super::{decide, wire};
use crate::pod::{Uid, Workload};

mod probes;

#[cfg(test)]
mod tests;

/// One pod of the node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PodFacts {
    pub(super) uid: Uid,
    pub(super) workload: Workload,
    /// What it comes to by itself.
    pub(super) standing: Standing,
    /// What others believe of it.
    pub(super) claim: Claim,
    /// Those that capture depends on, as far as they are looked at.
    pub(super) annotations: BTreeMap<String, String>,
    pub(super) addresses: Arc<[IpAddr]>,
    pub(super) probe_ports: BTreeSet<u16>,
}

/// One namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NamespaceFacts {
    pub(super) uid: String,
    pub(super) name: Arc<str>,
    /// What it says for its pods.
    pub(super) backing: Backing,
    /// Whether pods are in the mesh that say nothing about it.
    pub(super) includes_by_default: bool,
    /// Those that capture depends on, as far as they are looked at.
    pub(super) annotations: BTreeMap<String, String>,
}

impl PodFacts {
    /// Nothing when it is no pod of a cluster: it has no UID.
    pub(super) fn of(pod: wire::Pod, settings: &Settings) -> Option<Self> {
        let wire::Pod { metadata, spec, status } = pod;
        if metadata.uid.is_empty() {
            return None;
        }
        let Annotations { marks, claim } = Annotations::of(&metadata.annotations);
        let standing = settings.of_pod(&Pod {
            namespace: &metadata.namespace,
            labels: &metadata.labels,
            marks,
            host_network: spec.host_network,
            life: said(&status, metadata.deletion_timestamp.is_some()).life(),
        });
        let addresses = addresses(&status);
        let account =
            if spec.service_account_name.is_empty() { "default" } else { &spec.service_account_name };
        Some(Self {
            uid: Uid::from(metadata.uid.as_str()),
            probe_ports: probes::ports(&spec, &addresses),
            workload: Workload {
                service_account: account.to_owned(),
                name: metadata.name,
                namespace: metadata.namespace,
            },
            standing,
            claim,
            annotations: parts(metadata.annotations, decide::of_pod),
            addresses: addresses.into(),
        })
    }
}

impl NamespaceFacts {
    pub(super) fn of(namespace: wire::Namespace, settings: &Settings) -> Option<Self> {
        let wire::Meta { uid, name, labels, annotations, .. } = namespace.metadata;
        (!name.is_empty()).then(|| Self {
            uid,
            backing: settings.of_namespace(&labels),
            includes_by_default: settings.includes_by_default(&name, &labels),
            name: name.into(),
            annotations: parts(annotations, decide::of_namespace),
        })
    }
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

fn said(status: &wire::Status, deleting: bool) -> Status<'_> {
    Status {
        phase: &status.phase,
        deleting,
        containers: &status.container_statuses,
        init: &status.init_container_statuses,
        ephemeral: &status.ephemeral_container_statuses,
    }
}
