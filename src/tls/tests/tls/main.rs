//! Handshakes and what they settle: between two of ours, and between one of ours and rustls' own connections.

#![expect(
    clippy::unwrap_used,
    reason = "the whole file is test code; only its `#[test]` functions are exempt by default"
)]

mod alerts;
mod handshakes;
mod inherited;
mod limits;
mod link;
mod noise;
mod pki;
mod records;
mod rustls_peer;
