//! The certificate service: decide, read the request, sign, say what happened.
//!
//! In go requests of callers who were [let in](crate::server). Every one ends in one log line and one count: a certificate issued, or a
//! refusal with its reason, which the caller is told as text and as a code, in the metadata `culvert-reason`.

use std::sync::Arc;
use std::time::SystemTime;

use culvert_core::identity::SpiffeId;
use culvert_process::exit::Chain;
use culvert_proto::ca::istio_certificate_service_server::IstioCertificateService;
use culvert_proto::ca::{IstioCertificateRequest, IstioCertificateResponse};
use prost_types::value::Kind;
use tonic::{Code, Request, Response, Status};

use crate::authority::{Authority, Leaf};
use crate::callers::Caller;
use crate::grant::{self, Refusal, Residents};
use crate::lifetimes::{Lifetimes, TooLong};
use crate::server::Admitted;
use crate::{authority, metered, refused};

/// The metadata field that names the wanted identity.
const IMPERSONATED: &str = "ImpersonatedIdentity";

/// The longest identity that is looked at.
const LONGEST_IDENTITY: usize = 2048;

/// The certificate service.
pub(crate) struct Service {
    pub(crate) authority: Arc<Authority>,
    pub(crate) residents: Arc<dyn Residents>,
    pub(crate) lifetimes: Lifetimes,
}

/// Why a call got no certificate.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("the metadata field {IMPERSONATED} is not a text of at most {LONGEST_IDENTITY} bytes")]
    Metadata,
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error(transparent)]
    Csr(#[from] culvert_csr::Error),
    #[error(transparent)]
    Life(#[from] TooLong),
    #[error("the certificate authority cannot sign")]
    Sign(#[from] authority::Error),
}

impl Service {
    async fn issue(
        &self,
        caller: &Caller,
        request: &IstioCertificateRequest,
    ) -> Result<(SpiffeId, Leaf), Error> {
        let wanted = wanted(request)?;
        let id = grant::decide(caller, wanted, &*self.residents).await?;
        let key = culvert_csr::public_key(&request.csr)?;
        let life = self.lifetimes.of(request.validity_duration)?;
        let leaf = self.authority.sign_workload(&id, &key, life, SystemTime::now())?;
        Ok((id, leaf))
    }

    /// Answers a request, and says in the log what became of it.
    async fn answer(&self, caller: &Caller, request: &IstioCertificateRequest) -> Result<Leaf, Error> {
        match self.issue(caller, request).await {
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
        let admitted = request.extensions().get::<Arc<Admitted>>();
        let admitted = admitted.ok_or_else(|| Status::internal("nobody was let in"))?;
        let answer = self.answer(&admitted.known.caller, request.get_ref()).await;
        metered::certificate(answer.as_ref().map(|_| ()).map_err(Error::code), admitted.began.elapsed());
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
