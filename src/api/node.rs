//! The node itself.

use serde::{Deserialize, Serialize};

/// The node program, and what it depends on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Node {
    /// The Kubernetes node, if the program was told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Of the program.
    pub version: String,
    /// The network it is in.
    pub network: String,
    /// When it was started.
    pub started: String,
    /// Whether it is ready to serve.
    pub ready: bool,
    /// What it waits for before it is ready.
    pub pending: Vec<String>,
    /// The mesh state's source.
    pub xds: ControlPlane,
    /// The certificate authority.
    pub ca: ControlPlane,
    /// The node agent; absent in dedicated mode.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<Agent>,
    /// Workloads in the mesh state.
    pub workloads: u64,
    /// Services in the mesh state.
    pub services: u64,
    /// Policies in the mesh state.
    pub policies: u64,
    /// What is logged.
    pub log_filter: String,
    /// Lines that were dropped because nobody took them.
    pub dropped_log_lines: u64,
    /// Pods the node serves or would.
    pub pods: u64,
    /// Connections that are open.
    pub open: u64,
    /// Tunnels that are open.
    pub tunnels: u64,
}

/// A service of the control plane.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ControlPlane {
    /// Where it is; absent when there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// Whether it answers.
    pub state: Reachability,
    /// Since when that is so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// When it has told something last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_update: Option<String>,
    /// Why it does not answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The version it says it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

/// Whether a service answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Reachability {
    /// It was not needed yet, or there is none.
    Unused,
    /// It answers.
    Up,
    /// It does not.
    Down,
}

/// The node agent, as this node sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Agent {
    /// Its socket.
    pub socket: String,
    /// Whether it is there.
    pub connected: bool,
    /// Since when that is so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
}
