//! Moves bytes both ways between two streams until both directions have ended, or one broke.
//!
//! An end in one direction is passed on and the other direction keeps running (half-close). A break ends both
//! directions at once and resets whatever side has not broken itself, so that truncated data never looks complete.

use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::tcp::{Offered, TcpSink, TcpSource};
use crate::buffers::Borrowed;
use crate::stream::quiet;
use crate::stream::{Broken, Count, Early, LAST_BYTES, Moved, Reset, Side};

/// Moves bytes between the connecting side (`client`) and the accepting side (`server`).
///
/// # Errors
/// Who broke the connection, and how. What that side had sent before has been passed on as far as [`LAST_BYTES`] went.
async fn splice(
    client: &mut (TcpSource, TcpSink),
    server: &mut (TcpSource, TcpSink),
    Plain { moved, half_closed_probe, .. }: Plain<'_>,
) -> Result<(), Early> {
    let (from_client, to_client) = client;
    let (from_server, to_server) = server;
    let broken = AtomicBool::new(false);
    let result = {
        let (count, broken) = (&moved.forth, &broken);
        let forth = Direction { from: Side::Client, count, moved, half_closed_probe, broken };
        let back = Direction { from: Side::Server, count: &moved.back, ..forth };
        let forth = pin!(pump(from_client, to_server, forth));
        let back = pin!(pump(from_server, to_client, back));
        select(forth, back, broken).await
    };
    // A side that answers and then breaks has still answered.
    let last = match &result {
        Ok(()) => return Ok(()),
        Err(Early::Client(_)) => tokio::time::timeout(LAST_BYTES, to_server.flush()).await,
        Err(Early::Server(_)) => tokio::time::timeout(LAST_BYTES, to_client.flush()).await,
    };
    if last.is_err() {
        tracing::debug!(after = ?LAST_BYTES, "last bytes were not taken before the reset (last bytes deadline)");
    }
    result
}

/// Runs both directions until both have ended, or one broke and the other has brought what was still on its way.
async fn select(
    mut forth: Pin<&mut impl Future<Output = Result<(), End>>>,
    mut back: Pin<&mut impl Future<Output = Result<(), End>>>,
    broken: &AtomicBool,
) -> Result<(), Early> {
    let forth_early = |end: End| end.early(Early::Client, Early::Server);
    let back_early = |end: End| end.early(Early::Server, Early::Client);
    tokio::select! {
        ended = &mut forth => match ended {
            Ok(()) => back.await.map_err(back_early),
            Err(end) => {
                bring_last(&end, back, broken).await;
                Err(forth_early(end))
            }
        },
        ended = &mut back => match ended {
            Ok(()) => forth.await.map_err(forth_early),
            Err(end) => {
                bring_last(&end, forth, broken).await;
                Err(back_early(end))
            }
        },
    }
}

/// When the side bytes were going to has broken, what it had sent before is on its way in the other direction.
async fn bring_last(end: &End, other: Pin<&mut impl Future<Output = Result<(), End>>>, broken: &AtomicBool) {
    broken.store(true, Ordering::Relaxed);
    if matches!(end, End::Sink(_)) {
        // However it ends: the connection is broken already.
        let _ = tokio::time::timeout(LAST_BYTES, other).await;
    }
}

/// A connection that is carried as it is.
#[derive(Clone, Copy)]
pub(crate) struct Plain<'a> {
    pub(crate) moved: &'a Moved,
    /// The side of this node's own pod.
    pub(crate) near: Side,
    /// How often both sides are probed once one direction has ended.
    pub(crate) half_closed_probe: Option<Duration>,
}

/// As [`splice`], but `stop` may end it early with a break on both sides.
pub(crate) async fn spliced_until<E>(
    mut client: (TcpSource, TcpSink),
    mut server: (TcpSource, TcpSink),
    plain: Plain<'_>,
    stop: impl Future<Output = E> + Send,
) -> Result<(), Ended<E>> {
    let result = tokio::select! {
        biased;
        result = splice(&mut client, &mut server, plain) => result.map_err(Ended::Early),
        reason = stop => Err(Ended::Stopped(reason)),
    };
    let Plain { moved, near, .. } = plain;
    match near {
        Side::Client => moved.part(client.1.info(), server.1.info()),
        Side::Server => moved.part(server.1.info(), client.1.info()),
    }
    if result.is_err() {
        client.1.reset();
        server.1.reset();
    }
    result
}

