//! A Service, as the API server writes it.

use std::net::IpAddr;
use std::sync::Arc;

use culvert_core::service::IpFamilies;
use serde::Deserialize;

use super::{Distribution, Port, Service, Target};
use crate::lenient::or_default;
use crate::{Key, Kind, Labels, Selector};

#[derive(Deserialize)]
pub(crate) struct Written {
    metadata: Metadata,
    #[serde(default, deserialize_with = "or_default")]
    spec: Spec,
}

#[derive(Deserialize)]
struct Metadata {
    #[serde(default)]
    name: Arc<str>,
    #[serde(default)]
    namespace: Arc<str>,
    #[serde(default)]
    generation: i64,
    #[serde(default)]
    labels: Labels,
    #[serde(default)]
    annotations: Labels,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    r#type: Option<String>,
    selector: Labels,
    #[serde(rename = "clusterIP")]
    cluster_ip: Option<String>,
    #[serde(rename = "clusterIPs", deserialize_with = "or_default")]
    cluster_ips: Vec<String>,
    #[serde(deserialize_with = "or_default")]
    ip_families: Vec<String>,
    #[serde(deserialize_with = "or_default")]
    ports: Vec<PortWritten>,
    internal_traffic_policy: Option<String>,
    traffic_distribution: Option<String>,
    publish_not_ready_addresses: Option<bool>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PortWritten {
    name: Option<String>,
    port: u16,
    protocol: Option<String>,
    target_port: Option<TargetWritten>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum TargetWritten {
    Number(u16),
    Name(String),
}

impl Written {
    pub(crate) fn key(&self) -> Key {
        let Metadata { name, namespace, .. } = &self.metadata;
        Key { kind: Kind::Service, namespace: namespace.clone(), name: name.clone() }
    }
}

impl From<Written> for Service {
    fn from(Written { metadata, spec }: Written) -> Self {
        Self {
            generation: metadata.generation,
            labels: metadata.labels,
            annotations: metadata.annotations.only(&ANNOTATIONS),
            is_external_name: spec.r#type.as_deref() == Some("ExternalName"),
            addresses: spec.addresses(),
            stays_on_node: spec.internal_traffic_policy.as_deref() == Some("Local"),
            distribution: spec.traffic_distribution.as_deref().map(Distribution::from_text),
            counts_unready: spec.publish_not_ready_addresses.unwrap_or_default(),
            ip_families: families(&spec.ip_families),
            selector: Some(Selector::new(spec.selector)).filter(|selector| !selector.is_empty()),
            ports: spec.ports.into_iter().map(Port::from).collect(),
        }
    }
}

/// The annotations that matter. Others can be long.
const ANNOTATIONS: [&str; 2] = [super::DISTRIBUTION, "istio.io/use-waypoint-canary-weight"];

impl Spec {
    /// A headless Service has the word `None` in the place of an address.
    fn addresses(&self) -> Vec<IpAddr> {
        let ips = if self.cluster_ips.is_empty() { self.cluster_ip.as_slice() } else { &self.cluster_ips };
        let ips = ips.iter().filter_map(|text| text.parse::<IpAddr>().ok());
        ips.map(|ip| ip.to_canonical()).collect()
    }
}

fn families(names: &[String]) -> IpFamilies {
    let has = |family: &str| names.iter().any(|name| name == family);
    match (has("IPv4"), has("IPv6")) {
        (true, true) => IpFamilies::Dual,
        (true, false) => IpFamilies::V4Only,
        (false, true) => IpFamilies::V6Only,
        (false, false) => IpFamilies::Automatic,
    }
}

impl From<PortWritten> for Port {
    fn from(PortWritten { name, port, protocol, target_port }: PortWritten) -> Self {
        Self {
            name: name.unwrap_or_default().into(),
            number: port,
            is_tcp: protocol.is_none_or(|protocol| protocol == "TCP"),
            target: match target_port {
                None | Some(TargetWritten::Number(0)) => Target::Number(port),
                Some(TargetWritten::Number(number)) => Target::Number(number),
                Some(TargetWritten::Name(name)) => {
                    name.parse().map_or_else(|_| Target::Name(name.as_str().into()), Target::Number)
                }
            },
        }
    }
}
