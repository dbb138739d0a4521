//! The mesh at one moment: immutable, indexed for the questions connections ask.
//!
//! Goes in: what [`crate::store::Store`] has put together. Comes out: lookups that never wait and never change. Deliberately
//! absent: how the mesh changes. A snapshot shares everything that has not changed with the ones before and after it.

use std::cmp::Reverse;
use std::net::IpAddr;
use std::sync::Arc;

use crate::mesh_file::Mesh;
use crate::policy::{Policy, PolicySet};
use crate::service::Service;
use crate::store::{Locality, Resource, Store};
use crate::workload::{Protocol, Workload};

use blocks::Blocks;
use index::Index;
use policies::{EVERYTHING, Governing};
use services::{Backed, Listing, Named, Vip};
use workloads::{At, Hosted, Local};

pub(crate) mod blocks;
pub(crate) mod index;
pub(crate) mod lineup;
mod memo;
pub(crate) mod policies;
pub(crate) mod services;
pub(crate) mod urn;
pub(crate) mod workloads;

/// The mesh at one moment. Cloning it costs nothing.
///
/// **Invariant:** endpoints are in `services` alone; the indexes by name and address lead to a service's key, so that none of
/// them can know older endpoints than another.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    pub(crate) local: Locality,
    pub(crate) workloads: Index<Arc<Workload>>,
    pub(crate) by_address: Index<At>,
    pub(crate) by_hostname: Index<Hosted>,
    pub(crate) of_this_node: Index<Local>,
    pub(crate) services: Index<Arc<Backed>>,
    pub(crate) by_vip: Index<Vip>,
    pub(crate) by_block: Blocks,
    pub(crate) by_name: Index<Named>,
    pub(crate) policies: Index<Arc<Policy>>,
    pub(crate) governing: Index<Governing>,
}

impl Snapshot {
    /// Indexes `mesh` for a node in `local_network`, which takes every workload for one of its own.
    #[must_use]
    pub fn new(mesh: Mesh, local_network: &str) -> Self {
        let mut store = Store::new(Locality { network: local_network.into(), node: None });
        let Mesh { workloads, services, policies } = mesh;
        let workloads = workloads.into_iter().map(Resource::Workload);
        let services = services.into_iter().map(Resource::Service);
        let policies = policies.into_iter().map(Resource::Policy);
        for resource in workloads.chain(services).chain(policies) {
            store.insert(resource);
        }
        store.snapshot()
    }

    /// Gives the snapshot of a mesh nothing is known about.
    #[must_use]
    pub fn empty() -> Self {
        Self::default()
    }

    /// Gives the name of the network the node is in.
    #[must_use]
    pub fn local_network(&self) -> &str {
        &self.local.network
    }

    /// Gives the name of the node, if it has one.
    #[must_use]
    pub fn local_node(&self) -> Option<&str> {
        self.local.node.as_deref()
    }

    /// Finds a workload by its primary key.
    #[must_use]
    pub fn workload(&self, uid: &str) -> Option<&Arc<Workload>> {
        self.workloads.get(uid)
    }

    /// Finds the workload a pod of this node is.
    #[must_use]
    pub fn local_workload(
        &self,
        namespace: &str,
        name: &str,
        service_account: &str,
    ) -> Option<&Arc<Workload>> {
        let named = self.of_this_node.find(name).map(|Local(workload)| workload);
        named
            .filter(|it| &*it.namespace == namespace && &*it.service_account == service_account)
            .min_by(|one, other| one.uid.cmp(&other.uid))
    }

    /// Gives the workloads of this node; all, when the node has no name.
    pub fn local_workloads(&self) -> impl ExactSizeIterator<Item = &Arc<Workload>> {
        self.of_this_node.iter().map(|Local(workload)| workload)
    }

    /// Finds the workload with an address. Workloads that use their node's address are not found by it. Of several, a
    /// pod is preferred, then one that speaks HBONE, then the one whose uid sorts first.
    #[must_use]
    pub fn workload_by_address(&self, network: &str, ip: IpAddr) -> Option<&Arc<Workload>> {
        let sharing = self.by_address.with_key(ip.to_canonical()).map(|at| &at.workload);
        sharing
            .filter(|it| &*it.network == network)
            .min_by_key(|it| (!it.is_pod(), it.protocol != Protocol::Hbone, &it.uid))
    }

    /// Finds the workload to resolve `hostname` for, in `namespace`.
    #[must_use]
    pub fn workload_by_hostname(&self, namespace: &str, hostname: &str) -> Option<&Arc<Workload>> {
        let hosted = self.by_hostname.find(hostname).map(|Hosted(workload)| workload);
        hosted.filter(|it| &*it.namespace == namespace).min_by(|one, other| one.uid.cmp(&other.uid))
    }

    /// Finds a service by its primary key, `<namespace>/<hostname>`.
    #[must_use]
    pub fn service(&self, key: &str) -> Option<&Arc<Service>> {
        self.services.get(key).map(|backed| backed.service())
    }

