//! The gRPC service: authenticate, decide, read the request, sign, say what happened.
//!
//! Every call ends in one log line: a certificate issued, or a refusal with its reason. A caller without a valid token
//! learns nothing; a caller with one learns the reason, as text and as a code in the metadata `culvert-reason`.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use culvert_core::identity::SpiffeId;
use culvert_process::exit::Chain;
use culvert_proto::ca::istio_certificate_service_server::IstioCertificateService;
use culvert_proto::ca::{IstioCertificateRequest, IstioCertificateResponse};
use prost_types::value::Kind;
use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::{Code, Request, Response, Status};

use crate::authority::{Authority, DEFAULT_LIFE, LONGEST_LIFE, Leaf};
use crate::callers::{Caller, Callers, Token};
use crate::catalog::Published;
use crate::grant::{self, Refusal};
use crate::live::Live;
use crate::{authority, csr, token};

/// The metadata field that names the wanted identity.
const IMPERSONATED: &str = "ImpersonatedIdentity";

/// The longest identity that is looked at.
const LONGEST_IDENTITY: usize = 2048;

/// The certificate service.
pub(crate) struct Service {
    authority: Arc<Authority>,
    callers: Live<Callers>,
    published: Arc<Published>,
}

/// Why a call got no certificate.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("no bearer token")]
    NoToken,
    #[error("unknown bearer token")]
    UnknownToken,
    #[error("the metadata field {IMPERSONATED} is not a text of at most {LONGEST_IDENTITY} bytes")]
    Metadata,
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error(transparent)]
    Csr(#[from] csr::Error),
    #[error("{} seconds are asked for, at most {} are given", asked, LONGEST_LIFE.as_secs())]
    Life { asked: i64 },
    #[error("the certificate authority cannot sign")]
    Sign(#[from] authority::Error),
}

impl Service {
    pub(crate) fn new(authority: Arc<Authority>, callers: Live<Callers>, published: Arc<Published>) -> Self {
        Self { authority, callers, published }
    }

    fn authenticate(&self, metadata: &MetadataMap) -> Result<Caller, Error> {
        let token = token::bearer(metadata).ok_or(Error::NoToken)?;
        self.callers.borrow().find(&Token::of(token)).cloned().ok_or(Error::UnknownToken)
    }

    fn issue(&self, caller: &Caller, request: &IstioCertificateRequest) -> Result<(SpiffeId, Leaf), Error> {
        let wanted = wanted(request)?;
        let id = grant::decide(caller, wanted, &self.published.read())?;
        let key = csr::public_key(&request.csr)?;
        let life = life(request.validity_duration)?;
        let leaf = self.authority.sign_workload(&id, &key, life, SystemTime::now())?;
        Ok((id, leaf))
    }
}

#[tonic::async_trait]
impl IstioCertificateService for Service {
    async fn create_certificate(
        &self,
        request: Request<IstioCertificateRequest>,
    ) -> Result<Response<IstioCertificateResponse>, Status> {
        let peer = request.remote_addr().map_or_else(|| "-".to_owned(), |peer| peer.to_string());
        let caller = self.authenticate(request.metadata()).map_err(|error| {
            tracing::warn!(peer, reason = error.code(), "certificate refused");
            error.status()
        })?;
        let request = request.get_ref();
        match self.issue(&caller, request) {
            Ok((id, leaf)) => {
                let Leaf { serial, not_after, .. } = &leaf;
                tracing::info!(%caller, identity = %id, serial, not_after, "certificate issued");
                Ok(Response::new(IstioCertificateResponse { cert_chain: leaf.chain_pem() }))
            }
            Err(error) => {
                let identity = wanted(request).ok().flatten().unwrap_or("-");
                tracing::warn!(%caller, identity, reason = error.code(), error = %Chain(&error), "certificate refused");
                Err(error.status())
            }
        }
    }
}

impl Error {
    /// The stable name of the reason, for programs.
    fn code(&self) -> &'static str {
        match self {
            Self::NoToken => "token-missing",
            Self::UnknownToken => "token-unknown",
            Self::Metadata => "identity-malformed",
            Self::Refused(refusal) => refusal.code(),
            Self::Csr(_) => "csr-malformed",
            Self::Life { .. } => "ttl-too-long",
            Self::Sign(_) => "cannot-sign",
        }
    }

    /// What the caller is told.
    fn status(&self) -> Status {
        let code = match self {
            Self::NoToken | Self::UnknownToken => {
                return token::needed();
            }
            Self::Metadata | Self::Csr(_) | Self::Life { .. } | Self::Refused(Refusal::Malformed(_)) => {
                Code::InvalidArgument
            }
            Self::Refused(_) => Code::PermissionDenied,
            Self::Sign(authority::Error::RootExpired) => Code::FailedPrecondition,
            Self::Sign(_) => Code::Internal,
        };
        let mut status = Status::new(code, Chain(self).to_string());
        status.metadata_mut().insert("culvert-reason", MetadataValue::from_static(self.code()));
        status
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

fn life(asked: i64) -> Result<Duration, Error> {
    match u64::try_from(asked).map(Duration::from_secs) {
        Err(_) | Ok(Duration::ZERO) => Ok(DEFAULT_LIFE),
        Ok(life) if life <= LONGEST_LIFE => Ok(life),
        Ok(_) => Err(Error::Life { asked }),
    }
}
