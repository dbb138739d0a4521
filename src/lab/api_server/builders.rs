//! Objects in a few words: pods, namespaces, and definitions of custom resources, as a kubelet or a user leaves them.

use std::net::IpAddr;

use serde_json::{Value, json};

use super::patch;

/// An object being described. What there is no word for is [merged](Object::merge) in.
#[derive(Debug, Clone, PartialEq)]
pub struct Object(Value);

/// A pod with one container, without a node and an address yet; pending.
#[must_use]
pub fn pod(namespace: &str, name: &str) -> Object {
    Object(json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"namespace": namespace, "name": name},
        "spec": {"serviceAccountName": "default", "containers": [{"name": "app", "image": "app"}]},
        "status": {"phase": "Pending"},
    }))
}

/// A namespace.
#[must_use]
pub fn namespace(name: &str) -> Object {
    Object(json!({
        "apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}, "status": {"phase": "Active"},
    }))
}

/// A definition of a custom resource in namespaces, such as `("security.istio.io/v1", "authorizationpolicies",
/// "AuthorizationPolicy")`. As long as it is there, the server has that resource.
#[must_use]
pub fn definition(group_version: &str, plural: &str, kind: &str) -> Object {
    let (group, version) = group_version.split_once('/').unwrap_or((group_version, "v1"));
    Object(json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{plural}.{group}")},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"plural": plural, "kind": kind},
            "versions": [{"name": version, "served": true, "storage": true}],
        },
    }))
}

impl Object {
    /// Adds a label.
    #[must_use]
    pub fn label(mut self, key: &str, value: &str) -> Self {
        self.0["metadata"]["labels"][key] = json!(value);
        self
    }

    /// Adds an annotation.
    #[must_use]
    pub fn annotation(mut self, key: &str, value: &str) -> Self {
        self.0["metadata"]["annotations"][key] = json!(value);
        self
    }

    /// Chooses the UID, which otherwise the server does.
    #[must_use]
    pub fn uid(mut self, uid: &str) -> Self {
        self.0["metadata"]["uid"] = json!(uid);
        self
    }

    /// Puts a pod on a node.
    #[must_use]
    pub fn node(mut self, node: &str) -> Self {
        self.0["spec"]["nodeName"] = json!(node);
        self
    }

    /// Sets a pod's service account, which otherwise is `default`.
    #[must_use]
    pub fn service_account(mut self, name: &str) -> Self {
        self.0["spec"]["serviceAccountName"] = json!(name);
        self
    }

    /// Makes a pod share the network of its node.
    #[must_use]
    pub fn host_network(mut self) -> Self {
        self.0["spec"]["hostNetwork"] = json!(true);
        self
    }

    /// Gives a pod an address; with the first one it is running.
    #[must_use]
    pub fn ip(mut self, address: impl Into<IpAddr>) -> Self {
        let address = json!(address.into().to_string());
        let status = &mut self.0["status"];
        if let Some(addresses) = status["podIPs"].as_array_mut() {
            addresses.push(json!({"ip": address}));
            return self;
        }
        status["podIPs"] = json!([{"ip": address}]);
        status["podIP"] = address;
        status["phase"] = json!("Running");
        self
    }

    /// Sets the phase of a pod or a namespace.
    #[must_use]
    pub fn phase(mut self, phase: &str) -> Self {
        self.0["status"]["phase"] = json!(phase);
        self
    }

    /// Merges anything in (RFC 7396): objects are merged, null removes, everything else replaces.
    #[must_use]
    #[expect(clippy::needless_pass_by_value, reason = "callers write `json!` right here")]
    pub fn merge(mut self, change: Value) -> Self {
        patch::merge(&mut self.0, &change);
        self
    }
}

impl From<Object> for Value {
    fn from(object: Object) -> Self {
        object.0
    }
}