    /// Finds the service a client means by a virtual address: the client's own namespace before canonical services
    /// before the one whose key sorts first; blocks of addresses only if the address itself has no visible service.
    #[must_use]
    pub fn service_by_vip(&self, network: &str, ip: IpAddr, client_namespace: &str) -> Option<&Arc<Service>> {
        self.listing_by_vip(network, ip, client_namespace).map(|listing| &listing.service)
    }

    /// Finds the service a client means by a hostname, with the same preference.
    #[must_use]
    pub fn service_by_hostname(&self, hostname: &str, client_namespace: &str) -> Option<&Arc<Service>> {
        let named = self.by_name.find(hostname).map(|Named(listing)| listing);
        best(named, client_namespace).map(|listing| &listing.service)
    }

    /// Tells whether any service, visible or not, has this very virtual address. A block that contains it says nothing of what
    /// else is there.
    #[must_use]
    pub fn has_vip(&self, network: &str, ip: IpAddr) -> bool {
        self.by_vip.with_key(ip.to_canonical()).any(|vip| &*vip.address().network == network)
    }

    /// Tells whether any service, visible or not, has this hostname.
    #[must_use]
    pub fn has_hostname(&self, hostname: &str) -> bool {
        self.by_name.get(hostname).is_some()
    }

    /// Gives the workloads that are endpoints of a service, whatever their health.
    pub fn endpoints(&self, service: &str) -> impl Iterator<Item = &Arc<Workload>> {
        self.services.get(service).into_iter().flat_map(|backed| backed.endpoints().iter())
    }

    /// Gives the policies that apply to `workload`, and its references to policies that do not exist.
    #[must_use]
    pub fn policies_for(&self, workload: &Workload) -> PolicySet {
        // A namespace without a name is one like any other, although what governs everything is found by no name.
        let of_namespace = self.governing.find(&workload.namespace).filter(|it| !it.is_global());
        let governing = of_namespace.chain(self.governing.find(EVERYTHING).filter(|it| it.is_global()));
        let references = workload.authorization_policies.iter().map(|key| (key, self.policies.get(key)));
        PolicySet::new(governing.map(Governing::policy), references)
    }

    /// Gives all workloads.
    pub fn workloads(&self) -> impl ExactSizeIterator<Item = &Arc<Workload>> {
        self.workloads.iter()
    }

    /// Gives all services.
    pub fn services(&self) -> impl ExactSizeIterator<Item = &Arc<Service>> {
        self.services.iter().map(|backed| backed.service())
    }

    /// Gives all policies.
    pub fn policies(&self) -> impl ExactSizeIterator<Item = &Arc<Policy>> {
        self.policies.iter()
    }

    /// Finds a service by its primary key, with the workloads behind it.
    pub(crate) fn backed(&self, key: &str) -> Option<&Arc<Backed>> {
        self.services.get(key)
    }

    /// Finds a service by virtual address, as [`Self::service_by_vip`] does, with the workloads behind it.
    pub(crate) fn backed_by_vip(
        &self,
        network: &str,
        ip: IpAddr,
        client_namespace: &str,
    ) -> Option<&Arc<Backed>> {
        self.services.get(&self.listing_by_vip(network, ip, client_namespace)?.key)
    }

    /// Gives all services with a hostname, visible or not, with the workloads behind them.
    pub(crate) fn backed_by_hostname<'a, 'h>(
        &'a self,
        hostname: &'h str,
    ) -> impl Iterator<Item = &'a Arc<Backed>> + use<'a, 'h> {
        self.by_name.find(hostname).filter_map(|Named(listing)| self.services.get(&listing.key))
    }

    fn listing_by_vip<'a>(
        &'a self,
        network: &str,
        ip: IpAddr,
        client_namespace: &str,
    ) -> Option<&'a Arc<Listing>> {
        let ip = ip.to_canonical();
        let exact = self.by_vip.with_key(ip).filter(|vip| &*vip.address().network == network);
        best(exact.map(|vip| &vip.listing), client_namespace).or_else(|| {
            let blocks = self.by_block.containing(network, ip);
            let visible = blocks.filter(|(_, listing)| listing.service.visible_to(client_namespace));
            let rank = |(length, listing): &(u8, &'_ Arc<Listing>)| {
                let service = &listing.service;
                (&*service.namespace != client_namespace, Reverse(*length), !service.canonical)
            };
            let ranked =
                visible.min_by(|one, other| (rank(one), &one.1.key).cmp(&(rank(other), &other.1.key)));
            ranked.map(|(_, listing)| listing)
        })
    }
}

/// Gives what a client of `namespace` means by a name or address that several services share.
fn best<'a>(shared: impl Iterator<Item = &'a Arc<Listing>>, namespace: &str) -> Option<&'a Arc<Listing>> {
    let visible = shared.filter(|listing| listing.service.visible_to(namespace));
    visible.min_by_key(|listing| {
        (&*listing.service.namespace != namespace, !listing.service.canonical, &listing.key)
    })
}

#[cfg(test)]
mod tests;
