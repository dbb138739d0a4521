//! The objects, and indexes that tell who reads what.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::Id;
use super::index::Index;
use super::selectable::Selectable;
use super::selecting::{Reach, Selecting};
use crate::namespace::Namespace;
use crate::node::Node;
use crate::object::Facts;
use crate::pod::Pod;
use crate::service::Service;
use crate::slice::Slice;
use crate::{Key, Kind, Settings};

/// The objects, and indexes over them.
#[derive(Debug)]
pub(crate) struct World {
    pub(super) settings: Settings,
    objects: BTreeMap<Id, Facts>,
    pub(super) selectable: Selectable,
    pub(super) selecting: Selecting,
    /// Pods by node.
    pub(super) on_node: Index<Arc<str>>,
    /// Slices by Service.
    pub(super) slices: Index<Key>,
    /// The slices of Services by hand, by the pods they name.
    pub(super) named: Index<Key>,
}

impl World {
    pub(super) fn new(settings: Settings) -> Self {
        Self {
            settings,
            objects: BTreeMap::new(),
            selectable: Selectable::default(),
            selecting: Selecting::default(),
            on_node: Index::default(),
            slices: Index::default(),
            named: Index::default(),
        }
    }

    /// Puts facts in the place of those that are known, and gives the objects to be derived again.
    pub(super) fn set(&mut self, id: &Id, facts: Option<Facts>) -> BTreeSet<Id> {
        let before = self.objects.remove(id);
        if before == facts {
            self.objects.extend(facts.map(|facts| (id.clone(), facts)));
            return BTreeSet::new();
        }
        let by_hand = self.slices_by_hand(before.as_ref(), facts.as_ref(), id);
        if let Some(before) = &before {
            self.unindex(id, before);
        }
        if let Some(facts) = &facts {
            self.index(id, facts);
        }
        let affected = self.affected(id, before.as_ref(), facts.as_ref());
        self.objects.extend(facts.map(|facts| (id.clone(), facts)));
        self.name_pods(by_hand);
        affected
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

    pub(super) fn namespace(&self, name: &Arc<str>) -> Option<&Namespace> {
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

    /// The Service a slice belongs to, if somebody writes down its endpoints by hand.
    fn is_by_hand(&self, service: &Key) -> bool {
        self.service(service).is_some_and(Service::is_by_hand)
    }

    fn index(&mut self, id: &Id, facts: &Facts) {
        match facts {
            Facts::Pod(pod) if pod.is_reachable() => self.index_pod(id, pod),
            Facts::Service(service) => {
                if let Some(selector) = service.selector.as_ref().filter(|_| !service.is_external_name) {
                    self.selecting.insert(id, selector, Reach::Namespace);
                }
            }
            Facts::EndpointSlice(slice) => {
                if let Some(service) = service_of(id, slice) {
                    if self.is_by_hand(&service) {
                        slice.pods.iter().for_each(|(pod, _)| self.named.insert((**pod).clone(), id));
                    }
                    self.slices.insert(service, id);
                }
            }
            Facts::Namespace(_) | Facts::Node(_) | Facts::Pod(_) => {}
        }
    }

    fn unindex(&mut self, id: &Id, facts: &Facts) {
        match facts {
            Facts::Pod(pod) if pod.is_reachable() => {
                self.selectable.remove(id, &pod.shape.labels);
                self.on_node.remove(&pod.node, id);
            }
            Facts::Service(service) => {
                if let Some(selector) = &service.selector {
                    self.selecting.remove(id, selector, Reach::Namespace);
                }
            }
            Facts::EndpointSlice(slice) => {
                slice.pods.iter().for_each(|(pod, _)| self.named.remove(&**pod, id));
                if let Some(service) = service_of(id, slice) {
                    self.slices.remove(&service, id);
                }
            }
            Facts::Namespace(_) | Facts::Node(_) | Facts::Pod(_) => {}
        }
    }

    fn index_pod(&mut self, id: &Id, pod: &Pod) {
        self.selectable.insert(id, &pod.shape.labels);
        if !pod.node.is_empty() {
            self.on_node.insert(pod.node.clone(), id);
        }
    }

    /// The slices of a Service that comes to be written by hand, or ceases to be.
    fn slices_by_hand(&self, before: Option<&Facts>, after: Option<&Facts>, id: &Id) -> Vec<(Id, bool)> {
        let by_hand = |facts: Option<&Facts>| matches!(facts, Some(Facts::Service(it)) if it.is_by_hand());
        let is_by_hand = by_hand(after);
        if by_hand(before) == is_by_hand {
            return Vec::new();
        }
        self.slices.of(&**id).map(|slice| (slice.clone(), is_by_hand)).collect()
    }

    fn name_pods(&mut self, slices: Vec<(Id, bool)>) {
        for (id, is_by_hand) in slices {
            let Some(Facts::EndpointSlice(slice)) = self.objects.get(&id) else { continue };
            for (pod, _) in &slice.pods {
                match is_by_hand {
                    true => self.named.insert((**pod).clone(), &id),
                    false => self.named.remove(&**pod, &id),
                }
            }
        }
    }
}

/// The Service a slice belongs to.
pub(super) fn service_of(id: &Key, slice: &Slice) -> Option<Key> {
    let name = slice.service.clone()?;
    Some(Key { kind: Kind::Service, namespace: id.namespace.clone(), name })
}
