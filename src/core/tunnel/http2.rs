//! HTTP/2 restricted to CONNECT (RFC 9113 §8.5), both roles, without a byte of payload: that stays where it was read.
//!
//! In go plaintext as it comes, and what the caller wants of its streams; out come [`Event`]s, frames to send
//! ([`Connection::control`]) and headers for DATA frames whose payload the caller has. What a peer does wrong to one stream
//! resets that stream; what it does wrong to the connection is a [`Fault`].
//!
//! ```text
//!            open / Request            answer / Answer
//!   (none) ─────────────────▶ asked ─────────────────▶ open ──END both ways──▶ closed ──all consumed──▶ (none)
//!                               └───── RST_STREAM, GOAWAY, refused ────────────────────────────────────▶ (none)
//! ```
//! Windows: every stream starts with a small one, which grows while its reader keeps up. The windows of all streams together
//! never exceed the connection's, so that streams nobody reads cannot keep the others from moving.

mod connection;
mod fields;
mod flood;
pub(super) mod frame;
mod incoming;
mod liveness;
mod settings;
mod stream;
mod window;

use std::fmt;
use std::ops::Range;

use serde::{Deserialize, Serialize};

pub use connection::{Connection, Unopened};
pub use fields::{Answer, Fields, Request};

/// The number of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct StreamId(pub(super) u32);

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Which end of the connection we are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Role {
    /// Opens streams.
    Client,
    /// Is asked for them.
    Server,
}

/// What we allow the peer. Octets, where nothing else is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Streams at a time.
    pub streams: u32,
    /// What a stream's window may grow to.
    pub stream_window: u32,
    /// The window of the connection: what is held of all streams together at most.
    pub connection_window: u32,
    /// The payload of a frame.
    pub frame: u32,
    /// The fields of a header block, each counted with 32 more (RFC 9113 §6.5.2).
    pub fields: u32,
}

impl Limits {
    /// The nearest that HTTP/2 can say: the connection's window cannot begin smaller (RFC 9113 §6.9.2), nor the largest frame be
    /// smaller (§6.5.2).
    fn possible(self) -> Self {
        Self {
            stream_window: self.stream_window.min(window::LARGEST),
            connection_window: self.connection_window.clamp(settings::DEFAULT_WINDOW, window::LARGEST),
            frame: self.frame.clamp(frame::DEFAULT_MOST, frame::LARGEST),
            ..self
        }
    }
}

/// How often a peer wanted more than [`Limits`] allow, and was refused a stream for it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Overruns {
    /// One stream more.
    pub streams: u32,
    /// Larger fields of a request.
    pub fields: u32,
    /// More data than the window of a stream allows.
    pub of_stream: u32,
    /// More than the window of the tunnel allows.
    pub of_tunnel: u32,
}

/// What happened on a connection.
#[derive(Debug, PartialEq, Eq)]
pub enum Event {
    /// The client asks for a stream (server).
    Request {
        /// The new stream.
        stream: StreamId,
        /// What for.
        request: Request,
    },
    /// The server answers (client).
    Answer {
        /// The stream that was asked for.
        stream: StreamId,
        /// What it says.
        answer: Answer,
    },
    /// Payload. It counts against the stream's window until [`Connection::consumed`].
    Data {
        /// Of this stream.
        stream: StreamId,
        /// Where it lies in the input.
        place: Range<usize>,
    },
    /// The peer has sent all of a stream.
    End {
        /// This one.
        stream: StreamId,
    },
    /// A stream is over before its end; it is not known any more.
    Reset {
        /// This one.
        stream: StreamId,
        /// Why.
        code: Code,
        /// Who ended it.
        by: By,
    },
    /// A stream we asked for is over, and the peer never looked at it: it may be asked for again elsewhere.
    Refused {
        /// This one.
        stream: StreamId,
    },
    /// A stream for which there was no room to send has some.
    Room {
        /// This one.
        stream: StreamId,
    },
    /// What the peer allows has changed: how many streams, or any at all.
    Capacity,
}

/// Which end did something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// The other end.
    Peer,
    /// This end, because of what the other end did.
    Us,
}

/// An error code (RFC 9113 §7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Code(pub u32);

impl Code {
    /// Nothing is wrong.
    pub const NO_ERROR: Self = Self(0x0);
    /// The protocol was broken.
    pub const PROTOCOL_ERROR: Self = Self(0x1);
    /// Something of ours failed.
    pub const INTERNAL_ERROR: Self = Self(0x2);
    /// A window was exceeded.
    pub const FLOW_CONTROL_ERROR: Self = Self(0x3);
    /// A frame for a stream that has ended.
    pub const STREAM_CLOSED: Self = Self(0x5);
    /// A frame of a wrong size.
    pub const FRAME_SIZE_ERROR: Self = Self(0x6);
    /// The stream was not looked at.
    pub const REFUSED_STREAM: Self = Self(0x7);
    /// The stream is not wanted any more.
    pub const CANCEL: Self = Self(0x8);
    /// A header block cannot be decoded.
    pub const COMPRESSION_ERROR: Self = Self(0x9);
    /// The connection a CONNECT asked for was broken (RFC 9113 §8.5).
    pub const CONNECT_ERROR: Self = Self(0xa);
    /// Too much of something.
    pub const ENHANCE_YOUR_CALM: Self = Self(0xb);
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const NAMES: [&str; 14] = [
            "NO_ERROR",
            "PROTOCOL_ERROR",
            "INTERNAL_ERROR",
            "FLOW_CONTROL_ERROR",
            "SETTINGS_TIMEOUT",
            "STREAM_CLOSED",
            "FRAME_SIZE_ERROR",
            "REFUSED_STREAM",
            "CANCEL",
            "COMPRESSION_ERROR",
            "CONNECT_ERROR",
            "ENHANCE_YOUR_CALM",
            "INADEQUATE_SECURITY",
            "HTTP_1_1_REQUIRED",
        ];
        match usize::try_from(self.0).ok().and_then(|code| NAMES.get(code)) {
            Some(name) => f.write_str(name),
            None => write!(f, "code {:#x}", self.0),
        }
    }
}

#[cfg(test)]
pub(super) mod tests;
