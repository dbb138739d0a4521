//! The program as a whole: files or a cluster in, certificates and mesh state over TLS out.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod certificates;
mod client;
mod cluster;
mod discovery;
mod flood;
mod harness;
mod rotation;
