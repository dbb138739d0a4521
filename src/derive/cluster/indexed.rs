//! Keeping the indexes up with the objects.

use std::sync::Arc;

use super::Id;
use super::census::Step;
use super::hosts::Claimed;
use super::selecting::Reach as Within;
use super::world::World;
use crate::entry::ServiceEntry;
use crate::facts::Facts;
use crate::gateway::{NetworkGateway, Networks};
use crate::namespace::Namespace;
use crate::pod::Pod;
use crate::policy::Reach;
use crate::service::{self, Service};
use crate::slice::Slice;
use crate::waypoint::World as _;
use crate::{Key, Kind, Selector};

/// Which workloads a policy is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Governs {
    /// All of a namespace, or of the mesh (with the empty name).
    All(Arc<str>),
    Selected(Selector, Within),
}

impl World {
    /// Enters an object into the indexes.
    pub(super) fn index(&mut self, id: &Id, facts: &Facts) {
        match facts {
            Facts::Pod(pod) if pod.is_reachable() => self.index_pod(id, pod),
            Facts::Service(service) if !service.is_external_name => {
                self.select(id, service.selector.as_ref());
            }
            Facts::EndpointSlice(slice) => self.index_slice(id, slice),
            Facts::ServiceEntry(entry) => {
                self.select(id, entry.selector.as_ref());
                self.selectable.insert(id, &entry.meta.labels);
                let moved = self.allocation.insert(entry);
                self.follow_addresses(&moved);
            }
            Facts::WorkloadEntry(entry) => self.selectable.insert(id, &entry.labels),
            Facts::AuthorizationPolicy(_) | Facts::PeerAuthentication(_) => {
                if let Some(governs) = self.governs(id, facts) {
                    self.index_policy(id, &governs);
                }
            }
            Facts::Namespace(_)
            | Facts::Node(_)
            | Facts::Pod(_)
            | Facts::Service(_)
            | Facts::Gateway(_)
            | Facts::GatewayClass(_) => {}
        }
    }

    /// Tells whether indexes have nothing else to say of an object: most of what happens is that pods become ready.
    pub(super) fn is_indexed_alike(before: Option<&Facts>, after: Option<&Facts>) -> bool {
        let pods = before.and_then(Facts::as_pod).zip(after.and_then(Facts::as_pod));
        pods.is_some_and(|(before, after)| {
            before.is_reachable() == after.is_reachable()
                && before.node == after.node
                && before.shape.labels == after.shape.labels
        })
    }

    /// Takes an object out of the indexes.
    pub(super) fn unindex(&mut self, id: &Id, facts: &Facts) {
        match facts {
            Facts::Pod(pod) if pod.is_reachable() => {
                self.selectable.remove(id, &pod.shape.labels);
                self.on_node.remove(&pod.node, id);
            }
            Facts::Service(service) => self.deselect(id, service.selector.as_ref()),
            Facts::EndpointSlice(slice) => {
                slice.pods.iter().for_each(|(pod, _)| self.named.remove(&**pod, id));
                if let Some(service) = service_of(id, slice) {
                    self.slices.remove(&service, id);
                }
            }
            Facts::ServiceEntry(entry) => {
                self.deselect(id, entry.selector.as_ref());
                self.selectable.remove(id, &entry.meta.labels);
                let moved = self.allocation.remove(id);
                self.follow_addresses(&moved);
            }
            Facts::WorkloadEntry(entry) => self.selectable.remove(id, &entry.labels),
            Facts::AuthorizationPolicy(_) | Facts::PeerAuthentication(_) => match self.governs(id, facts) {
                Some(Governs::All(place)) => self.census.remove_broad(&place, id),
                Some(Governs::Selected(selector, within)) => {
                    self.selecting.remove(id, &selector, within);
                    self.census.end(id);
                }
                None => {}
            },
            Facts::Namespace(_)
            | Facts::Node(_)
            | Facts::Pod(_)
            | Facts::Gateway(_)
            | Facts::GatewayClass(_) => {}
        }
    }

    /// Draws the conclusions that others read, when an object is in its place.
    pub(super) fn follow(&mut self, id: &Id, before: Option<&Facts>) {
        match id.kind {
            Kind::Service => self.follow_service(id, before),
            Kind::ServiceEntry => self.follow_hosts(id, before),
            Kind::Gateway | Kind::GatewayClass => self.follow_networks(),
            Kind::Namespace if id.name == self.settings.root_namespace => self.follow_networks(),
            Kind::Pod => self.follow_pod(id, before.and_then(Facts::as_pod)),
            Kind::Namespace
            | Kind::Node
            | Kind::EndpointSlice
            | Kind::WorkloadEntry
            | Kind::AuthorizationPolicy
            | Kind::PeerAuthentication => {}
        }
    }

