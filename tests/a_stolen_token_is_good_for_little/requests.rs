//! Requests as admission policies see them, and objects they are about.

use serde_json::{Map, Value, json};

/// Accounts of ours.
pub(super) const AGENT: &str = "culvert-agent";
pub(super) const CONTROL: &str = "culvert-control";

/// Where the pods are that an agent writes about.
pub(super) const NODE: &str = "node-a";

/// A request by a pod of one of our accounts, whose token names a node or none.
pub(super) fn by(account: &str, node: Option<&str>, mut request: Value) -> Value {
    let mut extra = json!({ "authentication.kubernetes.io/pod-name": ["culvert-agent-x7k2p"] });
    if let Some(node) = node {
        extra["authentication.kubernetes.io/node-name"] = json!([node]);
    }
    let username = format!("system:serviceaccount:culvert-system:{account}");
    request["userInfo"] =
        json!({ "username": username, "groups": ["system:serviceaccounts"], "extra": extra });
    request
}

/// A change that is merged into an object.
pub(super) fn updated(resource: &str, object: &Value, change: &Value) -> Value {
    json!({ "resource": resource, "operation": "UPDATE", "oldObject": object, "object": merged(object, change) })
}

/// An object that is made.
pub(super) fn created(resource: &str, object: Value) -> Value {
    json!({ "resource": resource, "operation": "CREATE", "object": object })
}

/// A JSON merge patch (RFC 7396); maps that are empty by it are gone, as the API server has it.
pub(super) fn merged(object: &Value, change: &Value) -> Value {
    let Value::Object(change) = change else { return change.clone() };
    let mut merged = object.as_object().cloned().unwrap_or_else(Map::new);
    for (key, value) in change {
        merged.insert(key.clone(), self::merged(merged.get(key).unwrap_or(&Value::Null), value));
    }
    merged.retain(|_, it| !it.is_null() && it.as_object().is_none_or(|it| !it.is_empty()));
    Value::Object(merged)
}

/// A pod of a node, as kubelet and its owner have left it.
pub(super) fn pod(node: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": "web", "generateName": "web-", "namespace": "shop", "uid": "u", "resourceVersion": "7",
            "labels": { "app": "web", "istio.io/dataplane-mode": "ambient" },
            "annotations": { "team": "shop", "prometheus.io/scrape": "true" },
            "ownerReferences": [{ "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "uid": "r" }],
        },
        "spec": { "nodeName": node, "containers": [{ "name": "web", "image": "web" }] },
        "status": {
            "phase": "Running", "podIP": "10.0.0.7", "podIPs": [{ "ip": "10.0.0.7" }],
            "conditions": [{ "type": "Ready", "status": "True" }],
        },
    })
}

/// A Service that a load balancer has taken care of.
pub(super) fn service() -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": "web", "namespace": "shop", "labels": { "app": "web" },
            "finalizers": ["service.kubernetes.io/load-balancer-cleanup"],
        },
        "spec": { "clusterIP": "10.1.0.1", "ports": [{ "port": 80 }], "type": "LoadBalancer" },
        "status": { "loadBalancer": { "ingress": [{ "ip": "192.0.2.1" }] }, "conditions": [{ "type": "Other", "status": "True" }] },
    })
}

/// What the agent of a node tells of a pod.
pub(super) fn event(node: &str) -> Value {
    json!({
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": { "name": "web.17", "namespace": "shop" },
        "reportingController": "culvert.dev/agent",
        "reportingInstance": node,
        "reason": "CulvertEnrolled",
        "action": "Enrol",
        "type": "Normal",
        "regarding": { "apiVersion": "v1", "kind": "Pod", "namespace": "shop", "name": "web", "uid": "u" },
    })
}
