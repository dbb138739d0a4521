//! Where should these bytes go? A pure answer from a snapshot; nothing here waits.
//!
//! Goes in: the snapshot, the workload concerned, the destination as the application or the tunnel peer named it. Comes
//! out: a route, or a refusal that says why. Deliberately absent: who may connect (see `policy`), and connecting.
//!
//! A destination that needs something this version cannot do (a network gateway, name resolution) is refused, never
//! reached some other way.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::hbone::Authority;
use crate::identity::SpiffeId;
use crate::service::Service;
use crate::workload::Workload;

mod balance;
mod inbound;
mod outbound;
mod waypoint;

pub use balance::Reputation;
pub use inbound::{Delivery, in_front_of, inbound};
pub use outbound::outbound;

/// The port HBONE tunnels of pods arrive at.
pub const HBONE_PORT: u16 = 15008;

/// The way to a destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Route {
    /// Plain TCP.
    Passthrough {
        /// Where to connect to.
        to: SocketAddr,
        /// The workload there, if it is one.
        workload: Option<Arc<Workload>>,
        /// The service it was called by, if it was.
        service: Option<Arc<Service>>,
    },
    /// An HBONE tunnel.
    Tunnel {
        /// Where the tunnel ends: an address of the workload, and a port for HBONE.
        peer: SocketAddr,
        /// What to ask the peer for.
        authority: Authority,
        /// Who the peer may be; never empty.
        expected: Vec<SpiffeId>,
        /// The address the workload was chosen by: its reputation is about this one.
        endpoint: SocketAddr,
        /// The workload where the tunnel ends: the one to reach, or a waypoint on the way.
        workload: Arc<Workload>,
        /// The service it was called by, if it was.
        service: Option<Arc<Service>>,
    },
}

impl Route {
    /// Gives what was chosen among others, if anything was: a workload and the address it was chosen by.
    #[must_use]
    pub fn choice(&self) -> Option<(&Arc<Workload>, SocketAddr)> {
        match self {
            Self::Passthrough { to, workload, .. } => workload.as_ref().map(|workload| (workload, *to)),
            Self::Tunnel { endpoint, workload, .. } => Some((workload, *endpoint)),
        }
    }
}

/// Tells whether `port` is one the proxy listens on inside every pod.
#[must_use]
pub fn is_own_port(port: u16) -> bool {
    matches!(port, 15001 | 15006 | HBONE_PORT)
}

#[cfg(test)]
mod tests;
