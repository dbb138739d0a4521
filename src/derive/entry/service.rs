//! `ServiceEntry` → core's services, one for each host.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use culvert_core::address::{NetworkAddress, NetworkBlock};
use culvert_core::service::{BalanceMode, HealthPolicy, IpFamilies, LoadBalancer, Service};
use ipnet::IpNet;

use crate::load_balancing::{Distribution, Wishes, load_balancer};
use crate::waypoint::Resolution;

use super::service_entry::{ServiceEntry, Way};

/// What is in front of a service, and around it.
#[derive(Debug, Clone, Copy)]
pub struct Front<'a> {
    /// The network of the cluster.
    pub network: &'a Arc<str>,
    /// Its waypoints.
    pub waypoints: &'a Resolution,
    /// Which endpoints its namespace prefers.
    pub distribution: Option<Distribution>,
    /// Addresses written in it that are somebody else's: it does not have them.
    pub taken: &'a BTreeSet<IpAddr>,
}

impl ServiceEntry {
    /// Gives the service that a host of this is; `canonical` when it is the one among all of that name. Nothing when nobody may see it.
    #[must_use]
    pub fn service(&self, host: &Arc<str>, canonical: bool, front: &Front<'_>) -> Option<Service> {
        let (vips, cidr_vips) = self.addresses_of(host, front);
        Some(Service {
            name: self.meta.name.clone(),
            namespace: self.meta.namespace.clone(),
            hostname: host.clone(),
            vips,
            cidr_vips,
            ports: self.ports.iter().map(|port| (port.number, port.target)).collect(),
            load_balancer: self.load_balancer(front.distribution),
            ip_families: IpFamilies::Automatic,
            waypoint: front.waypoints.waypoint.clone(),
            weighted_waypoints: front.waypoints.weighted.clone(),
            subject_alt_names: self.subject_alt_names.clone(),
            visibility: self.visibility?,
            canonical,
        })
    }

    /// An address that is only to be allocated is none before the status says so: two control planes may differ about it until then.
    fn addresses_of(&self, host: &str, front: &Front<'_>) -> (Vec<NetworkAddress>, Vec<NetworkBlock>) {
        let network = front.network;
        if self.wants_address(host) {
            let ours = self.allocated.iter().filter(|it| it.host.as_deref().is_none_or(|of| of == host));
            return (ours.map(|it| NetworkAddress::new(network.clone(), it.ip)).collect(), Vec::new());
        }
        let is_single = |block: &&IpNet| block.prefix_len() == block.max_prefix_len();
        let (singles, blocks): (Vec<&IpNet>, Vec<&IpNet>) = self.addresses.iter().partition(is_single);
        let own = singles.into_iter().filter(|it| !front.taken.contains(&it.addr()));
        let single = |it: &IpNet| NetworkAddress::new(network.clone(), it.addr());
        let block = |it: &IpNet| NetworkBlock { network: network.clone(), block: *it };
        (own.map(single).collect(), blocks.into_iter().map(block).collect())
    }

    fn load_balancer(&self, of_namespace: Option<Distribution>) -> LoadBalancer {
        if self.way == Way::Passthrough {
            let (mode, health_policy) = (BalanceMode::Passthrough, HealthPolicy::AllowAll);
            return LoadBalancer { preferences: Vec::new(), mode, health_policy };
        }
        load_balancer(&Wishes {
            stays_on_node: false,
            own: None,
            annotations: &self.meta.annotations,
            of_namespace,
            counts_unready: false,
        })
    }
}
