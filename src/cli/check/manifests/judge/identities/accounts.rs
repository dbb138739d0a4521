//! The service accounts there are, or may be.

use std::collections::{BTreeMap, BTreeSet};

use culvert_derive::Kind;

use crate::check::manifests::known::What;
use crate::check::manifests::world::World;

const WAYPOINT: &str = "istio.io/use-waypoint";

/// The service accounts there are, or may be.
pub(super) struct Accounts<'m> {
    /// What pods run as, by namespace. Of a namespace without pods nothing is known.
    of_pods: BTreeMap<&'m str, BTreeSet<&'m str>>,
    /// What is there and may run outside of these manifests, by namespace.
    others: BTreeSet<(&'m str, &'m str)>,
    /// Gateways run as accounts that are called after them, and may be in other manifests.
    gateways: BTreeSet<&'m str>,
}

impl<'m> Accounts<'m> {
    pub(super) fn of(world: &World<'m>) -> Self {
        let mut of_pods: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for pod in world.pods {
            of_pods.entry(&pod.manifest.namespace).or_default().insert(pod.account());
        }
        let mut accounts = Self { of_pods, others: BTreeSet::new(), gateways: BTreeSet::new() };
        for manifest in world.shelf.manifests() {
            let labels = ["metadata.labels", "spec.labels"].map(|at| manifest.at(at)[WAYPOINT].as_str());
            accounts.gateways.extend(labels.into_iter().flatten());
            match manifest.what {
                What::ServiceAccount => {
                    accounts.others.insert((&manifest.namespace, &manifest.name));
                }
                What::Derived(Kind::Gateway) => {
                    accounts.gateways.insert(&manifest.name);
                }
                What::Derived(Kind::WorkloadEntry) => {
                    let name = manifest.at("spec.serviceAccount").as_str();
                    accounts.others.extend(name.map(|name| (&*manifest.namespace, name)));
                }
                What::Derived(Kind::ServiceEntry) => {
                    let endpoints = manifest.at("spec.endpoints").as_array().into_iter().flatten();
                    let names = endpoints.filter_map(|endpoint| endpoint["serviceAccount"].as_str());
                    accounts.others.extend(names.map(|name| (&*manifest.namespace, name)));
                }
                What::Derived(_) | What::Controller(..) | What::NetworkPolicy => {}
            }
        }
        accounts
    }

    /// Tells whether nobody runs as this one, as far as is known.
    pub(super) fn lacks(&self, namespace: &str, name: &str) -> bool {
        let Some(running) = self.of_pods.get(namespace) else { return false };
        let is_of_gateway =
            self.gateways.iter().any(|gateway| name.strip_prefix(gateway).is_some_and(is_suffix));
        !running.contains(name) && !self.others.contains(&(namespace, name)) && !is_of_gateway
    }

    /// Gives what pods of a namespace run as.
    pub(super) fn in_namespace(&self, namespace: &str) -> impl Iterator<Item = &'m str> {
        self.of_pods.get(namespace).into_iter().flatten().copied()
    }
}

/// Tells whether a name that begins with that of a gateway is one that is made of it.
fn is_suffix(rest: &str) -> bool {
    rest.is_empty() || rest.starts_with('-')
}
