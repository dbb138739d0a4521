//! How a pod's live connections and tunnels fare, as the kernel says: one look at all sockets of its namespace, joined with the records
//! by addresses.
//!
//! It costs the data path nothing: no descriptor is kept, and none is asked. Whoever looks waits for the kernel: that belongs to a
//! thread that may wait.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;

use culvert_sys::sockets::{Connection, connections};
use culvert_sys::tcp::{Info, canonical};

use super::book::Book;
use super::record::{Direction, Facts, Record};
use super::tunnels::{Tunnel, Tunnels, Way};

/// How one socket fares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Socket {
    pub(crate) info: Info,
    /// Bytes that have come, and were not read by this node yet.
    pub(crate) unread: u32,
}

/// The sockets of a pod's namespace, at one moment.
#[derive(Debug, Default)]
pub(crate) struct Sockets {
    by_ends: HashMap<[SocketAddr; 2], Connection>,
    /// Those this node has accepted: by who has connected.
    by_remote: HashMap<SocketAddr, Connection>,
    tunnels: Tunnels,
}

/// Sockets that are looked at, of each version of IP: whoever rules in the namespace can make any number.
const MOST: usize = 50_000;

/// Looks at all sockets of a pod. Blocks for as long as the kernel takes: some ms for thousands.
///
/// # Errors
/// When the kernel has no socket statistics, or the namespace cannot be entered.
pub(crate) fn look(book: &Book) -> io::Result<Sockets> {
    let netns = book.netns();
    if netns.is_none() && !book.is_here() {
        // The pod has gone, and its sockets with it.
        return Ok(Sockets::default());
    }
    Ok(Sockets::new(connections(netns.as_deref(), MOST)?, book.tunnels.clone()))
}

impl Sockets {
    fn new(all: Vec<Connection>, tunnels: Tunnels) -> Self {
        let mut sockets = Self { tunnels, ..Self::default() };
        for it in all {
            sockets.by_ends.insert([it.local, it.remote], it);
            // An application of the pod may be called from the same address; it does not mark its sockets.
            let other = sockets.by_remote.get(&it.remote);
            if other.is_none_or(|other| other.mark == 0) {
                sockets.by_remote.insert(it.remote, it);
            }
        }
        sockets
    }

    /// The sockets of a connection: that of this node's own pod, and the network's side. Of one that is over: what they were like then.
    pub(crate) fn of(&self, record: &Record, facts: &Facts) -> (Option<Socket>, Option<Socket>) {
        if facts.ended.is_some() {
            let ends = facts.ends();
            let socket = |info| Socket { info, unread: 0 };
            return (ends.near.map(socket), ends.far.map(socket));
        }
        let onward = facts.onward.as_ref().and_then(|ends| self.by_ends.get(&**ends)).map(Socket::of);
        let accepted = || self.by_remote.get(&canonical(record.client)).map(Socket::of);
        let tunnel = |id| {
            let socket = self.of_tunnel(&*self.tunnels.find(id)?)?;
            Some(Socket { info: facts.moved.since_it_began(socket.info), ..socket })
        };
        match (record.direction, facts.tunnel) {
            (Direction::Outbound, None) => (accepted(), onward),
            (Direction::Outbound, Some(id)) => (accepted(), tunnel(id)),
            (Direction::Inbound, None) => (onward, accepted()),
            (Direction::Inbound, Some(id)) => (onward, tunnel(id)),
        }
    }

    /// The socket of a tunnel, or of the one that carries it.
    pub(crate) fn of_tunnel(&self, tunnel: &Tunnel) -> Option<Socket> {
        let carrier;
        let way = match tunnel.way {
            Way::Through { tunnel, .. } => {
                carrier = self.tunnels.find(tunnel)?;
                carrier.way
            }
            way @ Way::Tcp { .. } => way,
        };
        let Way::Tcp { local: Some(local), peer: Some(peer) } = way else { return None };
        self.by_ends.get(&[local, peer]).map(Socket::of)
    }
}

impl Socket {
    fn of(connection: &Connection) -> Self {
        Self { info: connection.info, unread: connection.unread }
    }
}

#[cfg(test)]
mod tests;
