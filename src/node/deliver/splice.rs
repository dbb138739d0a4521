//! Moves bytes both ways between two streams until both directions have ended, or one broke.
//!
//! An end in one direction is passed on and the other direction keeps running (half-close). A break ends both
//! directions at once and resets whatever side has not broken itself, so that truncated data never looks complete.

use std::sync::atomic::{AtomicU64, Ordering};

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

/// Moves bytes between the connecting side (`client`) and the accepting side (`server`).
///
/// # Errors
/// Who broke the connection, and how.
async fn splice<A: Source, B: Sink, C: Source, D: Sink>(
    client: &mut (A, B),
    server: &mut (C, D),
    moved: &Moved,
) -> Result<(), Early> {
    let (from_client, to_client) = client;
    let (from_server, to_server) = server;
    let forth = pump(from_client, to_server, &moved.forth);
    let back = pump(from_server, to_client, &moved.back);
    tokio::try_join!(
        async { forth.await.map_err(|side| side.early(Early::Client, Early::Server)) },
        async { back.await.map_err(|side| side.early(Early::Server, Early::Client)) },
    )?;
    Ok(())
}

/// As [`splice`], but `stop` may end it early with a break on both sides.
pub(crate) async fn spliced_until<A: Source, B: Sink, C: Source, D: Sink, E>(
    mut client: (A, B),
    mut server: (C, D),
    moved: &Moved,
    stop: impl Future<Output = E> + Send,
) -> Result<(), Ended<E>> {
    let result = tokio::select! {
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
async fn pump(source: &mut impl Source, sink: &mut impl Sink, moved: &Count) -> Result<(), End> {
    match move_all(source, sink, moved).await {
        Err(End::Sink(Broken::Stopped)) => Ok(()),
        settled => settled,
    }
}

async fn move_all(source: &mut impl Source, sink: &mut impl Sink, moved: &Count) -> Result<(), End> {
    loop {
        let read = tokio::select! {
            biased;
            read = source.read() => read.map_err(End::Source)?,
            broken = sink.broken() => return Err(End::Sink(broken)),
        };
        let Some(bytes) = read else { break };
        let length = bytes.len() as u64;
        sink.write(bytes).await.map_err(End::Sink)?;
        moved.add(length);
    }
    sink.finish().await.map_err(End::Sink)
}

#[cfg(test)]
mod tests;
