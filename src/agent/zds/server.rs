//! The socket nodes connect to: binds it, accepts, and runs one session per node.
//!
//! Where the disk has no room for its file, room is waited for, while pods are looked after as ever.

use std::path::Path;
use std::time::Duration;

use culvert_process::exit::Chain;
use culvert_serving::socket_file::{self, SocketFile};
use culvert_sys::seqpacket::{Channel, Listener};
use tokio::task::JoinSet;
use tokio::time::{Interval, MissedTickBehavior, interval, sleep, timeout};
use tracing::{info, warn};

use super::seats::Seats;
use super::session::{self, Common};
use crate::served::Served;
use crate::table::Subscriber;

#[cfg(test)]
mod tests;

/// Nodes at once: two during a rolling restart, and some room for trouble.
const MAX_NODES: usize = 16;

/// Time between two accepts, so that a node that reconnects in a loop costs little.
const ACCEPT_PACE: Duration = Duration::from_millis(200);

/// Time after a failed accept: descriptors run out for seconds, not for moments.
const ACCEPT_BACKOFF: Duration = Duration::from_secs(1);

/// How long sessions may take to tell their nodes the last changes.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// A socket that cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error("nodes could not connect to the socket of --socket")]
pub(crate) struct Error(#[from] socket_file::Error);

/// The socket.
#[derive(Debug)]
pub(crate) struct Socket(SocketFile<Listener>);

/// Opens the socket, and creates its directory if there is none. When the disk is full no node can connect until there is room.
pub(crate) fn bind(path: &Path) -> Result<Socket, Error> {
    let socket = SocketFile::bind(path, Listener::bind)?;
    if socket.is_open() {
        info!(socket = %path.display(), "listening for nodes");
    }
    Ok(Socket(socket))
}

/// Serves nodes until the table ends, and notes what they say of the pods.
pub(crate) async fn serve(mut socket: Socket, table: Subscriber, served: Served) {
    let mut watched = table.clone();
    let common = Common { table, seats: Seats::default(), served };
    let mut sessions = JoinSet::new();
    let mut pace = interval(ACCEPT_PACE);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut nodes = 0;
    loop {
        tokio::select! {
            channel = accept(&mut socket, &mut pace), if sessions.len() < MAX_NODES => {
                nodes += 1;
                sessions.spawn(run_session(nodes, channel, common.clone()));
            }
            Some(_) = sessions.join_next() => {}
            changed = watched.changed() => if changed.is_err() { break },
        }
    }
    let last_words = async { while sessions.join_next().await.is_some() {} };
    if timeout(LAST_WORDS, last_words).await.is_err() {
        warn!("some nodes were not told the last changes in time");
    }
}

async fn run_session(node: u64, channel: Channel, common: Common) {
    if let Err(error) = session::serve(node, channel, common).await {
        warn!(node, error = %Chain(&error), "node session closed");
    }
}

/// Waits for a node: nodes are root's, and pods' networks are nobody else's business. When cancelled, at most one pace is lost.
async fn accept(socket: &mut Socket, pace: &mut Interval) -> Channel {
    let listener = socket.0.listener().await;
    loop {
        pace.tick().await;
        match listener.accept().await {
            Ok(channel) => match channel.peer_user() {
                Ok(0) => return channel,
                Ok(uid) => warn!(uid, "somebody who is not root has called, and is not answered"),
                Err(error) => warn!(%error, "somebody has called, and does not say who he is"),
            },
            Err(error) => {
                warn!(%error, "cannot accept a node, trying again");
                sleep(ACCEPT_BACKOFF).await;
            }
        }
    }
}
