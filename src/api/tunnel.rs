//! A tunnel to or from another node.

use serde::{Deserialize, Serialize};

use crate::{Direction, PodRef, Socket};

/// A tunnel.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Tunnel {
    /// 16 hexadecimal digits; its connections name it.
    pub id: String,
    /// The pod of this node it is of.
    pub pod: PodRef,
    /// Who has opened it: this pod, or the peer.
    pub direction: Direction,
    /// Whether it takes streams.
    pub state: TunnelState,
    /// Who this end is.
    pub identity: String,
    /// Who the other end has proven to be.
    pub peer_identity: String,
    /// Its own address and port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub local_address: Option<String>,
    /// The other end's address and port.
    pub peer_address: String,
    /// Since when it is up.
    pub since: String,
    /// Streams that are open.
    pub streams: u64,
    /// Streams the peer takes at a time.
    pub capacity: u64,
    /// What was agreed on.
    pub tls: Tls,
    /// What the kernel says of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<Socket>,
}

/// Whether a tunnel takes streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum TunnelState {
    /// It does.
    Open,
    /// It is busy with bulk: others are opened for new streams.
    Bulk,
    /// Its peer says nothing, and others are asked rather.
    Doubtful,
    /// It takes no new ones, and ends when the last is over.
    Leaving,
}

/// What a handshake has agreed on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Tls {
    /// `TLSv1_3`, for instance.
    pub version: String,
    /// The cipher suite.
    pub cipher: String,
    /// The group of the key exchange.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
}
