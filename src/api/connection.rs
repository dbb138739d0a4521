//! One connection, while it lives and after it.

use serde::{Deserialize, Serialize};

use crate::{PodRef, Tls};

/// One connection a pod makes or takes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Connection {
    /// 16 hexadecimal digits; the access log has the same.
    pub id: String,
    /// The trace both ends log, 32 hexadecimal digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<String>,
    /// The pod of this node it is of.
    pub pod: PodRef,
    /// Seen from that pod.
    pub direction: Direction,
    /// How far it has come.
    pub stage: Stage,
    /// How long it has been there, in milliseconds; of an ended one, how long ago that was.
    pub stage_milliseconds: u64,
    /// Who called.
    pub source: End,
    /// Who was called, as far as that is known.
    pub destination: End,
    /// The address the client dialled.
    pub original_destination: String,
    /// The address this node dialled, or would have: the pod, or the tunnel's end.
    pub next_hop: String,
    /// What the CONNECT asks for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authority: Option<String>,
    /// How it travels.
    pub protocol: Protocol,
    /// When it began.
    pub began: String,
    /// How long it took or has taken so far, in milliseconds.
    pub milliseconds: u64,
    /// What was moved.
    pub bytes: Bytes,
    /// The tunnel it is or was on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tunnel: Option<String>,
    /// What the ends of that tunnel have agreed on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
    /// The policy that let it in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    /// What the client asked for by SOCKS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub socks: Option<String>,
    /// Whether it is a probe of kubelet's.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub probe: bool,
    /// Endpoints that were tried before the one at hand.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attempts: Vec<Attempt>,
    /// What became of it; absent while it lives.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    /// The network's side: the tunnel, or the plain connection to the other end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<Socket>,
    /// The side of this node's own pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub application: Option<Socket>,
}

/// Seen from the pod of this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Direction {
    /// The pod calls.
    Outbound,
    /// The pod is called.
    Inbound,
}

/// How far a connection has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Stage {
    /// Where it may go is being found out.
    Deciding,
    /// Somebody is being dialled, or asked for a stream.
    Connecting,
    /// Bytes can move.
    Open,
    /// It is over.
    Ended,
}

/// One end of a connection.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct End {
    /// Its address and port; absent where several ends are added up.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub address: String,
    /// The name of the pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workload: Option<String>,
    /// What it belongs to: the name of the deployment, for instance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// Its namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Its cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    /// Who it has proven to be; absent in plaintext.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<String>,
    /// The host name of the service it was called by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
}

/// How a connection travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Protocol {
    /// As it is.
    Tcp,
    /// In a tunnel.
    Hbone,
    /// In a tunnel inside a tunnel, through the gateway of another network.
    DoubleHbone,
}

/// What was moved.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Bytes {
    /// From the client to the server.
    pub to_server: u64,
    /// Back.
    pub to_client: u64,
}

/// An endpoint that could not be reached, so that another one was tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Attempt {
    /// Its address and port.
    pub address: String,
    /// The stable name of why not.
    pub reason: String,
    /// The same in words.
    pub error: String,
}

/// What became of a connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Outcome {
    /// In one word.
    pub state: State,
    /// When it ended.
    pub ended: String,
    /// Who ended it first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed_by: Option<Closer>,
    /// The stable name of why it did not end well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What exactly happened, where `reason` tells several things alike: how it broke, or what the peer says of why it refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub how: Option<String>,
    /// The same in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The `response_flags` of the metrics; absent when there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flag: Option<String>,
}

/// How a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum State {
    /// Both ends have said all they had to say.
    Complete,
    /// It was made, and then broke or was cut.
    Broken,
    /// It was never made.
    Refused,
}

/// Who ended a connection first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Closer {
    /// Who called.
    Client,
    /// Who was called.
    Server,
    /// This node: a policy, a drain, a refusal.
    Proxy,
}

/// What the kernel says of one TCP connection (`tcp_info`, linux/tcp.h).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Socket {
    /// Smoothed round trip time.
    pub rtt_microseconds: u64,
    /// How much it varies.
    pub rtt_variation_microseconds: u64,
    /// Segments that were sent again; of a tunnel, while this connection was on it.
    pub retransmits: u64,
    /// Sent, and not acknowledged.
    pub unacknowledged_bytes: u64,
    /// Given to the kernel, and not sent.
    pub unsent_bytes: u64,
    /// Received, and not read by this node.
    pub unread_bytes: u64,
    /// What the other side is willing to take.
    pub peer_window_bytes: u64,
    /// How long sending has waited for the other side to read.
    pub peer_limited_milliseconds: u64,
    /// Since when nothing came from the other side.
    pub quiet_milliseconds: u64,
}

/// Who talks to whom: connections with the same ends, added up.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Traffic {
    /// Seen from the pods of this node.
    pub direction: Direction,
    /// Who called. Its address is absent when several did.
    pub source: End,
    /// Who was called.
    pub destination: End,
    /// Whether it was in a tunnel.
    pub protocol: Protocol,
    /// Connections that are open.
    pub open: u64,
    /// Those of them of which one direction has ended and the other goes on.
    #[serde(default)]
    pub half_closed: u64,
    /// For how long that has been so of the oldest of them, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oldest_half_closed_milliseconds: Option<u64>,
    /// All there were since this pair was first seen.
    pub connections: u64,
    /// Those that were never made.
    pub refused: u64,
    /// Those that broke or were cut.
    pub broken: u64,
    /// What was moved.
    pub bytes: Bytes,
    /// The stable name of why the last one of those did not end well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_reason: Option<String>,
    /// When there was something of this pair last.
    pub last_seen: String,
}
