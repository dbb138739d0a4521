//! One request to the API server: sent, answered within a deadline and a size, and what went wrong in words.
//!
//! Whether and when to ask again is decided by who asks.

use std::io;
use std::pin::Pin;
use std::time::Duration;

use futures::io::{AsyncBufRead, AsyncReadExt as _};
use kube::Client;
use kube::core::Status;
use serde::de::DeserializeOwned;
use tokio::time::timeout;

/// The longest answer that is read. One object always fits: etcd takes less than 2 MiB, and escapes in JSON make six of one byte.
pub(crate) const LONGEST_ANSWER: u64 = 16 << 20;

/// A request as the client library makes it.
pub type Request = Result<http::Request<Vec<u8>>, kube::core::request::Error>;

/// What the server says, piece by piece.
pub(crate) type Reader = Pin<Box<dyn AsyncBufRead + Send>>;

/// A request that led to nothing.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nothing was answered in time.
    #[error("the API server has not answered within {0:?}; see whether it can be reached from this node")]
    Timeout(Duration),
    /// The server says no, and why.
    #[error("the API server refused (HTTP {}): {}", .0.code, said(.0))]
    Refused(Box<Status>),
    /// There is no connection, or no answer that is HTTP.
    #[error(
        "the API server cannot be asked; see whether its address, its certificate and our token are right"
    )]
    Unreachable(#[source] Box<kube::Error>),
    /// There was a beginning of an answer.
    #[error("the connection to the API server broke")]
    Broken(#[source] io::Error),
    /// The answer is not what was asked for.
    #[error("the API server's answer makes no sense; see whether something else answers at its address")]
    Garbage(#[source] serde_json::Error),
    /// The answer is longer than that.
    #[error("the API server's answer is longer than {0} bytes")]
    TooLong(u64),
    /// The answer contradicts itself.
    #[error("the API server's answer makes no sense: {0}")]
    Nonsense(&'static str),
    /// What is asked cannot be written as a request.
    #[error("the request cannot be made")]
    Request(#[source] kube::core::request::Error),
}

impl Error {
    /// The HTTP status, if that is what it is.
    #[must_use]
    pub fn code(&self) -> Option<u16> {
        match self {
            Self::Refused(status) => Some(status.code),
            Self::Timeout(_)
            | Self::Unreachable(_)
            | Self::Broken(_)
            | Self::Garbage(_)
            | Self::TooLong(_)
            | Self::Nonsense(_)
            | Self::Request(_) => None,
        }
    }

    /// Whether the object of that name has another UID than the request says. Servers find that out as a precondition that failed, or
    /// as a change of what cannot be changed.
    #[must_use]
    pub fn is_of_another(&self) -> bool {
        let Self::Refused(status) = self else { return false };
        match status.code {
            409 => status.message.contains("UID in precondition"),
            422 => {
                let causes = status.details.iter().flat_map(|details| &details.causes);
                // An object may be called `metadata.uid`, but not with a colon.
                causes.map(|cause| &cause.field).any(|field| field == "metadata.uid")
                    || status.message.contains("metadata.uid: ")
            }
            _ => false,
        }
    }

    /// Whether the same request would lead to the same again. That somebody else wrote at the same time does not last.
    #[must_use]
    pub fn is_final(&self) -> bool {
        match self {
            Self::Refused(status) if status.code == 409 && status.reason == "Conflict" => {
                self.is_of_another()
            }
            Self::Refused(status) => status.code < 500 && status.code != 429,
            Self::Request(_) => true,
            Self::Timeout(_)
            | Self::Unreachable(_)
            | Self::Broken(_)
            | Self::Garbage(_)
            | Self::TooLong(_)
            | Self::Nonsense(_) => false,
        }
    }

    /// In one word, for metrics.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Timeout(_) => "timeout",
            Self::Unreachable(_) | Self::Broken(_) => "unreachable",
            Self::Garbage(_) | Self::TooLong(_) | Self::Nonsense(_) => "garbage",
            Self::Request(_) => "request",
            Self::Refused(status) => match status.code {
                401 => "unauthorized",
                403 => "forbidden",
                404 => "not_found",
                409 => "conflict",
                410 => "expired",
                429 => "throttled",
                500.. => "server",
                _ => "refused",
            },
        }
    }
}

/// Sends a request; what is answered is read by the caller.
pub(crate) async fn open(client: &Client, request: Request, within: Duration) -> Result<Reader, Error> {
    let request = request.map_err(Error::Request)?;
    match timeout(within, client.request_stream(request)).await {
        Ok(Ok(reader)) => Ok(Box::pin(reader)),
        Ok(Err(error)) => Err(failed(error)),
        Err(_) => Err(Error::Timeout(within)),
    }
}

/// Sends a request and reads all of the answer, as JSON. `within` is for both together; whoever does not care what is answered reads it
/// as [`serde::de::IgnoredAny`].
///
/// # Errors
/// When there is no answer, it is a refusal, or it is not a `T`.
pub async fn ask<T: DeserializeOwned>(
    client: &Client,
    request: Request,
    within: Duration,
) -> Result<T, Error> {
    let answer = async {
        let reader = open(client, request, within).await?;
        let mut body = Vec::new();
        reader.take(LONGEST_ANSWER + 1).read_to_end(&mut body).await.map_err(Error::Broken)?;
        if body.len() as u64 > LONGEST_ANSWER {
            return Err(Error::TooLong(LONGEST_ANSWER));
        }
        serde_json::from_slice(&body).map_err(Error::Garbage)
    };
    timeout(within, answer).await.unwrap_or(Err(Error::Timeout(within)))
}

fn failed(error: kube::Error) -> Error {
    if let kube::Error::Api(status) = error {
        Error::Refused(status)
    } else {
        Error::Unreachable(Box::new(error))
    }
}

fn said(status: &Status) -> &str {
    if status.message.is_empty() { &status.reason } else { &status.message }
}
