//! What there may be only so much of.

use serde::{Deserialize, Serialize};

/// A limit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Limit {
    /// The log and the metrics call it the same.
    pub name: String,
    /// What is bounded, and what becomes of one more.
    pub about: String,
    /// Of whom there may be so much: each has its own.
    pub of: LimitOf,
    /// What the numbers count.
    pub unit: LimitUnit,
    /// How much there may be, at the moment where that changes; absent: without end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub most: Option<u64>,
    /// The variable that sets it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub setting: Option<String>,
    /// What whoever has most has at the moment; absent for what is not held, such as time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_use: Option<u64>,
    /// The most that anybody had since the start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub highest: Option<u64>,
    /// How often it was reached since the start.
    pub hits: u64,
    /// What to do when it is reached.
    pub remedy: String,
}

/// Of whom there may be so much.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum LimitOf {
    /// Of all together.
    Process,
    /// Of a pod of this node.
    Pod,
    /// Of who is connected to a pod, by the address he has proven his identity from.
    Peer,
    /// Of an address, for a pod, whoever is there; IPv6: of a /64.
    Source,
    /// Of a tunnel.
    Tunnel,
    /// Of a connection.
    Connection,
}

/// What the numbers of a limit count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum LimitUnit {
    /// What the name says.
    Count,
    /// Octets.
    Bytes,
    /// Time.
    Milliseconds,
}
