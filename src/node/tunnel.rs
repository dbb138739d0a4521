//! Tunnels: authenticated byte streams between two workloads (mutual TLS, HTTP/2 CONNECT: HBONE).
//!
//! This is a seam. What the rest of the node may ask of a tunnel is here and no more: have a connection carried
//! ([`pool::Pool::carry`], or [`pool::Pool::carry_through`] a gateway), accept a tunnel ([`server::accept`]), and answer what its peer asks for ([`server::Offer`]). What carries
//! it is behind [`Carried`].
//!
//! It does not decide where to go or who may come: the route and the policy did.

mod carried;
pub(crate) mod client;
mod driver;
mod handshake;
mod inbox;
pub(crate) mod pool;
pub(crate) mod server;
mod socket;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use culvert_core::hbone::proxy_status::{Kind, Said};
use culvert_core::identity::SpiffeId;
use culvert_core::refusal::Flag;
use culvert_core::tunnel::http2::{Fields, Limits, Role};

pub(crate) use carried::Carried;
pub(crate) use driver::{Gauge, TunnelState};
pub(crate) use handshake::Agreement;

use crate::config::TunnelConfig;
use crate::limits::Exceeded;
use crate::stream::Early;
use crate::waiting::Waiting;
use crate::{deliver, identity};

/// How long a tunnel may take to come up: TCP, TLS and HTTP/2 together.
pub(crate) const ESTABLISH_DEADLINE: Duration = Duration::from_secs(10);

/// How long the peer may take to answer a CONNECT; it dials its workload meanwhile, for up to 10 s.
pub(crate) const ANSWER_DEADLINE: Duration = Duration::from_secs(15);

/// What is said of connections on a tunnel whose peer's certificate was revoked.
const REVOKED: &str = "connection closed: peer certificate revoked by CRL";

/// What makes two connections share a tunnel. Anything that differs here is never mixed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    /// Who we are on this tunnel.
    pub(crate) identity: SpiffeId,
    /// Who the peer must be: one of these.
    pub(crate) expected: Vec<SpiffeId>,
    pub(crate) peer: SocketAddr,
    /// The uid of the workload there: addresses are used again.
    pub(crate) workload: Arc<str>,
    /// And which of those with this uid it is.
    pub(crate) incarnation: u16,
    /// The client's address: the peer takes its from the tunnel.
    pub(crate) source: IpAddr,
}

/// What a CONNECT says, and who is told of the answer.
#[derive(Debug, Clone)]
pub(crate) struct Connect {
    pub(crate) authority: String,
    pub(crate) fields: Fields,
    /// The application, when it waits to hear that it is connected.
    pub(crate) waiting: Option<Arc<Waiting>>,
}

