//! Gateways, and what their classes say of them.
//!
//! In go objects as they are written; out come what matters to others: what a waypoint is for, who may use it, where it is, and which
//! gateway leads to which network. Deliberately absent: whose waypoint it is (see `waypoint`), and running one.

mod allowed;
mod class;
mod facts;
mod network;

pub use allowed::{Allowed, Expression, Requirement};
pub use class::{GatewayClass, Part, Traffic, WaypointFor};
pub use facts::{At, Gateway, Listener};
pub use network::{NetworkGateway, Networks};

#[cfg(test)]
mod tests;
