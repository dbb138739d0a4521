//! The mesh as it changes: resources come and go one by one, in any order, and every change costs what it changes.
//!
//! Goes in: one resource, or the name of one that is gone. Comes out: a [`Snapshot`] whenever one is asked for, and whether
//! anything changed that live connections depend on. A workload may name services nobody knows yet and a service may come
//! and go without its workloads: who belongs to what is settled whenever both are there. Deliberately absent: publishing.

use std::collections::HashMap;
use std::sync::Arc;

use crate::policy::Policy;
use crate::service::Service;
use crate::snapshot::Snapshot;
use crate::snapshot::index::Index;
use crate::snapshot::policies::Governing;
use crate::snapshot::services::{Backed, Listing, Named, Vip};
use crate::snapshot::workloads::{At, Hosted, Local};
use crate::workload::{Incarnation, NetworkMode, Workload};

/// Where the node is.
#[derive(Debug, Clone, Default)]
pub struct Locality {
    /// The network.
    pub network: Arc<str>,
    /// The Kubernetes node; without a name every workload is taken for one of this node.
    pub node: Option<Arc<str>>,
}

/// One resource of the mesh.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resource {
    /// A workload, by its uid.
    Workload(Workload),
    /// A service, by `<namespace>/<hostname>`.
    Service(Service),
    /// A policy, by its key.
    Policy(Policy),
}

/// One change of the mesh.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "nearly all changes are insertions")]
pub enum Change {
    /// A resource is there, perhaps in the place of the one with its name.
    Insert(Resource),
    /// The workload with this uid, or else the service with this key, is gone.
    RemoveAddress(Arc<str>),
    /// The policy with this key is gone.
    RemovePolicy(Arc<str>),
}

/// What has changed, as far as live connections and certificates care.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Changes {
    /// Policies, or workloads of this node and with them the policies they refer to: verdicts may be different.
    pub verdicts: bool,
    /// Workloads of this node: the identities needed may be different.
    pub local: bool,
}

/// The mesh, owned by one task.
#[derive(Debug, Default)]
pub struct Store {
    current: Snapshot,
    /// Workloads that name services nobody knows, by service.
    staged: HashMap<Arc<str>, Index<Arc<Workload>>>,
    /// Policies that could not be understood.
    unusable: usize,
    /// Workloads that were taken away, counted round and round: who comes back is somebody else.
    gone: u16,
    changes: Changes,
}

impl Store {
    /// Starts with nothing.
    #[must_use]
    pub fn new(local: Locality) -> Self {
        Self { current: Snapshot { local, ..Snapshot::default() }, ..Self::default() }
    }

