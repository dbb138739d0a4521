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
use tokio::time::{Instant, timeout_at};

use super::{Opened, Pool};
use crate::identity::Certificate;
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
    /// Has a connection carried to whom a gateway leads to. The gateway must be reached within `patience`, they within as long again, and
    /// both within twice that. Their answer has a deadline of its own.
    pub(crate) async fn carry_through(
        &self,
        (nested, patience): (Nested, Duration),
        connection: Connection,
        moved: &Arc<Moved>,
    ) -> Result<(Opened, Met), NotCarried> {
        let Nested { gateway, connect, behind, connect_behind } = nested;
        let peer = gateway.peer;
        let certificate = match self.0.establish.certificate(&gateway).await {
            Ok(certificate) => certificate,
            Err(error) => return Err(NotCarried::before_all(error, connection)),
        };
        // Until the inner tunnel is up, the application has not been heard at all.
        let (outer, tunnel, drive) =
            match self.nest((gateway, patience), connect, (behind, &certificate), moved).await {
                Ok(nested) => nested,
                Err(error) if error.is_denial() => return Err(NotCarried::for_good(error)),
                Err(error) => return Err(NotCarried::before_all(error, connection)),
            };
        self.0.tunnels.spawn(run(drive, outer));
        let opened = open(&tunnel, connect_behind, connection, moved).await;
        opened.map_err(|not_carried| not_carried.behind(peer))
    }

    /// Brings up a tunnel inside a stream of the gateway's.
    async fn nest(
        &self,
        (gateway, patience): (Key, Duration),
        connect: Connect,
        (behind, certificate): (Vec<SpiffeId>, &Certificate),
        moved: &Moved,
    ) -> Result<(Opened, Arc<Tunnel>, impl Future<Output = ()> + Send + use<>), Error> {
        let (near, far) = Socket::pipe().map_err(|error| Error::Pipe(error.to_string()))?;
        let (peer, until) = (gateway.peer, Instant::now() + 2 * patience);
        let late = |patience| move |_| Error::OutOfPatience { peer, patience, connected: true };
        let behind_it = |error| Error::Behind { gateway: peer, source: Box::new(error) };
        // What a tunnel adds is not the application's.
        let uncounted = Arc::<Moved>::default();
        let outer = self.carry((&gateway, patience), connect, (far, Vec::new()), &uncounted);
        let outer = timeout_at(until, outer).await.map_err(late(2 * patience))?;
        let outer = outer.map_err(|NotCarried { error, .. }| {
            // Then it is there, and does not lead where we want.
            let answered = matches!(error, Error::Status { .. });
            if answered { behind_it(error) } else { error }
        })?;
        moved.begin_as(&uncounted);
        let (key, until) = (Key { expected: behind, ..gateway }, until.min(Instant::now() + patience));
        let carried = (outer.place.tunnel().id, near);
        let inner = timeout_at(until, self.0.establish.inner_tunnel(&key, certificate, carried)).await;
        let (tunnel, drive) = inner.map_err(late(patience)).flatten().map_err(behind_it)?;
        Ok((outer, tunnel, drive))
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
            // The pipe is closed, which ends the inner tunnel; what it still brings does not need the gateway.
            drop(place);
            drive.await;
            Some(ended)
        }
    };
    if let Some(Err(error)) = ended {
        tracing::debug!(%error, "the stream through a gateway was broken off");
    }
}
