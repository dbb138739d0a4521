//! Moves bytes both ways between two streams until both directions have ended, or one broke.
//!
//! An end in one direction is passed on and the other direction keeps running (half-close). A break ends both
//! directions at once and resets whatever side has not broken itself, so that truncated data never looks complete.

use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crate::stream::{Broken, Sink, Source};

/// Bytes moved so far; read by whoever reports on the connection.
#[derive(Debug, Default)]
pub(crate) struct Moved {
    /// From the connecting side to the accepting side.
    pub(crate) forth: Count,
    /// Back.
    pub(crate) back: Count,
}

/// The bytes of one direction: of this connection, and of the metric it belongs to.
#[derive(Debug)]
pub(crate) struct Count {
    own: AtomicU64,
    metric: metrics::Counter,
}

impl Default for Count {
    fn default() -> Self {
        Self::of(metrics::Counter::noop())
    }
}

impl Count {
    pub(crate) fn of(metric: metrics::Counter) -> Self {
        Self { own: AtomicU64::new(0), metric }
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.own.load(Ordering::Relaxed)
    }

    fn add(&self, bytes: u64) {
        self.own.fetch_add(bytes, Ordering::Relaxed);
        self.metric.increment(bytes);
    }
}

/// Which of the two sides ended a connection early.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Early {
    #[error("client: {0}")]
    Client(Broken),
    #[error("server: {0}")]
    Server(Broken),
}

/// How long the last bytes of a side that broke may take to reach the other side.
const LAST_BYTES: Duration = Duration::from_secs(1);

/// Moves bytes between the connecting side (`client`) and the accepting side (`server`).
///
/// # Errors
/// Who broke the connection, and how. What that side had sent before has been passed on as far as [`LAST_BYTES`] went.
async fn splice<A: Source, B: Sink, C: Source, D: Sink>(
    client: &mut (A, B),
    server: &mut (C, D),
    moved: &Moved,
) -> Result<(), Early> {
    let (from_client, to_client) = client;
    let (from_server, to_server) = server;
    let broken = AtomicBool::new(false);
    let result = {
        let forth = pin!(pump(from_client, to_server, &moved.forth, &broken));
        let back = pin!(pump(from_server, to_client, &moved.back, &broken));
        select(forth, back, &broken).await
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

/// As [`splice`], but `stop` may end it early with a break on both sides.
pub(crate) async fn spliced_until<A: Source, B: Sink, C: Source, D: Sink, E>(
    mut client: (A, B),
    mut server: (C, D),
    moved: &Moved,
    stop: impl Future<Output = E> + Send,
) -> Result<(), Ended<E>> {
    let result = tokio::select! {
        biased;
        result = splice(&mut client, &mut server, moved) => result.map_err(Ended::Early),
        reason = stop => Err(Ended::Stopped(reason)),
    };
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

/// Moves one direction until its end. A sink that takes no more on purpose ends it too: what comes back is complete or
/// breaks by itself, and the close that follows tells the source.
async fn pump(
    source: &mut impl Source,
    sink: &mut impl Sink,
    moved: &Count,
    broken: &AtomicBool,
) -> Result<(), End> {
    match move_all(source, sink, moved).await {
        Err(End::Sink(Broken::Stopped)) => Ok(()),
        // The source's break was told to the other direction; what looks like an end here is not one.
        Ok(()) if broken.load(Ordering::Relaxed) => Err(End::Source(Broken::Reset)),
        Ok(()) => match sink.finish().await {
            Ok(()) | Err(Broken::Stopped) => Ok(()),
            Err(broken) => Err(End::Sink(broken)),
        },
        Err(end) => Err(end),
    }
}

async fn move_all(source: &mut impl Source, sink: &mut impl Sink, moved: &Count) -> Result<(), End> {
    loop {
        let read = tokio::select! {
            biased;
            read = source.read() => read.map_err(End::Source)?,
            broken = sink.broken() => return Err(End::Sink(broken)),
        };
        let Some(bytes) = read else { return Ok(()) };
        let length = bytes.len() as u64;
        let mut writing = pin!(sink.write(bytes));
        let broken = tokio::select! {
            biased;
            written = &mut writing => {
                written.map_err(End::Sink)?;
                moved.add(length);
                continue;
            }
            broken = source.attend() => broken,
        };
        // These bytes came before the break: they get a last chance.
        if let Ok(Ok(())) = tokio::time::timeout(LAST_BYTES, writing).await {
            moved.add(length);
        }
        return Err(End::Source(broken));
    }
}

#[cfg(test)]
mod tests;
