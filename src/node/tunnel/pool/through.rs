//! Tunnels inside tunnels: through the gateway of another network to whom it leads to.
//!
//! ```text
//!   application ─▶ inner tunnel ─▶ pipe ─▶ a stream of the gateway's tunnel ═▶ gateway ─▶ the other end of the inner tunnel
//! ```
//! The gateway's tunnel is shared like any other. The inner one is there for a single connection: the gateway chooses whom it leads
//! to anew for each.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use culvert_core::hbone::Baggage;
use culvert_core::identity::SpiffeId;

use super::{Opened, Pool};
use crate::stream::{LAST_BYTES, Moved};
use crate::tunnel::client::{Connection, NotCarried, Tunnel};
use crate::tunnel::socket::Socket;
use crate::tunnel::{Connect, Error, Key};

/// What two tunnels, one inside the other, are asked for.
#[derive(Debug)]
pub(crate) struct Nested {
    /// The gateway.
    pub(crate) gateway: Key,
    pub(crate) connect: Connect,
    /// Who may be at the inner end.
    pub(crate) behind: Vec<SpiffeId>,
    pub(crate) connect_behind: Connect,
}

/// Whom the gateway has led to.
#[derive(Debug)]
pub(crate) struct Met {
    pub(crate) identity: SpiffeId,
    /// What it says of its workload; that proves nothing.
    pub(crate) baggage: Baggage,
}

impl Pool {
    /// Has a connection carried to whom a gateway leads to. The gateway must be reached within `patience`, and so must they once it
    /// has answered.
    pub(crate) async fn carry_through(
        &self,
        (nested, patience): (Nested, Duration),
        connection: Connection,
        moved: &Arc<Moved>,
    ) -> Result<(Opened, Met), NotCarried> {
        let Nested { gateway, connect, behind, connect_behind } = nested;
        let (near, far) = match Socket::pipe() {
            Ok(pipe) => pipe,
            Err(error) => return Err(NotCarried::before_all(Error::Pipe(error.to_string()), connection)),
        };
        // What a tunnel adds is not the application's. Until the inner tunnel is up, it has not been heard at all.
        let uncounted = Arc::default();
        let peer = gateway.peer;
        let outer = match self.carry((&gateway, patience), connect, (far, Vec::new()), &uncounted).await {
            Ok(outer) => outer,
            // It is there, and does not lead where we want.
            Err(NotCarried { error: error @ Error::Status { .. }, .. }) => {
                return Err(NotCarried::before_all(error, connection).behind(peer));
            }
            Err(NotCarried { error, .. }) => return Err(NotCarried::before_all(error, connection)),
        };
        let inner = Key { expected: behind, ..gateway };
        let established = tokio::time::timeout(patience, self.0.establish.inner_tunnel(&inner, near)).await;
        let (tunnel, drive) =
            match established.unwrap_or(Err(Error::OutOfPatience { peer, patience, connected: true })) {
                Ok(established) => established,
                Err(error) => return Err(NotCarried::before_all(error, connection).behind(peer)),
            };
        self.0.tunnels.spawn(run(drive, outer));
        let opened = open(&tunnel, connect_behind, connection, moved).await;
        opened.map_err(|not_carried| not_carried.behind(peer))
    }
}

async fn open(
    tunnel: &Arc<Tunnel>,
    connect: Connect,
    connection: Connection,
    moved: &Arc<Moved>,
) -> Result<(Opened, Met), NotCarried> {
    let Some(place) = tunnel.place() else {
        tunnel.close();
        let error = Error::Gone { peer: tunnel.peer() };
        return Err(NotCarried::before_all(error, connection));
    };
    let (carried, answer) = place.carry(&Arc::new(connect), connection, moved).await?;
    // What makes no sense says nothing.
    let baggage = Baggage::parse(answer.all("baggage")).unwrap_or_default();
    let met = Met { identity: tunnel.peer_identity().clone(), baggage };
    Ok((Opened { carried, place }, met))
}

/// Drives an inner tunnel to its end, and has it carried meanwhile.
async fn run(drive: impl Future<Output = ()> + Send, outer: Opened) {
    let Opened { mut carried, place } = outer;
    let mut drive = pin!(drive);
    let ended = tokio::select! {
        () = &mut drive => {
            // All is said; the gateway may not know that yet.
            tokio::time::timeout(LAST_BYTES, carried).await.ok()
        }
        ended = &mut carried => {
            // The pipe is closed, which ends the inner tunnel.
            drive.await;
            Some(ended)
        }
    };
    drop(place);
    if let Some(Err(error)) = ended {
        tracing::debug!(%error, "the stream through a gateway was broken off");
    }
}
