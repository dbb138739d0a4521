//! The gRPC service: authenticate, decide, read the request, sign, say what happened.
//!
//! Every call ends in one log line and one count: a certificate issued, or a refusal with its reason. A caller without a valid token
//! is told a code; a caller with one the reason, as text and as a code, in the metadata `culvert-reason`.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use culvert_core::identity::SpiffeId;
use culvert_process::exit::Chain;
use culvert_proto::ca::istio_certificate_service_server::IstioCertificateService;
use culvert_proto::ca::{IstioCertificateRequest, IstioCertificateResponse};
use prost_types::value::Kind;
use tonic::metadata::MetadataMap;
use tonic::{Code, Request, Response, Status};

use crate::authority::{Authority, Leaf};
use crate::callers::{Caller, Callers, Stranger};
use crate::grant::{self, Refusal, Residents};
use crate::lifetimes::{Lifetimes, TooLong};
use crate::token::Token;
use crate::{authority, csr, metered, refused};

/// The metadata field that names the wanted identity.
const IMPERSONATED: &str = "ImpersonatedIdentity";

/// The longest identity that is looked at.
const LONGEST_IDENTITY: usize = 2048;

/// The certificate service.
pub(crate) struct Service {
    pub(crate) authority: Arc<Authority>,
    pub(crate) callers: Arc<dyn Callers>,
    pub(crate) residents: Arc<dyn Residents>,
    pub(crate) lifetimes: Lifetimes,
}

/// Why a call got no certificate.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Stranger(#[from] Stranger),
    #[error("the metadata field {IMPERSONATED} is not a text of at most {LONGEST_IDENTITY} bytes")]
    Metadata,
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error(transparent)]
    Csr(#[from] csr::Error),
    #[error(transparent)]
    Life(#[from] TooLong),
    #[error("the certificate authority cannot sign")]
    Sign(#[from] authority::Error),
}

impl Service {
    async fn authenticate(&self, metadata: &MetadataMap) -> Result<Caller, Stranger> {
        let token = Token::sent(metadata).ok_or(Stranger::Missing)?;
        Ok(self.callers.find(&token).await?.caller)
    }

    async fn issue(
        &self,
        caller: &Caller,
        request: &IstioCertificateRequest,
    ) -> Result<(SpiffeId, Leaf), Error> {
        let wanted = wanted(request)?;
        let id = grant::decide(caller, wanted, &*self.residents).await?;
        let key = csr::public_key(&request.csr)?;
        let life = self.lifetimes.of(request.validity_duration)?;
        let leaf = self.authority.sign_workload(&id, &key, life, SystemTime::now())?;
        Ok((id, leaf))
    }

    /// Answers a request, and says in the log what became of it.
    async fn answer(&self, request: &Request<IstioCertificateRequest>) -> Result<Leaf, Error> {
        let peer = request.remote_addr().map_or_else(|| "-".to_owned(), |peer| peer.to_string());
        let caller = self.authenticate(request.metadata()).await.inspect_err(|stranger| {
            tracing::warn!(peer, reason = stranger.code(), error = %stranger, "certificate refused");
        })?;
        let request = request.get_ref();
        match self.issue(&caller, request).await {
            Ok((id, leaf)) => {
                let Leaf { serial, not_after, .. } = &leaf;
                tracing::info!(%caller, identity = %id, serial, not_after, "certificate issued");
                Ok(leaf)
            }
            Err(error) => {
                let identity = wanted(request).ok().flatten().unwrap_or("-");
                tracing::warn!(%caller, identity, reason = error.code(), error = %Chain(&error), "certificate refused");
                Err(error)
            }
        }
    }
}

#[tonic::async_trait]
impl IstioCertificateService for Service {
    async fn create_certificate(
        &self,
        request: Request<IstioCertificateRequest>,
    ) -> Result<Response<IstioCertificateResponse>, Status> {
        let began = Instant::now();
        let answer = self.answer(&request).await;
        metered::certificate(answer.as_ref().map(|_| ()).map_err(Error::code), began.elapsed());
        match answer {
            Ok(leaf) => Ok(Response::new(IstioCertificateResponse { cert_chain: leaf.chain_pem() })),
            Err(error) => Err(error.status()),
        }
    }
}

impl Error {
    /// The stable name of the reason, for programs.
    fn code(&self) -> &'static str {
        match self {
            Self::Stranger(stranger) => stranger.code(),
            Self::Metadata => "identity-malformed",
            Self::Refused(refusal) => refusal.code(),
            Self::Csr(_) => "csr-malformed",
            Self::Life(_) => "ttl-too-long",
            Self::Sign(_) => "cannot-sign",
        }
    }

    /// What the caller is told.
    fn status(&self) -> Status {
        let code = match self {
            Self::Stranger(stranger) => return stranger.status(),
            Self::Refused(refusal) => return refusal.status(),
            Self::Metadata | Self::Csr(_) | Self::Life(_) => Code::InvalidArgument,
            Self::Sign(authority::Error::RootExpired) => Code::FailedPrecondition,
            Self::Sign(_) => Code::Internal,
        };
        refused::status(code, self.code(), Chain(self).to_string())
    }
}

/// The identity a request names, if it names one.
fn wanted(request: &IstioCertificateRequest) -> Result<Option<&str>, Error> {
    let Some(value) = request.metadata.as_ref().and_then(|metadata| metadata.fields.get(IMPERSONATED)) else {
        return Ok(None);
    };
    match &value.kind {
        Some(Kind::StringValue(text)) if text.len() <= LONGEST_IDENTITY => Ok(Some(text)),
        _ => Err(Error::Metadata),
    }
}
