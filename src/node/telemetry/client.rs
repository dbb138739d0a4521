//! Hands requests to a collector, one after the other, by gRPC or by HTTP.
//!
//! Out comes that it took them, or why not and whether it may take them later. Trying again is not done here.

mod grpc;
mod http1;

use std::time::Duration;

use http::uri::Scheme;
use tonic::Code;

use super::signal::Signal;
use super::{Config, Protocol, tls};

/// One way to a collector. The connection is made when it is needed, and kept.
pub(super) enum Client {
    Grpc(Box<grpc::Client>),
    Http(Box<http1::Client>),
}

/// Why a collector did not take a request.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("it did not answer within {0:?} (OTEL_EXPORTER_OTLP_TIMEOUT)")]
    TimedOut(Duration),
    #[error("it answered {code:?}: {message}")]
    Status { code: Code, message: String },
    #[error("it answered HTTP status {status}")]
    Http { status: u16, after: Option<Duration> },
    #[error("it cannot be reached")]
    Connect(#[source] std::io::Error),
    #[error("it broke off")]
    Broken(#[source] hyper::Error),
    #[error("its answer is no answer of OTLP")]
    Nonsense,
}

impl Error {
    /// Whether it may take the same request later.
    pub(super) fn may_pass(&self) -> bool {
        match self {
            Self::TimedOut(_) | Self::Connect(_) | Self::Broken(_) => true,
            Self::Status { code, .. } => matches!(
                code,
                Code::Cancelled
                    | Code::DeadlineExceeded
                    | Code::ResourceExhausted
                    | Code::Aborted
                    | Code::OutOfRange
                    | Code::Unavailable
                    | Code::DataLoss
            ),
            Self::Http { status, .. } => matches!(status, 429 | 502 | 503 | 504),
            Self::Nonsense => false,
        }
    }

    /// When it wants to be asked again, if it says so.
    pub(super) fn after(&self) -> Option<Duration> {
        if let Self::Http { after, .. } = self { *after } else { None }
    }
}

impl Client {
    pub(super) fn new(config: &Config) -> Result<Self, tls::Error> {
        Ok(match config.protocol {
            Protocol::Grpc => Self::Grpc(Box::new(grpc::Client::new(config)?)),
            Protocol::Http => Self::Http(Box::new(http1::Client::new(config)?)),
        })
    }

    /// Sends a request; gives the answer.
    pub(super) async fn send<S: Signal>(&mut self, request: &S::Request) -> Result<S::Response, Error> {
        match self {
            Self::Grpc(client) => client.send::<S>(request).await,
            Self::Http(client) => client.send::<S>(request).await,
        }
    }
}

/// Whether TLS is spoken.
fn is_secure(config: &Config) -> bool {
    config.endpoint.scheme() == Some(&Scheme::HTTPS)
}

/// The host of an address, as certificates name it.
fn host(config: &Config) -> &str {
    config.endpoint.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']')
}

#[cfg(test)]
mod tests;
