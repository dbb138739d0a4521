//! The mesh at one moment: immutable, indexed for the questions connections ask.
//!
//! Goes in: a [`Mesh`]. Comes out: lookups that never wait and never change. Deliberately absent: how the mesh changes;
//! whoever owns the state publishes a new snapshot.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use crate::mesh_file::Mesh;
use crate::policy::{Policy, PolicySet};
use crate::service::Service;
use crate::workload::Workload;

use backed::Backed;
use blocks::Blocks;

pub(crate) mod backed;
mod blocks;
mod build;

/// The mesh at one moment. Share it as `Arc<Snapshot>`.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    local_network: Arc<str>,
    workloads: BTreeMap<Arc<str>, Arc<Workload>>,
    /// The best of several workloads with one address comes first.
    workloads_by_address: HashMap<IpAddr, Vec<Arc<Workload>>>,
    workloads_by_name: HashMap<Arc<str>, Vec<Arc<Workload>>>,
    services: BTreeMap<Arc<str>, Arc<Backed>>,
    services_by_vip: HashMap<IpAddr, Vec<InNetwork>>,
    services_by_block: Blocks<Arc<Backed>>,
    services_by_hostname: HashMap<Arc<str>, Vec<Arc<Backed>>>,
    policies: BTreeMap<Arc<str>, Arc<Policy>>,
    policies_by_namespace: HashMap<Arc<str>, Vec<Arc<Policy>>>,
    global_policies: Vec<Arc<Policy>>,
}

/// A service and the network an address of it is in.
type InNetwork = (Arc<str>, Arc<Backed>);

impl Snapshot {
    /// Indexes `mesh` for a node in `local_network`. Of two entries with one key the later counts.
    #[must_use]
    pub fn new(mesh: Mesh, local_network: &str) -> Self {
        build::snapshot(mesh, local_network)
    }

    /// Gives the snapshot of a mesh nothing is known about.
    #[must_use]
    pub fn empty() -> Self {
        Self::default()
    }

    /// Gives the name of the network the node is in.
    #[must_use]
    pub fn local_network(&self) -> &str {
        &self.local_network
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
        let mut named = self.workloads_by_name.get(name)?.iter();
        named.find(|it| &*it.namespace == namespace && &*it.service_account == service_account)
    }

    /// Finds the workload with an address. Workloads that use their node's address are not found by it. Of several, a
    /// pod is preferred, then one that speaks HBONE.
    #[must_use]
    pub fn workload_by_address(&self, network: &str, ip: IpAddr) -> Option<&Arc<Workload>> {
        let mut sharing = self.workloads_by_address.get(&ip.to_canonical())?.iter();
        sharing.find(|it| &*it.network == network)
    }

    /// Finds a service by its primary key, `<namespace>/<hostname>`.
    #[must_use]
    pub fn service(&self, key: &str) -> Option<&Arc<Service>> {
        self.services.get(key).map(|backed| &backed.service)
    }

    /// Finds the service a client means by a virtual address: the client's own namespace before canonical services
    /// before the first; blocks of addresses only if the address itself has no visible service.
    #[must_use]
    pub fn service_by_vip(&self, network: &str, ip: IpAddr, client_namespace: &str) -> Option<&Arc<Service>> {
        self.backed_by_vip(network, ip, client_namespace).map(|backed| &backed.service)
    }

    /// Finds the service a client means by a hostname, with the same preference.
    #[must_use]
    pub fn service_by_hostname(&self, hostname: &str, client_namespace: &str) -> Option<&Arc<Service>> {
        let named = self.services_by_hostname.get(hostname)?.iter();
        best(named, client_namespace).map(|backed| &backed.service)
    }

    /// Gives the policies that apply to `workload`, and its references to policies that do not exist.
    #[must_use]
    pub fn policies_for<'a>(&'a self, workload: &'a Workload) -> PolicySet<'a> {
        let namespace = self.policies_by_namespace.get(&workload.namespace).map_or(&[][..], Vec::as_slice);
        let references = workload.authorization_policies.iter().map(|key| (key, self.policies.get(key)));
        PolicySet::new(namespace, &self.global_policies, references)
    }

    /// Gives all workloads, by uid.
    pub fn workloads(&self) -> impl ExactSizeIterator<Item = &Arc<Workload>> {
        self.workloads.values()
    }

    /// Gives all services, by key.
    pub fn services(&self) -> impl ExactSizeIterator<Item = &Arc<Service>> {
        self.services.values().map(|backed| &backed.service)
    }

    /// Gives all policies, by key.
    pub fn policies(&self) -> impl ExactSizeIterator<Item = &Arc<Policy>> {
        self.policies.values()
    }

    /// Finds a service by virtual address, as [`Self::service_by_vip`] does, with the workloads behind it.
    pub(crate) fn backed_by_vip(
        &self,
        network: &str,
        ip: IpAddr,
        client_namespace: &str,
    ) -> Option<&Arc<Backed>> {
        let ip = ip.to_canonical();
        let exact = self.services_by_vip.get(&ip).into_iter().flatten();
        let exact = exact.filter(|(of, _)| &**of == network).map(|(_, backed)| backed);
        best(exact, client_namespace).or_else(|| {
            let blocks = self.services_by_block.containing(network, ip);
            let visible = blocks.filter(|(_, backed)| backed.service.visible_to(client_namespace));
            let rank = |(length, backed): &(u8, &Arc<Backed>)| {
                let service = &backed.service;
                (&*service.namespace != client_namespace, Reverse(*length), !service.canonical)
            };
            visible.min_by_key(rank).map(|(_, backed)| backed)
        })
    }
}

/// Gives what a client of `namespace` means by a name or address that several services share.
fn best<'a>(shared: impl Iterator<Item = &'a Arc<Backed>>, namespace: &str) -> Option<&'a Arc<Backed>> {
    let visible = shared.filter(|backed| backed.service.visible_to(namespace));
    visible.min_by_key(|backed| (&*backed.service.namespace != namespace, !backed.service.canonical))
}

#[cfg(test)]
mod tests;
