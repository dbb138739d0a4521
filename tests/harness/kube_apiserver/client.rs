//! Requests to a real API server by whoever may do everything, with curl.
//!
//! A resource is called as people call it, `pods` or `events.events.k8s.io`; what is in no namespace has the namespace `""`. What
//! the server says no to is an error with its message.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use culvert_sys::netns::Netns;
use serde_json::{Value, json};

use crate::harness::command::run_in;

/// Groups of resources that are asked for; all others are of the core.
const GROUPS: &[(&str, &str)] = &[
    ("authorizationpolicies", "security.istio.io/v1"),
    ("customresourcedefinitions", "apiextensions.k8s.io/v1"),
    ("events.events.k8s.io", "events.k8s.io/v1"),
    ("leases", "coordination.k8s.io/v1"),
    ("peerauthentications", "security.istio.io/v1"),
    ("serviceentries", "networking.istio.io/v1"),
    ("workloadentries", "networking.istio.io/v1"),
];
const JSON: &str = "application/json";
const MERGE_PATCH: &str = "application/merge-patch+json";

/// Whoever asks.
pub(crate) struct Client {
    netns: Arc<Netns>,
    url: String,
    root: PathBuf,
    token: String,
}

impl Client {
    pub(super) fn new(netns: &Arc<Netns>, url: &str, root: &Path, token: &str) -> Self {
        let (url, token) = (url.to_owned(), token.to_owned());
        Self { netns: Arc::clone(netns), url, root: root.to_owned(), token }
    }

    /// Where the server is.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// What signs the server's certificate.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// Whether it says that it is ready.
    pub(super) fn is_ready(&self) -> bool {
        self.send("GET", "/readyz", JSON, "").is_ok_and(|(status, _)| status == 200)
    }

    /// Makes an object, as kubectl does, and then says its status, as controllers and kubelets do.
    pub(crate) fn create(&self, object: &Value) -> Result<Value, String> {
        let made = self.ask("POST", &collection_of(object), JSON, object)?;
        self.say_status(object, made)
    }

    /// Makes an object, or replaces the one that is there.
    pub(crate) fn apply(&self, object: &Value) -> Result<Value, String> {
        let path = path_of(object);
        let Some(there) = self.found(&path)? else { return self.create(object) };
        let mut next = object.clone();
        next["metadata"]["resourceVersion"] = there["metadata"]["resourceVersion"].clone();
        let made = self.ask("PUT", &path, JSON, &next)?;
        self.say_status(object, made)
    }

    /// Says the status of an object that was written without it.
    fn say_status(&self, object: &Value, written: Value) -> Result<Value, String> {
        let Some(status) = object.get("status").filter(|_| has_status(object)) else { return Ok(written) };
        let change = json!({ "status": status });
        self.ask("PATCH", &format!("{}/status", path_of(object)), MERGE_PATCH, &change)
    }

    /// Merges a change into an object; what it says of the status goes where a status is said.
    pub(crate) fn patch(
        &self,
        resource: &str,
        namespace: &str,
        name: &str,
        mut change: Value,
    ) -> Result<Value, String> {
        let path = format!("{}/{name}", collection(resource, namespace));
        let status = change.as_object_mut().and_then(|change| change.remove("status"));
        let changed = self.ask("PATCH", &path, MERGE_PATCH, &change)?;
        let Some(status) = status else { return Ok(changed) };
        self.ask("PATCH", &format!("{path}/status"), MERGE_PATCH, &json!({ "status": status }))
    }

    /// Deletes an object, which has so long to end; without a time, as long as it says itself.
    pub(crate) fn delete(
        &self,
        resource: &str,
        namespace: &str,
        name: &str,
        seconds: Option<u32>,
    ) -> Result<Value, String> {
        let mut options = json!({ "apiVersion": "v1", "kind": "DeleteOptions" });
        if let Some(seconds) = seconds {
            options["gracePeriodSeconds"] = json!(seconds);
        }
        self.ask("DELETE", &format!("{}/{name}", collection(resource, namespace)), JSON, &options)
    }

