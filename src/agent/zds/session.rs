//! One connected node: hello, snapshot, then live changes for as long as both are there.
//!
//! Exactly one request is outstanding; answers carry no id and are matched by order alone, so a session whose node
//! misses a deadline is closed, not continued. A node that refuses a request keeps its session.

use std::io;
use std::time::Duration;

use culvert_sys::seqpacket::{Channel, Packet};
use tokio::time::{Instant, sleep_until, timeout};
use tracing::{debug, info, warn};

use super::ledger::{Ledger, snapshot};
use super::message::{self, PACKET_LIMIT, Request};
use super::seats::{Rank, Seat, Seats};
use crate::table::{MOST_PROBE_PORTS, Subscriber};

#[cfg(test)]
mod tests;

/// How long a node may take to introduce itself.
const HELLO_DEADLINE: Duration = Duration::from_secs(5);

/// How long a node may take to read and answer a request.
const ANSWER_DEADLINE: Duration = Duration::from_secs(5);

/// Why a session ended early; always for this node alone.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("the node did not say hello within {} s", HELLO_DEADLINE.as_secs())]
    NoHello,
    #[error("the node did not answer `{request}` within {} s", ANSWER_DEADLINE.as_secs())]
    NoAnswer { request: Request },
    #[error("the node closed the connection before it answered `{0}`")]
    Abandoned(Request),
    #[error("the node sent a wrong hello")]
    WrongHello(#[source] message::Error),
    #[error("the node sent a wrong answer to `{0}`")]
    WrongAnswer(Request, #[source] message::Error),
    #[error("the node sent a packet without being asked")]
    Unasked,
    #[error("the connection to the node is broken")]
    Broken(#[from] io::Error),
}

/// A connection after the hello.
struct Session {
    /// Which connection this is, for logs.
    node: u64,
    channel: Channel,
    seat: Seat,
    ledger: Ledger,
    table: Subscriber,
}

/// Serves one node until it leaves, or until the table ends and the node knows its last state.
pub(crate) async fn serve(
    node: u64,
    channel: Channel,
    table: Subscriber,
    seats: &Seats,
) -> Result<(), Error> {
    let hello =
        timeout(HELLO_DEADLINE, channel.receive(PACKET_LIMIT)).await.map_err(|_| Error::NoHello)??;
    let Some(hello) = hello else { return Ok(()) };
    message::hello(&hello).map_err(Error::WrongHello)?;
    let seat = seats.take();
    info!(node, "node connected");
    Session { node, channel, seat, ledger: Ledger::default(), table }.run().await?;
    info!(node, "node disconnected");
    Ok(())
}

impl Session {
    async fn run(mut self) -> Result<(), Error> {
        if self.send_snapshot().await? == Node::Gone {
            return Ok(());
        }
        loop {
            self.catch_up().await?;
            let retry_at = self.retry_at();
            tokio::select! {
                changed = self.table.changed() => {
                    if changed.is_err() {
                        return Ok(());
                    }
                }
                () = self.seat.changed() => {}
                packet = self.channel.receive(PACKET_LIMIT) => return unasked(packet?.as_ref()),
                () = sleep_until(retry_at.unwrap_or_else(far)), if retry_at.is_some() => {}
            }
        }
    }

    async fn send_snapshot(&mut self) -> Result<Node, Error> {
        let first = tokio::select! {
            first = self.table.wait_for(Option::is_some) => first.ok().and_then(|first| first.clone()),
            packet = self.channel.receive(PACKET_LIMIT) => return unasked(packet?.as_ref()).map(|()| Node::Gone),
        };
        // The agent exits before it knew its pods; the node must not be told that there are none.
        let Some(table) = first else { return Ok(Node::Gone) };
        for request in snapshot(&table) {
            self.tell(request).await?;
        }
        info!(node = self.node, pods = table.len(), "snapshot sent to node");
        Ok(Node::Here)
    }

    /// Tells the node everything it does not know yet.
    async fn catch_up(&mut self) -> Result<(), Error> {
        while let Some(request) = self.next() {
            self.tell(request).await?;
        }
        Ok(())
    }

    fn next(&mut self) -> Option<Request> {
        let table = self.table.borrow_and_update();
        self.ledger.next(table.as_ref()?, self.seat.rank(), Instant::now())
    }

    fn retry_at(&self) -> Option<Instant> {
        match self.seat.rank() {
            Rank::Newest => self.ledger.retry_at(),
            Rank::Older => None,
        }
    }

    /// Sends one request and takes in its answer.
    async fn tell(&mut self, request: Request) -> Result<(), Error> {
        let Ok(packet) = timeout(ANSWER_DEADLINE, exchange(&self.channel, &request)).await else {
            return Err(Error::NoAnswer { request });
        };
        let Some(packet) = packet? else { return Err(Error::Abandoned(request)) };
        let answer = match message::answer(&packet) {
            Ok(answer) => answer,
            Err(error) => return Err(Error::WrongAnswer(request, error)),
        };
        match &answer {
            Ok(()) if request.leaves_out() => {
                warn!(node = self.node, %request, ports = MOST_PROBE_PORTS, "more ports are probed than nodes can be told of; the highest ones are left out");
            }
            Ok(()) => debug!(node = self.node, %request, "node did as told"),
            Err(error) => warn!(node = self.node, %request, error, "node refused"),
        }
        self.ledger.answered(&request, answer, Instant::now());
        Ok(())
    }
}

/// Whether the node is still there after the snapshot.
#[derive(PartialEq, Eq)]
enum Node {
    Here,
    Gone,
}

async fn exchange(channel: &Channel, request: &Request) -> io::Result<Option<Packet>> {
    channel.send(&request.encode(), request.netns()).await?;
    channel.receive(PACKET_LIMIT).await
}

/// Between requests a node has nothing to say; the end of the connection is no error.
fn unasked(packet: Option<&Packet>) -> Result<(), Error> {
    packet.map_or(Ok(()), |_| Err(Error::Unasked))
}

fn far() -> Instant {
    Instant::now() + Duration::from_secs(3600)
}
