//! What plugin and agent say to each other over the agent's socket: JSON over HTTP.
//!
//! An answer comes with status 200; a [`Refusal`] with 400 if asking again is of no use, and with 503 otherwise.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// The plugin asks whether anybody is there, before it asks anything that may take long.
pub(crate) const HELLO: &str = "/v1/hello";

/// A pod that is being started, checked or taken down, as the runtime describes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Request {
    pub(crate) container_id: String,
    /// The file of its network namespace, as the host names it. A runtime that takes a pod down may not know any more.
    #[serde(default)]
    pub(crate) netns: Option<String>,
    pub(crate) ifname: String,
    pub(crate) pod_namespace: String,
    pub(crate) pod_name: String,
    /// Old runtimes do not say.
    #[serde(default)]
    pub(crate) pod_uid: Option<String>,
    /// What the plugins before this one have given it.
    #[serde(default)]
    pub(crate) addresses: Vec<IpAddr>,
}

/// The pod may go on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Answer {
    /// Whether it is in the mesh, all of it verified.
    pub(crate) enrolled: bool,
    /// Why it is not, or what is odd about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) note: Option<String>,
}

/// The pod may not go on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Refusal {
    pub(crate) reason: String,
    /// `false` while the agent does not know the cluster, and so decides nothing.
    pub(crate) ready: bool,
}
