//! What both kinds of objects begin with: what they are called, since when, and what is at the top of them.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;

use crate::Meta;

use super::place::Place;
use super::problem::{Clipped, Problems};

/// What an object is called. Reads what it can of an object it cannot read.
pub(super) fn meta(object: &Value, problems: &mut Problems) -> Meta {
    let top = Place::top(object);
    for field in top.fields(problems) {
        if !["apiVersion", "kind", "metadata", "spec", "status"].contains(&field.name()) {
            field.is_unknown(problems);
        }
    }
    let written = object.get("metadata").unwrap_or(&Value::Null);
    let meta = Meta::deserialize(written).unwrap_or_else(|error| {
        let error = error.to_string();
        problems
            .invalid("metadata", format!("cannot be read: {}; the API server writes it", Clipped(&error)));
        let text = |name| Arc::from(written.get(name).and_then(Value::as_str).unwrap_or_default());
        Meta { name: text("name"), namespace: text("namespace"), ..Meta::default() }
    });
    if meta.name.is_empty() || meta.namespace.is_empty() {
        problems.invalid("metadata", "has no name or no namespace; the API server writes both");
    }
    meta
}
