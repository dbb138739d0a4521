//! Who reads an object, and so has to be derived again when it is different.

use std::collections::BTreeSet;

use super::Id;
use super::world::{World, service_of};
use crate::namespace::Namespace;
use crate::object::Facts;
use crate::service::Service;
use crate::slice::Slice;
use crate::{Key, Kind};

impl World {
    /// Gives the objects to be derived again when the facts of one change; they are out of the world meanwhile.
    pub(super) fn affected(&self, id: &Id, before: Option<&Facts>, after: Option<&Facts>) -> BTreeSet<Id> {
        let mut affected = BTreeSet::new();
        match before.or(after) {
            Some(Facts::Namespace(_)) => {
                self.by_namespace(id, namespace(before), namespace(after), &mut affected);
            }
            Some(Facts::Node(_)) => affected.extend(self.on_node.of(&id.name).cloned()),
            Some(Facts::Service(_)) => {
                affected.insert(id.clone());
                self.by_service(id, service(before), service(after), &mut affected);
            }
            Some(Facts::EndpointSlice(_)) => {
                affected.insert(id.clone());
                [slice(before), slice(after)].into_iter().flatten().for_each(|slice| {
                    affected.extend(self.pods_of_slice(id, slice));
                });
            }
            Some(Facts::Pod(_)) => {
                affected.insert(id.clone());
            }
            None => {}
        }
        affected
    }

    fn by_namespace(&self, id: &Id, before: &Namespace, after: &Namespace, affected: &mut BTreeSet<Id>) {
        if id.name == self.settings.root_namespace && before.network() != after.network() {
            affected.extend(self.all().cloned());
        }
        if before.distribution != after.distribution {
            affected.extend(self.of_namespace(Kind::Service, &id.name).cloned());
        }
    }

    fn by_service(
        &self,
        id: &Id,
        before: Option<&Service>,
        after: Option<&Service>,
        affected: &mut BTreeSet<Id>,
    ) {
        if before.zip(after).is_some_and(|(before, after)| before.has_endpoints_of(after)) {
            return;
        }
        let services = || [before, after].into_iter().flatten();
        for selector in services().filter_map(|service| service.selector.as_ref()) {
            affected.extend(self.selectable.selected_in(&id.namespace, selector).cloned());
        }
        for slice_id in self.slices.of(&**id) {
            affected.insert(slice_id.clone());
            if services().any(Service::is_by_hand)
                && let Some(slice) = self.slice(slice_id)
            {
                affected.extend(self.existing(slice.pods.iter().map(|(pod, _)| &**pod)));
            }
        }
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

static NO_NAMESPACE: std::sync::LazyLock<Namespace> = std::sync::LazyLock::new(Namespace::default);

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
