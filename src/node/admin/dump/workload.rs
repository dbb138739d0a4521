//! A workload, as tools expect it in `/config_dump`.

use std::net::IpAddr;
use std::sync::Arc;

use culvert_core::workload::{
    ApplicationProtocol, GatewayAddress, Health, Locality, NetworkMode, Protocol, Workload,
};
use serde::Serialize;

/// A workload.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::admin) struct WorkloadView<'a> {
    workload_ips: &'a [IpAddr],
    #[serde(skip_serializing_if = "Option::is_none")]
    waypoint: Option<GatewayView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    network_gateway: Option<GatewayView>,
    protocol: &'static str,
    network_mode: &'static str,
    #[serde(skip_serializing_if = "str::is_empty")]
    uid: &'a str,
    name: &'a str,
    namespace: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    trust_domain: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    service_account: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    network: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    workload_name: &'a str,
    workload_type: &'static str,
    #[serde(skip_serializing_if = "str::is_empty")]
    canonical_name: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    canonical_revision: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    hostname: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    node: &'a str,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    native_tunnel: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    application_tunnel: Option<TunnelView>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    authorization_policies: &'a [Arc<str>],
    status: &'static str,
    cluster_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    locality: Option<LocalityView<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    services: Vec<&'a str>,
    capacity: u32,
}

/// A waypoint or gateway: `<network>/<ip>`, or `<namespace>/<hostname>`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct GatewayView {
    destination: String,
    hbone_mtls_port: u16,
}

#[derive(Debug, Serialize)]
struct TunnelView {
    protocol: &'static str,
    port: Option<u16>,
}

#[derive(Debug, Serialize)]
struct LocalityView<'a> {
    region: &'a str,
    zone: &'a str,
    subzone: &'a str,
}

impl<'a> From<&'a Workload> for WorkloadView<'a> {
    fn from(workload: &'a Workload) -> Self {
        let tunnel = workload.application_tunnel.map(|tunnel| TunnelView {
            protocol: match tunnel.protocol {
                ApplicationProtocol::None => "NONE",
                ApplicationProtocol::Proxy => "PROXY",
            },
            port: tunnel.port,
        });
        Self {
            workload_ips: &workload.addresses,
            waypoint: workload.waypoint.as_ref().map(GatewayView::from),
            network_gateway: workload.network_gateway.as_ref().map(GatewayView::from),
            protocol: match workload.protocol {
                Protocol::Tcp => "TCP",
                Protocol::Hbone => "HBONE",
            },
            network_mode: match workload.network_mode {
                NetworkMode::Standard => "Standard",
                NetworkMode::HostNetwork => "HostNetwork",
            },
            uid: &workload.uid,
            name: workload.name(),
            namespace: &workload.namespace,
            trust_domain: &workload.trust_domain,
            service_account: &workload.service_account,
            network: &workload.network,
            workload_name: &workload.workload_name,
            workload_type: workload.workload_type.as_str(),
            canonical_name: &workload.canonical_name,
            canonical_revision: &workload.canonical_revision,
            hostname: &workload.hostname,
            node: &workload.place.node,
            native_tunnel: workload.native_tunnel,
            application_tunnel: tunnel,
            authorization_policies: &workload.authorization_policies,
            status: health(workload.status),
            cluster_id: &workload.cluster_id,
            locality: LocalityView::of(&workload.place.locality),
            services: workload.services.keys().map(|key| &**key).collect(),
            capacity: workload.capacity,
        }
    }
}

impl From<&GatewayAddress> for GatewayView {
    fn from(gateway: &GatewayAddress) -> Self {
        use culvert_core::workload::GatewayDestination::{Address, Hostname};
        let destination = match &gateway.destination {
            Address(address) => address.to_string(),
            Hostname { namespace, hostname } => format!("{namespace}/{hostname}"),
        };
        Self { destination, hbone_mtls_port: gateway.port }
    }
}

impl<'a> LocalityView<'a> {
    fn of(Locality { region, zone, subzone }: &'a Locality) -> Option<Self> {
        let known = [region, zone, subzone].iter().any(|part| !part.is_empty());
        known.then_some(Self { region, zone, subzone })
    }
}

/// Whether an endpoint can take traffic.
pub(super) fn health(health: Health) -> &'static str {
    match health {
        Health::Healthy => "Healthy",
        Health::Unhealthy => "Unhealthy",
    }
}
