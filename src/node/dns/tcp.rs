//! Queries over TCP: each behind its length, answered in the order in which there are answers (RFC 7766 §7).
//!
//! Clients that ask and do not read must not fill the memory of the node. So the messages of a pod share some, a connection has
//! only few of them, and an answer that nobody takes is not kept for long.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::{Instant, timeout, timeout_at};

use super::ask::framed;
use super::handler::{Handler, Step};
use super::message::Transport;
use super::others::Wanted;
use crate::capture::Captured;
use crate::drain::Guard;
use crate::limits::Limit;
use crate::tasks::Tasks;

/// Queries of a connection that may wait for answers, or whose answers may wait to be read; more are not read.
const PIPELINED: usize = 8;
/// Memory of one pod for queries that wait for answers, and answers that wait to be read, in KiB.
const MEMORY: usize = 4096;
/// How long a client may take for its next query.
const QUERY_DEADLINE: Duration = Duration::from_secs(5);
/// How long a client may take to accept an answer, from when it is there.
const ANSWER_DEADLINE: Duration = Duration::from_secs(5);

/// Serves the connections of one pod.
#[derive(Debug, Clone)]
pub(super) struct Server {
    handler: Arc<Handler>,
    memory: Memory,
}

impl Server {
    pub(super) fn new(handler: Arc<Handler>) -> Self {
        Self { handler, memory: Memory::of(MEMORY) }
    }

    /// Serves a connection until the client has no more queries, or takes too long, or a drain begins; in each case what was
    /// asked is answered first.
    pub(super) async fn serve(self, captured: Captured, guard: Guard) {
        let client = captured.client;
        let Ok(_place) = self.handler.others.limits.take(Limit::DnsConnections) else { return };
        // A connection that was not redirected was for nobody else.
        let here = captured.stream.local_addr().ok();
        let wanted = match captured.destination {
            to if here.map(culvert_sys::tcp::canonical) == Some(to) => Wanted::Anybody,
            to => Wanted::Server(to),
        };
        let (reader, writer) = captured.stream.into_split();
        let (answers, queue) = mpsc::channel(PIPELINED);
        let (handler, memory) = (self.handler, self.memory);
        let connection = Connection { handler, wanted, tasks: Tasks::default(), memory, answers };
        let served = tokio::try_join!(connection.read(reader, guard), write(writer, queue));
        if let Err(error) = served {
            tracing::debug!(%client, %error, "a connection with queries broke");
        }
    }
}

/// Memory for messages, counted in KiB.
#[derive(Debug, Clone)]
struct Memory(Arc<Semaphore>);

impl Memory {
    fn of(kib: usize) -> Self {
        Self(Arc::new(Semaphore::new(kib)))
    }

    /// Waits for memory, for a message that is not there yet.
    async fn wait(&self, bytes: u16) -> OwnedSemaphorePermit {
        let memory = Arc::clone(&self.0).acquire_many_owned(kib(bytes.into())).await;
        memory.expect("it is never closed")
    }

    /// Takes memory for a message that is there. To wait with it would be to keep it.
    fn take(&self, bytes: usize) -> io::Result<OwnedSemaphorePermit> {
        let none = |_| io::Error::other("too many answers for this pod wait to be read");
        Arc::clone(&self.0).try_acquire_many_owned(kib(bytes)).map_err(none)
    }
}

fn kib(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(1024)).unwrap_or(u32::MAX)
}

struct Connection {
    handler: Arc<Handler>,
    wanted: Wanted,
    tasks: Tasks,
    memory: Memory,
    /// An error ends the connection.
    answers: mpsc::Sender<io::Result<Answer>>,
}

/// A query that was read.
struct Asked {
    query: Vec<u8>,
    memory: OwnedSemaphorePermit,
    /// Its place among those of the connection.
    place: OwnedSemaphorePermit,
}

/// An answer that waits to be read by the client.
struct Answer {
    framed: Vec<u8>,
    until: Instant,
    _memory: OwnedSemaphorePermit,
    _place: OwnedSemaphorePermit,
}

impl Answer {
    fn new(message: &[u8], memory: &Memory, place: OwnedSemaphorePermit) -> io::Result<Self> {
        let memory = memory.take(message.len())?;
        let until = Instant::now() + ANSWER_DEADLINE;
        Ok(Self { framed: framed(message)?, until, _memory: memory, _place: place })
    }
}

impl Connection {
    /// Reads queries and has them answered. Ends when all are.
    async fn read(self, mut reader: OwnedReadHalf, guard: Guard) -> io::Result<()> {
        let room = Arc::new(Semaphore::new(PIPELINED));
        loop {
            let next = async {
                let place = Arc::clone(&room).acquire_owned().await.expect("it is never closed");
                timeout(QUERY_DEADLINE, self.read_query(&mut reader, place)).await.ok()?
            };
            let next = tokio::select! {
                next = next => next,
                () = guard.draining() => None,
            };
            match next {
                Some(asked) => self.begin(asked).await,
                None => break,
            }
        }
        self.tasks.finished().await;
        Ok(())
    }

    /// The next query; `None` at the end, however it came.
    async fn read_query(&self, reader: &mut OwnedReadHalf, place: OwnedSemaphorePermit) -> Option<Asked> {
        let length = reader.read_u16().await.ok()?;
        let memory = self.memory.wait(length).await;
        let mut query = vec![0; length.into()];
        reader.read_exact(&mut query).await.ok()?;
        Some(Asked { query, memory, place })
    }

    async fn begin(&self, asked: Asked) {
        let Asked { query, memory: of_query, place } = asked;
        let (answers, memory) = (self.answers.clone(), self.memory.clone());
        match self.handler.begin(query, Transport::Tcp) {
            Step::Done(None) => {}
            Step::Done(Some(answer)) => {
                drop(of_query);
                // Fails when the connection broke; then nothing is read any more.
                let _ = answers.send(Answer::new(&answer, &memory, place)).await;
            }
            Step::Forward(pending) => {
                let (handler, wanted) = (Arc::clone(&self.handler), self.wanted);
                self.tasks.spawn(async move {
                    let answer = handler.finish(pending, wanted).await;
                    drop(of_query);
                    if let Some(answer) = answer {
                        let answer = Answer::new(&answer, &memory, place);
                        let _ = answers.send(answer).await;
                    }
                });
            }
        }
    }
}

/// Sends answers until there can be no more.
async fn write(
    mut writer: OwnedWriteHalf,
    mut answers: mpsc::Receiver<io::Result<Answer>>,
) -> io::Result<()> {
    while let Some(answer) = answers.recv().await {
        let answer = answer?;
        timeout_at(answer.until, writer.write_all(&answer.framed)).await??;
    }
    writer.shutdown().await
}

#[cfg(test)]
mod tests;
