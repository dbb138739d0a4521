//! A service: a name and virtual addresses in front of workloads.
//!
//! Plain data. Deliberately absent: which endpoint to take (see `route`).

use std::net::IpAddr;
use std::sync::Arc;

use serde::Deserialize;

use crate::address::{NetworkAddress, NetworkBlock};
use crate::workload::{GatewayAddress, Health, PortMap};

/// One service of the mesh.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Service {
    /// The name.
    pub name: Arc<str>,
    /// The namespace.
    pub namespace: Arc<str>,
    /// The full name in DNS.
    pub hostname: Arc<str>,
    /// The virtual addresses; none for a headless service.
    pub vips: Vec<NetworkAddress>,
    /// Blocks of addresses that all stand for the service.
    pub cidr_vips: Vec<NetworkBlock>,
    /// The ports declared, with their targets.
    pub ports: PortMap,
    /// How an endpoint is chosen.
    pub load_balancer: LoadBalancer,
    /// Which address families may be used to reach endpoints.
    pub ip_families: IpFamilies,
    /// The waypoint in front of the service.
    pub waypoint: Option<GatewayAddress>,
    /// Waypoints to choose from by weight, ahead of `waypoint`.
    pub weighted_waypoints: Vec<WeightedWaypoint>,
    /// Identities accepted for its endpoints besides their own, as text.
    pub subject_alt_names: Vec<Arc<str>>,
    /// Who may see it.
    pub visibility: Visibility,
    /// Whether it wins when several namespaces define the same name or address.
    pub canonical: bool,
}

/// A waypoint and its share of the connections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WeightedWaypoint {
    /// The waypoint.
    pub destination: GatewayAddress,
    /// Its share; 0 is never drawn.
    pub weight: u32,
}

/// How an endpoint is chosen.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LoadBalancer {
    /// What makes an endpoint near, most important first.
    pub preferences: Vec<Preference>,
    /// What to do with the preferences.
    pub mode: BalanceMode,
    /// Which endpoints count.
    pub health_policy: HealthPolicy,
}

/// One respect in which an endpoint can be near to a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
pub enum Preference {
    /// The same region.
    Region,
    /// The same zone.
    Zone,
    /// The same part of the zone.
    Subzone,
    /// The same Kubernetes node.
    Node,
    /// The same cluster.
    Cluster,
    /// The same network.
    Network,
}

/// What a load balancer does with its preferences.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
pub enum BalanceMode {
    /// All endpoints are equal.
    #[default]
    Standard,
    /// Only endpoints that match every preference.
    Strict,
    /// The endpoints that match best.
    Failover,
    /// No choice: the connection goes where the client sent it.
    Passthrough,
}

/// Which endpoints a load balancer counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
pub enum HealthPolicy {
    /// The healthy ones.
    #[default]
    OnlyHealthy,
    /// All of them.
    AllowAll,
}

/// Which address families may be used to reach the endpoints of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
pub enum IpFamilies {
    /// Any.
    #[default]
    Automatic,
    /// IPv4.
    #[serde(rename = "IPv4")]
    V4Only,
    /// IPv6.
    #[serde(rename = "IPv6")]
    V6Only,
    /// Both.
    Dual,
}

/// Who may see a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
pub enum Visibility {
    /// Everybody.
    #[default]
    Public,
    /// Clients of its own namespace.
    Namespace,
}

impl Service {
    /// Gives the primary key, `<namespace>/<hostname>`.
    #[must_use]
    pub fn key(&self) -> Arc<str> {
        format!("{}/{}", self.namespace, self.hostname).into()
    }

    /// Tells whether clients of `namespace` may see the service.
    #[must_use]
    pub fn visible_to(&self, namespace: &str) -> bool {
        self.visibility == Visibility::Public || &*self.namespace == namespace
    }
}

impl HealthPolicy {
    /// Tells whether an endpoint of this health may take traffic.
    #[must_use]
    pub fn admits(self, health: Health) -> bool {
        self == Self::AllowAll || health == Health::Healthy
    }
}

impl IpFamilies {
    /// Tells whether `address` may be used.
    #[must_use]
    pub fn allows(self, address: IpAddr) -> bool {
        match self {
            Self::Automatic | Self::Dual => true,
            Self::V4Only => address.is_ipv4(),
            Self::V6Only => address.is_ipv6(),
        }
    }
}
