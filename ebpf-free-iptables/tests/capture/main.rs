//! What the crate promises, judged by what the kernel and the ordinary tools show. Needs root, iptables and iproute2.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod drift;
mod failure;
mod fingerprint;
mod golden;
mod harness;
mod host;
mod idempotence;
mod limits;
mod passed;
mod removal;
mod talk;
mod traces;
mod users;
mod watch;
