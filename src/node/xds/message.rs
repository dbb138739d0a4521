//! The session's requests as messages, and who we say we are.

use std::collections::BTreeMap;

use culvert_core::xds::Request;
use culvert_proto::{rpc, xds as proto};
use prost_types::value::Kind;
use prost_types::{ListValue, Struct, Value};

use crate::config::NodeConfig;

/// A request as it goes over the wire.
pub(super) fn request(request: &Request, node: &proto::Node) -> proto::DeltaDiscoveryRequest {
    let names = |names: &[std::sync::Arc<str>]| names.iter().map(ToString::to_string).collect();
    let versions = request.initial_versions.iter();
    proto::DeltaDiscoveryRequest {
        node: request.with_node.then(|| node.clone()),
        type_url: request.type_url.to_string(),
        resource_names_subscribe: names(&request.subscribe),
        resource_names_unsubscribe: names(&request.unsubscribe),
        initial_resource_versions: versions
            .map(|(name, version)| (name.to_string(), version.to_string()))
            .collect(),
        response_nonce: request.nonce.to_string(),
        error_detail: request
            .refusal
            .as_ref()
            .map(|nack| rpc::Status { code: nack.code, message: nack.message.clone() }),
    }
}

/// Who we are. Control planes want an id of four parts with an address in it, and look up pods by the metadata.
pub(super) fn node(config: &NodeConfig) -> proto::Node {
    let NodeConfig { pod_name, pod_namespace, instance_ip, node_name, cluster_domain, metadata } = config;
    let text = |text: &str| Value { kind: Some(Kind::StringValue(text.to_owned())) };
    let own = [
        ("NAME", text(pod_name)),
        ("NAMESPACE", text(pod_namespace)),
        ("INSTANCE_IPS", text(instance_ip)),
        ("NODE_NAME", text(node_name)),
    ];
    let mut fields: BTreeMap<String, Value> = own.map(|(name, value)| (name.to_owned(), value)).into();
    fields.extend(metadata.iter().map(|(name, json)| (name.clone(), value(json))));
    proto::Node {
        id: format!("ztunnel~{instance_ip}~{pod_name}.{pod_namespace}~{pod_namespace}.svc.{cluster_domain}"),
        metadata: Some(Struct { fields }),
        ..proto::Node::default()
    }
}

fn value(json: &serde_json::Value) -> Value {
    use serde_json::Value as Json;
    let kind = match json {
        Json::Null => Kind::NullValue(0),
        Json::Bool(it) => Kind::BoolValue(*it),
        Json::Number(it) => Kind::NumberValue(it.as_f64().unwrap_or_default()),
        Json::String(it) => Kind::StringValue(it.clone()),
        Json::Array(list) => Kind::ListValue(ListValue { values: list.iter().map(value).collect() }),
        Json::Object(map) => Kind::StructValue(Struct {
            fields: map.iter().map(|(name, it)| (name.clone(), value(it))).collect(),
        }),
    };
    Value { kind: Some(kind) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_node_says_who_it_is_and_metadata_wins() {
        let node = node(&NodeConfig {
            pod_name: "culvert-x".into(),
            pod_namespace: "istio-system".into(),
            instance_ip: "10.0.0.1".into(),
            node_name: "node-a".into(),
            cluster_domain: "cluster.local".into(),
            metadata: [("NAME".to_owned(), serde_json::json!("other"))].into(),
        });
        assert_eq!(node.id, "ztunnel~10.0.0.1~culvert-x.istio-system~istio-system.svc.cluster.local");
        let fields = node.metadata.unwrap().fields;
        let text = |name: &str| match &fields[name].kind {
            Some(Kind::StringValue(text)) => text.clone(),
            other => panic!("{other:?}"),
        };
        let said = ["NAME", "NAMESPACE", "INSTANCE_IPS", "NODE_NAME"].map(text);
        assert_eq!(said, ["other", "istio-system", "10.0.0.1", "node-a"]);
    }

    #[test]
    fn every_kind_of_json_has_its_value() {
        let json = serde_json::json!({"o": {"x": 1.5}, "l": ["a", true], "n": null});
        let Some(Kind::StructValue(map)) = value(&json).kind else { panic!("an object is a struct") };
        assert_eq!(map.fields["n"].kind, Some(Kind::NullValue(0)));
        let Some(Kind::ListValue(list)) = &map.fields["l"].kind else { panic!("a list is a list") };
        assert_eq!(list.values[1].kind, Some(Kind::BoolValue(true)));
        let Some(Kind::StructValue(inner)) = &map.fields["o"].kind else { panic!("an object is a struct") };
        assert_eq!(inner.fields["x"].kind, Some(Kind::NumberValue(1.5)));
    }
}
