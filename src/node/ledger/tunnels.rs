//! The tunnels of one pod, for as long as they live: those it has opened, and those others have opened to it.
//!
//! **Invariant:** an entry holds names, addresses and counters. Nobody who lists tunnels keeps one up, or its socket, or its namespace.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use culvert_core::identity::SpiffeId;

use super::record::Direction;
use crate::tunnel::{Agreement, Gauge};

/// A handle on the list of a pod's tunnels. All handles see the same.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tunnels(Arc<Mutex<HashMap<u64, Arc<Tunnel>>>>);

/// One tunnel that is up.
#[derive(Debug)]
pub(crate) struct Tunnel {
    /// Connections on it name it in their facts.
    pub(crate) id: u64,
    /// Who has opened it: the pod, or its peer.
    pub(crate) direction: Direction,
    /// Who the pod is on it.
    pub(crate) identity: SpiffeId,
    /// Who the peer has proven to be.
    pub(crate) peer_identity: SpiffeId,
    pub(crate) way: Way,
    pub(crate) since: Instant,
    pub(crate) tls: Agreement,
    pub(crate) gauge: Arc<Gauge>,
}

/// What carries a tunnel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// A TCP connection, with these addresses of its socket.
    Tcp { local: Option<SocketAddr>, peer: Option<SocketAddr> },
    /// A tunnel to a gateway, at this address.
    Through { gateway: SocketAddr, tunnel: u64 },
}

/// A tunnel on the list; dropping this takes it off.
#[derive(Debug)]
pub(crate) struct Listed {
    tunnels: Tunnels,
    id: u64,
}

/// What is to be listed.
#[derive(Debug)]
pub(crate) struct New {
    pub(crate) id: u64,
    pub(crate) direction: Direction,
    pub(crate) identity: SpiffeId,
    pub(crate) peer_identity: SpiffeId,
    pub(crate) way: Way,
    pub(crate) tls: Agreement,
    pub(crate) gauge: Arc<Gauge>,
}

impl Tunnels {
    /// Puts a tunnel on the list.
    pub(crate) fn begin(&self, new: New) -> Listed {
        let New { id, direction, identity, peer_identity, way, tls, gauge } = new;
        let tunnel =
            Tunnel { id, direction, identity, peer_identity, way, since: Instant::now(), tls, gauge };
        self.lock().insert(id, Arc::new(tunnel));
        Listed { tunnels: self.clone(), id }
    }

    /// Those there are, in no order.
    pub(crate) fn list(&self) -> Vec<Arc<Tunnel>> {
        self.lock().values().cloned().collect()
    }

    /// How many there are.
    pub(crate) fn open(&self) -> usize {
        self.lock().len()
    }

    /// Finds one there is.
    pub(crate) fn find(&self, id: u64) -> Option<Arc<Tunnel>> {
        self.lock().get(&id).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Arc<Tunnel>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Listed {
    fn drop(&mut self) {
        self.tunnels.lock().remove(&self.id);
    }
}

/// A number for a new tunnel. It is shown as 16 hexadecimal digits.
pub(crate) fn new_id() -> u64 {
    rand::random_range(1..=u64::MAX)
}

impl Tunnel {
    /// Its id, as it is shown.
    pub(crate) fn name(&self) -> String {
        format!("{:016x}", self.id)
    }

    /// The address of the other end, or of the gateway to it.
    pub(crate) fn peer(&self) -> Option<SocketAddr> {
        match self.way {
            Way::Tcp { peer, .. } => peer,
            Way::Through { gateway, .. } => Some(gateway),
        }
    }

    /// The address of this end, when it has a socket of its own.
    pub(crate) fn local(&self) -> Option<SocketAddr> {
        match self.way {
            Way::Tcp { local, .. } => local,
            Way::Through { .. } => None,
        }
    }
}