    /// An object, or none.
    pub(crate) fn get(&self, resource: &str, namespace: &str, name: &str) -> Result<Option<Value>, String> {
        self.found(&format!("{}/{name}", collection(resource, namespace)))
    }

    /// All objects of a resource.
    pub(crate) fn list(&self, resource: &str) -> Result<Vec<Value>, String> {
        let list = self.ask("GET", &collection(resource, ""), JSON, &Value::Null)?;
        Ok(list["items"].as_array().cloned().unwrap_or_default())
    }

    /// The answer to a request that is granted.
    pub(super) fn ask(&self, method: &str, path: &str, kind: &str, body: &Value) -> Result<Value, String> {
        let text = if body.is_null() { String::new() } else { body.to_string() };
        let (status, answer) = self.send(method, path, kind, &text)?;
        if status < 300 {
            Ok(answer)
        } else {
            Err(format!("{method} {path}: {status} {}", answer["message"]))
        }
    }

    fn found(&self, path: &str) -> Result<Option<Value>, String> {
        match self.send("GET", path, JSON, "")? {
            (404, _) => Ok(None),
            (status, object) if status < 300 => Ok(Some(object)),
            (status, answer) => Err(format!("GET {path}: {status} {}", answer["message"])),
        }
    }

    fn send(&self, method: &str, path: &str, kind: &str, body: &str) -> Result<(u16, Value), String> {
        let (root, url) = (self.root.display().to_string(), format!("{}{path}", self.url));
        let (kind, token) =
            (format!("Content-Type: {kind}"), format!("Authorization: Bearer {}", self.token));
        let mut words = vec!["curl", "-sS", "--cacert", &root, "-H", &kind, "-H", &token, "-X", method];
        if !body.is_empty() {
            words.extend(["--data-raw", body]);
        }
        words.extend(["-w", "\n%{http_code}", &url]);
        let said = run_in(&self.netns, &words)?;
        let (answer, status) = said.rsplit_once('\n').ok_or("curl says nothing")?;
        let status = status.parse().map_err(|_| format!("curl says `{said}`"))?;
        // What is ready says so in a word.
        Ok((status, serde_json::from_str(answer).unwrap_or_else(|_| json!({ "message": answer }))))
    }
}

/// Whether the status of an object is written apart from it, as of everything a test says the status of.
fn has_status(object: &Value) -> bool {
    matches!(object["kind"].as_str(), Some("Pod" | "Node" | "Service"))
}

/// The path of a resource, in a namespace or in all.
pub(super) fn collection(resource: &str, namespace: &str) -> String {
    let group = GROUPS.iter().find(|(name, _)| *name == resource).map_or("v1", |(_, group)| group);
    at(group, namespace, resource.split('.').next().unwrap_or(resource))
}

fn collection_of(object: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (group, namespace) = (text(&object["apiVersion"]), text(&object["metadata"]["namespace"]));
    at(&group, &namespace, &plural(&text(&object["kind"])))
}

/// The path of an object.
pub(super) fn path_of(object: &Value) -> String {
    format!("{}/{}", collection_of(object), object["metadata"]["name"].as_str().unwrap_or_default())
}

fn at(group: &str, namespace: &str, plural: &str) -> String {
    let root = if group.contains('/') { "apis" } else { "api" };
    let namespace = if namespace.is_empty() { String::new() } else { format!("/namespaces/{namespace}") };
    format!("/{root}/{group}{namespace}/{plural}")
}

/// As in paths: `AuthorizationPolicy` is in `authorizationpolicies`.
fn plural(kind: &str) -> String {
    let kind = kind.to_lowercase();
    kind.strip_suffix('y').map_or_else(|| format!("{kind}s"), |stem| format!("{stem}ies"))
}