/// Why a splice did not come to its natural end.
#[derive(Debug)]
pub(crate) enum Ended<E> {
    /// One side broke.
    Early(Early),
    /// It was stopped from outside.
    Stopped(E),
}

/// Which end of a pump broke.
enum End {
    Source(Broken),
    Sink(Broken),
}

impl End {
    fn early(self, source: fn(Broken) -> Early, sink: fn(Broken) -> Early) -> Early {
        match self {
            Self::Source(broken) => source(broken),
            Self::Sink(broken) => sink(broken),
        }
    }
}

/// One direction, and what is noted of it.
#[derive(Clone, Copy)]
struct Direction<'a> {
    from: Side,
    count: &'a Count,
    moved: &'a Moved,
    half_closed_probe: Option<Duration>,
    broken: &'a AtomicBool,
}

/// Moves one direction until its end.
async fn pump(source: &mut TcpSource, sink: &mut TcpSink, it: Direction<'_>) -> Result<(), End> {
    let result = move_all(source, sink, it.count).await;
    it.moved.closed(if matches!(result, Err(End::Sink(_))) { it.from.other() } else { it.from });
    result?;
    if it.broken.load(Ordering::Relaxed) {
        // The source's break was told to the other direction; what looks like an end here is not one.
        return Err(End::Source(Broken::Reset(Reset::Socket)));
    }
    sink.finish().map_err(End::Sink)?;
    // Connection tracking forgets a half-closed connection within a minute in which nothing moves, and with it where the rest would
    // have to go.
    if let (Some(pause), quiet::Ended::Only(_)) = (it.half_closed_probe, it.moved.ended()) {
        source.probe_every(pause);
        sink.probe_every(pause);
    }
    Ok(())
}

async fn move_all(source: &mut TcpSource, sink: &mut TcpSink, moved: &Count) -> Result<(), End> {
    loop {
        tokio::select! {
            biased;
            ready = source.ready() => ready.map_err(End::Source)?,
            broken = sink.broken() => return Err(End::Sink(broken)),
        }
        loop {
            // Two fast ends and a slow proxy: somebody else's turn comes all the same, and whoever is to stop this is heard.
            tokio::task::coop::consume_budget().await;
            match pass_on(source, sink, moved)? {
                Offered::End => return Ok(()),
                Offered::Nothing | Offered::Taken(_) => break,
                Offered::Left(_) => room(source, sink, moved).await?,
            }
        }
    }
}

/// Moves what there is, as far as the sink takes it at once. A buffer is borrowed for that long: who waits for bytes, or for room, has
/// none, and what waits is in the kernel.
fn pass_on(source: &mut TcpSource, sink: &mut TcpSink, moved: &Count) -> Result<Offered, End> {
    let (mut buffer, mut broken) = (Borrowed::new(), None);
    let offered = source.offer(&mut buffer, |bytes| {
        sink.take(bytes).unwrap_or_else(|it| {
            broken = Some(it);
            0
        })
    });
    if let Some(broken) = broken {
        return Err(End::Sink(broken));
    }
    let offered = offered.map_err(End::Source)?;
    if let Offered::Taken(bytes) | Offered::Left(bytes) = offered {
        moved.add(bytes);
    }
    Ok(offered)
}

/// Waits until the sink takes more.
async fn room(source: &mut TcpSource, sink: &mut TcpSink, moved: &Count) -> Result<(), End> {
    let broken = tokio::select! {
        biased;
        room = sink.room() => return room.map_err(End::Sink),
        broken = source.attend() => broken,
    };
    // What came before the break gets a last chance, and the break is what counts.
    let last = async {
        while sink.room().await.is_ok()
            && matches!(pass_on(source, sink, moved), Ok(Offered::Left(_) | Offered::Taken(_)))
        {}
    };
    let _ = tokio::time::timeout(LAST_BYTES, last).await;
    Err(End::Source(broken))
}

#[cfg(test)]
mod tests;
