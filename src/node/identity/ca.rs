//! The client of the certificate authority: one identity in, one checked certificate out.
//!
//! A call makes a fresh key, reads the token again, sends one request under one deadline and checks the answer. It does
//! not keep, retry or renew: that is the renewer's. How the connection comes about is [`super::transport`].

use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use culvert_core::identity::SpiffeId;
use culvert_process::exit::Chain;
use culvert_proto::ca::IstioCertificateRequest;
use culvert_proto::ca::istio_certificate_service_client::IstioCertificateServiceClient;
use prost_types::value::Kind;
use prost_types::{Struct, Value};
use tonic::metadata::{Ascii, MetadataKey, MetadataMap, MetadataValue};
use tonic::{Code, Request, Status};

use super::certificate::{Certificate, Versions};
use super::request;
use super::response::{self, Asked};
use super::transport::{self, Transport};

/// How long one request may take, connecting included.
pub(crate) const DEADLINE: Duration = Duration::from_secs(10);

/// The metadata field that names the wanted identity.
const IMPERSONATED: &str = "ImpersonatedIdentity";

/// Issues certificates; [`Client`] for the nodes of a mesh.
pub(crate) trait Authority: Send + Sync + 'static {
    /// Fetches a new certificate. Ends by itself, with or without one.
    fn issue<'a>(&'a self, id: &'a SpiffeId) -> Issuing<'a>;
}

/// A certificate on its way.
pub(crate) type Issuing<'a> = Pin<Box<dyn Future<Output = Result<Certificate, Error>> + Send + 'a>>;

/// How to reach and how to ask the authority.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    /// `host:port` or `https://host:port`.
    pub(crate) address: String,
    pub(crate) root: Root,
    /// `None` sends no authorization.
    pub(crate) token: Option<Token>,
    pub(crate) cluster_id: String,
    /// The lifetime to ask for.
    pub(crate) ttl: Duration,
    /// A second name the authority's certificate may have.
    pub(crate) alt_hostname: Option<String>,
    /// Sent with every request.
    pub(crate) headers: Vec<(String, String)>,
    /// Whether to name the wanted identity: a proxy for a whole node does, a proxy for one workload does not.
    pub(crate) impersonate: bool,
    /// Whether TLS 1.2 is allowed as well, to the authority and in tunnels.
    pub(crate) tls12: bool,
}

/// Where the roots are that the authority's own certificate must lead to.
#[derive(Debug, Clone)]
pub(crate) enum Root {
    /// A PEM file, read again for each request.
    File(PathBuf),
    /// The trust store of the operating system.
    System,
    /// PEM text.
    Pem(String),
}

/// Who we are to the authority.
#[derive(Clone)]
pub(crate) enum Token {
    /// A file, read again for each request.
    File(PathBuf),
    /// The token itself.
    Text(String),
}

/// A setting no request can be made with.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Invalid {
    #[error(
        "the certificate authority's address `{address}` is not usable; write host:port or https://host:port"
    )]
    Address { address: String },
    #[error("`{name}` is not a name of a host; it is accepted as second name of the certificate authority")]
    AlternativeName { name: String },
    #[error("the header `{name}` cannot be sent; name and value must be printable ASCII")]
    Header { name: String },
}

/// Why a request brought no certificate.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum Error {
    #[error("a certificate request for {id} cannot be made")]
    Request { id: SpiffeId, source: rcgen::Error },
    #[error("no connection to the certificate authority at {address} can be set up")]
    Transport { address: String, source: transport::Error },
    #[error("the token file {} cannot be read", path.display())]
    TokenUnreadable { path: PathBuf, source: Arc<io::Error> },
    #[error("the token is empty or not printable ASCII")]
    TokenMalformed,
    #[error("the certificate authority at {address} cannot be reached: {reason}")]
    Unreachable { address: String, reason: String },
    #[error(
        "the certificate authority at {address} did not answer within {DEADLINE:?} (certificate request deadline)"
    )]
    TimedOut { address: String },
    #[error("the certificate authority at {address} refused ({code:?}): {message}")]
    Refused { address: String, code: Code, message: String },
    #[error("the certificate authority at {address} gave an answer that cannot be used")]
    Answer { address: String, source: response::Error },
    #[error("the certificate for {id} cannot be used for TLS")]
    Tls { id: SpiffeId, source: rustls::Error },
}

/// A client of the authority. Connects when first used.
pub(crate) struct Client {
    transport: Transport,
    address: String,
    token: Option<Token>,
    headers: MetadataMap,
    ttl: i64,
    impersonate: bool,
    versions: Versions,
}

