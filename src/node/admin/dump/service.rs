//! A service and its endpoints, as tools expect them in `/config_dump`.

use std::collections::BTreeMap;

use culvert_core::service::{
    BalanceMode, HealthPolicy, IpFamilies, LoadBalancer, Preference, Service, Visibility, WeightedWaypoint,
};
use culvert_core::workload::{PortMap, Workload};
use serde::Serialize;

use super::workload::{GatewayView, health};

/// A service.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::admin) struct ServiceView<'a> {
    name: &'a str,
    namespace: &'a str,
    hostname: &'a str,
    vips: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    cidr_vips: Vec<BlockView<'a>>,
    ports: BTreeMap<u16, u16>,
    endpoints: BTreeMap<&'a str, EndpointView<'a>>,
    subject_alt_names: Vec<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    waypoint: Option<GatewayView>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    weighted_waypoints: Vec<WeightedView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    load_balancer: Option<BalancerView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ip_families: Option<&'static str>,
    canonical: bool,
    visibility: &'static str,
}

/// A workload as endpoint of a service.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct EndpointView<'a> {
    workload_uid: &'a str,
    port: BTreeMap<u16, u16>,
    status: &'static str,
}

#[derive(Debug, Serialize)]
struct BlockView<'a> {
    network: &'a str,
    cidr: String,
}

#[derive(Debug, Serialize)]
struct WeightedView {
    destination: GatewayView,
    weight: u32,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct BalancerView {
    routing_preferences: Vec<&'static str>,
    mode: &'static str,
    health_policy: &'static str,
}

impl<'a> ServiceView<'a> {
    /// Shows a service with those of its endpoints that are given.
    pub(in crate::admin) fn new(service: &'a Service, endpoints: impl Iterator<Item = &'a Workload>) -> Self {
        let key = service.key();
        let endpoint = |workload: &'a Workload| (&*workload.uid, EndpointView::new(workload, &key));
        let block = |block: &'a culvert_core::address::NetworkBlock| BlockView {
            network: &block.network,
            cidr: block.block.to_string(),
        };
        Self {
            name: &service.name,
            namespace: &service.namespace,
            hostname: &service.hostname,
            vips: service.vips.iter().map(ToString::to_string).collect(),
            cidr_vips: service.cidr_vips.iter().map(block).collect(),
            ports: ports(&service.ports),
            endpoints: endpoints.map(endpoint).collect(),
            subject_alt_names: service.subject_alt_names.iter().map(|name| &**name).collect(),
            waypoint: service.waypoint.as_ref().map(GatewayView::from),
            weighted_waypoints: service.weighted_waypoints.iter().map(WeightedView::from).collect(),
            load_balancer: BalancerView::of(&service.load_balancer),
            ip_families: families(service.ip_families),
            canonical: service.canonical,
            visibility: match service.visibility {
                Visibility::Public => "Public",
                Visibility::Namespace => "Namespace",
            },
        }
    }
}

impl<'a> EndpointView<'a> {
    /// Shows a workload as endpoint of the service with this key, with the ports that differ from the service's.
    pub(super) fn new(workload: &'a Workload, service: &str) -> Self {
        let own = workload.services.get(service).map(ports).unwrap_or_default();
        Self { workload_uid: &workload.uid, port: own, status: health(workload.status) }
    }
}

impl From<&WeightedWaypoint> for WeightedView {
    fn from(WeightedWaypoint { destination, weight }: &WeightedWaypoint) -> Self {
        Self { destination: destination.into(), weight: *weight }
    }
}

impl BalancerView {
    fn of(balancer: &LoadBalancer) -> Option<Self> {
        let preference = |preference: &Preference| match preference {
            Preference::Region => "Region",
            Preference::Zone => "Zone",
            Preference::Subzone => "Subzone",
            Preference::Node => "Node",
            Preference::Cluster => "Cluster",
            Preference::Network => "Network",
        };
        (*balancer != LoadBalancer::default()).then(|| Self {
            routing_preferences: balancer.preferences.iter().map(preference).collect(),
            mode: match balancer.mode {
                BalanceMode::Standard => "Standard",
                BalanceMode::Strict => "Strict",
                BalanceMode::Failover => "Failover",
                BalanceMode::Passthrough => "Passthrough",
            },
            health_policy: match balancer.health_policy {
                HealthPolicy::OnlyHealthy => "OnlyHealthy",
                HealthPolicy::AllowAll => "AllowAll",
            },
        })
    }
}

fn families(families: IpFamilies) -> Option<&'static str> {
    match families {
        IpFamilies::Automatic => None,
        IpFamilies::V4Only => Some("IPv4"),
        IpFamilies::V6Only => Some("IPv6"),
        IpFamilies::Dual => Some("Dual"),
    }
}

fn ports(ports: &PortMap) -> BTreeMap<u16, u16> {
    ports.iter().collect()
}
