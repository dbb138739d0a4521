//! Who asks: what is known of whoever sends a token, and for how long it is so.
//!
//! In goes a token; out comes who it belongs to and how much of the mesh they may have, or why nobody is known by it. Where that is
//! known from is for the implementations: [a file](listed), or [the API server of a cluster](crate::cluster::reviews). What callers
//! get is decided elsewhere.

pub(crate) mod allowance;
pub(crate) mod listed;

use std::fmt;
use std::sync::Arc;

use culvert_core::identity::SpiffeId;
use culvert_serving::Source;
use tonic::{Code, Status};

pub(crate) use culvert_discovery::Reach;

use crate::refused;
use crate::token::Token;

/// Somebody with a valid token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Caller {
    /// The proxy of a node.
    Node(String),
    /// The proxy of one workload.
    Workload(SpiffeId),
}

/// What is known of a caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) caller: Caller,
    pub(crate) reach: Reach,
    /// The UID of the pod it is in, where that is known.
    pub(crate) pod: Option<Arc<str>>,
}

/// Why nobody is known by a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Stranger {
    #[error("no bearer token")]
    Missing,
    #[error("nobody knows this token")]
    Unknown,
    #[error("the token has expired")]
    Expired,
    #[error("the token is for somebody else than the control plane; see its audience")]
    Audience,
    #[error("the token is not that of a service account")]
    NotAnAccount,
    #[error("the token is not bound to a pod; use one of a projected volume")]
    Unbound,
    #[error("the pod of the token is gone")]
    PodGone,
    #[error("the API server cannot be asked whose token it is")]
    Unavailable,
    #[error("the API server is not asked whose token it is: too many from there were nobody's")]
    TooMany,
}

/// Whoever knows callers by their tokens.
#[tonic::async_trait]
pub(crate) trait Callers: Send + Sync + 'static {
    /// Tells who a token belongs to that came from there.
    async fn find(&self, token: &Token, from: Option<Source>) -> Result<Known, Stranger>;

    /// Waits until a token belongs to that caller no more, and says why. That nobody can be asked is no reason.
    async fn lost(&self, token: &Token, known: &Known) -> Stranger;
}

impl Stranger {
    /// The stable name of the reason, for programs.
    pub(crate) fn code(self) -> &'static str {
        match self {
            Self::Missing => "token-missing",
            Self::Unknown => "token-unknown",
            Self::Expired => "token-expired",
            Self::Audience => "wrong-audience",
            Self::NotAnAccount => "not-a-service-account",
            Self::Unbound => "token-not-bound",
            Self::PodGone => "pod-gone",
            Self::Unavailable => "reviews-unavailable",
            Self::TooMany => "too-many-strangers",
        }
    }

    /// What whoever sent it is told: the code, and nothing else.
    pub(crate) fn status(self) -> Status {
        match self {
            Self::Unavailable => refused::for_now(self.code(), "tokens cannot be looked at; try again later"),
            Self::TooMany => {
                refused::for_now(self.code(), "too many bad tokens came from this address; try again later")
            }
            Self::Missing
            | Self::Unknown
            | Self::Expired
            | Self::Audience
            | Self::NotAnAccount
            | Self::Unbound
            | Self::PodGone => {
                refused::status(Code::Unauthenticated, self.code(), "a valid bearer token is needed")
            }
        }
    }
}

impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node(node) => write!(f, "node/{node}"),
            Self::Workload(id) => write!(f, "{id}"),
        }
    }
}
