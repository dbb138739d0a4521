use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use culvert_core::service::Service;
use culvert_core::workload::{PortMap, Workload};
use serde_json::{Value, json};

use super::{Change, Cluster, Collection, Outcome};
use crate::{Condition, Key, Kind, Object, Settings};

mod cost;
mod endpoints;
mod memory;
mod model;
mod pods;
mod services;
mod written;

/// A cluster, and what nodes know of it.
#[derive(Debug)]
struct Mesh {
    cluster: Cluster,
    known: BTreeMap<(Collection, Arc<str>), Change>,
    said: BTreeMap<Key, (i64, Vec<Condition>)>,
}

impl Mesh {
    fn new() -> Self {
        Self { cluster: Cluster::new(settings()), known: BTreeMap::new(), said: BTreeMap::new() }
    }

    /// A mesh of the objects in YAML documents.
    fn of(documents: &str) -> Self {
        let mut mesh = Self::new();
        mesh.put(documents);
        mesh
    }

    fn put(&mut self, documents: &str) {
        objects(documents).into_iter().for_each(|object| self.cluster.put(object));
        self.settle();
    }

    fn remove(&mut self, kind: Kind, namespace: &str, name: &str) {
        self.cluster.remove(&key(kind, namespace, name));
        self.settle();
    }

    /// Settles, and takes note of what has changed; everything said has to be a difference.
    fn settle(&mut self) -> Outcome {
        let outcome = self.cluster.settle();
        for change in outcome.changes.iter().cloned() {
            let name = name(&change);
            if let Change::Gone(..) = change {
                assert!(self.known.remove(&name).is_some(), "was never there: {name:?}");
            } else {
                assert_ne!(self.known.get(&name), Some(&change), "said again");
                self.known.insert(name, change);
            }
        }
        for (key, generation, conditions) in outcome.conditions.iter().cloned() {
            let before = self.said.insert(key.clone(), (generation, conditions.clone()));
            let of_somebody_else = key.kind == Kind::Pod;
            assert!(before != Some((generation, conditions)) || of_somebody_else, "said again of {key}");
        }
        outcome
    }

    fn workload(&self, uid: &str) -> Option<&Workload> {
        match self.known.get(&(Collection::Workloads, uid.into()))? {
            Change::Workload(workload) => Some(workload),
            Change::Service(_) | Change::Policy(_) | Change::Gone(..) => None,
        }
    }

    fn pod(&self, namespace: &str, name: &str) -> Option<&Workload> {
        self.workload(&format!("Kubernetes//Pod/{namespace}/{name}"))
    }

    fn service(&self, key: &str) -> Option<&Service> {
        match self.known.get(&(Collection::Services, key.into()))? {
            Change::Service(service) => Some(service),
            Change::Workload(_) | Change::Policy(_) | Change::Gone(..) => None,
        }
    }
}

fn settings() -> Settings {
    Settings { root_namespace: "root".into(), ..Settings::default() }
}

fn name(change: &Change) -> (Collection, Arc<str>) {
    match change {
        Change::Workload(workload) => (Collection::Workloads, workload.uid.clone()),
        Change::Service(service) => (Collection::Services, service.key()),
        Change::Policy(policy) => (Collection::Policies, policy.key.clone()),
        Change::Gone(collection, name) => (*collection, name.clone()),
    }
}

fn key(kind: Kind, namespace: &str, name: &str) -> Key {
    Key { kind, namespace: namespace.into(), name: name.into() }
}

fn yaml(text: &str) -> Value {
    serde_saphyr::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// Reads YAML documents, each with its `kind`.
fn objects(documents: &str) -> Vec<Object> {
    let documents = documents.split("\n---").map(str::trim).filter(|text| !text.is_empty());
    documents.map(|text| object(&yaml(text))).collect()
}

fn object(value: &Value) -> Object {
    let kind = value["kind"].as_str();
    let kind = Kind::ALL.into_iter().find(|it| Some(it.names().1) == kind);
    let kind = kind.unwrap_or_else(|| panic!("no kind: {value}"));
    Object::read(kind, value).unwrap_or_else(|error| panic!("{error}: {value}"))
}

/// Puts what a patch says in the place of what a value says, key by key; null takes a key away.
fn patch(value: &mut Value, with: &Value) {
    let (Value::Object(fields), Value::Object(changes)) = (&mut *value, with) else {
        *value = with.clone();
        return;
    };
    for (key, change) in changes {
        if change.is_null() {
            fields.remove(key);
        } else {
            patch(fields.entry(key.clone()).or_insert(json!({})), change);
        }
    }
}

/// Writes down all that is said of a workload, a line for each field.
fn lines(workload: &Workload) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = |field: &str, value: String| lines.push(format!("{field}: {value}"));
    let template = &workload.template;
    line("name", workload.name().to_owned());
    line("namespace", template.namespace.to_string());
    line("addresses", format!("{:?}", &*workload.addresses));
    line("account", template.service_account.to_string());
    line("domain", template.trust_domain.to_string());
    line("network", template.network.to_string());
    line("cluster", template.cluster_id.to_string());
    line("workload", template.workload_name.to_string());
    line("canonical", format!("{} {}", template.canonical_name, template.canonical_revision));
    line("node", workload.place.node.to_string());
    let locality = &workload.place.locality;
    line("locality", format!("{}/{}/{}", locality.region, locality.zone, locality.subzone));
    line("status", format!("{:?}", workload.status));
    line("protocol", format!("{:?}", template.protocol));
    line("native", template.native_tunnel.to_string());
    line("mode", format!("{:?}", template.network_mode));
    line("type", template.workload_type.as_str().to_owned());
    let services = template.services.iter().map(|(key, ports)| format!("{key}{}", ports_of(ports)));
    line("services", services.collect::<Vec<_>>().join(" "));
    line("policies", template.authorization_policies.join(" "));
    line("waypoint", template.waypoint.as_ref().map(ToString::to_string).unwrap_or_default());
    lines
}

fn ports_of(ports: &PortMap) -> String {
    let mut text = String::new();
    for (port, target) in ports.iter() {
        write!(text, " {port}>{target}").unwrap();
    }
    if text.is_empty() { text } else { format!("[{}]", text.trim()) }
}
