//! A service as it is written.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::address::{NetworkAddress, NetworkBlock};
use crate::intern::Interner;
use crate::service::{
    BalanceMode, HealthPolicy, IpFamilies, LoadBalancer, Preference, Service, Visibility, WeightedWaypoint,
};
use crate::workload::{Health, PortMap};

use super::list::List;
use super::value::{Block, Gateway, Port, TargetPort, Text, Vip, declared_ports, own_ports};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Entry {
    name: Text,
    namespace: Text,
    hostname: Text,
    vips: List<Vip>,
    ports: BTreeMap<Port, TargetPort>,
    #[serde(default)]
    cidr_vips: List<CidrVip>,
    #[serde(default)]
    endpoints: BTreeMap<String, EndpointEntry>,
    #[serde(default)]
    subject_alt_names: List<Text>,
    waypoint: Option<Gateway>,
    #[serde(default)]
    weighted_waypoints: List<Weighted>,
    #[serde(default)]
    load_balancer: Balancer,
    #[serde(default)]
    ip_families: IpFamilies,
    #[serde(default)]
    canonical: bool,
    #[serde(default)]
    visibility: Visibility,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CidrVip {
    #[serde(default)]
    network: String,
    cidr: Block,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct EndpointEntry {
    workload_uid: Option<String>,
    #[serde(default)]
    port: BTreeMap<Port, Port>,
    #[serde(default)]
    status: Health,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Weighted {
    destination: Gateway,
    weight: u32,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Balancer {
    #[serde(default)]
    routing_preferences: List<Preference>,
    #[serde(default)]
    mode: BalanceMode,
    #[serde(default)]
    health_policy: HealthPolicy,
}

impl Entry {
    /// Gives the service with its endpoints, or what is wrong with it as a whole.
    pub(super) fn into_service(self, names: &mut Interner) -> Result<(Service, Vec<Endpoint>), String> {
        let mut vips: Vec<NetworkAddress> = self.vips.map(|vip| vip.0);
        let mut cidr_vips = Vec::new();
        for CidrVip { network, cidr: Block(block) } in self.cidr_vips.0 {
            let network = names.text(&network);
            if block.prefix_len() == block.max_prefix_len() {
                vips.push(NetworkAddress::new(network, block.addr()));
            } else {
                cidr_vips.push(NetworkBlock { network, block });
            }
        }
        let weighted =
            |it: Weighted| WeightedWaypoint { destination: it.destination.into_address(), weight: it.weight };
        let endpoints = self.endpoints.into_iter().map(endpoint).collect::<Result<_, _>>()?;
        let service = Service {
            name: names.text(&self.name.0),
            namespace: names.text(&self.namespace.0),
            hostname: names.text(&self.hostname.0),
            vips,
            cidr_vips,
            ports: declared_ports(self.ports),
            load_balancer: LoadBalancer {
                preferences: self.load_balancer.routing_preferences.0,
                mode: self.load_balancer.mode,
                health_policy: self.load_balancer.health_policy,
            },
            ip_families: self.ip_families,
            waypoint: self.waypoint.map(Gateway::into_address),
            weighted_waypoints: self.weighted_waypoints.map(weighted),
            subject_alt_names: self.subject_alt_names.map(|name| names.text(&name.0)),
            visibility: self.visibility,
            canonical: self.canonical,
        };
        Ok((service, endpoints))
    }
}

/// What a service says about a workload behind it.
pub(super) struct Endpoint {
    /// The uid of the workload.
    pub(super) workload: String,
    /// The ports it serves on other targets than the service declares.
    pub(super) ports: PortMap,
    /// Whether it can take traffic.
    pub(super) health: Health,
}

fn endpoint((uid, entry): (String, EndpointEntry)) -> Result<Endpoint, String> {
    match entry.workload_uid {
        Some(other) if other != uid => Err(format!(
            "endpoint `{uid}` says its workloadUid is `{other}`; write the same uid twice, or remove the latter"
        )),
        Some(_) | None => Ok(Endpoint { workload: uid, ports: own_ports(entry.port), health: entry.status }),
    }
}
