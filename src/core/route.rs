//! Where should these bytes go? A pure answer from a snapshot; nothing here waits.
//!
//! Goes in: the snapshot, the workload concerned, the destination as the application or the tunnel peer named it. Comes
//! out: a route, or a refusal that says why. Deliberately absent: who may connect (see `policy`), and connecting.
//!
//! What the snapshot cannot say (whom earlier connections could not reach, what a name resolves to) is [`Known`] to whoever
//! asks; a destination whose name is not resolved yet is refused with that name, to be asked for again.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use crate::hbone::Authority;
use crate::identity::SpiffeId;
use crate::refusal::{Missing, Refusal};
use crate::service::Service;
use crate::workload::{GatewayAddress, Workload};

mod balance;
mod gateway;
mod inbound;
mod outbound;
mod reach;
mod reference;
mod waypoint;

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
    /// An HBONE tunnel inside a stream of another one, which ends at the gateway of another network.
    Gateway {
        /// The gateway, where the outer tunnel ends.
        gateway: Arc<Workload>,
        /// The gateway's address.
        peer: SocketAddr,
        /// Who the gateway may be; never empty.
        expected: Vec<SpiffeId>,
        /// What to ask the gateway for, and whoever it leads to: the service, by its name, and the port that was called.
        authority: Authority,
        /// Who may be at the inner end; never empty. The gateway chooses, so these are all who may.
        behind: Vec<SpiffeId>,
        /// The workload that stands for those behind the gateway: an endpoint, or a waypoint.
        workload: Arc<Workload>,
        /// The service it was called by.
        service: Arc<Service>,
    },
}

impl Route {
    /// Gives what was chosen among others, if anything was: a workload and the address it was chosen by.
    #[must_use]
    pub fn choice(&self) -> Option<(&Arc<Workload>, SocketAddr)> {
        match self {
            Self::Passthrough { to, workload, .. } => workload.as_ref().map(|workload| (workload, *to)),
            Self::Tunnel { endpoint, workload, .. } => Some((workload, *endpoint)),
            Self::Gateway { gateway, peer, .. } => Some((gateway, *peer)),
        }
    }
}

/// What is known that the mesh state does not say.
pub trait Known {
    /// What earlier connections say of `workload` at `address`.
    fn reputation(&self, workload: &Workload, address: SocketAddr) -> Reputation;

    /// The addresses of a host; nothing before it was looked up, none when that has failed.
    fn addresses(&self, hostname: &str) -> Option<&[IpAddr]>;

    /// Whether the mesh state has all that can be found out about a waypoint or gateway.
    fn has_asked_for(&self, gateway: &GatewayAddress) -> bool;

    /// Whether something could still be found out, so that there would perhaps be a way.
    fn may_find_out(&self, refusal: &Refusal) -> bool {
        refusal.missing().is_some_and(|missing| match missing {
            Missing::Gateway(reference) => !self.has_asked_for(&reference),
            Missing::Addresses(host) => self.addresses(&host).is_none(),
        })
    }
}

/// Whoever has seen nothing yet.
#[derive(Debug, Clone, Copy)]
pub struct Newcomer;

impl Known for Newcomer {
    fn reputation(&self, _workload: &Workload, _address: SocketAddr) -> Reputation {
        Reputation::Good
    }

    fn addresses(&self, _hostname: &str) -> Option<&[IpAddr]> {
        None
    }

    fn has_asked_for(&self, _gateway: &GatewayAddress) -> bool {
        true
    }
}

/// What earlier connections say of an endpoint; the best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reputation {
    /// Nothing against it.
    Good,
    /// Others could not connect to it: it is taken only if there is no other.
    SetAside,
    /// Nothing leads to it: it is taken to say why.
    NoWay,
    /// This connection has tried it: it is not taken again.
    Tried,
}

/// Tells whether `port` is one the proxy listens on inside every pod.
#[must_use]
pub fn is_own_port(port: u16) -> bool {
    matches!(port, 15001 | 15006 | HBONE_PORT)
}

#[cfg(test)]
mod tests;
