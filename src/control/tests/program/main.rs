//! The program as a whole: files in, certificates and mesh state over TLS out.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod certificates;
mod client;
mod discovery;
mod harness;
mod rotation;
