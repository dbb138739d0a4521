//! Which resources the server has: those every cluster has, and those of the custom resource definitions in the store.
//!
//! A resource nobody has defined is answered with 404, as a cluster does in which a product has not been installed. Of a
//! definition only the names, the scope and the served versions count; schemas are not looked at.

use serde_json::Value;

use super::store::{Store, Table};

/// A resource as one version of its group presents it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Kind {
    pub(crate) group: String,
    pub(crate) version: String,
    /// As in paths: `pods`.
    pub(crate) plural: String,
    /// As in objects: `Pod`.
    pub(crate) name: String,
    pub(crate) namespaced: bool,
    pub(crate) custom: bool,
}

/// Group, version, resource, kind, and whether its objects are in namespaces.
type Row = (&'static str, &'static str, &'static str, &'static str, bool);

/// What every cluster has, as far as anybody here asks for it.
const BUILT_IN: &[Row] = &[
    ("", "v1", "pods", "Pod", true),
    ("", "v1", "namespaces", "Namespace", false),
    ("", "v1", "nodes", "Node", false),
    ("", "v1", "services", "Service", true),
    ("", "v1", "endpoints", "Endpoints", true),
    ("", "v1", "events", "Event", true),
    ("", "v1", "configmaps", "ConfigMap", true),
    ("", "v1", "secrets", "Secret", true),
    ("", "v1", "serviceaccounts", "ServiceAccount", true),
    ("apps", "v1", "deployments", "Deployment", true),
    ("apps", "v1", "daemonsets", "DaemonSet", true),
    ("apps", "v1", "replicasets", "ReplicaSet", true),
    ("apps", "v1", "statefulsets", "StatefulSet", true),
    ("batch", "v1", "jobs", "Job", true),
    ("batch", "v1", "cronjobs", "CronJob", true),
    ("coordination.k8s.io", "v1", "leases", "Lease", true),
    ("discovery.k8s.io", "v1", "endpointslices", "EndpointSlice", true),
    ("events.k8s.io", "v1", "events", "Event", true),
    ("networking.k8s.io", "v1", "networkpolicies", "NetworkPolicy", true),
    ("apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition", false),
];

impl Kind {
    /// As in `apiVersion`.
    pub(crate) fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.clone() } else { format!("{}/{}", self.group, self.version) }
    }

    /// As in messages: `pods`, `deployments.apps`.
    pub(crate) fn qualified(&self) -> String {
        if self.group.is_empty() { self.plural.clone() } else { format!("{}.{}", self.plural, self.group) }
    }

    /// Where its objects are: all versions of a group show the same ones.
    pub(crate) fn table(&self) -> Table {
        Table { group: self.group.clone(), resource: self.plural.clone() }
    }
}

/// All resources there are at the moment.
pub(crate) fn all(store: &Store) -> impl Iterator<Item = Kind> {
    let built_in = BUILT_IN.iter().map(|&(group, version, plural, name, namespaced)| Kind {
        group: group.to_owned(),
        version: version.to_owned(),
        plural: plural.to_owned(),
        name: name.to_owned(),
        namespaced,
        custom: false,
    });
    let definitions =
        Table { group: "apiextensions.k8s.io".into(), resource: "customresourcedefinitions".into() };
    let custom: Vec<Kind> = store.objects(&definitions).flat_map(|(_, object)| defined_by(object)).collect();
    built_in.chain(custom)
}

/// The resource of a path.
pub(crate) fn find(store: &Store, group: &str, version: &str, plural: &str) -> Option<Kind> {
    all(store).find(|kind| (&*kind.group, &*kind.version, &*kind.plural) == (group, version, plural))
}

/// The resource an object belongs to, by its `apiVersion` and `kind`.
pub(crate) fn of_object(store: &Store, object: &Value) -> Option<Kind> {
    let (version, name) = (object["apiVersion"].as_str()?, object["kind"].as_str()?);
    all(store).find(|kind| kind.api_version() == version && kind.name == name)
}

/// The resource people mean by `pods`, or `events.events.k8s.io` where the name alone is not enough.
pub(crate) fn named(store: &Store, text: &str) -> Option<Kind> {
    all(store).find(|kind| kind.plural == text || format!("{}.{}", kind.plural, kind.group) == text)
}

fn defined_by(definition: &Value) -> Vec<Kind> {
    let spec = &definition["spec"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let served =
        spec["versions"].as_array().into_iter().flatten().filter(|version| version["served"] != false);
    served
        .map(|version| Kind {
            group: text(&spec["group"]),
            version: text(&version["name"]),
            plural: text(&spec["names"]["plural"]),
            name: text(&spec["names"]["kind"]),
            namespaced: spec["scope"] == "Namespaced",
            custom: true,
        })
        .collect()
}
