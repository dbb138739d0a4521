//! Text and packets in, facts out: the lines of a node's access log, its metrics, and what passed a wire.
//!
//! Nothing here waits, prints or judges.

pub(crate) mod access;
pub(crate) mod metrics;
mod pairs;
pub(crate) mod traffic;
