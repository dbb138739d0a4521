//! Pods and namespaces as the API server writes them, as little of them as decides; what is not named here is skipped while reading.

use std::collections::BTreeMap;

use culvert_kubernetes::or_default;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::{NamespaceFacts, PodFacts, Standing};

/// The label of pods and namespaces that says whether they are in the mesh.
const MODE: &str = "istio.io/dataplane-mode";
/// The annotation in which a node's agent says that a pod is in the mesh.
const REDIRECTION: &str = "ambient.istio.io/redirection";
/// What pods have that have a proxy of their own.
const SIDECAR: &str = "sidecar.istio.io/status";
/// What kubelet puts on what it shows of static pods.
const MIRROR: &str = "kubernetes.io/config.mirror";

/// A pod.
#[derive(Deserialize)]
pub(crate) struct Pod {
    pub(super) metadata: Meta,
    #[serde(default)]
    pub(super) spec: Spec,
    #[serde(default)]
    status: Status,
}

/// A namespace.
#[derive(Deserialize)]
pub(crate) struct Namespace {
    metadata: Meta,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Meta {
    name: String,
    namespace: String,
    pub(super) uid: String,
    deletion_timestamp: Option<IgnoredAny>,
    #[serde(deserialize_with = "or_default")]
    labels: BTreeMap<String, String>,
    #[serde(deserialize_with = "or_default")]
    annotations: BTreeMap<String, String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Spec {
    pub(super) node_name: String,
    pub(super) service_account_name: String,
    host_network: bool,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Status {
    phase: String,
    #[serde(deserialize_with = "or_default")]
    container_statuses: Vec<Container>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Container {
    #[serde(deserialize_with = "or_default")]
    state: State,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct State {
    terminated: Option<IgnoredAny>,
}

impl Pod {
    /// Whether nothing runs in it any more. One that is being deleted runs on until its containers have ended.
    pub(super) fn has_ended(&self) -> bool {
        let containers = &self.status.container_statuses;
        let all_ended =
            || !containers.is_empty() && containers.iter().all(|it| it.state.terminated.is_some());
        matches!(self.status.phase.as_str(), "Succeeded" | "Failed")
            || (self.metadata.deletion_timestamp.is_some() && all_ended())
    }

    fn standing(&self) -> Standing {
        let annotation = |name: &str| self.metadata.annotations.get(name).map(String::as_str);
        if self.has_ended() {
            return Standing::Ended;
        }
        if self.spec.host_network {
            return Standing::HostNetwork;
        }
        if annotation(REDIRECTION) == Some("enabled") {
            return Standing::In;
        }
        if annotation(SIDECAR).is_some() || annotation(MIRROR).is_some() {
            return Standing::Out;
        }
        match self.metadata.labels.get(MODE).map(String::as_str) {
            Some("ambient") => Standing::In,
            Some("none") => Standing::Out,
            _ => Standing::AsNamespace,
        }
    }
}

impl From<Pod> for PodFacts {
    fn from(pod: Pod) -> Self {
        let standing = pod.standing();
        let Pod { metadata, spec, .. } = pod;
        Self {
            namespace: metadata.namespace,
            name: metadata.name,
            node: spec.node_name,
            account: spec.service_account_name,
            standing,
        }
    }
}

impl From<Namespace> for NamespaceFacts {
    fn from(namespace: Namespace) -> Self {
        let Meta { name, labels, .. } = namespace.metadata;
        Self { name, includes: labels.get(MODE).is_some_and(|mode| mode == "ambient") }
    }
}
