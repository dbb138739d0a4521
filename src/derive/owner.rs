//! What a pod belongs to, guessed from what is written in the pod alone.
//!
//! Owners' owners (the Deployment of a `ReplicaSet`, the `CronJob` of a Job) are told by how controllers make up names; nobody is asked.

use serde::Deserialize;

use crate::Labels;

/// An owner, as a pod names it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Owner {
    pub(crate) kind: String,
    pub(crate) name: String,
    /// Whether it is the one that made the pod.
    pub(crate) controller: Option<bool>,
}

/// Names what owns the pods of a name that was made up, for telemetry.
pub(crate) fn workload_of<'a>(owner: &'a Owner, labels: &'a Labels) -> &'a str {
    let Owner { kind, name, .. } = owner;
    let own_name = match kind.as_str() {
        "ReplicaSet" => REPLICA_HASHES.iter().find_map(|key| without_hash(name, labels.filled(key)?)),
        "ReplicationController" => labels.filled(DEPLOYMENT_CONFIG),
        "Job" => without_time(name),
        _ => None,
    };
    own_name.unwrap_or(name)
}

/// The labels in which those that make replica sets (Deployments, Argo Rollouts) repeat the end of their names.
const REPLICA_HASHES: [&str; 2] = ["pod-template-hash", "rollouts-pod-template-hash"];
/// The label in which OpenShift names what made a replication controller.
const DEPLOYMENT_CONFIG: &str = "deploymentconfig";

fn without_hash<'a>(name: &'a str, hash: &str) -> Option<&'a str> {
    filled(name.strip_suffix(hash)?.strip_suffix('-')?)
}

/// The name of a `CronJob`'s job ends in the time it was due, in minutes or seconds.
fn without_time(name: &str) -> Option<&str> {
    let (before, time) = name.rsplit_once('-')?;
    let is_time = (8..=10).contains(&time.len()) && time.bytes().all(|byte| byte.is_ascii_digit());
    filled(before).filter(|_| is_time)
}

fn filled(text: &str) -> Option<&str> {
    Some(text).filter(|text| !text.is_empty())
}
