//! What Culvert makes of the manifests: the mesh derived from them as from a cluster in which they have all been applied.
//!
//! What somebody else would add is made up: the pods of templates run, and Gateways are where services of their name are.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use culvert_derive::{Change, Cluster, Condition, Key, Kind, Object, Settings};
use serde_json::{Value, json};

use super::known::What;
use super::pods::Pod;
use super::shelf::{Manifest, Shelf};

/// What follows from the manifests.
#[derive(Debug, Default)]
pub(super) struct Derived<'m> {
    /// What would be written into the status of objects.
    pub(super) conditions: BTreeMap<Key, Vec<Condition>>,
    /// By the uids of workloads: the services they belong to, and the ports of these that have a port of their own there.
    served: BTreeMap<Arc<str>, Served>,
    /// Objects that cannot be read, the path to what was read, and why.
    pub(super) unreadable: Vec<(&'m Manifest, String, String)>,
    cluster: Arc<str>,
}

/// Services, and ports of theirs.
type Served = BTreeMap<Arc<str>, BTreeSet<u16>>;

impl<'m> Derived<'m> {
    /// Applies everything.
    pub(super) fn new(settings: Settings, shelf: &'m Shelf, pods: &[Pod<'m>]) -> Self {
        let mut derived = Self { cluster: settings.cluster.clone(), ..Self::default() };
        let domain = settings.domain.clone();
        let mut cluster = Cluster::new(settings);
        for manifest in shelf.manifests() {
            if let What::Derived(kind) = manifest.what
                && kind != Kind::Pod
            {
                derived.put(&mut cluster, kind, manifest, &domain);
            }
        }
        for (number, pod) in pods.iter().enumerate() {
            match Object::read(Kind::Pod, &pod.running(number)) {
                Ok(object) => cluster.put(object),
                Err(error) => derived.unreadable.push((pod.manifest, pod.path(""), error.to_string())),
            }
        }
        let outcome = cluster.settle();
        derived.conditions = outcome.conditions.into_iter().map(|(key, _, all)| (key, all)).collect();
        derived.served = outcome.changes.into_iter().filter_map(served).collect();
        derived
    }

    fn put(&mut self, cluster: &mut Cluster, kind: Kind, manifest: &'m Manifest, domain: &str) {
        let read = match kind {
            Kind::Gateway => Object::read(kind, &running(manifest, domain)),
            Kind::Namespace
            | Kind::Node
            | Kind::Pod
            | Kind::Service
            | Kind::EndpointSlice
            | Kind::ServiceEntry
            | Kind::WorkloadEntry
            | Kind::GatewayClass
            | Kind::AuthorizationPolicy
            | Kind::PeerAuthentication => Object::read(kind, &manifest.value),
        };
        match read {
            Ok(object) => cluster.put(object),
            Err(error) => {
                let why = error.to_string();
                manifest.key().iter().for_each(|key| cluster.unreadable(key, &why));
                self.unreadable.push((manifest, String::new(), why));
            }
        }
    }

    /// Gives the ports of a service (`<namespace>/<hostname>`) that have a port of their own at a pod; none if it does not belong to it.
    pub(super) fn served(&self, pod: &Pod<'_>, service: &str) -> Option<&BTreeSet<u16>> {
        self.served.get(&pod.uid(&self.cluster))?.get(service)
    }
}

fn served(change: Change) -> Option<(Arc<str>, Served)> {
    let workload = match change {
        Change::Workload(workload) => workload,
        Change::Service(_) | Change::Policy(_) | Change::Gone(..) => return None,
    };
    let services = workload.template.services.iter();
    let ports = services.map(|(key, ports)| (key.clone(), ports.iter().map(|(port, _)| port).collect()));
    Some((workload.uid.clone(), ports.collect()))
}

/// A Gateway, as it is once somebody runs it.
fn running(manifest: &Manifest, domain: &str) -> Value {
    let mut gateway = manifest.value.clone();
    if !gateway["status"].is_object() {
        gateway["status"] = json!({});
    }
    if gateway["status"]["addresses"].as_array().is_none_or(Vec::is_empty) {
        let host = format!("{}.{}.svc.{domain}", manifest.name, manifest.namespace);
        gateway["status"]["addresses"] = json!([{"type": "Hostname", "value": host}]);
    }
    gateway
}