    /// Tells which workloads a policy is about, if nodes are told of it.
    pub(super) fn governs(&self, id: &Key, facts: &Facts) -> Option<Governs> {
        let reach = match facts {
            Facts::AuthorizationPolicy(policy) => {
                policy.says.policy(&self.settings)?;
                policy.says.reach(&self.settings)
            }
            Facts::PeerAuthentication(policy) => policy.says.reach(&self.settings),
            Facts::Namespace(_)
            | Facts::Node(_)
            | Facts::Pod(_)
            | Facts::Service(_)
            | Facts::EndpointSlice(_)
            | Facts::ServiceEntry(_)
            | Facts::WorkloadEntry(_)
            | Facts::Gateway(_)
            | Facts::GatewayClass(_) => return None,
        };
        Some(match reach {
            Reach::Mesh => Governs::All(Arc::default()),
            Reach::Namespace(_) => Governs::All(id.namespace.clone()),
            Reach::Selected { namespace: None, selector } => {
                Governs::Selected(selector.clone(), Within::Mesh)
            }
            Reach::Selected { namespace: Some(_), selector } => {
                Governs::Selected(selector.clone(), Within::Namespace)
            }
        })
    }

    fn index_pod(&mut self, id: &Id, pod: &Pod) {
        self.selectable.insert(id, &pod.shape.labels);
        if !pod.node.is_empty() {
            self.on_node.insert(pod.node.clone(), id);
        }
    }

    fn index_slice(&mut self, id: &Id, slice: &Slice) {
        let Some(service) = service_of(id, slice) else { return };
        if self.service(&service).is_some_and(Service::is_by_hand) {
            slice.pods.iter().for_each(|(pod, _)| self.named.insert((**pod).clone(), id));
        }
        self.slices.insert(service, id);
    }

    fn index_policy(&mut self, id: &Id, governs: &Governs) {
        match governs {
            Governs::All(place) => self.census.insert_broad(place, id),
            Governs::Selected(selector, within) => {
                let Self { selectable, objects, census, selecting, .. } = self;
                let pods = selectable.selected_within(*within, &id.namespace, selector);
                census.begin(id, pods.filter_map(|id| objects.get(id)).filter_map(Facts::as_pod));
                selecting.insert(id, selector, *within);
            }
        }
    }

    fn select(&mut self, id: &Id, selector: Option<&Selector>) {
        selector.into_iter().for_each(|selector| self.selecting.insert(id, selector, Within::Namespace));
    }

    fn deselect(&mut self, id: &Id, selector: Option<&Selector>) {
        selector.into_iter().for_each(|selector| self.selecting.remove(id, selector, Within::Namespace));
    }

    /// One that is counted as it was before is not counted out and in: numbers in between are nobody's business.
    fn follow_pod(&mut self, id: &Id, before: Option<&Pod>) {
        let Self { census, selecting, objects, dirty, .. } = self;
        let after = objects.get(id).and_then(Facts::as_pod).filter(|pod| pod.is_reachable());
        let before = before.filter(|pod| pod.is_reachable());
        let counted = |pod: &Pod| (pod.shape.labels.clone(), pod.is_in_mesh());
        if before.map(counted) != after.map(counted) {
            let mut count = |step, pod| dirty.extend(census.count(step, id, pod, selecting));
            before.into_iter().for_each(|pod| count(Step::Out, pod));
            after.into_iter().for_each(|pod| count(Step::In, pod));
        }
    }

    /// A Service may come to be written by hand, or cease to be, and take its name from a `ServiceEntry`, or leave it to it.
    fn follow_service(&mut self, id: &Id, before: Option<&Facts>) {
        let was = if let Some(Facts::Service(service)) = before { Some(service) } else { None };
        let (was_by_hand, was_there) =
            (was.is_some_and(|it| it.is_by_hand()), was.is_some_and(|it| !it.is_external_name));
        let is = self.service(id);
        let (is_by_hand, is_there) =
            (is.is_some_and(Service::is_by_hand), is.is_some_and(|it| !it.is_external_name));
        if was_by_hand != is_by_hand {
            let Self { slices, named, objects, .. } = self;
            for slice_id in slices.of(&**id) {
                let Some(Facts::EndpointSlice(slice)) = objects.get(slice_id) else { continue };
                slice.pods.iter().for_each(|(pod, _)| match is_by_hand {
                    true => named.insert((**pod).clone(), slice_id),
                    false => named.remove(&**pod, slice_id),
                });
            }
        }
        let host: Arc<str> = service::hostname(id, &self.settings).into();
        if was_there != is_there && self.hosts.knows(&host) {
            self.claim(&host, id, is_there.then_some(Claimed::SERVICE));
        }
    }

