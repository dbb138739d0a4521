//! What clients may change, and how: create, update, patch, delete, and the `status` subresource.
//!
//! As in a real server the object itself is written without its status and the status without the rest; who has written
//! meanwhile is found out by `resourceVersion`, and whether it is still the same object by `uid`. Objects are not
//! validated, finalizers and owner references have no effect, and namespaces need not exist.

use std::sync::Arc;

use serde_json::{Value, json};

use super::faults::AnotherUid;
use super::kinds::Kind;
use super::patch;
use super::refusal::Refusal;
use super::store::{Key, Store, copy, timestamp};

/// One object of a resource, and whether its `status` alone is meant.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) kind: Kind,
    pub(crate) key: Key,
    pub(crate) status: bool,
}

impl Place {
    pub(crate) fn object<'s>(&self, store: &'s Store) -> Result<&'s Arc<Value>, Refusal> {
        store.object(&self.key).ok_or_else(|| Refusal::not_found(&self.kind, &self.key.name))
    }

    fn conflict(&self, why: &str) -> Refusal {
        Refusal::conflict(&self.kind, &self.key.name, why)
    }
}

/// POST. The name in `place` is empty: it is in the object, or else made from `generateName`.
pub(crate) fn create(store: &mut Store, mut place: Place, mut object: Value) -> Result<Arc<Value>, Refusal> {
    check_form(&object)?;
    check_namespace(&place, &object)?;
    place.key.name = name_of(store, &place.kind, &object)?;
    if let Some(fields) = object["metadata"].as_object_mut() {
        for servers_own in ["uid", "resourceVersion", "creationTimestamp", "deletionTimestamp"] {
            fields.remove(servers_own);
        }
    }
    set_initial_status(&place.kind, &mut object);
    insert(store, place, object)
}

/// Makes an object as it is, status and UID included.
pub(crate) fn insert(store: &mut Store, place: Place, mut object: Value) -> Result<Arc<Value>, Refusal> {
    if store.object(&place.key).is_some() {
        return Err(Refusal::already_exists(&place.kind, &place.key.name));
    }
    if place.kind.name == "Namespace" {
        object["metadata"]["labels"]["kubernetes.io/metadata.name"] = json!(place.key.name);
    }
    Ok(store.create(place.key, object))
}

/// PUT.
pub(crate) fn update(store: &mut Store, place: Place, object: Value) -> Result<Arc<Value>, Refusal> {
    let old = Arc::clone(place.object(store)?);
    check_form(&object)?;
    check_namespace(&place, &object)?;
    if object["metadata"]["name"] != *place.key.name {
        let why = "the name of the object does not match the name on the URL";
        return Err(Refusal::bad_request(why));
    }
    if place.kind.custom && object["metadata"]["resourceVersion"].is_null() {
        let why = "metadata.resourceVersion: Invalid value: 0x0: must be specified for an update";
        return Err(Refusal::invalid(&place.kind, &place.key.name, why));
    }
    check_identity(&place, &old, &object["metadata"])?;
    let new = permitted(&place, &old, object);
    Ok(store.replace(place.key, new))
}

/// PATCH.
pub(crate) fn patch(
    store: &mut Store,
    place: Place,
    content_type: &str,
    body: &Value,
    another: AnotherUid,
) -> Result<Arc<Value>, Refusal> {
    let old = Arc::clone(place.object(store)?);
    let mut object = (*old).clone();
    patch::apply(&mut object, content_type, body)?;
    check_form(&object)?;
    if another == AnotherUid::Invalid && object["metadata"]["uid"] != old["metadata"]["uid"] {
        let why = format!("metadata.uid: Invalid value: {}: field is immutable", object["metadata"]["uid"]);
        return Err(Refusal::invalid(&place.kind, &place.key.name, &why));
    }
    check_identity(&place, &old, &object["metadata"])?;
    let new = permitted(&place, &old, object);
    Ok(store.replace(place.key, new))
}

/// DELETE. A pod that has been given to a node is only marked: its kubelet deletes it, when its containers have ended.
pub(crate) fn delete(store: &mut Store, place: &Place, options: &Value) -> Result<Deleted, Refusal> {
    let old = Arc::clone(place.object(store)?);
    check_identity(place, &old, &options["preconditions"])?;
    let grace = options["gracePeriodSeconds"].as_u64();
    let grace = grace.or_else(|| old["spec"]["terminationGracePeriodSeconds"].as_u64()).unwrap_or(30);
    if place.kind.name == "Pod" && old["spec"]["nodeName"].is_string() && grace > 0 {
        return Ok(Deleted::Marked(terminate(store, place, grace)?));
    }
    store.remove(&place.key);
    Ok(Deleted::Gone(old))
}

