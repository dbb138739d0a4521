//! A Service, as the API server writes it.

use std::net::IpAddr;

use culvert_core::service::IpFamilies;
use serde::Deserialize;

use super::{Port, Service, Target};
use crate::lenient::or_default;
use crate::load_balancing::Distribution;
use crate::namespace::ANNOTATIONS;
use crate::{Key, Kind, Labels, Meta, Selector};

#[derive(Deserialize)]
pub(crate) struct Written {
    metadata: Meta,
    #[serde(default, deserialize_with = "or_default")]
    spec: Spec,
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
        self.metadata.key(Kind::Service)
    }
}

impl From<Written> for Service {
    fn from(Written { metadata, spec }: Written) -> Self {
        Self {
            meta: Meta { annotations: metadata.annotations.only(&ANNOTATIONS), ..metadata },
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
