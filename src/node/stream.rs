//! What is known of a byte stream while it is carried and when it is over, whatever carries it.
//!
//! The distinction that matters is between an *end* (FIN, END_STREAM: all bytes arrived) and a *break* (RST, RST_STREAM, a lost
//! connection: some may be missing). It is kept in both directions.

use std::io;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// How long the last bytes of a side that broke may take to reach the other side.
pub(crate) const LAST_BYTES: Duration = Duration::from_secs(1);

/// Bytes moved so far; read by whoever reports on the connection.
#[derive(Debug, Default)]
pub(crate) struct Moved {
    /// From the connecting side to the accepting side.
    pub(crate) forth: Count,
    /// Back.
    pub(crate) back: Count,
}

/// The bytes of one direction: of this connection, and of the metric it belongs to once that is known.
#[derive(Debug, Default)]
pub(crate) struct Count {
    own: AtomicU64,
    /// How many of them the metric has.
    told: AtomicU64,
    metric: OnceLock<metrics::Counter>,
}

impl Count {
    pub(crate) fn bytes(&self) -> u64 {
        self.own.load(Ordering::Relaxed)
    }

    pub(crate) fn add(&self, bytes: usize) {
        self.own.fetch_add(bytes as u64, Ordering::AcqRel);
        self.tell();
    }

    /// Says which metric these bytes belong to, those before included. The first one counts.
    pub(crate) fn belong_to(&self, metric: metrics::Counter) {
        let _ = self.metric.set(metric);
        self.tell();
    }

    /// Whoever finds that the metric lacks bytes adds them, once.
    pub(crate) fn tell(&self) {
        let Some(metric) = self.metric.get() else { return };
        let all = self.own.load(Ordering::Acquire);
        let told = self.told.fetch_max(all, Ordering::AcqRel);
        if told < all {
            metric.increment(all - told);
        }
    }
}

/// Which of the two sides ended a connection early.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Early {
    #[error("client: {0}")]
    Client(Broken),
    #[error("server: {0}")]
    Server(Broken),
}

/// A stream ended without a proper end.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Broken {
    /// The other side reset it on purpose.
    #[error("reset by the peer")]
    Reset,
    /// What carries the stream was torn down because its other end is not to be trusted any more.
    #[error("connection closed: peer certificate revoked by CRL")]
    Revoked,
    /// What carries the stream failed.
    #[error("connection lost: {0}")]
    Lost(String),
}

impl Broken {
    /// What an error of a socket says of the other side.
    pub(crate) fn of(error: &io::Error) -> Self {
        use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset};
        if matches!(error.kind(), ConnectionReset | BrokenPipe | ConnectionAborted) {
            return Self::Reset;
        }
        Self::Lost(error.to_string())
    }
}
