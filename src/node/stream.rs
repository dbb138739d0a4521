//! The two directions of a byte stream, whatever carries it: a TCP connection or a stream of a tunnel.
//!
//! The distinction that matters is between an *end* (FIN, END_STREAM: all bytes arrived) and a *break* (RST,
//! RST_STREAM, a lost connection: some may be missing). It is kept in both directions.

use bytes::Bytes;

/// Where bytes come from.
pub(crate) trait Source: Send {
    /// The next bytes; `None` at the end. Asking for more says that the bytes before were passed on.
    ///
    /// Cancel safe: no bytes are lost when the future is dropped.
    fn read(&mut self) -> impl Future<Output = Result<Option<Bytes>, Broken>> + Send;

    /// Looks after the source while the bytes before are still being passed on; resolves only when it breaks in a way
    /// that makes passing on pointless. Cancel safe.
    fn attend(&mut self) -> impl Future<Output = Broken> + Send;
}

/// Where bytes go to.
pub(crate) trait Sink: Send {
    /// Passes bytes on; resolves when there is room for more. Not cancel safe.
    fn write(&mut self, bytes: Bytes) -> impl Future<Output = Result<(), Broken>> + Send;

    /// Says that all bytes were written: FIN or END_STREAM.
    fn finish(&mut self) -> impl Future<Output = Result<(), Broken>> + Send;

    /// Resolves when what was written has left, or never will. Cancel safe.
    fn flush(&mut self) -> impl Future<Output = ()> + Send;

    /// Breaks the stream, both directions, so that the other side cannot take what it has for complete.
    fn reset(&mut self);

    /// Resolves when the other side has broken the stream. Cancel safe.
    fn broken(&mut self) -> impl Future<Output = Broken> + Send;
}

/// A stream ended without a proper end.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Broken {
    /// The other side reset it on purpose.
    #[error("reset by the peer")]
    Reset,
    /// The other side takes no more, but all it sent is complete (RST_STREAM with NO_ERROR, RFC 9113 §8.1).
    #[error("the peer stopped reading")]
    Stopped,
    /// What carries the stream was torn down because its other end is not to be trusted any more.
    #[error("connection closed: peer certificate revoked by CRL")]
    Revoked,
    /// What carries the stream failed.
    #[error("connection lost: {0}")]
    Lost(String),
}
