//! What container runtimes say to the CNI plugin (CNI specification 1.1.0), what it answers, and what it asks the agent.
//!
//! In go `CNI_*` variables and the configuration from stdin; out come a [`Call`] that makes sense, the result of the plugin before it,
//! and what the agent is to be asked ([`message::Request`]), or the [`Error`] a runtime understands. The entry of the plugin in a
//! configuration ([`Entry`]) is written by the installer and read by the plugin.
//!
//! Deliberately absent: the environment, stdin and sockets, and what the agent decides.

mod call;
mod conf;
mod error;
mod flaw;
pub mod message;

pub use call::{Call, Command, MAX_INPUT, Pod, Variables};
pub use conf::{AgentPods, Entry, PLUGIN};
pub use error::{Code, Error};
pub use flaw::Flaw;

/// Versions of the specification that are spoken; the last one is the newest.
pub const VERSIONS: [&str; 5] = ["0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"];
