//! Services as the indexes know them.

use std::net::IpAddr;
use std::sync::Arc;

use crate::address::NetworkAddress;
use crate::service::Service;
use crate::workload::{PortMap, Workload};

use super::index::{Index, Keyed};
use super::lineup::Lineup;
use super::memo::Memo;

/// A service and its key. The indexes by name and address share it; endpoints, which change all the time, are not in it.
#[derive(Debug)]
pub(crate) struct Listing {
    pub(crate) key: Arc<str>,
    pub(crate) service: Arc<Service>,
}

/// A service together with the workloads that can take its connections.
#[derive(Debug, Clone)]
pub(crate) struct Backed {
    listing: Arc<Listing>,
    endpoints: Index<Arc<Workload>>,
    /// Made of the two when somebody asks: most services of a mesh have no client on this node.
    lineups: Memo<Lineup>,
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
    /// Puts a service in front of the workloads that name it.
    pub(crate) fn new(listing: Arc<Listing>, endpoints: Index<Arc<Workload>>) -> Self {
        Self { listing, endpoints, lineups: Memo::default() }
    }

    /// Gives the service and all workloads that name it.
    pub(crate) fn into_parts(self) -> (Arc<Listing>, Index<Arc<Workload>>) {
        (self.listing, self.endpoints)
    }

    /// Gives all workloads that name the service, whatever their health.
    pub(crate) fn endpoints(&self) -> &Index<Arc<Workload>> {
        &self.endpoints
    }

    /// Gives them to be changed; what was made of them is forgotten.
    pub(crate) fn endpoints_mut(&mut self) -> &mut Index<Arc<Workload>> {
        self.lineups = Memo::default();
        &mut self.endpoints
    }

    /// Gives what the clients wanted may be given, made by `make` when nobody has asked before; nothing when there are too many
    /// kinds of clients to keep it for each.
    pub(crate) fn lineup(
        &self,
        wanted: impl Fn(&Lineup) -> bool,
        make: impl Fn() -> Lineup,
    ) -> Option<&Lineup> {
        self.lineups.find_or_make(wanted, make)
    }

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
