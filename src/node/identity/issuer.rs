//! Who issues certificates: the seam between those who keep them and those who make them.
//!
//! An [`Issuer`] is asked for one identity after the other. What it does for one is an [`Issuance`], which lives as long as the
//! identity is kept: it answers when it is asked, and may have news before that, because some issuers renew by themselves or are
//! told of new roots. What came is taken by asking again. It does not keep, retry or publish anything: that is the renewer's.

use std::future::{Future, pending};
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use culvert_core::identity::SpiffeId;
use culvert_core::pushback::Pushback;

use super::certificate::Certificate;
use super::{ca, spire};

/// How long one request may take, connecting included.
pub(crate) const DEADLINE: Duration = Duration::from_secs(10);

/// How long calls take, each with all that belongs to it.
pub(crate) const REQUEST_DURATION: &str = "culvert_ca_request_duration_seconds";

/// Issues certificates.
pub(crate) trait Issuer: Send + Sync + 'static {
    /// Begins to see to an identity. Asks nobody yet.
    fn issuance(self: Arc<Self>, id: &SpiffeId) -> Box<dyn Issuance>;
}

/// What an issuer does for one identity. Dropping it ends that.
pub(crate) trait Issuance: Send {
    /// Fetches the certificate to use from now on; it may be the one of the last time. Ends by itself, with or without one.
    fn issue(&mut self) -> Answering<'_>;

    /// Resolves when asking again is worth it before a renewal is due. What has been told is told once. Cancel safe.
    fn news(&mut self) -> News<'_> {
        Box::pin(pending())
    }
}

/// An issuer that says nothing before it is asked, and has nothing to remember of an identity.
pub(crate) trait Authority: Send + Sync + 'static {
    /// Fetches a new certificate. Ends by itself, with or without one.
    fn issue<'a>(&'a self, id: &'a SpiffeId) -> Issuing<'a>;
}

/// An answer on its way.
pub(crate) type Answering<'a> = Pin<Box<dyn Future<Output = Result<Certificate, Error>> + Send + 'a>>;

/// News on their way.
pub(crate) type News<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// A certificate on its way from an authority.
pub(crate) type Issuing<'a> = Pin<Box<dyn Future<Output = Result<Certificate, ca::Error>> + Send + 'a>>;

/// Why an issuer gave no certificate.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Authority(#[from] ca::Error),
    #[error(transparent)]
    Spire(#[from] spire::Error),
}

impl Error {
    /// When the issuer wants to be asked again, if it says.
    pub(super) fn pushback(&self) -> Option<Pushback> {
        match self {
            Self::Authority(error) => error.pushback(),
            Self::Spire(_) => None,
        }
    }
}

/// An identity an [`Authority`] is asked for.
struct Asked<A> {
    authority: Arc<A>,
    id: SpiffeId,
}

impl<A: Authority> Issuer for A {
    fn issuance(self: Arc<Self>, id: &SpiffeId) -> Box<dyn Issuance> {
        Box::new(Asked { authority: self, id: id.clone() })
    }
}

impl<A: Authority> Issuance for Asked<A> {
    fn issue(&mut self) -> Answering<'_> {
        Box::pin(async { Ok(self.authority.issue(&self.id).await?) })
    }
}

/// Awaits an answer, and counts it: what came of it, and how long it took.
pub(super) async fn counted<T, E>(
    answer: impl Future<Output = Result<T, E>>,
    reason: impl Fn(&E) -> &'static str,
) -> Result<T, E> {
    let began = Instant::now();
    let answer = answer.await;
    metrics::histogram!(REQUEST_DURATION).record(began.elapsed());
    let result = answer.as_ref().err().map_or("ok", reason);
    metrics::counter!("culvert_ca_requests_total", "result" => result).increment(1);
    answer
}
