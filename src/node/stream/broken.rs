//! Ways for a stream to end without a proper end, as far as this node can tell them apart.
//!
//! What a reset on a tunnel means is in its code, both ways: `CONNECT_ERROR` says that the connection of the application at that
//! end was reset or has failed (RFC 9113 §8.5), `CANCEL` that whoever carries it there wants it no more: a policy has changed, a
//! drain is over; and `ENHANCE_YOUR_CALM` that it has no memory for what its application does not take. A node that is not ours may say
//! `CANCEL` for everything.

use std::io;

use culvert_core::tunnel::http2::Code;

use super::Side;
use crate::limits::Exceeded;

/// Which of the two sides ended a connection early.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Early {
    #[error("client: {0}")]
    Client(Broken),
    #[error("server: {0}")]
    Server(Broken),
}

/// A stream ended without a proper end.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Broken {
    /// The other side reset it on purpose.
    #[error(transparent)]
    Reset(Reset),
    /// What carries the stream was torn down because its other end is not to be trusted any more.
    #[error("connection closed: peer certificate revoked by CRL")]
    Revoked,
    /// The tunnel that carried it has ended under it.
    #[error("connection lost: {0}")]
    Tunnel(Loss),
    /// A socket of its own has failed.
    #[error("connection lost: {0}")]
    Lost(String),
    /// There is no memory for what has come and is not taken.
    #[error(transparent)]
    Overfull(Exceeded),
}

/// Who reset a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Reset {
    /// Whoever is at the other end of a TCP connection of this node.
    #[error("reset by the peer")]
    Socket,
    /// The application at the other end of the tunnel, as its node says.
    #[error("reset by the application at the other end of the tunnel (CONNECT_ERROR)")]
    Application,
    /// The node at the other end of the tunnel, which wanted it no more; of some nodes, the application there.
    #[error("cut at the other end of the tunnel (CANCEL)")]
    Cancelled,
    /// The node at the other end of the tunnel, which has no memory for what its application does not take.
    #[error(
        "reset at the other end of the tunnel, whose application does not take what it is sent (ENHANCE_YOUR_CALM)"
    )]
    Overfull,
    /// The node at the other end of the tunnel, for some other reason.
    #[error("reset at the other end of the tunnel ({0})")]
    Other(Code),
    /// This node, because the other one broke the rules.
    #[error("the other end of the tunnel broke HTTP/2 ({0})")]
    Fault(Code),
}

/// How a tunnel was lost with what it carried.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Loss {
    /// Nothing came from its peer, not even what answers a PING: it is gone, or cut off.
    #[error("{0}")]
    Silent(String),
    /// Its TCP connection failed.
    #[error("{0}")]
    Failed(String),
    /// Its peer has ended it in order.
    #[error("closed by the peer")]
    Closed,
    /// Its peer's end was closed without a word, as the kernel does for a process that has died.
    #[error("closed by the peer without a word")]
    Vanished,
    /// One end has broken the rules, or says that the other one has.
    #[error("{0}")]
    Fault(String),
    /// This node has ended it.
    #[error("the tunnel was cut")]
    Cut,
}

impl Early {
    /// Says it of a side.
    pub(crate) fn of(side: Side, broken: Broken) -> Self {
        match side {
            Side::Client => Self::Client(broken),
            Side::Server => Self::Server(broken),
        }
    }

    /// How that side broke.
    pub(crate) fn broken(&self) -> &Broken {
        match self {
            Self::Client(broken) | Self::Server(broken) => broken,
        }
    }
}

impl Broken {
    /// What an error of a socket says of the other side.
    pub(crate) fn of(error: &io::Error) -> Self {
        use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset};
        if matches!(error.kind(), ConnectionReset | BrokenPipe | ConnectionAborted) {
            return Self::Reset(Reset::Socket);
        }
        Self::Lost(error.to_string())
    }

    /// What happened, by a stable name.
    pub(crate) fn how(&self) -> &'static str {
        match self {
            Self::Reset(Reset::Socket) => "reset",
            Self::Reset(Reset::Application) => "application_reset",
            Self::Reset(Reset::Cancelled) => "cut_at_peer",
            Self::Reset(Reset::Overfull) => "overfull_at_peer",
            Self::Reset(Reset::Other(_)) => "reset_at_peer",
            Self::Reset(Reset::Fault(_)) => "stream_fault",
            Self::Revoked => "certificate_revoked",
            Self::Tunnel(Loss::Silent(_)) => "tunnel_silent",
            Self::Tunnel(Loss::Failed(_)) => "tunnel_failed",
            Self::Tunnel(Loss::Closed) => "tunnel_closed",
            Self::Tunnel(Loss::Vanished) => "tunnel_vanished",
            Self::Tunnel(Loss::Fault(_)) => "tunnel_fault",
            Self::Tunnel(Loss::Cut) => "tunnel_cut",
            Self::Lost(_) => "socket_failed",
            Self::Overfull(_) => "overfull",
        }
    }

    /// Whether this node has cut it.
    pub(crate) fn is_ours(&self) -> bool {
        matches!(self, Self::Revoked | Self::Tunnel(Loss::Cut) | Self::Overfull(_))
    }
}

impl Reset {
    /// What a code on a stream of a tunnel says.
    pub(crate) fn by_code(code: Code) -> Self {
        match code {
            Code::CONNECT_ERROR => Self::Application,
            Code::CANCEL => Self::Cancelled,
            Code::ENHANCE_YOUR_CALM => Self::Overfull,
            other => Self::Other(other),
        }
    }
}
