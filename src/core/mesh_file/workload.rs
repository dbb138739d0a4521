//! A workload as it is written.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::workload::{
    ApplicationProtocol, ApplicationTunnel, DEFAULT_TRUST_DOMAIN, Health, Locality, NetworkMode, Protocol,
    Workload, WorkloadType,
};

use super::list::List;
use super::names::Names;
use super::value::{Gateway, Ip, Key, Port, own_ports};

/// The service account of a workload that names none.
const DEFAULT_SERVICE_ACCOUNT: &str = "default";
/// The cluster of a workload that names none.
const DEFAULT_CLUSTER: &str = "Kubernetes";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Entry {
    workload_ips: List<Ip>,
    namespace: String,
    #[serde(default)]
    services: BTreeMap<Key, BTreeMap<Port, Port>>,
    uid: Option<String>,
    name: Option<String>,
    trust_domain: Option<String>,
    service_account: Option<String>,
    network: Option<String>,
    #[serde(default)]
    protocol: Protocol,
    #[serde(default)]
    network_mode: NetworkMode,
    waypoint: Option<Gateway>,
    network_gateway: Option<Gateway>,
    workload_name: Option<String>,
    #[serde(default)]
    workload_type: WorkloadType,
    canonical_name: Option<String>,
    canonical_revision: Option<String>,
    hostname: Option<String>,
    node: Option<String>,
    #[serde(default)]
    native_tunnel: bool,
    application_tunnel: Option<Tunnel>,
    #[serde(default)]
    authorization_policies: List<Key>,
    #[serde(default)]
    status: Health,
    cluster_id: Option<String>,
    #[serde(default)]
    locality: Place,
    #[serde(default = "one")]
    capacity: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Tunnel {
    protocol: ApplicationProtocol,
    port: Option<Port>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct Place {
    region: Option<String>,
    zone: Option<String>,
    subzone: Option<String>,
}

impl Entry {
    /// Gives the workload, or what is wrong with it as a whole.
    pub(super) fn into_workload(self, names: &mut Names) -> Result<Workload, String> {
        let cluster_id = names.share_or(self.cluster_id.as_deref(), DEFAULT_CLUSTER);
        let mut share = |text: &Option<String>| names.share_or(text.as_deref(), "");
        let workload = Workload {
            uid: self.uid(&cluster_id)?.into(),
            name: share(&self.name),
            node: share(&self.node),
            network: share(&self.network),
            workload_name: share(&self.workload_name),
            canonical_name: share(&self.canonical_name),
            canonical_revision: share(&self.canonical_revision),
            hostname: share(&self.hostname),
            locality: Locality {
                region: share(&self.locality.region),
                zone: share(&self.locality.zone),
                subzone: share(&self.locality.subzone),
            },
            namespace: names.share(&self.namespace),
            service_account: names.share_or(self.service_account.as_deref(), DEFAULT_SERVICE_ACCOUNT),
            trust_domain: names.share_or(self.trust_domain.as_deref(), DEFAULT_TRUST_DOMAIN),
            cluster_id,
            workload_type: self.workload_type,
            addresses: self.workload_ips.map(|ip| ip.0),
            protocol: self.protocol,
            network_mode: self.network_mode,
            status: self.status,
            services: self
                .services
                .into_iter()
                .map(|(key, ports)| (names.share(&key.0), own_ports(ports)))
                .collect(),
            authorization_policies: self.authorization_policies.map(|key| names.share(&key.0)),
            waypoint: self.waypoint.map(Gateway::into_address),
            network_gateway: self.network_gateway.map(Gateway::into_address),
            application_tunnel: self.application_tunnel.map(|tunnel| ApplicationTunnel {
                protocol: tunnel.protocol,
                port: tunnel.port.map(|port| port.0),
            }),
            native_tunnel: self.native_tunnel,
            capacity: self.capacity,
        };
        match workload.identity() {
            Ok(_) => Ok(workload),
            Err(error) => Err(format!("workload `{}` can have no identity: {error}", workload.uid)),
        }
    }

    fn uid(&self, cluster: &str) -> Result<String, String> {
        let said = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        match (said(&self.uid), said(&self.name)) {
            (Some(uid), _) => Ok(uid),
            (None, Some(name)) => Ok(format!("{cluster}//Pod/{}/{name}", self.namespace)),
            (None, None) => Err("the workload has neither `name` nor `uid`; add one".to_owned()),
        }
    }
}

fn one() -> u32 {
    1
}
