//! The shapes of the admin port's `/v1/` interface, for who serves it and who asks: values, and nothing that makes or judges them.
//!
//! Keys are stable: they are added, and neither renamed nor given another meaning. Times are RFC 3339 in UTC, lengths of time and
//! sizes carry their unit in the key, and what is not known is absent. Whoever reads ignores keys it does not know.

mod connection;
mod limit;
mod mesh;
mod node;
mod pod;
mod tunnel;
mod why;

use serde::{Deserialize, Serialize};

pub use connection::{
    Attempt, Bytes, Closer, Connection, Direction, End, Outcome, Protocol, Socket, Stage, State, Traffic,
};
pub use limit::{Limit, LimitOf, LimitUnit};
pub use mesh::Ejected;
pub use node::{Agent, ControlPlane, Node, Reachability};
pub use pod::{Certificate, Identity, IdentityState, Pod, PodRef, PodState};
pub use tunnel::{Tls, Tunnel, TunnelState};
pub use why::{Answer, Culprit, Question, Step, Verdict, Why};

/// One page of a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Page<T> {
    /// What is on it.
    pub items: Vec<T>,
    /// What to ask for as `after` to get the next page; absent on the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// Why a request was not answered (RFC 9457, `application/problem+json`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    /// The HTTP status.
    pub status: u16,
    /// What kind of problem it is.
    pub title: String,
    /// What is wrong with this request, and what to do.
    pub detail: String,
}

/// What is served, for programs: an OpenAPI 3.1 description.
pub const OPENAPI: &str = include_str!("openapi.json");

#[cfg(test)]
mod described;
#[cfg(test)]
mod tests;
