//! Pods of the node, and the identities they have.

use serde::{Deserialize, Serialize};

use crate::Bytes;

/// Which pod is meant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PodRef {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// A pod this node serves, or would if it could.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Pod {
    /// As the agent calls it; of a pod it does not tell of, its namespace and name.
    pub uid: String,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its service account.
    pub service_account: String,
    /// Who it is, once the mesh state has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<String>,
    /// Whether it is served.
    pub state: PodState,
    /// Why it is not, or what is wrong all the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Since when that is so.
    pub since: String,
    /// When it is tried again; absent when it is served.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_try: Option<String>,
    /// Connections that are open.
    pub open: u64,
    /// Connections there were since it is served.
    pub connections: u64,
    /// Those of them that were never made.
    pub refused: u64,
    /// Those of them that broke or were cut.
    pub broken: u64,
    /// What its connections have moved.
    pub bytes: Bytes,
}

/// Whether a pod is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum PodState {
    /// It is.
    Up,
    /// It could not be, and is tried again.
    Pending,
}

/// An identity of this node's pods, and its certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Identity {
    /// The SPIFFE id.
    pub identity: String,
    /// Whether there is a certificate.
    pub state: IdentityState,
    /// Why there is none, or why it was not renewed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The pods that are it.
    pub pods: Vec<PodRef>,
    /// The leaf, then the intermediates.
    pub chain: Vec<Certificate>,
    /// Whom it trusts.
    pub roots: Vec<Certificate>,
}

/// Whether an identity has a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum IdentityState {
    /// It was asked for.
    Initializing,
    /// It has a valid one.
    Available,
    /// It has none.
    Unavailable,
}

/// One X.509 certificate. Never its key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Certificate {
    /// Decimal.
    pub serial_number: String,
    /// Not valid before.
    pub valid_from: String,
    /// Not valid after.
    pub expires: String,
}
