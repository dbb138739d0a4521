//! The paths that are about the server itself: which resources it has, which version it is, whether it is ready.

use axum::body::Body;
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Value, json};

use super::kinds::{self, Kind};
use super::refusal::Refusal;
use super::routes::{found, respond};
use super::store::Store;

/// Answers a request for a path that names no resource.
pub(crate) fn answer(store: &Store, path: &str) -> Result<Response, Refusal> {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let object = match parts.as_slice() {
        ["readyz" | "livez" | "healthz"] => {
            return Ok(respond(StatusCode::OK, "text/plain; charset=utf-8", Body::from("ok")));
        }
        ["version"] => json!({
            "major": "1", "minor": "33", "gitVersion": "v1.33.0", "gitCommit": "", "gitTreeState": "clean",
            "buildDate": "2025-04-23T13:00:00Z", "goVersion": "", "compiler": "", "platform": "linux/amd64",
        }),
        ["api"] => json!({"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []}),
        ["apis"] => json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups(store)}),
        ["apis", group] => {
            groups(store).into_iter().find(|known| known["name"] == **group).ok_or_else(unknown)?
        }
        ["api", version] => resources(store, "", version)?,
        ["apis", group, version] => resources(store, group, version)?,
        _ => return Err(unknown()),
    };
    Ok(found(StatusCode::OK, &object))
}

fn unknown() -> Refusal {
    Refusal::no_such_resource()
}

fn groups(store: &Store) -> Vec<Value> {
    let mut groups: Vec<Value> = Vec::new();
    for kind in kinds::all(store).filter(|kind| !kind.group.is_empty()) {
        let version = json!({"groupVersion": kind.api_version(), "version": kind.version});
        match groups.iter_mut().find(|known| known["name"] == *kind.group) {
            None => groups.push(json!({
                "kind": "APIGroup", "apiVersion": "v1", "name": kind.group,
                "preferredVersion": version, "versions": [version],
            })),
            Some(group) => {
                let versions = group["versions"].as_array_mut();
                if let Some(versions) = versions.filter(|versions| !versions.contains(&version)) {
                    versions.push(version);
                }
            }
        }
    }
    groups
}

fn resources(store: &Store, group: &str, version: &str) -> Result<Value, Refusal> {
    let kinds: Vec<Kind> =
        kinds::all(store).filter(|kind| kind.group == group && kind.version == version).collect();
    let api_version = kinds.first().ok_or_else(unknown)?.api_version();
    let verbs = ["create", "delete", "get", "list", "patch", "update", "watch"];
    let entry = |name: String, kind: &Kind, verbs: &[&str]| {
        json!({
            "name": name, "singularName": kind.name.to_lowercase(), "namespaced": kind.namespaced,
            "kind": kind.name, "verbs": verbs,
        })
    };
    let own = kinds.iter().map(|kind| entry(kind.plural.clone(), kind, &verbs));
    let status =
        kinds.iter().map(|kind| entry(format!("{}/status", kind.plural), kind, &["get", "patch", "update"]));
    let all: Vec<Value> = own.chain(status).collect();
    Ok(json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": api_version, "resources": all}))
}
