//! Patches: JSON merge patch (RFC 7396) and JSON patch (RFC 6902), on values.
//!
//! Strategic merge patch and server-side apply need the schemas of all types; they are refused with 415, as a real server
//! refuses the former for custom resources. Of JSON patch, `move` and `copy` are left out: nobody here sends them.

use serde_json::{Map, Value};

use super::refusal::Refusal;

/// Applies the body of a PATCH request.
pub(crate) fn apply(object: &mut Value, content_type: &str, body: &Value) -> Result<(), Refusal> {
    match content_type.split(';').next().unwrap_or_default().trim() {
        "application/merge-patch+json" if body.is_object() => {
            merge(object, body);
            Ok(())
        }
        "application/merge-patch+json" => {
            Err(Refusal::bad_request("a merge patch of an object is an object"))
        }
        "application/json-patch+json" => operations(object, body),
        other => Err(Refusal {
            message: format!(
                "the body of the request was in an unknown format - accepted media types include: \
                 application/json-patch+json, application/merge-patch+json; not {other:?}"
            ),
            ..Refusal::of_code(415)
        }),
    }
}

/// RFC 7396: objects are merged, null removes, everything else replaces.
pub(crate) fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(changes) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    for (key, change) in changes {
        let Some(fields) = target.as_object_mut() else { return };
        if change.is_null() {
            fields.remove(key);
        } else {
            merge(fields.entry(key).or_insert(Value::Null), change);
        }
    }
}

fn operations(object: &mut Value, patch: &Value) -> Result<(), Refusal> {
    let Some(operations) = patch.as_array() else {
        return Err(Refusal::bad_request("a JSON patch is an array of operations"));
    };
    for operation in operations {
        let failed = || Refusal {
            message: format!("the server rejected our request due to an error in our request: {operation}"),
            ..Refusal::of_code(422)
        };
        let path = operation["path"].as_str().ok_or_else(failed)?;
        let value = operation.get("value");
        let done = match (operation["op"].as_str(), value) {
            (Some("add"), Some(value)) => add(object, path, value),
            (Some("replace"), Some(value)) => object.pointer_mut(path).map(|old| *old = value.clone()),
            (Some("remove"), _) => remove(object, path),
            (Some("test"), Some(value)) => (object.pointer(path) == Some(value)).then_some(()),
            _ => None,
        };
        done.ok_or_else(failed)?;
    }
    Ok(())
}

fn add(object: &mut Value, path: &str, value: &Value) -> Option<()> {
    let (parent, key) = parent(object, path)?;
    if let Some(list) = parent.as_array_mut() {
        let at = if key == "-" { list.len() } else { key.parse().ok()? };
        return (at <= list.len()).then(|| list.insert(at, value.clone()));
    }
    parent.as_object_mut()?.insert(key, value.clone());
    Some(())
}

fn remove(object: &mut Value, path: &str) -> Option<()> {
    let (parent, key) = parent(object, path)?;
    if let Some(list) = parent.as_array_mut() {
        let at: usize = key.parse().ok()?;
        return (at < list.len()).then(|| drop(list.remove(at)));
    }
    parent.as_object_mut()?.remove(&key).map(drop)
}

/// What a pointer points into, and the last part of it, unescaped.
fn parent<'o>(object: &'o mut Value, path: &str) -> Option<(&'o mut Value, String)> {
    let (parent, key) = path.rsplit_once('/')?;
    Some((object.pointer_mut(parent)?, key.replace("~1", "/").replace("~0", "~")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check_merge(mut target: Value, patch: Value, expected: Value) {
        apply(&mut target, "application/merge-patch+json", &patch).unwrap();
        assert_eq!(target, expected, "{patch}");
    }

    fn json_patch(patch: Value) -> Result<Value, Refusal> {
        let mut object = json!({"metadata": {"labels": {"a/b": "1"}}, "list": [1, 2]});
        apply(&mut object, "application/json-patch+json", &patch).map(|()| object)
    }

    #[test]
    fn merging_replaces_what_is_named_and_null_removes() {
        check_merge(json!({"a": {"b": 1, "c": 2}}), json!({"a": {"b": 3}}), json!({"a": {"b": 3, "c": 2}}));
        check_merge(json!({"a": {"b": 1}}), json!({"a": {"b": null, "z": null}}), json!({"a": {}}));
        check_merge(json!({"a": [1, 2]}), json!({"a": [3]}), json!({"a": [3]}));
        check_merge(json!({"a": 1}), json!({"a": {"b": {"c": null, "d": 1}}}), json!({"a": {"b": {"d": 1}}}));
    }

    #[test]
    fn json_patches_are_applied_in_order() {
        let patched = json_patch(json!([
            {"op": "test", "path": "/metadata/labels/a~1b", "value": "1"},
            {"op": "add", "path": "/metadata/labels/c", "value": "3"},
            {"op": "remove", "path": "/metadata/labels/a~1b"},
            {"op": "add", "path": "/list/-", "value": 3},
            {"op": "replace", "path": "/list/0", "value": 9},
        ]));
        assert_eq!(patched, Ok(json!({"metadata": {"labels": {"c": "3"}}, "list": [9, 2, 3]})));
    }

    #[test]
    fn a_patch_that_does_not_fit_is_refused() {
        let test = json!([{"op": "test", "path": "/list/0", "value": 7}]);
        assert_eq!(json_patch(test).unwrap_err().code, 422);
        let missing = json!([{"op": "remove", "path": "/gone"}]);
        assert_eq!(json_patch(missing).unwrap_err().code, 422);
        let strategic = apply(&mut json!({}), "application/strategic-merge-patch+json", &json!({}));
        assert_eq!(strategic.unwrap_err().code, 415);
    }
}
