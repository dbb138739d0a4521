//! Handshakes by rustls and AES-GCM by aws-lc, for the tunnel engine of culvert-core.
//!
//! In go TLS configurations and the bytes of a peer; out come the bytes for it and, when the handshake is over, what the engine
//! takes from there: the secrets of both directions, the [`Keys`](culvert_core::tunnel::record::Keys) that follow them, and
//! what of the peer's bytes came after the handshake. Nothing here reads, writes, waits or asks for the time, and nothing
//! decides whom to trust: that is in the configurations.
//!
//! - [`Handshake`]: from the first byte to [`Established`]
//! - [`TrafficKeys`]: the keys of a connection, for as long as this process has it
//! - [`InheritedKeys`]: the keys of a connection that another process has set up
//! - [`fips`]: whether cryptography is that of a validated module

mod aead;
pub mod fips;
mod handshake;
mod keys;

pub use handshake::{Agreed, Error, Established, Handshake, Progress};
pub use keys::{InheritedKeys, TrafficKeys};
