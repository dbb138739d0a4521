//! Why a tunnel cannot go on.

use super::http2::Code;
use super::record::Alert;

/// Why a tunnel is over before its time. Whose fault it is decides what the peer is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The peer broke the rules of HTTP/2, or the limits we set (RFC 9113 §5.4.1).
    #[error("the peer broke HTTP/2: {what} ({code})")]
    Http2 {
        /// What it is told.
        code: Code,
        /// What it did.
        what: &'static str,
    },
    /// The peer broke the rules of TLS (RFC 8446 §6.2).
    #[error("the peer broke TLS: {what} ({alert})")]
    Tls {
        /// What it is told.
        alert: Alert,
        /// What it did.
        what: &'static str,
    },
    /// The peer ended the tunnel with an error of its own.
    #[error("the peer ended the tunnel with GOAWAY {0}")]
    GoAway(Code),
    /// The peer ended the TLS connection with a fatal alert.
    #[error("the peer ended the tunnel with TLS alert {0}")]
    Alert(Alert),
    /// Nothing came for too long, not even an answer to our PING.
    #[error("no answer to PING within 20 s (ping deadline)")]
    Dead,
    /// The peer proved who it is and then did not speak HTTP/2.
    #[error("no HTTP/2 from the peer within 10 s of the TLS handshake (preface deadline)")]
    NoPreface,
    /// The keys may protect no more records, and there are no next ones.
    #[error("the TLS keys are used up and cannot be renewed")]
    KeysUsedUp,
}

impl Fault {
    /// The error code of the GOAWAY the peer is sent; `None` when it is not sent any.
    #[must_use]
    pub fn code(self) -> Option<Code> {
        match self {
            Self::Http2 { code, .. } => Some(code),
            Self::NoPreface | Self::KeysUsedUp => Some(Code::NO_ERROR),
            Self::Tls { .. } | Self::GoAway(_) | Self::Alert(_) | Self::Dead => None,
        }
    }
}