/// Marks an object as being deleted. A second time it changes nothing.
pub(crate) fn terminate(store: &mut Store, place: &Place, grace: u64) -> Result<Arc<Value>, Refusal> {
    let mut object = (**place.object(store)?).clone();
    if object["metadata"]["deletionTimestamp"].is_null() {
        object["metadata"]["deletionTimestamp"] = json!(timestamp());
        object["metadata"]["deletionGracePeriodSeconds"] = json!(grace);
    }
    Ok(store.replace(place.key.clone(), object))
}

/// What a DELETE request has done.
#[derive(Debug)]
pub(crate) enum Deleted {
    /// The object, as it was.
    Gone(Arc<Value>),
    /// The object, as it is.
    Marked(Arc<Value>),
}

/// What of an object a client has written is taken: the status alone, or everything else.
fn permitted(place: &Place, old: &Value, mut object: Value) -> Value {
    if place.status {
        let mut new = old.clone();
        copy("status", &object, &mut new);
        for writable in ["labels", "annotations"] {
            copy(writable, &object["metadata"], &mut new["metadata"]);
        }
        return new;
    }
    copy("status", old, &mut object);
    for fixed in ["deletionTimestamp", "deletionGracePeriodSeconds"] {
        copy(fixed, &old["metadata"], &mut object["metadata"]);
    }
    object["apiVersion"] = old["apiVersion"].clone();
    object["kind"] = old["kind"].clone();
    object
}

/// Refuses what is no object: everything else here relies on it.
pub(crate) fn check_form(object: &Value) -> Result<(), Refusal> {
    let maps = ["labels", "annotations"].iter().all(|field| {
        let field = &object["metadata"][*field];
        field.is_null() || field.is_object()
    });
    if object.is_object() && object["metadata"].is_object() && maps {
        return Ok(());
    }
    Err(Refusal::bad_request("an object has metadata, with names and texts as labels and annotations"))
}

/// Refuses what was meant for another object, or for an older state of this one.
fn check_identity(place: &Place, old: &Value, meant: &Value) -> Result<(), Refusal> {
    let differs = |field: &str| !meant[field].is_null() && meant[field] != old["metadata"][field];
    if differs("uid") {
        let why = format!(
            "Precondition failed: UID in precondition: {}, UID in object meta: {}",
            meant["uid"].as_str().unwrap_or_default(),
            old["metadata"]["uid"].as_str().unwrap_or_default()
        );
        return Err(place.conflict(&why));
    }
    if differs("resourceVersion") {
        let why =
            "the object has been modified; please apply your changes to the latest version and try again";
        return Err(place.conflict(why));
    }
    Ok(())
}

fn check_namespace(place: &Place, object: &Value) -> Result<(), Refusal> {
    let said = &object["metadata"]["namespace"];
    if place.kind.namespaced && !said.is_null() && *said != *place.key.namespace {
        let why = "the namespace of the provided object does not match the namespace sent on the request";
        return Err(Refusal::bad_request(why));
    }
    Ok(())
}

fn name_of(store: &Store, kind: &Kind, object: &Value) -> Result<String, Refusal> {
    let metadata = &object["metadata"];
    match (metadata["name"].as_str(), metadata["generateName"].as_str()) {
        (Some(name), _) if !name.is_empty() => Ok(name.to_owned()),
        (_, Some(stem)) if !stem.is_empty() => Ok(format!("{stem}{:05x}", store.revision() + 1)),
        _ => {
            Err(Refusal::invalid(kind, "", "metadata.name: Required value: name or generateName is required"))
        }
    }
}

/// Status is not the creator's to say.
fn set_initial_status(kind: &Kind, object: &mut Value) {
    if let Some(fields) = object.as_object_mut() {
        fields.remove("status");
    }
    match kind.name.as_str() {
        "Pod" => object["status"] = json!({"phase": "Pending"}),
        "Namespace" => object["status"] = json!({"phase": "Active"}),
        _ => {}
    }
}
