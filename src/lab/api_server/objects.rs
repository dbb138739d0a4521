//! The calls with which a test is everybody else in the cluster: users, kubelets, controllers.
//!
//! Unlike requests over HTTP they may write everything, status and UID included, and are never refused by a fault. A
//! resource is called as people call it, `pods` or `events.events.k8s.io`; what is in no namespace has the namespace `""`.

use serde_json::Value;

use super::ApiServer;
use super::kinds;
use super::patch;
use super::refusal::Refusal;
use super::state::State;
use super::store::Key;
use super::writes::{self, Place};

/// Time a pod is given to end, as with `kubectl delete`.
const GRACE: u64 = 30;

impl ApiServer {
    /// Makes an object.
    ///
    /// # Errors
    /// When there is one of that name, or the server does not have such a resource.
    pub fn create(&self, object: impl Into<Value>) -> Result<Value, Refusal> {
        let object = object.into();
        self.shared.change(|state| {
            let place = place_of(state, &object)?;
            Ok((*writes::insert(&mut state.store, place, object)?).clone())
        })
    }

    /// Makes an object, or replaces the one that is there as a whole; it stays the same one, with its UID.
    ///
    /// # Errors
    /// When the server does not have such a resource.
    pub fn apply(&self, object: impl Into<Value>) -> Result<Value, Refusal> {
        let object = object.into();
        self.shared.change(|state| {
            let place = place_of(state, &object)?;
            let new = match state.store.object(&place.key) {
                Some(_) => state.store.replace(place.key, object),
                None => writes::insert(&mut state.store, place, object)?,
            };
            Ok((*new).clone())
        })
    }

    /// Merges a change into an object (RFC 7396): null removes.
    ///
    /// # Errors
    /// When there is no such object, or the change would make it something else.
    #[expect(clippy::needless_pass_by_value, reason = "callers write `json!` right here")]
    pub fn patch(
        &self,
        resource: &str,
        namespace: &str,
        name: &str,
        change: Value,
    ) -> Result<Value, Refusal> {
        self.shared.change(|state| {
            let place = place(state, resource, namespace, name)?;
            let mut object = (**place.object(&state.store)?).clone();
            patch::merge(&mut object, &change);
            writes::check_form(&object)?;
            Ok((*state.store.replace(place.key, object)).clone())
        })
    }

    /// Marks an object as being deleted, as `kubectl delete pod` does; the kubelet's part is [`ApiServer::remove`].
    ///
    /// # Errors
    /// When there is no such object.
    pub fn terminate(&self, resource: &str, namespace: &str, name: &str) -> Result<Value, Refusal> {
        self.shared.change(|state| {
            let place = place(state, resource, namespace, name)?;
            Ok((*writes::terminate(&mut state.store, &place, GRACE)?).clone())
        })
    }

    /// Deletes an object; what is returned is its last state.
    ///
    /// # Errors
    /// When there is no such object.
    pub fn remove(&self, resource: &str, namespace: &str, name: &str) -> Result<Value, Refusal> {
        self.shared.change(|state| {
            let place = place(state, resource, namespace, name)?;
            let gone = || Refusal::not_found(&place.kind, name);
            Ok((*state.store.remove(&place.key).ok_or_else(gone)?).clone())
        })
    }

    /// An object, or none.
    #[must_use]
    pub fn object(&self, resource: &str, namespace: &str, name: &str) -> Option<Value> {
        let state = self.shared.lock();
        let place = place(&state, resource, namespace, name).ok()?;
        state.store.object(&place.key).map(|object| (**object).clone())
    }

    /// All objects of a resource, by namespace and name.
    #[must_use]
    pub fn objects(&self, resource: &str) -> Vec<Value> {
        let state = self.shared.lock();
        let Some(kind) = kinds::named(&state.store, resource) else { return Vec::new() };
        state.store.objects(&kind.table()).map(|(_, object)| (**object).clone()).collect()
    }

    /// The revision of the last change.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.shared.lock().store.revision()
    }
}

fn place(state: &State, resource: &str, namespace: &str, name: &str) -> Result<Place, Refusal> {
    let kind = kinds::named(&state.store, resource).ok_or_else(Refusal::no_such_resource)?;
    let key = Key { table: kind.table(), namespace: namespace.to_owned(), name: name.to_owned() };
    Ok(Place { kind, key, status: false })
}

fn place_of(state: &State, object: &Value) -> Result<Place, Refusal> {
    writes::check_form(object)?;
    let kind = kinds::of_object(&state.store, object).ok_or_else(Refusal::no_such_resource)?;
    let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default().to_owned();
    let (namespace, name) = (text("namespace"), text("name"));
    if name.is_empty() || kind.namespaced == namespace.is_empty() {
        let why = "it needs a name, and a namespace exactly if its resource is in namespaces";
        return Err(Refusal::invalid(&kind, &name, why));
    }
    let key = Key { table: kind.table(), namespace, name };
    Ok(Place { kind, key, status: false })
}
