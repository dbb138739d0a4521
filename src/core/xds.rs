//! The client's side of the delta discovery protocol (xDS, incremental aggregated variant), without a network or a clock.
//!
//! ```text
//!   opened ─▶ first requests        response ─▶ (decode, apply) ─▶ handled ─▶ ACK or NACK
//!   demand ─▶ Pending ··· poll ─▶ Send(subscribe) ··· handled ··· poll ─▶ Answer
//!   closed ─▶ how long to wait before the next stream
//! ```
//! Goes in: what happened on the stream, names that connections miss, and the time. Comes out: the requests to send, answers to
//! those who wait, and pauses. Deliberately absent: what a resource means. The caller applies a response before it reports
//! it, so that an answer never comes before what it promises.

use std::sync::Arc;

mod aliases;
mod backoff;
mod claims;
mod demand;
mod recent;
mod session;
mod version;

pub use backoff::Closed;
pub use demand::{DEMAND_DEADLINE, Demand, Outcome, UNKNOWN_KEPT, WaiterId};
pub use session::{FIRST_RESPONSE_DEADLINE, Session};
pub use version::Version;

/// What a response is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Workloads and services.
    Address,
    /// Policies.
    Authorization,
}

/// How much of the mesh a node takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Everything.
    Wildcard,
    /// Of workloads and services what connections ask for; all policies.
    OnDemand,
}

/// One request, as plain data.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Request {
    /// The type it is about: that of a [`Kind`], or of a response nobody asked for.
    pub type_url: Box<str>,
    /// Whether it says who we are: the first of its type on a stream does.
    pub with_node: bool,
    /// Names to add to the subscription.
    pub subscribe: Vec<Arc<str>>,
    /// Names to take from it.
    pub unsubscribe: Vec<Arc<str>>,
    /// What we have already.
    pub initial_versions: Vec<(Arc<str>, Version)>,
    /// The response it answers; empty when it answers none.
    pub nonce: Box<str>,
    /// Why that response is refused, if it is.
    pub refusal: Option<Nack>,
}

/// Why a response is refused, in part or whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nack {
    /// A code of `google.rpc.Code`.
    pub code: i32,
    /// The first resources that are refused, with their reasons.
    pub message: String,
}

/// What became of one response.
#[derive(Debug, Clone, Default)]
pub struct Handled {
    /// The resources that were taken.
    pub accepted: Vec<Accepted>,
    /// The names of those that are gone.
    pub removed: Vec<Arc<str>>,
    /// The resources that were not taken, and why.
    pub rejected: Vec<Rejected>,
}

/// A resource that was taken.
#[derive(Debug, Clone)]
pub struct Accepted {
    /// Its primary name.
    pub name: Arc<str>,
    /// Its version, as the server says.
    pub version: Version,
    /// Other names it can be asked for by.
    pub aliases: Vec<Arc<str>>,
}

/// A resource that was not taken.
#[derive(Debug, Clone)]
pub struct Rejected {
    /// Its name.
    pub name: Arc<str>,
    /// What is wrong with it.
    pub reason: String,
}

/// Something for the driver of a session to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Send this on the stream.
    Send(Request),
    /// Tell this one who waits.
    Answer(WaiterId, Outcome),
    /// Close the stream: the server has said nothing since it was opened.
    Silent,
}

impl Kind {
    /// All, in the order in which they are subscribed to.
    pub const ALL: [Self; 2] = [Self::Address, Self::Authorization];

    /// Gives the type URL.
    #[must_use]
    pub fn url(self) -> &'static str {
        match self {
            Self::Address => "type.googleapis.com/istio.workload.Address",
            Self::Authorization => "type.googleapis.com/istio.security.Authorization",
        }
    }

    /// Gives what a type URL stands for.
    #[must_use]
    pub fn of(url: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.url() == url)
    }
}

impl Nack {
    /// `INVALID_ARGUMENT`, see `google/rpc/code.proto`.
    const INVALID_ARGUMENT: i32 = 3;

    /// How long a message gets, about: it ends up in a log line of the server.
    const LONGEST: usize = 4096;

    /// How much of one reason is told.
    const LONGEST_REASON: usize = 512;

    fn of(rejected: &[Rejected]) -> Option<Self> {
        if rejected.is_empty() {
            return None;
        }
        let mut message = String::new();
        for (told, Rejected { name, reason }) in rejected.iter().enumerate() {
            if message.len() > Self::LONGEST {
                message.push_str(&format!("; and {} more", rejected.len() - told));
                break;
            }
            let separator = if told == 0 { "" } else { "; " };
            message.push_str(&format!("{separator}{}: {}", cut(name), cut(reason)));
        }
        Some(Self { code: Self::INVALID_ARGUMENT, message })
    }
}

/// The start of a text that may be any length.
fn cut(text: &str) -> &str {
    let end = (0..=Nack::LONGEST_REASON.min(text.len())).rev().find(|&end| text.is_char_boundary(end));
    &text[..end.unwrap_or(0)]
}

#[cfg(test)]
mod tests;
