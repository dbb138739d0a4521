//! Who reads an object, and so has to be derived again when it is different.

use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock};

use super::Id;
use super::indexed::{Governs, service_of};
use super::world::World;
use crate::entry::ServiceEntry;
use crate::facts::Facts;
use crate::namespace::Namespace;
use crate::service::Service;
use crate::slice::Slice;
use crate::{Key, Kind, Selector};

/// What has waypoints.
const BEHIND_WAYPOINTS: [Kind; 4] = [Kind::Pod, Kind::Service, Kind::ServiceEntry, Kind::WorkloadEntry];
/// What policies are for.
const JUDGED: [Kind; 3] = [Kind::Pod, Kind::ServiceEntry, Kind::WorkloadEntry];

impl World {
    /// Gives the objects to be derived again when the facts of one have changed.
    pub(super) fn affected(&self, id: &Id, before: Option<&Facts>, after: Option<&Facts>) -> BTreeSet<Id> {
        let mut affected = BTreeSet::new();
        // These make nothing themselves.
        if !matches!(id.kind, Kind::Namespace | Kind::Node) {
            affected.insert(id.clone());
        }
        match before.or(after) {
            Some(Facts::Namespace(_)) => {
                self.by_namespace(id, namespace(before), namespace(after), &mut affected)
            }
            Some(Facts::Node(_)) => affected.extend(self.on_node.of(&id.name).cloned()),
            Some(Facts::Service(_)) => self.by_service(id, [service(before), service(after)], &mut affected),
            Some(Facts::EndpointSlice(_)) => {
                for slice in [slice(before), slice(after)].into_iter().flatten() {
                    affected.extend(self.pods_of_slice(id, slice));
                }
            }
            Some(Facts::ServiceEntry(_)) => {
                self.by_service_entry(id, [service_entry(before), service_entry(after)], &mut affected);
            }
            Some(Facts::Gateway(_) | Facts::GatewayClass(_)) => affected.extend(self.readers.of(id).cloned()),
            Some(Facts::AuthorizationPolicy(_)) => self.by_policy(id, [before, after], &mut affected),
            Some(Facts::PeerAuthentication(_)) => self.by_authentication(id, [before, after], &mut affected),
            Some(Facts::Pod(_) | Facts::WorkloadEntry(_)) | None => {}
        }
        affected
    }

    fn by_namespace(&self, id: &Id, before: &Namespace, after: &Namespace, affected: &mut BTreeSet<Id>) {
        if !before.says_the_same_as(after) {
            let kinds = BEHIND_WAYPOINTS.into_iter();
            affected.extend(kinds.flat_map(|kind| self.of_namespace(kind, &id.name)).cloned());
        }
        if before.meta.labels != after.meta.labels {
            // Listeners select namespaces by any label.
            affected.extend(self.readers.of(id).cloned());
        }
    }

    fn by_service(&self, id: &Id, services: [Option<&Service>; 2], affected: &mut BTreeSet<Id>) {
        let [before, after] = services;
        if before.zip(after).is_some_and(|(before, after)| before.has_endpoints_of(after)) {
            return;
        }
        let services = services.into_iter().flatten();
        affected.extend(self.endpoints_selected(id, services.clone().filter_map(|it| it.selector.as_ref())));
        for slice_id in self.slices.of(&**id) {
            affected.insert(slice_id.clone());
            if services.clone().any(Service::is_by_hand)
                && let Some(slice) = self.slice(slice_id)
            {
                affected.extend(self.existing(slice.pods.iter().map(|(pod, _)| &**pod)));
            }
        }
    }

    fn by_service_entry(&self, id: &Id, entries: [Option<&ServiceEntry>; 2], affected: &mut BTreeSet<Id>) {
        let told =
            |it: &ServiceEntry| (it.hosts.clone(), it.ports.clone(), it.selector.clone(), it.visibility);
        if entries[0].map(told) != entries[1].map(told) {
            let selectors = entries.into_iter().flatten().filter_map(|it| it.selector.as_ref());
            affected.extend(self.endpoints_selected(id, selectors));
        }
    }

