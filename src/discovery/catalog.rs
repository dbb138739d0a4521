//! The mesh as clients read it: every resource encoded and versioned, by name and by whatever else it is asked for.
//!
//! In go resources and names of resources that are gone, many at a time; each time makes a new generation. Out comes the
//! newest state of anything, and what has changed since a moment. It knows no clients.

mod entry;
mod log;
mod table;

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::Arc;

use culvert_core::address::{NetworkAddress, NetworkBlock};
use culvert_core::identity::SpiffeId;
use ipnet::IpNet;

use log::Log;
use table::{Named, Names};

pub use entry::{Collection, Entry, Version};
pub(crate) use entry::{Governs, Host, Kind};
pub(crate) use log::{Moment, Now, Touched};
pub use table::Slot;

/// All resources of this moment.
#[derive(Debug, Default)]
pub struct Catalog {
    addresses: Named,
    policies: Named,
    /// Workloads and services by the addresses they answer to.
    aliases: Names,
    /// Workloads by service.
    members: Names,
    /// Workloads by node.
    nodes: Names,
    /// Services that are canonical, by hostname.
    hosts: Names,
    /// How many aliases are blocks of addresses.
    blocks: usize,
    log: Log,
}

/// One difference.
#[derive(Debug)]
pub enum Change {
    /// This is there, in the place of whatever had its name.
    Put(Arc<Entry>),
    /// This is gone.
    Remove(Collection, Arc<str>),
}

impl Catalog {
    /// Makes a new generation, unless nothing is different. Costs what changes.
    pub fn apply(&mut self, changes: impl IntoIterator<Item = Change>) {
        let mut touched = Vec::new();
        for change in changes {
            match change {
                Change::Put(entry) => touched.extend(self.put(entry)),
                Change::Remove(collection, name) => touched.extend(self.remove(collection, &name)),
            }
        }
        self.log.append(touched);
    }

    /// The number of the newest generation.
    pub fn generation(&self) -> u64 {
        self.log.newest().generation()
    }

    /// This moment, to hear from it later what has changed.
    pub(crate) fn moment(&self) -> &Moment {
        self.log.newest()
    }

    /// The resource of that name.
    pub fn find(&self, collection: Collection, name: &str) -> Option<&Arc<Entry>> {
        self.named(collection).get(name)
    }

    /// The place of a resource in its collection.
    pub(crate) fn slot(&self, collection: Collection, name: &str) -> Option<Slot> {
        self.named(collection).slot(name)
    }

    /// The resource at a place.
    pub(crate) fn at(&self, collection: Collection, slot: Slot) -> Option<&Arc<Entry>> {
        self.named(collection).at(slot)
    }

    /// All of a collection.
    pub fn all(&self, collection: Collection) -> impl Iterator<Item = (Slot, &Arc<Entry>)> {
        self.named(collection).iter()
    }

    /// How many there are of a collection.
    pub fn len(&self, collection: Collection) -> usize {
        self.named(collection).len()
    }

    /// What a client means by a key: a resource by its name, else those that answer to it as an address, else the service that is
    /// canonical for the hostname in it, else the services whose blocks contain the address.
    ///
    /// All of them, because only the client knows in which order it prefers them.
    pub(crate) fn resolve(&self, collection: Collection, key: &str) -> Vec<&Arc<Entry>> {
        if let Some(entry) = self.find(collection, key) {
            return vec![entry];
        }
        if collection == Collection::Policies {
            return Vec::new();
        }
        let found: Vec<_> = self.known(self.aliases.of(key)).collect();
        if !found.is_empty() {
            return found;
        }
        if let Some(elsewhere) = self.stand_in(key) {
            return vec![elsewhere];
        }
        if self.blocks == 0 {
            return found;
        }
        key.parse().map_or(Vec::new(), |address| self.in_block(&address))
    }

    /// The service of another namespace that a name nothing has stands for: the one that is canonical for its hostname.
    pub(crate) fn stand_in(&self, name: &str) -> Option<&Arc<Entry>> {
        let hostname = hostname(name).filter(|_| self.find(Collection::Addresses, name).is_none())?;
        self.known(self.hosts.of(hostname)).next()
    }

    /// The workloads behind a service.
    pub fn members(&self, service: &str) -> impl Iterator<Item = &Arc<Entry>> {
        self.known(self.members.of(service))
    }

    /// The workloads of a node.
    pub(crate) fn on_node(&self, node: &str) -> impl Iterator<Item = &Arc<Entry>> {
        self.known(self.nodes.of(node))
    }

