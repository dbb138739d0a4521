//! What is said of members of the mesh beside the mesh state itself, which has its own well-known shape in `/config_dump`.

use serde::{Deserialize, Serialize};

use crate::PodRef;

/// An endpoint that is asked last for a while, because it could not be reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ejected {
    /// The pod of this node that could not reach it.
    pub pod: PodRef,
    /// The uid of the workload.
    pub workload: String,
    /// Its address and port.
    pub address: String,
    /// For how long.
    pub seconds: u64,
    /// How much of that is left.
    pub seconds_left: u64,
}
