//! What an installation brings that the API server itself keeps to: definitions, accounts, and what each may do.

use std::fs;
use std::time::Duration;

use culvert_lab::wait_until;
use serde_json::Value;

use super::KubeApiServer;
use crate::harness::chart::at;

/// An installation with defaults.
const MANIFEST: &str = "deploy/manifests/culvert.yaml";
const KINDS: [&str; 7] = [
    "Namespace",
    "CustomResourceDefinition",
    "ServiceAccount",
    "ClusterRole",
    "ClusterRoleBinding",
    "Role",
    "RoleBinding",
];
const PATIENCE: Duration = Duration::from_secs(30);

impl KubeApiServer {
    /// Applies the manifest as far as it is for the API server, and waits until its resources are there.
    pub(super) fn install(&self) -> Result<(), String> {
        for object in objects()? {
            self.client.apply(&object)?;
        }
        for resource in ["authorizationpolicies", "peerauthentications"] {
            let what = format!("{resource} are defined");
            wait_until(PATIENCE, &what, || self.client.list(resource).is_ok())
                .map_err(|error| format!("{error}"))?;
        }
        Ok(())
    }
}

/// The objects of the manifest that the API server keeps to, in its order.
pub(super) fn objects() -> Result<Vec<Value>, String> {
    let text = fs::read_to_string(at(MANIFEST)).map_err(|error| format!("{MANIFEST}: {error}"))?;
    let all: Vec<Value> =
        serde_saphyr::from_multiple(&text).map_err(|error| format!("{MANIFEST}: {error}"))?;
    let is_kept = |object: &Value| object["kind"].as_str().is_some_and(|kind| KINDS.contains(&kind));
    Ok(all.into_iter().filter(is_kept).collect())
}
