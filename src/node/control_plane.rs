//! Reaching the control plane: one [`Link`] to each of its services, the certificate authority and the xDS server.
//!
//! In go the settings; out come a channel (HTTP/2 over TLS, made when needed, kept, made anew when it failed or when the roots
//! changed) and the headers of a request, with a token read anew. Whether the service answers, and since when, is in
//! [`status::Status`]. What is asked of the service is not this module's business.

mod channel;
mod connect;
pub(crate) mod roots;
mod secret;
pub(crate) mod status;
mod token;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use culvert_core::pushback::Pushback;
use tonic::Code;
use tonic::metadata::{Ascii, MetadataKey, MetadataMap, MetadataValue};

pub(crate) use connect::connect;
pub(crate) use secret::Secret;
pub(crate) use status::Status;
pub(crate) use token::Token;

use channel::Channels;

/// A service this process depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Service {
    Authority,
    /// The agent of SPIRE, which issues in place of an authority.
    Agent,
    Xds,
}

/// How to reach a service.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    pub(crate) service: Service,
    /// `host:port` or `https://host:port`.
    pub(crate) address: String,
    pub(crate) root: Root,
    /// `None` sends no authorization.
    pub(crate) token: Option<Token>,
    pub(crate) cluster_id: String,
    /// A second name the server's certificate may have.
    pub(crate) alternative_name: Option<String>,
    /// Sent with every request. Values can be credentials.
    pub(crate) headers: Vec<(String, Secret)>,
    /// Whether TLS 1.2 is allowed as well.
    pub(crate) tls12: bool,
    /// Put on the connections, where rules redirect those without it.
    pub(crate) mark: Option<u32>,
}

/// Where the roots are that the server's certificate must lead to.
#[derive(Debug, Clone)]
pub(crate) enum Root {
    /// A PEM file, read again for each request.
    File(PathBuf),
    /// The trust store of the operating system.
    System,
    /// PEM text.
    Pem(String),
}

/// A setting no request can be made with.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Invalid {
    #[error("the address `{address}` of the {service} is not usable; write host:port or https://host:port")]
    Address { service: Service, address: String },
    #[error("`{name}` is not a name of a host; it is accepted as second name of the {service}")]
    AlternativeName { service: Service, name: String },
    #[error("the header `{name}` cannot be sent to the {service}; name and value must be printable ASCII")]
    Header { service: Service, name: String },
}

/// Why no request can be made at this moment.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum Error {
    #[error("the root certificates in {} cannot be read", path.display())]
    RootUnreadable { path: PathBuf, source: Arc<io::Error> },
    #[error("there is no usable root certificate in {origin}")]
    NoRoot { origin: String },
    #[error("the TLS settings are not accepted")]
    Tls(#[source] Arc<tonic::transport::Error>),
    #[error("the token file {} cannot be read", path.display())]
    TokenUnreadable { path: PathBuf, source: Arc<io::Error> },
    #[error("the token in {origin} is empty or not printable ASCII")]
    TokenMalformed { origin: String },
}

/// How long to connect may take.
const CONNECT_DEADLINE: Duration = Duration::from_secs(5);

/// A service that can be asked. Connects to nobody until it is.
pub(crate) struct Link {
    channels: Channels,
    address: String,
    token: Option<Token>,
    headers: MetadataMap,
    status: Status,
}

impl Link {
    /// Checks the settings.
    pub(crate) fn new(config: &Config) -> Result<Self, Invalid> {
        let mut headers = MetadataMap::new();
        if config.token.is_some() {
            insert(&mut headers, config.service, "clusterid", &config.cluster_id)?;
        }
        for (name, value) in &config.headers {
            insert(&mut headers, config.service, name, value.reveal())?;
        }
        Ok(Self {
            channels: Channels::new(config)?,
            address: config.address.clone(),
            token: config.token.clone(),
            headers,
            status: Status::new(config.service, &config.address),
        })
    }

    /// The channel that is open, unless the roots changed; else a new one, which connects at the first request.
    pub(crate) async fn channel(&self) -> Result<tonic::transport::Channel, Error> {
        self.channels.current().await
    }

    /// Has the next request make a new channel.
    pub(crate) fn forget(&self) {
        self.channels.forget();
    }

    /// The headers of a request.
    pub(crate) async fn metadata(&self) -> Result<MetadataMap, Error> {
        let mut headers = self.headers.clone();
        if let Some(token) = &self.token {
            headers.insert("authorization", token.bearer().await?);
        }
        Ok(headers)
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    pub(crate) fn status(&self) -> &Status {
        &self.status
    }
}

impl std::fmt::Display for Service {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Authority => "certificate authority",
            Self::Agent => "SPIRE agent",
            Self::Xds => "xDS server",
        })
    }
}

/// When a server that cannot serve at the moment wants to be asked again, if it says.
pub(crate) fn pushback(status: &tonic::Status) -> Option<Pushback> {
    let is_for_now = matches!(status.code(), Code::Unavailable | Code::ResourceExhausted);
    let value = status.metadata().get(Pushback::HEADER).filter(|_| is_for_now)?;
    // What is no text is no number either.
    Some(Pushback::parse(value.to_str().unwrap_or_default()))
}

/// A value of a header. The library takes other text as well, which servers then refuse.
fn ascii(text: &str) -> Option<MetadataValue<Ascii>> {
    text.parse().ok().filter(|_| text.is_ascii())
}

fn insert(headers: &mut MetadataMap, service: Service, name: &str, value: &str) -> Result<(), Invalid> {
    let unusable = || Invalid::Header { service, name: name.to_owned() };
    let key: MetadataKey<Ascii> = name.to_ascii_lowercase().parse().map_err(|_| unusable())?;
    headers.insert(key, ascii(value).ok_or_else(unusable)?);
    Ok(())
}
