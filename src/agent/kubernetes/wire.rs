//! Pods and namespaces as the API server writes them, as little of them as decisions need.
//!
//! What is not named here is skipped while reading. Nothing is judged.

use std::collections::BTreeMap;

use culvert_kubernetes::{Resource, or_default};
use serde::Deserialize;

/// The pods of a node.
pub(super) fn pods_of(node: &str) -> Resource {
    Resource::new("pods", "/api/v1/pods").selected(format!("spec.nodeName={node}"))
}

/// What pods and namespaces have in common.
#[derive(Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Meta {
    pub(super) uid: String,
    pub(super) name: String,
    pub(super) namespace: String,
    pub(super) deletion_timestamp: Option<String>,
    #[serde(deserialize_with = "or_default")]
    pub(super) labels: BTreeMap<String, String>,
    #[serde(deserialize_with = "or_default")]
    pub(super) annotations: BTreeMap<String, String>,
}

#[derive(Clone, Deserialize)]
pub(super) struct Namespace {
    pub(super) metadata: Meta,
}

#[derive(Clone, Deserialize)]
pub(super) struct Pod {
    pub(super) metadata: Meta,
    #[serde(default)]
    pub(super) spec: Spec,
    #[serde(default)]
    pub(super) status: Status,
}

#[derive(Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Spec {
    pub(super) service_account_name: String,
    pub(super) host_network: bool,
    #[serde(deserialize_with = "or_default")]
    pub(super) containers: Vec<Container>,
    #[serde(deserialize_with = "or_default")]
    pub(super) init_containers: Vec<Container>,
}

#[derive(Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Container {
    pub(super) restart_policy: String,
    #[serde(deserialize_with = "or_default")]
    pub(super) ports: Vec<ContainerPort>,
    pub(super) liveness_probe: Option<Handler>,
    pub(super) readiness_probe: Option<Handler>,
    pub(super) startup_probe: Option<Handler>,
    #[serde(deserialize_with = "or_default")]
    pub(super) lifecycle: Lifecycle,
}

#[derive(Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ContainerPort {
    pub(super) name: String,
    pub(super) container_port: i64,
    pub(super) protocol: String,
}

#[derive(Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Lifecycle {
    pub(super) post_start: Option<Handler>,
    pub(super) pre_stop: Option<Handler>,
}

/// What kubelet does to see how a container is, or to tell it something.
#[derive(Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Handler {
    pub(super) http_get: Option<Connect>,
    pub(super) tcp_socket: Option<Connect>,
    pub(super) grpc: Option<Connect>,
}

#[derive(Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Connect {
    pub(super) host: String,
    pub(super) port: Option<Port>,
}

#[derive(Clone, Deserialize)]
#[serde(untagged)]
pub(super) enum Port {
    Number(i64),
    Name(String),
}

#[derive(Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Status {
    pub(super) phase: String,
    #[serde(rename = "podIP")]
    pub(super) pod_ip: String,
    #[serde(rename = "podIPs", deserialize_with = "or_default")]
    pub(super) pod_ips: Vec<PodIp>,
    #[serde(deserialize_with = "or_default")]
    pub(super) container_statuses: Vec<culvert_membership::Container>,
    #[serde(deserialize_with = "or_default")]
    pub(super) init_container_statuses: Vec<culvert_membership::Container>,
    #[serde(deserialize_with = "or_default")]
    pub(super) ephemeral_container_statuses: Vec<culvert_membership::Container>,
}

#[derive(Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct PodIp {
    pub(super) ip: String,
}
