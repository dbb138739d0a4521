//! How objects look to the client that asked: in the version of its path, whole or as metadata alone.

use serde_json::{Map, Value, json};

use super::kinds::Kind;

/// What a client wants to see.
#[derive(Debug, Clone)]
pub(crate) struct Shape {
    pub(crate) kind: Kind,
    /// `Accept: application/json;as=PartialObjectMetadata`.
    pub(crate) metadata_only: bool,
}

impl Shape {
    /// One object, as it is got or watched.
    pub(crate) fn object(&self, object: &Value) -> Value {
        let (api_version, kind) = self.type_of_objects();
        if self.metadata_only {
            return json!({"apiVersion": api_version, "kind": kind, "metadata": object["metadata"]});
        }
        let mut object = object.clone();
        object["apiVersion"] = json!(api_version);
        object["kind"] = json!(kind);
        object
    }

    /// One object in a list: of what is built in, lists do not say the type again.
    pub(crate) fn item(&self, object: &Value) -> Value {
        let mut item = self.object(object);
        if !self.kind.custom
            && !self.metadata_only
            && let Some(fields) = item.as_object_mut()
        {
            fields.remove("apiVersion");
            fields.remove("kind");
        }
        item
    }

    /// A whole list.
    pub(crate) fn list(&self, metadata: Map<String, Value>, items: Vec<Value>) -> Value {
        let (api_version, kind) = self.type_of_objects();
        json!({"apiVersion": api_version, "kind": format!("{kind}List"), "metadata": metadata, "items": items})
    }

    /// The object of a BOOKMARK event: a revision, and nothing else that would mean something.
    pub(crate) fn bookmark(&self, revision: u64, initial_events_end: bool) -> Value {
        let mut metadata = json!({"resourceVersion": revision.to_string(), "creationTimestamp": null});
        if initial_events_end {
            metadata["annotations"] = json!({"k8s.io/initial-events-end": "true"});
        }
        let (api_version, kind) = self.type_of_objects();
        json!({"apiVersion": api_version, "kind": kind, "metadata": metadata})
    }

    fn type_of_objects(&self) -> (String, String) {
        if self.metadata_only {
            return ("meta.k8s.io/v1".to_owned(), "PartialObjectMetadata".to_owned());
        }
        (self.kind.api_version(), self.kind.name.clone())
    }
}
