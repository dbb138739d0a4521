//! The client of the certificate authority: one identity in, one checked certificate out.
//!
//! A call makes a fresh key, reads the token again, sends one request under one deadline and checks the answer. It does
//! not keep, retry or renew: that is the renewer's. How the connection comes about is [`crate::control_plane`].

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use culvert_core::identity::SpiffeId;
use culvert_core::pushback::Pushback;
use culvert_process::exit::Chain;
use culvert_proto::ca::IstioCertificateRequest;
use culvert_proto::ca::istio_certificate_service_client::IstioCertificateServiceClient;
use prost_types::value::Kind;
use prost_types::{Struct, Value};
use rustls::crypto::aws_lc_rs::sign::any_ecdsa_type;
use tonic::{Code, Request};

use super::certificate::{Certificate, Versions};
use super::issuer::{Authority, DEADLINE, Issuing, counted};
use super::request;
use super::response::{self, Asked};
use crate::control_plane::{self, Invalid, Link, Status};

/// The metadata field that names the wanted identity.
const IMPERSONATED: &str = "ImpersonatedIdentity";

/// How to ask the authority.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    /// How to reach it.
    pub(crate) server: control_plane::Config,
    /// The lifetime to ask for.
    pub(crate) ttl: Duration,
    /// Whether to name the wanted identity: a proxy for a whole node does, a proxy for one workload does not.
    pub(crate) impersonate: bool,
}

/// Why a request brought no certificate.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum Error {
    #[error("a certificate request for {id} cannot be made")]
    Request { id: SpiffeId, source: rcgen::Error },
    #[error("no connection to the certificate authority at {address} can be set up")]
    Transport { address: String, source: control_plane::Error },
    #[error("the certificate authority at {address} cannot be reached: {reason}")]
    Unreachable { address: String, reason: String },
    #[error(
        "the certificate authority at {address} did not answer within {DEADLINE:?} (certificate request deadline)"
    )]
    TimedOut { address: String },
    #[error("the certificate authority at {address} refused ({code:?}): {message}")]
    Refused { address: String, code: Code, message: String, pushback: Option<Pushback> },
    #[error("the certificate authority at {address} gave an answer that cannot be used")]
    Answer { address: String, source: response::Error },
    #[error("the certificate for {id} cannot be used for TLS")]
    Tls { id: SpiffeId, source: rustls::Error },
}

impl Error {
    /// When the authority wants to be asked again, if it says.
    pub(super) fn pushback(&self) -> Option<Pushback> {
        match self {
            Self::Refused { pushback, .. } => *pushback,
            Self::Request { .. }
            | Self::Transport { .. }
            | Self::Unreachable { .. }
            | Self::TimedOut { .. }
            | Self::Answer { .. }
            | Self::Tls { .. } => None,
        }
    }

    /// The stable name of the reason, for the metrics.
    fn reason(&self) -> &'static str {
        match self {
            Self::Request { .. } => "no_request",
            Self::Transport { .. } | Self::Unreachable { .. } => "unreachable",
            Self::TimedOut { .. } => "request_deadline",
            Self::Refused { .. } => "refused",
            Self::Answer { .. } | Self::Tls { .. } => "unusable_answer",
        }
    }
}

/// A client of the authority. Connects when first used.
pub(crate) struct Client {
    link: Link,
    ttl: i64,
    impersonate: bool,
    versions: Versions,
}

impl Client {
    /// Checks the settings; connects to nobody.
    pub(crate) fn new(config: Config) -> Result<Self, Invalid> {
        Ok(Self {
            link: Link::new(&config.server)?,
            ttl: i64::try_from(config.ttl.as_secs()).unwrap_or(i64::MAX),
            impersonate: config.impersonate,
            versions: Versions::with_tls12(config.server.tls12),
        })
    }

    /// Whether the authority answers.
    pub(crate) fn status(&self) -> Status {
        self.link.status().clone()
    }

    async fn fetch(&self, id: &SpiffeId) -> Result<Certificate, Error> {
        let request =
            request::Request::new(id).map_err(|source| Error::Request { id: id.clone(), source })?;
        let called = tokio::time::timeout(DEADLINE, self.call(id, &request)).await;
        let answer = called.unwrap_or_else(|_| {
            self.link.forget();
            Err(Error::TimedOut { address: self.address() })
        });
        self.report(&answer);
        let asked = Asked { id, public_key: &request.public_key() };
        let now = SystemTime::now();
        let issued = response::check(&answer?, &asked, now)
            .and_then(|issued| issued.verified(now))
            .map_err(|source| Error::Answer { address: self.address(), source })?;
        let key =
            any_ecdsa_type(&request.private_key()).map_err(|source| Error::Tls { id: id.clone(), source })?;
        self.link.status().updated();
        Ok(Certificate::new(issued, key, self.versions))
    }

    /// Who refuses answers, too: what counts as down is an authority that says nothing.
    fn report(&self, answer: &Result<Vec<String>, Error>) {
        match answer {
            Ok(_) | Err(Error::Refused { .. }) => self.link.status().up(),
            Err(error) => self.link.status().down(&Chain(error).to_string()),
        }
    }

    async fn call(&self, id: &SpiffeId, request: &request::Request) -> Result<Vec<String>, Error> {
        let mut message = Request::new(IstioCertificateRequest {
            csr: request.pem().to_owned(),
            validity_duration: self.ttl,
            metadata: self.impersonate.then(|| impersonation(id)),
        });
        let not_made = |source| Error::Transport { address: self.address(), source };
        *message.metadata_mut() = self.link.metadata().await.map_err(not_made)?;
        let channel = self.link.channel().await.map_err(not_made)?;
        let answer = IstioCertificateServiceClient::new(channel).create_certificate(message).await;
        Ok(answer.map_err(|status| self.failure(&status))?.into_inner().cert_chain)
    }

    /// A status with a source was made on this side: the connection failed, and the next request makes another.
    fn failure(&self, status: &tonic::Status) -> Error {
        let address = self.address();
        match std::error::Error::source(status) {
            Some(cause) => {
                self.link.forget();
                Error::Unreachable { address, reason: Chain(cause).to_string() }
            }
            None => {
                let (code, message) = (status.code(), status.message().to_owned());
                Error::Refused { address, code, message, pushback: control_plane::pushback(status) }
            }
        }
    }

    fn address(&self) -> String {
        self.link.address().to_owned()
    }
}

impl Authority for Client {
    fn issue<'a>(&'a self, id: &'a SpiffeId) -> Issuing<'a> {
        Box::pin(counted(self.fetch(id), Error::reason))
    }
}

fn impersonation(id: &SpiffeId) -> Struct {
    let wanted = Value { kind: Some(Kind::StringValue(id.to_string())) };
    Struct { fields: BTreeMap::from([(IMPERSONATED.to_owned(), wanted)]) }
}

#[cfg(test)]
mod tests;
