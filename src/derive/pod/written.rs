//! A pod, as the API server writes it.

use std::sync::Arc;

use culvert_core::workload::{Addresses, DEFAULT_SERVICE_ACCOUNT, Protocol};
use culvert_membership::{self as membership, Annotations, Container as Ran, Life};
use serde::Deserialize;

use super::{Pod, Shape, Standing};
use crate::lenient::{addresses, or_default};
use crate::owner::{Owner, workload_of};
use crate::uid::Uid;
use crate::{Key, Kind, Labels};

#[derive(Deserialize)]
pub(crate) struct Written {
    metadata: Metadata,
    #[serde(default, deserialize_with = "or_default")]
    spec: Spec,
    #[serde(default, deserialize_with = "or_default")]
    status: Status,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    #[serde(default)]
    name: Arc<str>,
    #[serde(default)]
    namespace: Arc<str>,
    #[serde(default)]
    uid: Uid,
    generate_name: Option<String>,
    deletion_timestamp: Option<String>,
    #[serde(default)]
    labels: Labels,
    #[serde(default, deserialize_with = "or_default")]
    annotations: Annotations,
    #[serde(default, deserialize_with = "or_default")]
    owner_references: Vec<Owner>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct Spec {
    node_name: Option<String>,
    service_account_name: Option<String>,
    host_network: Option<bool>,
    #[serde(default, deserialize_with = "or_default")]
    containers: Vec<Container>,
    #[serde(default, deserialize_with = "or_default")]
    init_containers: Vec<Container>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Container {
    restart_policy: Option<String>,
    #[serde(default, deserialize_with = "or_default")]
    ports: Vec<Port>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Port {
    name: Option<String>,
    container_port: u16,
    protocol: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct Status {
    phase: Option<String>,
    #[serde(rename = "podIP")]
    pod_ip: Option<String>,
    #[serde(default, rename = "podIPs", deserialize_with = "or_default")]
    pod_ips: Vec<PodIp>,
    #[serde(default, deserialize_with = "or_default")]
    conditions: Vec<Said>,
    #[serde(default, deserialize_with = "or_default")]
    container_statuses: Vec<Ran>,
    #[serde(default, deserialize_with = "or_default")]
    init_container_statuses: Vec<Ran>,
    #[serde(default, deserialize_with = "or_default")]
    ephemeral_container_statuses: Vec<Ran>,
}

#[derive(Deserialize)]
struct PodIp {
    #[serde(default)]
    ip: String,
}

#[derive(Deserialize)]
struct Said {
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    status: String,
}

/// Says which tunnels a workload speaks by itself.
const TUNNEL: &str = "networking.istio.io/tunnel";
const WORKLOAD_NAME: &str = "service.istio.io/workload-name";

impl Written {
    pub(crate) fn key(&self) -> Key {
        let Metadata { name, namespace, .. } = &self.metadata;
        Key { kind: Kind::Pod, namespace: namespace.clone(), name: name.clone() }
    }
}

impl From<Written> for Pod {
    fn from(Written { metadata, spec, status }: Written) -> Self {
        let standing = match (status.is_ready(), &metadata.deletion_timestamp) {
            (true, None) => Standing::Ready,
            (true, Some(_)) => Standing::Leaving,
            (false, _) => Standing::Unready,
        };
        let life = status.life(metadata.deletion_timestamp.is_some());
        Self {
            uid: metadata.uid.clone(),
            node: spec.node_name.as_deref().unwrap_or_default().into(),
            addresses: status.addresses(life),
            standing,
            life,
            shape: shape(metadata, &spec).into(),
        }
    }
}

fn shape(metadata: Metadata, spec: &Spec) -> Shape {
    let native_tunnel = speaks_hbone(&metadata.labels);
    let host_network = spec.host_network.unwrap_or_default();
    let is_captured = metadata.annotations.is_captured(host_network);
    Shape {
        service_account: filled(&spec.service_account_name).unwrap_or(DEFAULT_SERVICE_ACCOUNT).into(),
        workload_name: metadata.workload_name().into(),
        host_network,
        marks: metadata.annotations.marks,
        protocol: if native_tunnel || is_captured { Protocol::Hbone } else { Protocol::Tcp },
        native_tunnel,
        ports: spec.named_ports().collect(),
        labels: metadata.labels,
    }
}

/// Tells whether what has these labels speaks HBONE by itself.
pub(crate) fn speaks_hbone(labels: &Labels) -> bool {
    let mut tunnels = labels.get(TUNNEL).unwrap_or_default().split(',');
    tunnels.any(|tunnel| tunnel.trim() == "http")
}

impl Metadata {
    fn workload_name(&self) -> &str {
        let owner = self.owner_references.iter().find(|owner| owner.controller == Some(true));
        match (self.labels.filled(WORKLOAD_NAME), owner, filled(&self.generate_name)) {
            (Some(name), _, _) => name,
            (None, Some(owner), Some(_)) => workload_of(owner, &self.labels),
            (None, _, _) => &self.name,
        }
    }
}

impl Spec {
    /// Sidecars among the init containers serve as long as the pod does; other init containers have ended by then.
    fn named_ports(&self) -> impl Iterator<Item = (Arc<str>, u16)> {
        let stays = |container: &&Container| container.restart_policy.as_deref() == Some("Always");
        let containers = self.containers.iter().chain(self.init_containers.iter().filter(stays));
        containers.flat_map(|container| &container.ports).filter_map(|port| {
            let is_tcp = port.protocol.as_deref().is_none_or(|protocol| protocol == "TCP");
            let name = filled(&port.name).filter(|_| is_tcp)?;
            Some((name.into(), port.container_port))
        })
    }
}

impl Status {
    fn is_ready(&self) -> bool {
        self.conditions.iter().any(|said| said.kind == "Ready" && said.status == "True")
    }

    fn life(&self, deleting: bool) -> Life {
        let status = membership::Status {
            phase: self.phase.as_deref().unwrap_or_default(),
            deleting,
            containers: &self.container_statuses,
            init: &self.init_container_statuses,
            ephemeral: &self.ephemeral_container_statuses,
        };
        status.life()
    }

    /// None of a pod that is over, or about to be: its address is given back, and may be another's already.
    fn addresses(&self, life: Life) -> Addresses {
        if life == Life::Ended || matches!(self.phase.as_deref(), Some("Succeeded" | "Failed")) {
            return Addresses::default();
        }
        match self.pod_ips.as_slice() {
            [] => addresses(filled(&self.pod_ip).into_iter()),
            ips => addresses(ips.iter().map(|ip| ip.ip.as_str())),
        }
    }
}

fn filled(text: &Option<String>) -> Option<&str> {
    text.as_deref().filter(|text| !text.is_empty())
}
