//! Why a connection did not end well: one value with the faces it shows to operators and peers.
//!
//! The sentence of the log, the key of log and metrics, the flag of the metrics and the status a peer is told are made from it here
//! and nowhere else, so that they cannot disagree.

use std::net::SocketAddr;

use culvert_core::hbone::ProxyStatus;
use culvert_core::hbone::proxy_status::Kind;
use culvert_core::policy::Denial;
use culvert_core::refusal::{Flag, Refusal};
use culvert_process::exit::Chain;

use crate::deliver::dial;
use crate::dns::hosts;
use crate::identity::Refused;
use crate::limits::Exceeded;
use crate::stream::quiet::{Ended, Quiet};
use crate::stream::{Broken, Closer, Early, Loss, Reset};
use crate::{mesh, socks, tunnel};

/// Why a connection did not end well.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error(transparent)]
    Unanswered(#[from] mesh::Unanswered),
    #[error("connection closed due to policy change: {0}")]
    PolicyChanged(Denial),
    #[error("the pod's own workload {namespace}/{name} ({service_account}) is not in the mesh state; it was waited for {wait:?} (workload deadline)", wait = crate::mesh::LOCAL_WORKLOAD_DEADLINE)]
    NoWorkload { namespace: String, name: String, service_account: String },
    #[error("the pod's workload has no valid identity")]
    NoIdentity(#[source] culvert_core::identity::NotAnIdentity),
    #[error("cannot get the own certificate")]
    NoCertificate(#[source] crate::identity::Error),
    #[error(transparent)]
    Host(#[from] hosts::Error),
    #[error(transparent)]
    Tunnel(#[from] tunnel::Error),
    #[error(transparent)]
    Socks(#[from] socks::Error),
    #[error(transparent)]
    Accept(#[from] tunnel::server::Error),
    #[error(transparent)]
    Exceeded(#[from] Exceeded),
    #[error("the request is not a CONNECT to an address: {0}")]
    BadRequest(String),
    #[error("the peer was gone before it was answered")]
    PeerGone,
    #[error("{0} is not an address of this pod; a packet for somebody else was redirected here")]
    NotOurAddress(SocketAddr),
    #[error(transparent)]
    Dial(#[from] dial::Error),
    #[error("{}", broken(.0))]
    Broken(Early),
    /// It was open, and there is no memory for what it has brought and nobody takes.
    #[error(transparent)]
    Overfull(Exceeded),
    #[error("{0}")]
    Quiet(Quiet),
    #[error("connection closed due to connection drain")]
    Drained,
}

impl From<Early> for Failure {
    fn from(early: Early) -> Self {
        match early.broken() {
            Broken::Overfull(exceeded) => Self::Overfull(*exceeded),
            Broken::Reset(_) | Broken::Revoked | Broken::Tunnel(_) | Broken::Lost(_) => Self::Broken(early),
        }
    }
}

impl Failure {
    /// The limit it was over.
    pub(crate) fn exceeded(&self) -> Option<Exceeded> {
        let (Self::Exceeded(exceeded)
        | Self::Overfull(exceeded)
        | Self::Tunnel(tunnel::Error::Exceeded(exceeded))) = self
        else {
            return None;
        };
        Some(*exceeded)
    }

    /// Whether all that is known is that nobody has answered.
    pub(crate) fn is_silence(&self) -> bool {
        use dial::Error::{OutOfPatience, TimedOut};
        if let Self::Dial(error) | Self::Tunnel(tunnel::Error::Dial(error)) = self {
            return matches!(error, TimedOut { .. } | OutOfPatience { .. });
        }
        matches!(self, Self::Tunnel(tunnel::Error::OutOfPatience { connected: false, .. }))
    }

    /// Whether the node at the other end has cut it, for a reason it does not tell.
    pub(crate) fn is_cut_at_peer(&self) -> bool {
        matches!(self, Self::Broken(early) if *early.broken() == Broken::Reset(Reset::Cancelled))
    }

    /// Whether a tunnel was given up because its peer said nothing any more.
    pub(crate) fn is_silent_tunnel(&self) -> bool {
        let Self::Broken(early) = self else { return false };
        matches!(early.broken(), Broken::Tunnel(Loss::Silent(_)))
    }

    /// Whether the other end says that its policies do not allow it.
    pub(crate) fn is_denied_by_peer(&self) -> bool {
        let Self::Tunnel(tunnel::Error::Status { status, .. }) = self else { return false };
        matches!(status, 401 | 403)
    }

    /// Whether the other end, which is there, has said so.
    pub(crate) fn is_said_by_peer(&self) -> bool {
        let Self::Tunnel(error) = self else { return false };
        let error = if let tunnel::Error::Behind { source, .. } = error { source } else { error };
        matches!(error, tunnel::Error::Status { .. })
    }

    /// What happened and why, in one sentence.
    pub(crate) fn in_words(&self) -> String {
        Chain(self).to_string()
    }

    pub(crate) fn flag(&self) -> Flag {
        match self {
            Self::Refused(refusal) => refusal.flag(),
            Self::PolicyChanged(_) => Flag::Deny,
            Self::NoIdentity(_) | Self::NoCertificate(_) => Flag::IdentityError,
            Self::Tunnel(error) => error.flag(),
            Self::Accept(tunnel::server::Error::Peer(Refused::Revoked))
            | Self::Broken(Early::Client(Broken::Revoked) | Early::Server(Broken::Revoked)) => {
                Flag::CertRevoked
            }
            Self::Accept(_) => Flag::TlsFailure,
            Self::NoWorkload { .. }
            | Self::Unanswered(_)
            | Self::Host(_)
            | Self::Dial(_)
            | Self::Exceeded(_)
            | Self::BadRequest(_)
            | Self::PeerGone
            | Self::NotOurAddress(_) => Flag::Connect,
            // The connection was made and used; how it ended is in the log.
            Self::Broken(_) | Self::Overfull(_) | Self::Quiet(_) | Self::Drained => Flag::None,
            // Nobody was asked to connect.
            Self::Socks(_) => Flag::None,
        }
    }

    /// The stable name of the reason, for the log and the metrics.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::Refused(refusal) => refusal.reason(),
            Self::PolicyChanged(_) => "policy_changed",
            Self::NoWorkload { .. } => "workload_unknown",
            Self::Unanswered(_) => "demand_unanswered",
            Self::NoIdentity(_) => "identity_invalid",
            Self::NoCertificate(_) => "no_certificate",
            Self::Host(error) => error.reason(),
            Self::Tunnel(error) => error.reason(),
            Self::Socks(error) => error.reason(),
            Self::Exceeded(exceeded) | Self::Overfull(exceeded) => exceeded.reason(),
            Self::Accept(tunnel::server::Error::TimedOut) => "accept_deadline",
            Self::Accept(tunnel::server::Error::Peer(Refused::Revoked))
            | Self::Broken(Early::Client(Broken::Revoked) | Early::Server(Broken::Revoked)) => {
                "certificate_revoked"
            }
            Self::Accept(_) => "peer_not_accepted",
            Self::BadRequest(_) => "bad_request",
            Self::PeerGone => "peer_gone",
            Self::NotOurAddress(_) => "not_our_address",
            Self::Dial(dial::Error::TimedOut { .. }) => "connect_deadline",
            Self::Dial(dial::Error::OutOfPatience { .. }) => "attempt_deadline",
            Self::Dial(_) => "workload_refused",
            Self::Broken(Early::Client(_)) => "client_broke",
            Self::Broken(Early::Server(_)) => "server_broke",
            Self::Quiet(quiet) if quiet.ended == Ended::Neither => "idle",
            Self::Quiet(_) => "half_closed_idle",
            Self::Drained => "drained",
        }
    }

    /// What exactly happened, by a stable name, where [`reason`](Self::reason) tells several things alike.
    pub(crate) fn how(&self) -> Option<&'static str> {
        if let Self::Tunnel(error) = self {
            return error.told();
        }
        if let Self::Broken(early) = self { Some(early.broken().how()) } else { None }
    }

    /// Who ended a connection for this reason, where that is not the side that was seen to end or break first.
    pub(crate) fn closed_by(&self) -> Option<Closer> {
        match self {
            Self::Broken(early) if !early.broken().is_ours() => None,
            Self::PeerGone => Some(Closer::Client),
            Self::Tunnel(error) if error.client_has_gone() => Some(Closer::Client),
            Self::Socks(socks::Error::Left(_)) => Some(Closer::Client),
            // It was cut, or never made.
            Self::Refused(_)
            | Self::Unanswered(_)
            | Self::PolicyChanged(_)
            | Self::NoWorkload { .. }
            | Self::NoIdentity(_)
            | Self::NoCertificate(_)
            | Self::Host(_)
            | Self::Tunnel(_)
            | Self::Socks(_)
            | Self::Accept(_)
            | Self::Exceeded(_)
            | Self::BadRequest(_)
            | Self::NotOurAddress(_)
            | Self::Dial(_)
            | Self::Broken(_)
            | Self::Overfull(_)
            | Self::Quiet(_)
            | Self::Drained => Some(Closer::Proxy),
        }
    }

    /// What the peer of a tunnel is told.
    pub(crate) fn http_status(&self) -> u16 {
        match self {
            Self::Refused(refusal) => refusal.http_status(),
            Self::BadRequest(_) => 400,
            Self::PolicyChanged(_) => 401,
            Self::NoWorkload { .. }
            | Self::Unanswered(_)
            | Self::NoIdentity(_)
            | Self::NoCertificate(_)
            | Self::Host(_)
            | Self::Tunnel(_)
            | Self::Socks(_)
            | Self::Accept(_)
            | Self::Exceeded(_)
            | Self::PeerGone
            | Self::NotOurAddress(_)
            | Self::Dial(_)
            | Self::Broken(_)
            | Self::Overfull(_)
            | Self::Quiet(_)
            | Self::Drained => 503,
        }
    }

    /// Why, as the peer of a tunnel is told beside the status: what happened, and the name of the reason, but no policy and no address.
    pub(crate) fn proxy_status(&self) -> ProxyStatus {
        let error = match self {
            Self::Refused(refusal) => refusal.proxy_error(),
            Self::PolicyChanged(_) => Kind::HttpRequestDenied,
            Self::BadRequest(_) => Kind::HttpRequestError,
            Self::NotOurAddress(_) => Kind::DestinationNotFound,
            Self::Host(_) => Kind::DnsError,
            Self::Dial(error) => of_dial(error),
            Self::Broken(_) | Self::Overfull(_) | Self::Quiet(_) => Kind::ConnectionTerminated,
            Self::Drained => Kind::DestinationUnavailable,
            Self::Exceeded(_) => Kind::ConnectionLimitReached,
            Self::NoWorkload { .. }
            | Self::Unanswered(_)
            | Self::NoIdentity(_)
            | Self::NoCertificate(_)
            | Self::Tunnel(_)
            | Self::Socks(_)
            | Self::Accept(_)
            | Self::PeerGone => Kind::ProxyInternalError,
        };
        ProxyStatus { error, details: self.reason() }
    }
}

fn of_dial(error: &dial::Error) -> Kind {
    use std::io::ErrorKind::{ConnectionRefused, HostUnreachable, NetworkUnreachable, TimedOut};
    match error {
        dial::Error::TimedOut { .. } | dial::Error::OutOfPatience { .. } => Kind::ConnectionTimeout,
        dial::Error::Socket { .. } => Kind::ProxyInternalError,
        dial::Error::Refused { source, .. } => {
            let kinds = [
                (ConnectionRefused, Kind::ConnectionRefused),
                (TimedOut, Kind::ConnectionTimeout),
                (HostUnreachable, Kind::DestinationIpUnroutable),
                (NetworkUnreachable, Kind::DestinationIpUnroutable),
            ];
            let known = kinds.into_iter().find(|(kind, _)| *kind == source.kind());
            known.map_or(Kind::DestinationUnavailable, |(_, kind)| kind)
        }
    }
}

/// How a connection broke. A revoked peer is always the other end of the tunnel.
fn broken(early: &Early) -> String {
    match early {
        Early::Client(Broken::Revoked) | Early::Server(Broken::Revoked) => Broken::Revoked.to_string(),
        Early::Client(_) | Early::Server(_) => early.to_string(),
    }
}

#[cfg(test)]
mod tests;
