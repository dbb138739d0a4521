//! Why a measurement could not be made. A load that fails is no such error: it is counted and shown.

use std::io;

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The cluster could not be made, or a program of it does not work.
    #[error(transparent)]
    Lab(#[from] culvert_lab::Error),
    #[error("cannot {doing}")]
    Io {
        doing: String,
        #[source]
        source: io::Error,
    },
    /// A tool of the system said no.
    #[error("`{command}` failed: {output}")]
    Tool { command: String, output: String },
    /// The load generator did not do what it was asked.
    #[error("the client of {subject} gave no result: {output}")]
    NoResult { subject: String, output: String },
    #[error("{path} is missing; {remedy}")]
    Missing { path: String, remedy: &'static str },
    #[error("cannot make certificates")]
    Certificate(#[from] rcgen::Error),
    #[error("TLS")]
    Tls(#[from] rustls::Error),
    #[error(transparent)]
    Push(#[from] crate::push::Error),
    #[error("stopped by {signal}")]
    Interrupted { signal: &'static str },
}

/// Says what was being done when the kernel refused.
pub(crate) trait Doing<T> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T, Error>;
}

impl<T> Doing<T> for io::Result<T> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T, Error> {
        self.map_err(|source| Error::Io { doing: what(), source })
    }
}
