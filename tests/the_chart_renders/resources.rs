//! The resources the chart defines in clusters that lack them: objects that exist are valid as they are, and nothing that was said is
//! dropped where it would let in more.

use serde_json::{Value, json};

use crate::harness::chart::{complaints, definitions, nonconformities};

/// Objects as people have them, each with what is in it that only waypoints or other programs understand.
fn in_use() -> Vec<(&'static str, Value)> {
    vec![
        ("AuthorizationPolicy", json!({})),
        ("AuthorizationPolicy", json!({ "spec": {} })),
        (
            "AuthorizationPolicy",
            json!({ "spec": { "action": "DENY", "selector": { "matchLabels": { "app": "web" } }, "rules": [{
            "from": [{ "source": { "notPrincipals": ["cluster.local/ns/shop/sa/client"], "ipBlocks": ["10.0.0.0/8"] } }],
            "to": [{ "operation": { "ports": ["80", "443"], "methods": ["GET"], "paths": ["/info*"] } }],
            "when": [{ "key": "request.headers[version]", "values": ["v1"] }] }] },
            "status": { "observedGeneration": "3", "conditions": [{ "type": "ZtunnelAccepted", "status": "True" }] } }),
        ),
        (
            "AuthorizationPolicy",
            json!({ "spec": { "action": "CUSTOM", "provider": { "name": "oauth" },
            "targetRefs": [{ "group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "waypoint" }], "rules": [{}] } }),
        ),
        (
            "AuthorizationPolicy",
            json!({ "spec": { "rules": [{ "from": [{ "source": { "serviceAccounts": ["client"] } }] }] } }),
        ),
        ("PeerAuthentication", json!({ "spec": { "mtls": { "mode": "STRICT" } } })),
        (
            "PeerAuthentication",
            json!({ "spec": { "selector": { "matchLabels": { "app": "web" } }, "mtls": { "mode": "UNSET" },
            "portLevelMtls": { "8080": { "mode": "DISABLE" } } } }),
        ),
        (
            "ServiceEntry",
            json!({ "spec": { "hosts": ["api.example.com"], "location": "MESH_EXTERNAL", "resolution": "DNS",
            "ports": [{ "number": 443, "name": "https", "protocol": "TLS" }], "exportTo": ["."] } }),
        ),
        (
            "ServiceEntry",
            json!({ "spec": { "hosts": ["db.internal"], "addresses": ["240.240.0.1"], "resolution": "STATIC",
            "ports": [{ "number": 5432, "name": "tcp", "targetPort": 15432 }], "endpoints": [{ "address": "10.1.1.1",
            "ports": { "tcp": 5432 }, "labels": { "app": "db" }, "weight": 2, "serviceAccount": "db" }],
            "subjectAltNames": ["spiffe://cluster.local/ns/data/sa/db"] } }),
        ),
        (
            "ServiceEntry",
            json!({ "spec": { "hosts": ["mixed"], "workloadSelector": { "labels": { "app": "db" } } } }),
        ),
        (
            "WorkloadEntry",
            json!({ "spec": { "address": "10.1.1.1", "ports": { "http": 8080 }, "labels": { "app": "vm" }, "network": "east",
            "locality": "eu/west", "weight": 1, "serviceAccount": "vm" } }),
        ),
    ]
}

#[test]
fn objects_in_use_are_valid() {
    for (kind, object) in in_use() {
        assert_eq!(against(kind, &object), None, "{kind}: {object}");
    }
}

#[test]
fn what_cannot_be_meant_is_not() {
    let wrong = [
        ("AuthorizationPolicy", json!({ "spec": { "action": "PERMIT" } })),
        (
            "AuthorizationPolicy",
            json!({ "spec": { "rules": [{ "to": [{ "operation": { "ports": [8080] } }] }] } }),
        ),
        ("AuthorizationPolicy", json!({ "spec": { "rules": [{ "when": [{ "values": ["10.0.0.1"] }] }] } })),
        ("PeerAuthentication", json!({ "spec": { "mtls": { "mode": "strict" } } })),
        ("ServiceEntry", json!({ "spec": { "hosts": [] } })),
        ("ServiceEntry", json!({})),
        ("WorkloadEntry", json!({ "spec": { "ports": { "http": "8080" } } })),
    ];
    for (kind, object) in wrong {
        assert!(against(kind, &object).is_some(), "{kind}: {object}");
    }
}

/// The API server drops what a schema does not know, unless it is told to keep it; a policy with a condition less lets in more.
#[test]
fn conditions_of_tomorrow_are_kept() {
    let schema = schema("AuthorizationPolicy");
    for path in ["", "/rules", "/rules/from/source", "/rules/to/operation"] {
        let node =
            path.split('/').filter(|it| !it.is_empty()).fold(&schema["properties"]["spec"], |node, field| {
                let node = &node["properties"][field];
                node.get("items").unwrap_or(node)
            });
        assert_eq!(node["x-kubernetes-preserve-unknown-fields"], true, "spec{path}: {node}");
    }
}

#[test]
fn kubernetes_takes_the_definitions() {
    let definitions = definitions();
    let complaints = complaints(&["1.30", "1.37"], &definitions);
    assert!(complaints.is_empty(), "{complaints:#?}");
    assert_eq!(definitions.len(), 4);
    for definition in &definitions {
        let name = &definition["metadata"]["name"];
        let versions = definition["spec"]["versions"].as_array().unwrap();
        let stored: Vec<_> =
            versions.iter().filter(|it| it["storage"] == true).map(|it| &it["name"]).collect();
        assert_eq!(stored, ["v1"], "{name}");
        for version in versions {
            assert_eq!(version["served"], true, "{name}");
            assert!(version["subresources"]["status"].is_object(), "{name} has a status of its own");
            // Whatever an object was stored as, it is the same in all versions.
            assert_eq!(version["schema"], versions[0]["schema"], "{name}");
            let flaw = unstructured(&version["schema"]["openAPIV3Schema"]);
            assert_eq!(flaw, None, "{name}: the API server takes structural schemas alone");
        }
    }
}

/// The first part of a schema that does not say of what type it is.
fn unstructured(schema: &Value) -> Option<String> {
    if schema.get("type").is_none() && schema["x-kubernetes-int-or-string"] != true {
        return Some(schema.to_string());
    }
    let fields = schema["properties"].as_object().into_iter().flat_map(|it| it.values());
    let parts = ["items", "additionalProperties"].into_iter().filter_map(|key| schema.get(key));
    fields.chain(parts).find_map(unstructured)
}

#[track_caller]
fn schema(kind: &str) -> Value {
    let definition = definitions().into_iter().find(|it| it["spec"]["names"]["kind"] == kind);
    definition.unwrap()["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone()
}

#[track_caller]
fn against(kind: &str, object: &Value) -> Option<String> {
    nonconformities(&schema(kind), std::slice::from_ref(object)).remove(0)
}
