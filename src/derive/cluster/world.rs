//! The objects, and indexes that tell who reads what.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::Id;
use super::census::Census;
use super::hosts::Hosts;
use super::index::Index;
use super::readers::Readers;
use super::selectable::Selectable;
use super::selecting::Selecting;
use crate::entry::{Allocation, ServiceEntry};
use crate::facts::Facts;
use crate::gateway::{Gateway, GatewayClass, NetworkGateway, Networks};
use crate::namespace::Namespace;
use crate::node::Node;
use crate::policy::{AuthorizationPolicy, PeerAuthentication};
use crate::service::Service;
use crate::slice::Slice;
use crate::waypoint::Says;
use crate::{Here, Key, Kind, Meta, Settings};

/// The objects, and indexes over them.
#[derive(Debug)]
pub(crate) struct World {
    pub(super) settings: Settings,
    pub(super) objects: BTreeMap<Id, Facts>,
    /// What has to be derived again.
    pub(super) dirty: BTreeSet<Id>,
    pub(super) selectable: Selectable,
    pub(super) selecting: Selecting,
    pub(super) census: Census,
    pub(super) hosts: Hosts,
    /// Pods by node.
    pub(super) on_node: Index<Arc<str>>,
    /// Slices by Service.
    pub(super) slices: Index<Key>,
    /// The slices of Services by hand, by the pods they name.
    pub(super) named: Index<Key>,
    pub(super) readers: Readers,
    pub(super) networks: Networks,
    pub(super) network_gateways: BTreeMap<Id, NetworkGateway>,
    pub(super) allocation: Allocation,
}

impl World {
    pub(super) fn new(settings: Settings) -> Self {
        Self {
            settings,
            objects: BTreeMap::new(),
            dirty: BTreeSet::new(),
            selectable: Selectable::default(),
            selecting: Selecting::default(),
            census: Census::default(),
            hosts: Hosts::default(),
            on_node: Index::default(),
            slices: Index::default(),
            named: Index::default(),
            readers: Readers::default(),
            networks: Networks::default(),
            network_gateways: BTreeMap::new(),
            allocation: Allocation::default(),
        }
    }

    /// Puts facts in the place of those that are known. Whatever reads what is different is dirty then.
    pub(super) fn set(&mut self, id: &Id, facts: Option<Facts>) {
        let before = self.objects.remove(id);
        let is_same = before == facts;
        let moves = !is_same && !Self::is_indexed_alike(before.as_ref(), facts.as_ref());
        if let Some(before) = before.as_ref().filter(|_| moves) {
            self.unindex(id, before);
        }
        if let Some(facts) = facts.as_ref().filter(|_| moves) {
            self.index(id, facts);
        }
        self.objects.extend(facts.map(|facts| (id.clone(), facts)));
        if !is_same {
            self.follow(id, before.as_ref());
            let affected = self.affected(id, before.as_ref(), self.get(id));
            self.dirty.extend(affected);
        }
    }

    /// What these have written as an address counts now, or no longer.
    pub(super) fn follow_addresses(&mut self, moved: &BTreeSet<Key>) {
        let moved: Vec<Id> = moved.iter().filter_map(|key| self.known(key).cloned()).collect();
        self.dirty.extend(moved);
    }

    /// What holds for all workloads and services.
    pub(super) fn here(&self) -> Here<'_> {
        Here { settings: &self.settings, networks: &self.networks }
    }

    /// The name under which a key is known.
    pub(super) fn known(&self, key: &Key) -> Option<&Id> {
        self.objects.get_key_value(key).map(|(id, _)| id)
    }

    pub(super) fn get(&self, key: &Key) -> Option<&Facts> {
        self.objects.get(key)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Id> {
        self.objects.keys()
    }

    pub(super) fn of_kind(&self, kind: Kind) -> impl Iterator<Item = &Id> {
        let first = Key { kind, namespace: Arc::default(), name: Arc::default() };
        self.objects.range(first..).map(|(id, _)| id).take_while(move |id| id.kind == kind)
    }

    pub(super) fn of_namespace(&self, kind: Kind, namespace: &Arc<str>) -> impl Iterator<Item = &Id> {
        let first = Key { kind, namespace: namespace.clone(), name: Arc::default() };
        let namespace = namespace.clone();
        let from = self.objects.range(first..).map(|(id, _)| id);
        from.take_while(move |id| id.kind == kind && id.namespace == namespace)
    }

    pub(super) fn namespace_called(&self, name: &Arc<str>) -> Option<&Namespace> {
        let key = Key { kind: Kind::Namespace, namespace: Arc::default(), name: name.clone() };
        if let Some(Facts::Namespace(namespace)) = self.get(&key) { Some(namespace) } else { None }
    }

    pub(super) fn node(&self, name: &Arc<str>) -> Option<&Node> {
        let key = Key { kind: Kind::Node, namespace: Arc::default(), name: name.clone() };
        if let Some(Facts::Node(node)) = self.get(&key) { Some(node) } else { None }
    }

    pub(super) fn service(&self, key: &Key) -> Option<&Service> {
        if let Some(Facts::Service(service)) = self.get(key) { Some(service) } else { None }
    }

    pub(super) fn slice(&self, key: &Key) -> Option<&Slice> {
        if let Some(Facts::EndpointSlice(slice)) = self.get(key) { Some(slice) } else { None }
    }

    pub(super) fn service_entry(&self, key: &Key) -> Option<&ServiceEntry> {
        if let Some(Facts::ServiceEntry(entry)) = self.get(key) { Some(entry) } else { None }
    }

    pub(super) fn authorization(&self, key: &Key) -> Option<&AuthorizationPolicy> {
        if let Some(Facts::AuthorizationPolicy(policy)) = self.get(key) { Some(&policy.says) } else { None }
    }

    pub(super) fn authentication(&self, key: &Key) -> Option<&PeerAuthentication> {
        if let Some(Facts::PeerAuthentication(policy)) = self.get(key) { Some(&policy.says) } else { None }
    }
}

impl crate::waypoint::World for World {
    fn gateway(&self, namespace: &str, name: &str) -> Option<&Gateway> {
        let key = Key { kind: Kind::Gateway, namespace: namespace.into(), name: name.into() };
        if let Some(Facts::Gateway(gateway)) = self.get(&key) { Some(gateway) } else { None }
    }

    fn class(&self, name: &str) -> Option<&GatewayClass> {
        let key = Key { kind: Kind::GatewayClass, namespace: Arc::default(), name: name.into() };
        if let Some(Facts::GatewayClass(class)) = self.get(&key) { Some(class) } else { None }
    }

    fn namespace(&self, name: &str) -> Option<Says<'_>> {
        let Meta { labels, annotations, .. } = &self.namespace_called(&name.into())?.meta;
        Some(Says { labels, annotations })
    }
}
