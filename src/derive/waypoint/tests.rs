//! A small world, and what objects in it are behind.

use std::collections::BTreeMap;

use culvert_core::route::HBONE_PORT;
use culvert_core::workload::GatewayDestination;
use serde_json::{Value, json};

use crate::{Kind, Meta, Unready};

use super::*;

mod canary;
mod instances;
mod matrix;
mod refusal;
mod used;

/// What there is.
#[derive(Default)]
struct Small {
    gateways: BTreeMap<(String, String), Gateway>,
    classes: BTreeMap<String, GatewayClass>,
    namespaces: BTreeMap<String, Meta>,
}

impl World for Small {
    fn gateway(&self, namespace: &str, name: &str) -> Option<&Gateway> {
        self.gateways.get(&(namespace.to_owned(), name.to_owned()))
    }

    fn class(&self, name: &str) -> Option<&GatewayClass> {
        self.classes.get(name)
    }

    fn namespace(&self, name: &str) -> Option<Says<'_>> {
        self.namespaces.get(name).map(says)
    }
}

fn says(meta: &Meta) -> Says<'_> {
    Says { labels: &meta.labels, annotations: &meta.annotations }
}

fn subject(role: Role, meta: &Meta) -> Subject<'_> {
    let (namespace, name) = (&meta.namespace, &meta.name);
    Subject { role, namespace, name, says: says(meta), visibility: Visibility::Public }
}

type Pairs<'a> = &'a [(&'a str, &'a str)];

fn meta(namespace: &str, name: &str, labels: Pairs<'_>, annotations: Pairs<'_>) -> Meta {
    Meta {
        namespace: namespace.into(),
        name: name.into(),
        labels: labels.iter().copied().collect(),
        annotations: annotations.iter().copied().collect(),
        ..Meta::default()
    }
}

impl Small {
    fn namespace(mut self, name: &str, labels: Pairs<'_>, annotations: Pairs<'_>) -> Self {
        self.namespaces.insert(name.into(), meta("", name, labels, annotations));
        self
    }

    fn class(mut self, name: &str, controller: &str, labels: Pairs<'_>, annotations: Pairs<'_>) -> Self {
        let object = json!({"spec": {"controllerName": controller}});
        self.classes.insert(name.into(), GatewayClass::read(meta("", name, labels, annotations), &object));
        self
    }

    /// Adds a Gateway; `shape` may have `class`, `labels`, `annotations`, `listeners`, `allowed`, `addresses`.
    fn gateway(mut self, at: &str, shape: &Value) -> Self {
        let (namespace, name) = at.split_once('/').unwrap();
        let pairs = |field: &str| serde_json::from_value(shape[field].clone()).unwrap();
        let meta = Meta {
            labels: pairs("labels"),
            annotations: pairs("annotations"),
            ..meta(namespace, name, &[], &[])
        };
        let or = |field: &str, default: Value| {
            if shape[field].is_null() { default } else { shape[field].clone() }
        };
        let host = format!("{name}.{namespace}.svc.cluster.local");
        let mesh = json!({
            "name": "mesh", "protocol": "HBONE", "port": 15008,
            "allowedRoutes": {"namespaces": shape["allowed"]},
        });
        let object = json!({
            "spec": {
                "gatewayClassName": or("class", json!("istio-waypoint")),
                "listeners": or("listeners", json!([mesh])),
            },
            "status": {"addresses": or("addresses", json!([{"type": "Hostname", "value": host}]))},
        });
        self.gateways.insert((namespace.into(), name.into()), Gateway::read(meta, &object));
        self
    }

    fn resolve(&self, role: Role, meta: &Meta) -> Resolution {
        self.resolve_with(role, meta, Unready::Refuse)
    }

    fn resolve_with(&self, role: Role, meta: &Meta, unready: Unready) -> Resolution {
        let settings = Settings { unready, ..Settings::default() };
        resolve(&subject(role, meta), self, &settings)
    }
}

const ROLES: [Role; 5] = [Role::Service, Role::ServiceEntry, Role::Endpoint, Role::Pod, Role::WorkloadEntry];

/// The reference to a ready waypoint of the small world.
fn at(waypoint: &str) -> GatewayAddress {
    let (namespace, name) = waypoint.split_once('/').unwrap();
    let hostname = format!("{name}.{namespace}.svc.cluster.local").into();
    let destination = GatewayDestination::Hostname { namespace: namespace.into(), hostname };
    GatewayAddress { destination, port: HBONE_PORT }
}

fn reason(resolution: &Resolution) -> Option<(bool, &'static str)> {
    resolution.condition.as_ref().map(|condition| (condition.holds, condition.reason))
}
