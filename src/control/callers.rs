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
pub(crate) use culvert_token::Stranger;

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

/// Whoever knows callers by their tokens.
#[tonic::async_trait]
pub(crate) trait Callers: Send + Sync + 'static {
    /// Tells who a token belongs to that came from there.
    async fn find(&self, token: &Token, from: Option<Source>) -> Result<Known, Stranger>;

    /// Waits until a token belongs to that caller no more, and says why. That nobody can be asked is no reason.
    async fn lost(&self, token: &Token, known: &Known) -> Stranger;
}

/// What whoever sent a token that is nobody's is told: the code, and nothing else.
pub(crate) fn status(stranger: Stranger) -> Status {
    let code = stranger.code();
    match stranger {
        Stranger::Unavailable => refused::for_now(code, "tokens cannot be looked at; try again later"),
        Stranger::TooMany => {
            refused::for_now(code, "too many bad tokens came from this address; try again later")
        }
        Stranger::Missing
        | Stranger::Unknown
        | Stranger::Expired
        | Stranger::Audience
        | Stranger::NotAnAccount
        | Stranger::Unbound
        | Stranger::PodGone => refused::status(Code::Unauthenticated, code, "a valid bearer token is needed"),
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
