//! The tunnel engine: HBONE without sockets and without a clock.
//!
//! In go bytes from the wire, bytes of applications, and the time; out come bytes for the wire, events and deadlines. Nothing
//! here reads, writes or waits, and nothing is allocated for each record or frame once a tunnel is busy.
//!
//! ```text
//!   application ─read into─▶ [ Outbox: record slots ] ─seal in place─▶ wire
//!                                    ▲ frame headers
//!                              [ http2::Connection ]  streams, windows, limits
//!                                    ▼ ranges of the input
//!   application ◀─write from─ [ input buffer ] ◀─open in place─ wire
//! ```
//!
//! - [`Engine`] is what a program drives: one tunnel, either role
//! - [`record`]: TLS records under keys somebody else has negotiated (RFC 8446 §5)
//! - [`http2`]: HTTP/2 restricted to CONNECT (RFC 9113)
//! - [`hpack`]: header blocks (RFC 7541)
//!
//! What it does not do: handshakes, certificates, and what a CONNECT is for.

pub mod hpack;
pub mod http2;
pub mod record;

mod engine;
mod fault;
mod outbox;

pub use engine::{Engine, Settled, State};
pub use fault::Fault;
pub use outbox::{BUFFER, SMALL_BUFFER, Slots};

#[cfg(test)]
mod tests;