    fn follow_hosts(&mut self, id: &Id, before: Option<&Facts>) {
        let after = self.service_entry(id).map(claims).unwrap_or_default();
        let before = if let Some(Facts::ServiceEntry(entry)) = before { claims(entry) } else { Vec::new() };
        for (host, claimed) in after.iter().filter(|claim| !before.contains(claim)) {
            if let Some(service) = self.service_called(host).filter(|_| !self.hosts.knows(host)) {
                self.claim(host, &service, Some(Claimed::SERVICE));
            }
            self.claim(host, id, Some(claimed.clone()));
        }
        for (host, _) in before.iter().filter(|(host, _)| after.iter().all(|(other, _)| other != host)) {
            self.claim(host, id, None);
        }
    }

    fn claim(&mut self, host: &Arc<str>, id: &Id, claimed: Option<Claimed>) {
        for key in self.hosts.set(host, id, claimed) {
            let Some((id, Facts::ServiceEntry(entry))) = self.objects.get_key_value(&key) else { continue };
            let selector = entry.selector.iter();
            let selected = selector.flat_map(|selector| self.selectable.selected_in(&id.namespace, selector));
            self.dirty.extend(selected.cloned());
            self.dirty.insert(id.clone());
        }
    }

    /// The Service whose own name this is.
    fn service_called(&self, host: &str) -> Option<Id> {
        let (name, rest) = host.split_once('.')?;
        let namespace = rest.strip_suffix(&*self.settings.domain)?.strip_suffix(".svc.")?;
        let key = Key { kind: Kind::Service, namespace: namespace.into(), name: name.into() };
        self.service(&key).filter(|service| !service.is_external_name)?;
        self.known(&key).cloned()
    }

    fn follow_networks(&mut self) {
        let gateways: Vec<(Id, NetworkGateway)> =
            self.of_kind(Kind::Gateway).filter_map(|id| self.leading(id)).collect();
        let own = self.namespace_called(&self.settings.root_namespace).map_or("", Namespace::network);
        let own = if own == &**self.networks.own() { self.networks.own().clone() } else { own.into() };
        let networks = Networks::new(own, gateways.iter().map(|(_, gateway)| gateway));
        let gateways = gateways.into_iter().collect();
        if networks == self.networks && gateways == self.network_gateways {
            return;
        }
        let is_home = |it: &Networks| (it.own().clone(), it.gateway(it.own()).cloned());
        if is_home(&networks) != is_home(&self.networks) {
            let all: Vec<Id> = self.all().cloned().collect();
            self.dirty.extend(all);
        }
        let kinds = [Kind::ServiceEntry, Kind::WorkloadEntry, Kind::Gateway];
        let abroad: Vec<Id> = kinds.into_iter().flat_map(|kind| self.of_kind(kind)).cloned().collect();
        self.dirty.extend(abroad);
        (self.networks, self.network_gateways) = (networks, gateways);
    }

    fn leading(&self, id: &Id) -> Option<(Id, NetworkGateway)> {
        let Some(Facts::Gateway(gateway)) = self.get(id) else { return None };
        Some((id.clone(), NetworkGateway::of(gateway, self.class(&gateway.class))?))
    }
}

/// The names a `ServiceEntry` defines, if anybody may see them.
fn claims(entry: &ServiceEntry) -> Vec<(Arc<str>, Claimed)> {
    let claimed = |visibility| Claimed { created: entry.meta.creation_timestamp.clone(), visibility };
    let claim = |host: &Arc<str>| Some((host.clone(), claimed(entry.visibility?)));
    entry.hosts.iter().filter_map(claim).collect()
}

/// The Service a slice belongs to.
pub(super) fn service_of(id: &Key, slice: &Slice) -> Option<Key> {
    let name = slice.service.clone()?;
    Some(Key { kind: Kind::Service, namespace: id.namespace.clone(), name })
}
