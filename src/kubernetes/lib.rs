//! Asking the Kubernetes API server.
//!
//! In go requests, and which resources somebody wants to know of; out come answers within a deadline and a size, and everything that
//! happens to a resource, for ever: what is handed on becomes what the server has, whatever happens to it on the way.
//!
//! ```text
//!  client ─▶ ask ────────────────▶ one answer
//!    │       List ───────────────▶ all objects of a resource, page by page
//!    └─────▶ Follow: list, watch ─▶ Delta: All, One, Gone ─▶ a channel of the user's
//!              └─▶ Freshness: for how long nothing was heard
//! ```
//!
//! Deliberately absent: what the objects mean, which of them are kept, and whether a single request is made again.
//!
//! Which program asks is an [`Asker`]: metrics have the program's own names, log lines its own name, both the same fields.
//!
//! **Invariant:** every wait has an end, and no answer grows memory without a bound.

mod absence;
mod asker;
mod call;
pub mod client;
mod follow;
mod freshness;
mod lenient;
mod list;
mod pause;
mod request;
mod resource;

#[cfg(test)]
mod rig;

pub use asker::Asker;
pub use call::{Error, ask};
pub use follow::{Delta, Follow};
pub use freshness::{Freshness, Pulse};
pub use kube::Client;
pub use lenient::{Lenient, Unreadable};
pub use list::{List, or_default};
pub use pause::{Pace, Pauses};
pub use request::Request;
pub use resource::{Presence, Resource};
