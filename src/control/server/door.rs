//! The door every call comes through: whose token is it, and has he a place left?
//!
//! In go the headers of a call; out comes an [`Admitted`] that holds the caller's places for as long as the call goes on, or the
//! refusal. What strangers are refused is counted, and said in the log once in a while: they can have it said as often as they like.

use std::sync::Arc;
use std::time::{Duration, Instant};

use culvert_proto::ca::istio_certificate_service_server as certificates;
use culvert_proto::xds::aggregated_discovery_service_server as discovery;
use http::HeaderMap;
use tonic::Status;

use crate::budget::Pace;
use crate::callers::allowance::{Allowance, Place, TooMany, What};
use crate::callers::{self, Callers, Known, Stranger};
use crate::seldom::Seldom;
use crate::token::Token;
use crate::{metered, refused};

use super::visit::{Call, Visit};

/// How often refusals are said in the log.
const SAID: Pace = Pace { in_a_row: 20, one_more: Duration::from_millis(500) };

/// What is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Certificate,
    Stream,
}

/// The door.
pub(super) struct Door {
    callers: Arc<dyn Callers>,
    allowance: Arc<Allowance>,
    strangers: Seldom,
    greedy: Seldom,
}

/// A call whose caller is known. It goes on for as long as this is held.
#[derive(Debug)]
pub(crate) struct Admitted {
    /// Where it comes from.
    pub(crate) peer: String,
    pub(crate) token: Token,
    pub(crate) known: Known,
    /// When it began.
    pub(crate) began: Instant,
    _place: Place,
    _call: Call,
}

impl Kind {
    /// The kind of a path; none for what nobody serves.
    pub(super) fn of(path: &str) -> Option<Self> {
        match path.strip_prefix('/')?.split('/').next()? {
            certificates::SERVICE_NAME => Some(Self::Certificate),
            discovery::SERVICE_NAME => Some(Self::Stream),
            _ => None,
        }
    }

    /// What the log says of one that is refused.
    fn refused(self) -> &'static str {
        match self {
            Self::Certificate => "certificate refused",
            Self::Stream => "discovery stream refused",
        }
    }
}

impl Door {
    pub(super) fn new(callers: Arc<dyn Callers>) -> Self {
        Self { callers, allowance: Arc::default(), strangers: Seldom::new(SAID), greedy: Seldom::new(SAID) }
    }

    /// Lets a call in.
    pub(super) async fn admit(
        &self,
        visit: &Arc<Visit>,
        kind: Kind,
        headers: &HeaderMap,
    ) -> Result<Admitted, Status> {
        let began = Instant::now();
        let refused = |reason| {
            if kind == Kind::Certificate {
                metered::certificate(Err(reason), began.elapsed());
            }
        };
        let (token, known) = self.known(visit, headers).await.map_err(|stranger| {
            let reason = stranger.code();
            refused(reason);
            if stranger == Stranger::TooMany {
                metered::limited("reviews");
            }
            self.strangers.say(|unsaid| {
                let unsaid = (unsaid > 0).then_some(unsaid);
                tracing::warn!(peer = %visit.peer, reason, error = %stranger, unsaid, "{}", kind.refused());
            });
            callers::status(stranger)
        })?;
        let (place, call) = self.place(visit, kind, &known).map_err(|too_many| {
            let (reason, caller) = (too_many.code(), &known.caller);
            refused(reason);
            metered::limited(too_many.limit());
            self.greedy.say(|unsaid| {
                let unsaid = (unsaid > 0).then_some(unsaid);
                tracing::warn!(peer = %visit.peer, %caller, reason, error = %too_many, unsaid, "{}", kind.refused());
            });
            refused::too_much(reason, too_many.to_string())
        })?;
        Ok(Admitted { peer: visit.peer.to_string(), token, known, began, _place: place, _call: call })
    }

    async fn known(&self, visit: &Visit, headers: &HeaderMap) -> Result<(Token, Known), Stranger> {
        let _asking = visit.asks();
        let token = Token::sent(headers).ok_or(Stranger::Missing)?;
        let known = self.callers.find(&token, Some(visit.source())).await?;
        Ok((token, known))
    }

    fn place(&self, visit: &Arc<Visit>, kind: Kind, known: &Known) -> Result<(Place, Call), TooMany> {
        visit.introduce(|| self.allowance.take(known, What::Connections))?;
        let what = match kind {
            Kind::Certificate => What::Certificates,
            Kind::Stream => What::Streams,
        };
        // From here on the connection is that of somebody known, also when this call is one too many.
        let call = visit.call();
        Ok((self.allowance.take(known, what)?, call))
    }
}