    /// Workloads refer to policies that select them by name, whatever these say.
    fn by_policy(&self, id: &Id, facts: [Option<&Facts>; 2], affected: &mut BTreeSet<Id>) {
        let [before, after] = facts.map(|facts| self.governs(id, facts?));
        if before != after {
            let selected =
                [before, after].into_iter().flatten().filter(|it| matches!(it, Governs::Selected(..)));
            selected.for_each(|governs| affected.extend(self.governed(id, &governs)));
        }
    }

    /// Which policy a workload refers to follows from all that govern it, and so does what those say that select some.
    fn by_authentication(&self, id: &Id, facts: [Option<&Facts>; 2], affected: &mut BTreeSet<Id>) {
        let [before, after] = facts;
        affected.insert(self.strict_id());
        if let (Some(Facts::PeerAuthentication(before)), Some(Facts::PeerAuthentication(after))) =
            (before, after)
            && before.says == after.says
        {
            return;
        }
        for governs in facts.into_iter().filter_map(|facts| self.governs(id, facts?)) {
            affected.extend(self.governed(id, &governs));
        }
    }

    /// What a policy governs, and the policies that depend on one that governs all of it.
    fn governed(&self, id: &Id, governs: &Governs) -> Vec<Id> {
        let (judged, policies) = (JUDGED.into_iter(), [Kind::PeerAuthentication].into_iter());
        match governs {
            Governs::All(place) if place.is_empty() => {
                judged.chain(policies).flat_map(|kind| self.of_kind(kind)).cloned().collect()
            }
            Governs::All(place) => {
                judged.chain(policies).flat_map(|kind| self.of_namespace(kind, place)).cloned().collect()
            }
            Governs::Selected(selector, within) => {
                self.selectable.selected_within(*within, &id.namespace, selector).cloned().collect()
            }
        }
    }

    /// Stands for what is made because there is any `PeerAuthentication` at all. No object has an empty name.
    pub(super) fn strict_id(&self) -> Id {
        let namespace = self.settings.root_namespace.clone();
        Key { kind: Kind::PeerAuthentication, namespace, name: Arc::default() }.into()
    }

    fn endpoints_selected<'a>(&'a self, id: &Id, selectors: impl Iterator<Item = &'a Selector>) -> Vec<Id> {
        let selected = selectors.flat_map(|selector| self.selectable.selected_in(&id.namespace, selector));
        // What a ServiceEntry lists is selected by policies alone.
        selected.filter(|id| id.kind != Kind::ServiceEntry).cloned().collect()
    }

    fn pods_of_slice<'a>(&'a self, id: &Id, slice: &'a Slice) -> impl Iterator<Item = Id> + 'a {
        let by_hand =
            service_of(id, slice).and_then(|key| self.service(&key)).is_some_and(Service::is_by_hand);
        let pods = slice.pods.iter().filter(move |_| by_hand);
        self.existing(pods.map(|(pod, _)| &**pod))
    }

    fn existing<'a>(&'a self, keys: impl Iterator<Item = &'a Key> + 'a) -> impl Iterator<Item = Id> + 'a {
        keys.filter_map(|key| self.known(key).cloned())
    }
}

static NO_NAMESPACE: LazyLock<Namespace> = LazyLock::new(Namespace::default);

/// One that is not there says nothing.
fn namespace(facts: Option<&Facts>) -> &Namespace {
    if let Some(Facts::Namespace(namespace)) = facts { namespace } else { &NO_NAMESPACE }
}

fn service(facts: Option<&Facts>) -> Option<&Service> {
    if let Some(Facts::Service(service)) = facts { Some(service) } else { None }
}

fn slice(facts: Option<&Facts>) -> Option<&Slice> {
    if let Some(Facts::EndpointSlice(slice)) = facts { Some(slice) } else { None }
}

fn service_entry(facts: Option<&Facts>) -> Option<&ServiceEntry> {
    if let Some(Facts::ServiceEntry(entry)) = facts { Some(entry) } else { None }
}
