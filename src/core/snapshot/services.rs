//! Services as the indexes know them.

use std::net::IpAddr;
use std::sync::Arc;

use crate::address::NetworkAddress;
use crate::service::Service;
use crate::workload::{PortMap, Workload};

use super::index::{Index, Keyed};

/// A service and its key. The indexes by name and address share it; endpoints, which change all the time, are not in it.
#[derive(Debug)]
pub(crate) struct Listing {
    pub(crate) key: Arc<str>,
    pub(crate) service: Arc<Service>,
}

/// A service together with the workloads that can take its connections.
#[derive(Debug, Clone)]
pub(crate) struct Backed {
    pub(crate) listing: Arc<Listing>,
    /// All workloads that name the service, whatever their health.
    pub(crate) endpoints: Index<Arc<Workload>>,
}

/// One of the virtual addresses of a service.
#[derive(Debug, Clone)]
pub(crate) struct Vip {
    pub(crate) listing: Arc<Listing>,
    pub(crate) nth: usize,
}

/// A service by its hostname.
#[derive(Debug, Clone)]
pub(crate) struct Named(pub(crate) Arc<Listing>);

impl Backed {
    /// Gives the service.
    pub(crate) fn service(&self) -> &Arc<Service> {
        &self.listing.service
    }

    /// Gives the key of the service.
    pub(crate) fn key(&self) -> &Arc<str> {
        &self.listing.key
    }

    /// Counts the workloads behind it, whatever their health.
    pub(crate) fn len(&self) -> usize {
        self.endpoints.len()
    }

    /// Gives the workloads behind it that count under its health policy, with the ports they serve on other targets than
    /// the service declares.
    pub(crate) fn backends(&self) -> impl Iterator<Item = (&Arc<Workload>, &PortMap)> {
        let policy = self.service().load_balancer.health_policy;
        let counting = self.endpoints.iter().filter(move |workload| policy.admits(workload.status));
        counting.filter_map(|workload| Some((workload, workload.services.get(self.key())?)))
    }
}

impl Vip {
    pub(crate) fn address(&self) -> &NetworkAddress {
        &self.listing.service.vips[self.nth]
    }
}

impl Keyed for Arc<Backed> {
    type Key = str;

    fn key(&self) -> &str {
        &self.listing.key
    }
}

impl Keyed for Vip {
    type Key = IpAddr;

    fn key(&self) -> &IpAddr {
        &self.address().ip
    }
}

impl Keyed for Named {
    type Key = str;

    fn key(&self) -> &str {
        &self.0.service.hostname
    }
}
