//! A workload as it is written.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;

use crate::intern::Interner;
use crate::workload::{
    ApplicationProtocol, ApplicationTunnel, DEFAULT_CLUSTER, DEFAULT_SERVICE_ACCOUNT, DEFAULT_TRUST_DOMAIN,
    Health, Incarnation, Locality, Name, NetworkMode, Place, Protocol, Template, Workload, WorkloadType,
};

use super::list::List;
use super::value::{Gateway, Ip, Key, Port, own_ports};

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
    locality: Within,
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
struct Within {
    region: Option<String>,
    zone: Option<String>,
    subzone: Option<String>,
}

impl Entry {
    /// Gives the workload, or what is wrong with it as a whole.
    pub(super) fn into_workload(self, names: &mut Interner) -> Result<Workload, String> {
        let uid = self.uid()?;
        let workload = Workload {
            named: Name::of(&uid, self.name.as_deref().unwrap_or_default()),
            uid: uid.into(),
            place: self.place(names),
            addresses: self.workload_ips.0.iter().map(|ip| ip.0).collect(),
            status: self.status,
            incarnation: Incarnation::default(),
            capacity: self.capacity,
            template: Arc::new(self.into_template(names)),
        };
        match workload.identity() {
            Ok(_) => Ok(workload),
            Err(error) => Err(format!("workload `{}` can have no identity: {error}", workload.uid)),
        }
    }

    fn place(&self, names: &mut Interner) -> Arc<Place> {
        let mut share = |text: &Option<String>| names.text_or(text.as_deref(), "");
        let place = Place {
            node: share(&self.node),
            locality: Locality {
                region: share(&self.locality.region),
                zone: share(&self.locality.zone),
                subzone: share(&self.locality.subzone),
            },
        };
        names.place(place)
    }

    fn into_template(self, names: &mut Interner) -> Template {
        let mut share = |text: &Option<String>| names.text_or(text.as_deref(), "");
        Template {
            network: share(&self.network),
            workload_name: share(&self.workload_name),
            canonical_name: share(&self.canonical_name),
            canonical_revision: share(&self.canonical_revision),
            hostname: share(&self.hostname),
            namespace: names.text(&self.namespace),
            service_account: names.text_or(self.service_account.as_deref(), DEFAULT_SERVICE_ACCOUNT),
            trust_domain: names.text_or(self.trust_domain.as_deref(), DEFAULT_TRUST_DOMAIN),
            cluster_id: names.text_or(self.cluster_id.as_deref(), DEFAULT_CLUSTER),
            workload_type: self.workload_type,
            protocol: self.protocol,
            network_mode: self.network_mode,
            services: self
                .services
                .into_iter()
                .map(|(key, ports)| (names.text(&key.0), own_ports(ports)))
                .collect(),
            authorization_policies: self.authorization_policies.map(|key| names.text(&key.0)),
            waypoint: self.waypoint.map(Gateway::into_address),
            network_gateway: self.network_gateway.map(Gateway::into_address),
            application_tunnel: self.application_tunnel.map(|tunnel| ApplicationTunnel {
                protocol: tunnel.protocol,
                port: tunnel.port.map(|port| port.0),
            }),
            native_tunnel: self.native_tunnel,
        }
    }

    fn uid(&self) -> Result<String, String> {
        let said = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        let cluster = said(&self.cluster_id).unwrap_or_else(|| DEFAULT_CLUSTER.to_owned());
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