    /// The identities of a node; none for a node without workloads.
    pub fn identities_on(&self, node: &str) -> HashSet<&SpiffeId> {
        self.on_node(node).filter_map(|entry| entry.place()?.identity.as_ref()).collect()
    }

    fn named(&self, collection: Collection) -> &Named {
        match collection {
            Collection::Addresses => &self.addresses,
            Collection::Policies => &self.policies,
        }
    }

    fn named_mut(&mut self, collection: Collection) -> &mut Named {
        match collection {
            Collection::Addresses => &mut self.addresses,
            Collection::Policies => &mut self.policies,
        }
    }

    fn known<'a>(
        &'a self,
        names: impl Iterator<Item = &'a Arc<str>>,
    ) -> impl Iterator<Item = &'a Arc<Entry>> {
        names.filter_map(|name| self.addresses.get(name))
    }

    fn in_block(&self, address: &NetworkAddress) -> Vec<&Arc<Entry>> {
        let longest = if address.ip.is_ipv4() { 32 } else { 128 };
        let of_length = |length| self.aliases.known(&block(&address.network, address.ip, length)?);
        let names = (0..=longest).rev().filter_map(of_length).flatten();
        names.filter_map(|name| self.addresses.get(name)).collect()
    }

    fn put(&mut self, entry: Arc<Entry>) -> Option<Touched> {
        let collection = entry.collection();
        let before = self.find(collection, &entry.name).cloned();
        if before.as_ref().is_some_and(|known| known.version == entry.version) {
            return None;
        }
        if let Some(before) = &before {
            self.leave_indexes(before);
        }
        self.enter_indexes(&entry);
        let slot = self.named_mut(collection).insert(Arc::clone(&entry));
        Touched::new(slot, before.as_deref(), Some(&entry))
    }

    fn remove(&mut self, collection: Collection, name: &str) -> Option<Touched> {
        let (slot, entry) = self.named_mut(collection).remove(name)?;
        self.leave_indexes(&entry);
        Touched::new(slot, Some(&entry), None)
    }

    fn enter_indexes(&mut self, entry: &Entry) {
        for alias in &entry.aliases {
            self.aliases.add(alias, &entry.name);
            self.blocks += usize::from(is_block(alias));
        }
        if let Some(place) = entry.place() {
            self.nodes.add(&place.node, &entry.name);
            place.services.iter().for_each(|service| self.members.add(service, &entry.name));
        }
        if let Some(hostname) = canonical(entry) {
            self.hosts.add(&hostname.into(), &entry.name);
        }
    }

    fn leave_indexes(&mut self, entry: &Entry) {
        for alias in &entry.aliases {
            self.aliases.remove(alias, &entry.name);
            self.blocks -= usize::from(is_block(alias));
        }
        if let Some(place) = entry.place() {
            self.nodes.remove(&place.node, &entry.name);
            place.services.iter().for_each(|service| self.members.remove(service, &entry.name));
        }
        if let Some(hostname) = canonical(entry) {
            self.hosts.remove(hostname, &entry.name);
        }
    }
}

/// The hostname of a service that is canonical for it.
fn canonical(entry: &Entry) -> Option<&str> {
    matches!(entry.kind, Kind::Service(Host::Canonical)).then(|| hostname(&entry.name)).flatten()
}

/// The hostname in the name of a service, `<namespace>/<hostname>`.
pub(crate) fn hostname(name: &str) -> Option<&str> {
    let (namespace, hostname) = name.split_once('/')?;
    let is_one = !namespace.is_empty() && !hostname.is_empty() && !hostname.contains('/');
    (is_one && hostname.parse::<IpAddr>().is_err()).then_some(hostname)
}

/// The alias of the block of this length around an address.
fn block(network: &Arc<str>, ip: IpAddr, length: u8) -> Option<String> {
    let block = IpNet::new(ip, length).ok()?.trunc();
    Some(NetworkBlock { network: network.clone(), block }.to_string())
}

/// The block an alias is that of, if it is one.
pub(crate) fn as_block(alias: &str) -> Option<NetworkBlock> {
    let (address, length) = alias.rsplit_once('/')?;
    let length = length.parse().ok()?;
    let NetworkAddress { network, ip } = address.parse().ok()?;
    Some(NetworkBlock { network, block: IpNet::new(ip, length).ok()? })
}

/// Tells whether an alias is that of a block: it ends in a length, and an address never does.
pub(crate) fn is_block(alias: &str) -> bool {
    alias.rsplit_once('/').is_some_and(|(_, last)| last.parse::<u8>().is_ok())
}

#[cfg(test)]
mod tests;