    /// Gives the mesh of this moment, at no cost.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.current.clone()
    }

    /// Counts the policies that could not be understood: what they govern is denied.
    #[must_use]
    pub fn unusable_policies(&self) -> usize {
        self.unusable
    }

    /// Gives what has changed since this was last asked.
    pub fn take_changes(&mut self) -> Changes {
        std::mem::take(&mut self.changes)
    }

    /// Makes one change.
    pub fn apply(&mut self, change: Change) {
        match change {
            Change::Insert(resource) => self.insert(resource),
            Change::RemoveAddress(name) => self.remove_address(&name),
            Change::RemovePolicy(key) => self.remove_policy(&key),
        }
    }

    /// Adds a resource, or puts it in the place of the one with its name.
    pub fn insert(&mut self, resource: Resource) {
        match resource {
            Resource::Workload(workload) => {
                // Names are shared: what was a service is none any more.
                self.remove_service(&workload.uid);
                self.insert_workload(workload);
            }
            Resource::Service(service) => {
                self.remove_uid(&service.key());
                self.insert_service(service);
            }
            Resource::Policy(policy) => self.insert_policy(policy),
        }
    }

    /// Takes the workload with this uid, or else the service with this key, away; a name that is neither is fine.
    pub fn remove_address(&mut self, name: &str) {
        if !self.remove_uid(name) {
            self.remove_service(name);
        }
    }

    /// Takes the workload with this uid away for good.
    fn remove_uid(&mut self, uid: &str) -> bool {
        let was_there = self.remove_workload(uid);
        self.gone = self.gone.wrapping_add(was_there.into());
        was_there
    }

    /// Takes the policy with this key away, if there is one.
    pub fn remove_policy(&mut self, key: &str) {
        if let Some(policy) = self.current.policies.remove(key, |_| true) {
            self.forget_policy(&policy);
            self.changes.verdicts = true;
        }
    }

    fn insert_workload(&mut self, mut workload: Workload) {
        let known = self.current.workloads.get(&workload.uid);
        if known.is_some_and(|known| **known == workload) {
            return;
        }
        workload.incarnation = known.map_or(Incarnation::nth(self.gone), |known| known.incarnation);
        self.remove_workload(&workload.uid);
        let workload = Arc::new(workload);
        let tables = &mut self.current;
        if workload.network_mode == NetworkMode::Standard {
            for (nth, _) in (0..).zip(workload.addresses.iter()) {
                tables.by_address.insert(At { workload: workload.clone(), nth });
            }
        }
        if !workload.hostname.is_empty() {
            tables.by_hostname.insert(Hosted(workload.clone()));
        }
        if tables.local.has(&workload) {
            tables.of_this_node.insert(Local(workload.clone()));
            self.changes = Changes { verdicts: true, local: true };
        }
        tables.workloads.insert(workload.clone());
        for service in workload.services.keys() {
            self.endpoints_mut(service).insert(workload.clone());
        }
    }

    fn remove_workload(&mut self, uid: &str) -> bool {
        let Some(workload) = self.current.workloads.remove(uid, |_| true) else { return false };
        let this = |other: &Arc<Workload>| Arc::ptr_eq(other, &workload);
        let tables = &mut self.current;
        if workload.network_mode == NetworkMode::Standard {
            for address in workload.addresses.iter() {
                tables.by_address.remove(address, |at| this(&at.workload));
            }
        }
        tables.by_hostname.remove(&workload.hostname, |Hosted(other)| this(other));
        if tables.of_this_node.remove(workload.name(), |Local(other)| this(other)).is_some() {
            self.changes = Changes { verdicts: true, local: true };
        }
        for service in workload.services.keys() {
            let endpoints = self.endpoints_mut(service);
            endpoints.remove(uid, |_| true);
            if endpoints.len() == 0 {
                self.staged.remove(service);
            }
        }
        true
    }

    /// The workloads that name a service, known or not.
    fn endpoints_mut(&mut self, service: &Arc<str>) -> &mut Index<Arc<Workload>> {
        match self.current.services.get_mut(service) {
            Some(backed) => Arc::make_mut(backed).endpoints_mut(),
            None => self.staged.entry(service.clone()).or_default(),
        }
    }

    fn insert_service(&mut self, service: Service) {
        let key = service.key();
        if self.current.services.get(&*key).is_some_and(|known| **known.service() == service) {
            return;
        }
        self.remove_service(&key);
        let endpoints = self.staged.remove(&key).unwrap_or_default();
        let listing = Arc::new(Listing { key, service: Arc::new(service) });
        let tables = &mut self.current;
        for nth in 0..listing.service.vips.len() {
            tables.by_vip.insert(Vip { listing: listing.clone(), nth });
        }
        tables.by_block.insert(&listing);
        tables.by_name.insert(Named(listing.clone()));
        tables.services.insert(Arc::new(Backed::new(listing, endpoints)));
    }

    fn remove_service(&mut self, key: &str) {
        let tables = &mut self.current;
        let Some(backed) = tables.services.remove(key, |_| true) else { return };
        let (listing, endpoints) = Arc::unwrap_or_clone(backed).into_parts();
        let this = |other: &Arc<Listing>| Arc::ptr_eq(other, &listing);
        for vip in &listing.service.vips {
            tables.by_vip.remove(&vip.ip, |it| this(&it.listing) && it.address().network == vip.network);
        }
        tables.by_block.remove(&listing);
        tables.by_name.remove(&listing.service.hostname, |Named(other)| this(other));
        if endpoints.len() > 0 {
            self.staged.insert(listing.key.clone(), endpoints);
        }
    }

    fn insert_policy(&mut self, policy: Policy) {
        if self.current.policies.get(&policy.key).is_some_and(|known| **known == policy) {
            return;
        }
        let policy = Arc::new(policy);
        if let Some(before) = self.current.policies.replace(policy.clone()) {
            self.forget_policy(&before);
        }
        self.unusable += usize::from(policy.unusable.is_some());
        if let Some(governing) = Governing::of(&policy) {
            self.current.governing.insert(governing);
        }
        self.changes.verdicts = true;
    }

    fn forget_policy(&mut self, policy: &Arc<Policy>) {
        self.unusable -= usize::from(policy.unusable.is_some());
        if let Some(governing) = Governing::of(policy) {
            let governing = &governing;
            let this = |other: &Governing| Arc::ptr_eq(other.policy(), governing.policy());
            self.current.governing.remove(crate::snapshot::index::Keyed::key(governing), this);
        }
    }
}

impl Locality {
    /// Tells whether a workload runs on this node.
    fn has(&self, workload: &Workload) -> bool {
        self.node.as_ref().is_none_or(|node| *node == workload.place.node)
    }
}

impl Resource {
    /// Gives the primary key.
    #[must_use]
    pub fn name(&self) -> Arc<str> {
        match self {
            Self::Workload(workload) => workload.uid.clone(),
            Self::Service(service) => service.key(),
            Self::Policy(policy) => policy.key.clone(),
        }
    }
}

#[cfg(test)]
mod tests;
