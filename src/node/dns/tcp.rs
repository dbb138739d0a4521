//! Queries over TCP: each behind its length, answered in the order in which there are answers (RFC 7766 §7).

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::timeout;

use super::ask::framed;
use super::handler::{Handler, Step};
use super::message::Transport;
use super::others::Wanted;
use crate::capture::Captured;
use crate::drain::Guard;
use crate::tasks::Tasks;

/// Connections of one pod at the same time.
pub(super) const CONNECTIONS: usize = 256;
/// Queries of a connection that may wait for answers; more are not read.
const PIPELINED: usize = 32;
/// How long a client may take for its next query.
const QUERY_DEADLINE: Duration = Duration::from_secs(5);
/// How long a client may take to accept an answer.
const ANSWER_DEADLINE: Duration = Duration::from_secs(5);

/// Serves the connections of one pod.
#[derive(Debug, Clone)]
pub(super) struct Server {
    handler: Arc<Handler>,
    connections: Arc<Semaphore>,
}

impl Server {
    pub(super) fn new(handler: Arc<Handler>) -> Self {
        Self { handler, connections: Arc::new(Semaphore::new(CONNECTIONS)) }
    }

    /// Serves a connection until the client has no more queries, or takes too long, or a drain begins; in each case what was
    /// asked is answered first.
    pub(super) async fn serve(self, captured: Captured, guard: Guard) {
        let client = captured.client;
        let Ok(_place) = self.connections.clone().try_acquire_owned() else {
            tracing::debug!(%client, limit = CONNECTIONS, "too many connections with queries; closing one");
            return;
        };
        // A connection that was not redirected was for nobody else.
        let here = captured.stream.local_addr().ok();
        let wanted = match captured.destination {
            to if here.map(culvert_sys::tcp::canonical) == Some(to) => Wanted::Anybody,
            to => Wanted::Server(to),
        };
        let (reader, writer) = captured.stream.into_split();
        let (answers, queue) = mpsc::channel(PIPELINED);
        let connection = Connection { handler: self.handler, wanted, tasks: Tasks::default(), answers };
        let served = tokio::try_join!(connection.read(reader, guard), write(writer, queue));
        if let Err(error) = served {
            tracing::debug!(%client, %error, "a connection with queries broke");
        }
    }
}

struct Connection {
    handler: Arc<Handler>,
    wanted: Wanted,
    tasks: Tasks,
    answers: mpsc::Sender<Vec<u8>>,
}

impl Connection {
    /// Reads queries and has them answered. Ends when all are.
    async fn read(self, mut reader: OwnedReadHalf, guard: Guard) -> io::Result<()> {
        let room = Arc::new(Semaphore::new(PIPELINED));
        loop {
            let next = async {
                let place = Arc::clone(&room).acquire_owned().await.expect("it is never closed");
                let query = timeout(QUERY_DEADLINE, read_query(&mut reader)).await.ok()??;
                Some((place, query))
            };
            let next = tokio::select! {
                next = next => next,
                () = guard.draining() => None,
            };
            match next {
                Some((place, query)) => self.begin(query, place).await,
                None => break,
            }
        }
        self.tasks.finished().await;
        Ok(())
    }

    async fn begin(&self, query: Vec<u8>, place: OwnedSemaphorePermit) {
        let answers = self.answers.clone();
        match self.handler.begin(query, Transport::Tcp) {
            // Fails when the connection broke; then nothing is read any more.
            Step::Done(Some(answer)) => drop(answers.send(answer).await),
            Step::Done(None) => {}
            Step::Forward(pending) => {
                let (handler, wanted) = (Arc::clone(&self.handler), self.wanted);
                self.tasks.spawn(async move {
                    if let Some(answer) = handler.finish(pending, wanted).await {
                        let _ = answers.send(answer).await;
                    }
                    drop(place);
                });
            }
        }
    }
}

/// The next query; `None` at the end, however it came.
async fn read_query(reader: &mut OwnedReadHalf) -> Option<Vec<u8>> {
    let length = reader.read_u16().await.ok()?;
    let mut query = vec![0; length.into()];
    reader.read_exact(&mut query).await.ok()?;
    Some(query)
}

/// Sends answers until there can be no more.
async fn write(mut writer: OwnedWriteHalf, mut answers: mpsc::Receiver<Vec<u8>>) -> io::Result<()> {
    while let Some(answer) = answers.recv().await {
        timeout(ANSWER_DEADLINE, writer.write_all(&framed(&answer)?)).await??;
    }
    writer.shutdown().await
}
