//! The discovery service without its streams: what there is, what one client asks for, what it has, and what it is told next.
//!
//! In go changes of the mesh ([`catalog`]) and the requests of a client ([`Session`]); out come responses in the order in which they
//! are safe to use, or why the stream has to end. Nothing is queued for a client but what to look up, so that a slow one is told the
//! newest state once.
//!
//! ```text
//! requests ──▶ session ──▶ subscription (one for each type) ──▶ replica: what the client has, what may be stale
//!                 ▲                                                 │
//!              catalog ─────────────── newest state ────────────────┴──▶ push ──▶ responses
//! ```
//!
//! Deliberately absent: who a client is, sockets, the time.

use std::sync::Arc;

pub mod catalog;

mod nonces;
mod push;
mod replica;
mod scope;
mod session;
mod slots;
mod stand_ins;
mod subscription;

pub use session::{Error, Refused, Session};

/// How much of the mesh a client may have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reach {
    /// All of it.
    Everything,
    /// What it names, what is on its node, and the policies of these namespaces.
    Near {
        /// Where it is.
        node: Arc<str>,
        /// Its own, and those whose policies govern it.
        namespaces: Arc<[String]>,
    },
}
