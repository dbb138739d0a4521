//! How a pod's live connections and tunnels fare, as the kernel says: one look at all sockets of its namespace, joined with the records
//! by addresses.
//!
//! It costs the data path nothing: no descriptor is kept, and none is asked. Whoever looks waits for the kernel: that belongs to a
//! thread that may wait.

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
    /// In order of who is at the other end; of those with one other end, what this node has marked comes first. A list that is sorted,
    /// because there may be a hundred thousand, and tables of them would take four times the room.
    all: Vec<Connection>,
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
    fn new(mut all: Vec<Connection>, tunnels: Tunnels) -> Self {
        all.sort_unstable_by_key(place);
        Self { all, tunnels }
    }

    /// That one, whether or not marks can be seen.
    fn between(&self, [local, remote]: [SocketAddr; 2]) -> Option<Socket> {
        let found = [false, true].map(|plain| self.all.binary_search_by_key(&(remote, plain, local), place));
        found.into_iter().flatten().next().map(|at| Socket::of(&self.all[at]))
    }

    /// What this node has accepted of who has connected. An application of the pod may be called from the same address; it does not mark
    /// its sockets.
    fn accepted(&self, client: SocketAddr) -> Option<Socket> {
        let remote = canonical(client);
        let first = self.all.get(self.all.partition_point(|it| it.remote < remote))?;
        (first.remote == remote).then(|| Socket::of(first))
    }

    /// The sockets of a connection: that of this node's own pod, and the network's side. Of one that is over: what they were like then.
    pub(crate) fn of(&self, record: &Record, facts: &Facts) -> (Option<Socket>, Option<Socket>) {
        if facts.ended.is_some() {
            let ends = facts.ends();
            let socket = |info| Socket { info, unread: 0 };
            return (ends.near.map(socket), ends.far.map(socket));
        }
        let onward = facts.onward.as_ref().and_then(|ends| self.between(**ends));
        let accepted = || self.accepted(record.client);
        let tunnel = |id| {
            let socket = self.of_tunnel(&*self.tunnels.find(id)?)?;
            Some(Socket { info: facts.moved.since_it_began(socket.info), ..socket })
        };
        match (record.direction, facts.tunnel) {
            (Direction::Outbound, None) => (accepted(), onward),
            (Direction::Outbound, Some(on)) => (accepted(), tunnel(on.id)),
            (Direction::Inbound, None) => (onward, accepted()),
            (Direction::Inbound, Some(on)) => (onward, tunnel(on.id)),
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
        self.between([local, peer])
    }
}

/// Where a socket is in the list.
fn place(it: &Connection) -> (SocketAddr, bool, SocketAddr) {
    (it.remote, it.mark == 0, it.local)
}

impl Socket {
    fn of(connection: &Connection) -> Self {
        Self { info: connection.info, unread: connection.unread }
    }
}

#[cfg(test)]
mod tests;