/// Why no stream came about. Clone: everybody who waited for the same tunnel gets the same answer.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum Error {
    #[error("no certificate for {id}")]
    Identity { id: SpiffeId, source: identity::Error },
    #[error("the tunnel's TCP connection failed")]
    Dial(#[source] deliver::dial::Error),
    #[error("TLS handshake with {peer} failed: {reason}")]
    Tls { peer: SocketAddr, reason: String },
    /// Whoever took the connection ended it before it had proven anything.
    #[error("TLS handshake with {peer} failed: {reason}")]
    HungUp { peer: SocketAddr, reason: String },
    #[error("TLS handshake with {peer} failed")]
    Peer { peer: SocketAddr, source: identity::Refused },
    #[error("{REVOKED} ({peer})")]
    Revoked { peer: SocketAddr },
    #[error("HTTP/2 with {peer} failed: {reason}")]
    Http2 { peer: SocketAddr, reason: String },
    #[error("{peer} broke off the CONNECT: {reason}")]
    Broken { peer: SocketAddr, reason: String },
    #[error("{0}")]
    ClientGone(Early),
    #[error("the tunnel to {peer} was not up within {ESTABLISH_DEADLINE:?} (establish deadline)")]
    EstablishTimedOut { peer: SocketAddr },
    #[error("the tunnel to {peer} was not up within {patience:?} (attempt deadline)")]
    OutOfPatience { peer: SocketAddr, patience: Duration, connected: bool },
    #[error("{peer} did not answer the CONNECT within {ANSWER_DEADLINE:?} (answer deadline)")]
    AnswerTimedOut { peer: SocketAddr },
    #[error("{peer} answered the CONNECT with status {status}{hint}{}", in_words(said.as_deref()))]
    Status { peer: SocketAddr, status: u16, hint: &'static str, said: Option<Box<Said>> },
    #[error("the tunnel to {peer} was closed before it could be used")]
    Gone { peer: SocketAddr },
    #[error("no pipe could be made for a tunnel inside a tunnel: {0}")]
    Pipe(String),
    #[error(transparent)]
    Exceeded(#[from] Exceeded),
    #[error("whoever is behind gateway {gateway} was not reached")]
    Behind { gateway: SocketAddr, source: Box<Self> },
}

impl Error {
    /// The flag of the access log and the metrics.
    pub(crate) fn flag(&self) -> Flag {
        match self {
            Self::Identity { .. } => Flag::IdentityError,
            Self::Dial(deliver::dial::Error::TimedOut { .. })
            | Self::OutOfPatience { connected: false, .. } => Flag::NetworkPolicy,
            Self::Peer { source: identity::Refused::Revoked, .. } | Self::Revoked { .. } => Flag::CertRevoked,
            Self::Tls { .. } | Self::HungUp { .. } | Self::Peer { .. } => Flag::TlsFailure,
            Self::Http2 { .. } => Flag::H2HandshakeFailure,
            Self::ClientGone(_) => Flag::None,
            Self::Behind { source, .. } => source.flag(),
            Self::Dial(_)
            | Self::EstablishTimedOut { .. }
            | Self::OutOfPatience { .. }
            | Self::AnswerTimedOut { .. }
            | Self::Status { .. }
            | Self::Broken { .. }
            | Self::Pipe(_)
            | Self::Exceeded(_)
            | Self::Gone { .. } => Flag::Connect,
        }
    }

    /// What the peer, or whoever is behind it, says of why it refused, by a stable name.
    pub(crate) fn told(&self) -> Option<&'static str> {
        match self {
            Self::Behind { source, .. } => source.told(),
            Self::Status { said, .. } => said.as_ref()?.kind().map(Kind::as_str),
            Self::Identity { .. }
            | Self::Dial(_)
            | Self::Tls { .. }
            | Self::HungUp { .. }
            | Self::Peer { .. }
            | Self::Revoked { .. }
            | Self::Http2 { .. }
            | Self::Broken { .. }
            | Self::ClientGone(_)
            | Self::EstablishTimedOut { .. }
            | Self::OutOfPatience { .. }
            | Self::AnswerTimedOut { .. }
            | Self::Gone { .. }
            | Self::Exceeded(_)
            | Self::Pipe(_) => None,
        }
    }

    /// Whether nobody was left to carry anything for.
    pub(crate) fn client_has_gone(&self) -> bool {
        if let Self::Behind { source, .. } = self {
            return source.client_has_gone();
        }
        matches!(self, Self::ClientGone(_))
    }

    /// Whether something is missing at this end, so that no other peer can be reached either.
    pub(crate) fn is_ours(&self) -> bool {
        if let Self::Behind { source, .. } = self {
            return source.is_ours();
        }
        matches!(
            self,
            Self::Identity { .. }
                | Self::Dial(deliver::dial::Error::Socket { .. })
                | Self::Pipe(_)
                | Self::Exceeded(_)
        )
    }

    /// Whether it speaks against the peer, rather than against this end, the caller, or who is behind a gateway.
    pub(crate) fn is_of_the_peer(&self) -> bool {
        match self {
            Self::Identity { .. }
            | Self::Dial(deliver::dial::Error::Socket { .. })
            | Self::Pipe(_)
            | Self::Exceeded(_)
            | Self::ClientGone(_) => false,
            // What is said of somebody behind a gateway is nothing against the gateway; silence may be its own.
            Self::Behind { source, .. } => source.is_silence(),
            // It is there, and says what it thinks of the request.
            Self::Status { status, .. } => *status >= 500,
            Self::Dial(_)
            | Self::Tls { .. }
            | Self::HungUp { .. }
            | Self::Peer { .. }
            | Self::Revoked { .. }
            | Self::Http2 { .. }
            | Self::Broken { .. }
            | Self::EstablishTimedOut { .. }
            | Self::OutOfPatience { .. }
            | Self::AnswerTimedOut { .. }
            | Self::Gone { .. } => true,
        }
    }

    /// Whether somebody has decided that it shall not be.
    fn is_denial(&self) -> bool {
        if let Self::Behind { source, .. } = self {
            return source.is_denial();
        }
        matches!(self, Self::Status { status: 401 | 403, .. })
    }

    /// Whether all that is known is that nobody has answered in time.
    fn is_silence(&self) -> bool {
        matches!(
            self,
            Self::EstablishTimedOut { .. } | Self::OutOfPatience { .. } | Self::AnswerTimedOut { .. }
        )
    }

    /// The stable name of the reason, for logs and metrics.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::Identity { .. } => "no_certificate",
            Self::Dial(deliver::dial::Error::TimedOut { .. }) => "peer_unreachable",
            Self::Dial(_) => "peer_refused",
            Self::Peer { source: identity::Refused::Revoked, .. } | Self::Revoked { .. } => {
                "certificate_revoked"
            }
            Self::Tls { .. } | Self::HungUp { .. } | Self::Peer { .. } => "tls_failure",
            Self::Http2 { .. } => "http2_failure",
            Self::Broken { .. } => "peer_broke",
            Self::ClientGone(_) => "client_broke",
            Self::EstablishTimedOut { .. } => "establish_deadline",
            Self::OutOfPatience { .. } => "attempt_deadline",
            Self::AnswerTimedOut { .. } => "answer_deadline",
            Self::Status { .. } => "refused_by_peer",
            Self::Gone { .. } => "tunnel_gone",
            Self::Pipe(_) => "no_pipe",
            Self::Exceeded(exceeded) => exceeded.reason(),
            Self::Behind { source, .. } => source.reason(),
        }
    }
}

/// What a peer says of why it refused, behind what is known.
fn in_words(said: Option<&Said>) -> String {
    said.map(|said| format!("; {said}")).unwrap_or_default()
}

/// Streams a peer may have open on one tunnel to us.
pub(crate) const MOST_STREAMS: u32 = 200;

/// Octets of the fields of a request.
pub(crate) const MOST_FIELDS: u32 = 64 * 1024;

/// What the peer of a tunnel may do.
fn limits(role: Role, config: &TunnelConfig) -> Limits {
    let (streams, fields) = match role {
        Role::Client => (u32::try_from(config.streams).unwrap_or(u32::MAX), 16 * 1024),
        Role::Server => (MOST_STREAMS, MOST_FIELDS),
    };
    Limits {
        streams,
        stream_window: config.stream_window,
        connection_window: config.connection_window,
        frame: config.frame_size,
        fields,
    }
}

#[cfg(test)]
mod tests;