impl Client {
    /// Checks the settings; connects to nobody.
    pub(crate) fn new(config: Config) -> Result<Self, Invalid> {
        let mut headers = MetadataMap::new();
        if config.token.is_some() {
            insert(&mut headers, "clusterid", &config.cluster_id)?;
        }
        for (name, value) in &config.headers {
            insert(&mut headers, name, value)?;
        }
        Ok(Self {
            transport: Transport::new(&config)?,
            address: config.address,
            token: config.token,
            headers,
            ttl: i64::try_from(config.ttl.as_secs()).unwrap_or(i64::MAX),
            impersonate: config.impersonate,
            versions: Versions::with_tls12(config.tls12),
        })
    }

    async fn fetch(&self, id: &SpiffeId) -> Result<Certificate, Error> {
        let request =
            request::Request::new(id).map_err(|source| Error::Request { id: id.clone(), source })?;
        let answer = match tokio::time::timeout(DEADLINE, self.call(id, &request)).await {
            Ok(answer) => answer?,
            Err(_) => {
                self.transport.forget();
                return Err(Error::TimedOut { address: self.address.clone() });
            }
        };
        let asked = Asked { id, public_key: &request.public_key() };
        let issued = response::check(&answer, &asked, SystemTime::now())
            .map_err(|source| Error::Answer { address: self.address.clone(), source })?;
        Certificate::new(issued, &request.private_key(), self.versions)
            .map_err(|source| Error::Tls { id: id.clone(), source })
    }

    async fn call(&self, id: &SpiffeId, request: &request::Request) -> Result<Vec<String>, Error> {
        let mut message = Request::new(IstioCertificateRequest {
            csr: request.pem().to_owned(),
            validity_duration: self.ttl,
            metadata: self.impersonate.then(|| impersonation(id)),
        });
        *message.metadata_mut() = self.headers.clone();
        if let Some(token) = &self.token {
            message.metadata_mut().insert("authorization", token.bearer().await?);
        }
        let channel = self.transport.channel().await;
        let channel = channel.map_err(|source| Error::Transport { address: self.address.clone(), source })?;
        let answer = IstioCertificateServiceClient::new(channel).create_certificate(message).await;
        Ok(answer.map_err(|status| self.failure(&status))?.into_inner().cert_chain)
    }

    /// A status with a source was made on this side: the connection failed, and the next request makes another.
    fn failure(&self, status: &Status) -> Error {
        let address = self.address.clone();
        match std::error::Error::source(status) {
            Some(cause) => {
                self.transport.forget();
                Error::Unreachable { address, reason: Chain(cause).to_string() }
            }
            None => Error::Refused { address, code: status.code(), message: status.message().to_owned() },
        }
    }
}

impl Authority for Client {
    fn issue<'a>(&'a self, id: &'a SpiffeId) -> Issuing<'a> {
        Box::pin(self.fetch(id))
    }
}

impl Token {
    /// The value of the authorization header.
    async fn bearer(&self) -> Result<MetadataValue<Ascii>, Error> {
        let text = match self {
            Self::Text(text) => text.clone(),
            Self::File(path) => tokio::fs::read_to_string(path)
                .await
                .map_err(|source| Error::TokenUnreadable { path: path.clone(), source: Arc::new(source) })?,
        };
        let token = text.trim();
        if token.is_empty() {
            return Err(Error::TokenMalformed);
        }
        let mut value =
            MetadataValue::try_from(format!("Bearer {token}")).map_err(|_| Error::TokenMalformed)?;
        value.set_sensitive(true);
        Ok(value)
    }
}

impl std::fmt::Debug for Token {
    /// Shows where a token comes from, never the token.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
            Self::Text(_) => f.write_str("Text(..)"),
        }
    }
}

fn insert(headers: &mut MetadataMap, name: &str, value: &str) -> Result<(), Invalid> {
    let unusable = || Invalid::Header { name: name.to_owned() };
    let key: MetadataKey<Ascii> = name.to_ascii_lowercase().parse().map_err(|_| unusable())?;
    headers.insert(key, value.parse().map_err(|_| unusable())?);
    Ok(())
}

fn impersonation(id: &SpiffeId) -> Struct {
    let wanted = Value { kind: Some(Kind::StringValue(id.to_string())) };
    Struct { fields: BTreeMap::from([(IMPERSONATED.to_owned(), wanted)]) }
}

#[cfg(test)]
mod tests;
