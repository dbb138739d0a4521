//! One request to the API server: sent, answered within a deadline and a size, and what went wrong in words.
//!
//! Whether and when to ask again is decided by who asks.

use std::io;
use std::pin::Pin;
use std::time::Duration;

use futures::TryStreamExt as _;
use futures::io::{AsyncBufRead, AsyncBufReadExt as _};
use http::Response;
use http_body_util::BodyExt as _;
use kube::Client;
use kube::client::Body;
use kube::core::Status;
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use crate::request::Request;

#[cfg(test)]
mod tests;

/// The longest answer that is read. One object always fits: etcd takes less than 2 MiB, and escapes in JSON make six of one byte.
pub(crate) const LONGEST_ANSWER: u64 = 16 << 20;

/// The longest refusal that is read. Of one that is no JSON, people are shown the beginning.
const LONGEST_REFUSAL: u64 = 256 << 10;
const LONGEST_WORDS: usize = 512;

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
    /// What is asked for is there in another version.
    #[error(
        "the API server has {resource} as {served} alone, and {wanted} is asked for; have their definition serve that version, too"
    )]
    OtherVersion {
        /// Of what.
        resource: String,
        /// The version that was asked for: `v1`.
        wanted: String,
        /// The one there is, with its group.
        served: String,
    },
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
            | Self::OtherVersion { .. }
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

    /// Whether it means that the object that is meant does not exist, or no longer.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        self.code() == Some(404) || self.is_of_another()
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
            | Self::OtherVersion { .. }
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
            Self::OtherVersion { .. } => "other_version",
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
    let request = request.0.map_err(Error::Request)?.map(Body::from);
    let answer = async {
        let answer = client.send(request).await.map_err(|error| Error::Unreachable(Box::new(error)))?;
        let code = answer.status();
        let reader = reader(answer);
        if code.is_client_error() || code.is_server_error() {
            return Err(refused(code.as_u16(), reader).await);
        }
        Ok(reader)
    };
    timeout(within, answer).await.unwrap_or(Err(Error::Timeout(within)))
}

fn reader(answer: Response<Body>) -> Reader {
    Box::pin(answer.into_body().into_data_stream().map_err(io::Error::other).into_async_read())
}

/// What the server says about why; proxies, and servers about paths they do not know, say it otherwise than as its JSON.
async fn refused(code: u16, reader: Reader) -> Error {
    let mut body = Vec::new();
    // Whatever there is of it: that it is refused is known.
    let _ = read(reader, &mut body, LONGEST_REFUSAL).await;
    let status = serde_json::from_slice(&body).unwrap_or_else(|_| {
        let text = String::from_utf8_lossy(&body);
        Status::failure(beginning(text.trim(), LONGEST_WORDS), "it does not say why")
    });
    Error::Refused(Box::new(status.with_code(code)))
}

/// Reads all of a body, unless it is longer than that; says whether it was all. (`read_to_end` writes zeroes over all the room it has
/// whenever it is woken, which is many times the answer.)
async fn read(mut reader: Reader, body: &mut Vec<u8>, longest: u64) -> io::Result<bool> {
    loop {
        let piece = reader.fill_buf().await?;
        if piece.is_empty() {
            return Ok(true);
        }
        if (body.len() + piece.len()) as u64 > longest {
            return Ok(false);
        }
        body.extend_from_slice(piece);
        let length = piece.len();
        reader.consume_unpin(length);
    }
}

/// At most `longest` bytes of a text.
pub(crate) fn beginning(text: &str, longest: usize) -> &str {
    let mut end = longest.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// Sends a request and reads all of the answer, as JSON. `within` is for both together; whoever does not care what is answered reads it
/// as [`serde::de::IgnoredAny`].
///
/// # Errors
/// When there is no answer, it is a refusal, or it is not a `T`.
pub async fn ask<T: DeserializeOwned>(
    client: &Client,
    request: impl Into<Request>,
    within: Duration,
) -> Result<T, Error> {
    let answer = async {
        let reader = open(client, request.into(), within).await?;
        let mut body = Vec::new();
        if !read(reader, &mut body, LONGEST_ANSWER).await.map_err(Error::Broken)? {
            return Err(Error::TooLong(LONGEST_ANSWER));
        }
        serde_json::from_slice(&body).map_err(Error::Garbage)
    };
    timeout(within, answer).await.unwrap_or(Err(Error::Timeout(within)))
}

fn said(status: &Status) -> &str {
    if status.message.is_empty() { &status.reason } else { &status.message }
}
