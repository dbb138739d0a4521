//! One connected node: hello, snapshot, then live changes for as long as both are there.
//!
//! Several requests may be outstanding; answers carry no number and are matched by order alone, so a session whose node misses a
//! deadline is closed, not continued. A node that refuses a request keeps its session. What to tell is decided by the [`Ledger`].

use std::io;
use std::time::Duration;

use culvert_sys::seqpacket::{Channel, Packet};
use culvert_zds::{MOST_PROBE_PORTS, PACKET_LIMIT};
use tokio::time::{Instant, sleep_until, timeout};
use tracing::{debug, info, warn};

use super::ledger::{Answered, Ledger};
use super::message::{self, Request};
use super::seats::{Seat, Seats};
use super::window::ANSWER_DEADLINE;
use crate::served::Served;
use crate::table::Subscriber;

#[cfg(test)]
mod tests;

/// How long a node may take to introduce itself.
const HELLO_DEADLINE: Duration = Duration::from_secs(5);

/// `sendmsg` when too many descriptors are under way: `ETOOMANYREFS` of `unix(7)`.
const TOO_MANY_UNDER_WAY: i32 = 109;

/// Why a session ended early; always for this node alone.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("the node did not say hello within {} s", HELLO_DEADLINE.as_secs())]
    NoHello,
    #[error("the node did not take and answer `{request}` within {} s", ANSWER_DEADLINE.as_secs())]
    NoAnswer { request: Request },
    #[error("the node closed the connection before it answered `{0}`")]
    Abandoned(Request),
    #[error("the node sent a wrong hello")]
    WrongHello(#[source] culvert_zds::Error),
    #[error("the node sent a wrong answer to `{0}`")]
    WrongAnswer(Request, #[source] culvert_zds::Error),
    #[error("the node sent a packet without being asked")]
    Unasked,
    #[error("the connection to the node is broken")]
    Broken(#[from] io::Error),
}

/// What all sessions share.
#[derive(Debug, Clone)]
pub(crate) struct Common {
    pub(crate) table: Subscriber,
    pub(crate) seats: Seats,
    pub(crate) served: Served,
}

/// A connection after the hello.
struct Session {
    /// Which connection this is, for logs.
    node: u64,
    channel: Channel,
    seat: Seat,
    ledger: Ledger,
    table: Subscriber,
    /// Whether the table has ended: the node is told the rest, and that is all.
    last_words: bool,
}

/// Serves one node until it leaves, or until the table ends and the node knows its last state.
pub(crate) async fn serve(node: u64, channel: Channel, common: Common) -> Result<(), Error> {
    let hello =
        timeout(HELLO_DEADLINE, channel.receive(PACKET_LIMIT)).await.map_err(|_| Error::NoHello)??;
    let Some(hello) = hello else { return Ok(()) };
    message::hello(&hello).map_err(Error::WrongHello)?;
    let Common { table, seats, served } = common;
    let (seat, ledger) = (seats.take(), Ledger::new(served, Instant::now()));
    info!(node, "node connected");
    Session { node, channel, seat, ledger, table, last_words: false }.run().await?;
    info!(node, "node disconnected");
    Ok(())
}

/// What happens next in a session.
enum Event {
    /// What was to be sent was, or could not be.
    Sent(io::Result<()>),
    Came(io::Result<Option<Packet>>),
    /// The table is another one; or it has ended.
    Table(bool),
    /// Somebody else may be the newest, or something may be due.
    Due,
    Late(Error),
}

impl Session {
    async fn run(mut self) -> Result<(), Error> {
        loop {
            let next = self.next();
            if self.last_words && next.is_none() && self.ledger.owes().is_none() {
                return Ok(());
            }
            match self.event(next.as_ref()).await {
                Event::Sent(result) => self.sent(next, result)?,
                Event::Came(result) => match self.came(result)? {
                    Node::Here => {}
                    Node::Gone => return Ok(()),
                },
                Event::Table(goes_on) => self.last_words = !goes_on,
                Event::Due => {}
                Event::Late(error) => return Err(error),
            }
        }
    }

    fn next(&mut self) -> Option<Request> {
        let table = self.table.borrow_and_update();
        // Until the pods are known, the node must not be told that there are none.
        self.ledger.next(table.as_ref()?, self.seat.rank(), Instant::now())
    }

    /// Waits for the next event. Nothing is lost by what does not happen: a packet is sent whole or not at all.
    async fn event(&mut self, next: Option<&Request>) -> Event {
        let now = Instant::now();
        let wake_at = self.ledger.wake_at(self.seat.rank(), now);
        // A node that owes nothing has room for a packet, unless it answers without reading.
        let owed = self.ledger.owes().or_else(|| next.map(|request| (now + ANSWER_DEADLINE, request)));
        tokio::select! {
            biased;
            packet = self.channel.receive(PACKET_LIMIT) => Event::Came(packet),
            result = send(&self.channel, next) => Event::Sent(result),
            changed = self.table.changed(), if !self.last_words => Event::Table(changed.is_ok()),
            () = self.seat.changed() => Event::Due,
            error = expiry(owed) => Event::Late(error),
            () = sleep_until(wake_at.unwrap_or(now)), if wake_at.is_some() => Event::Due,
        }
    }

    fn sent(&mut self, request: Option<Request>, result: io::Result<()>) -> Result<(), Error> {
        let Some(request) = request else { return Ok(()) };
        let now = Instant::now();
        match result {
            Ok(()) => self.ledger.sent(request, now),
            Err(error) if error.raw_os_error() == Some(TOO_MANY_UNDER_WAY) => {
                if self.ledger.hold_descriptors(now) {
                    let node = self.node;
                    warn!(
                        node,
                        "too many descriptors are under way to nodes, waiting; give the agent CAP_SYS_RESOURCE, or a higher \
                         limit of open files"
                    );
                }
            }
            Err(error) => return Err(self.broken(error)),
        }
        Ok(())
    }

    fn came(&mut self, result: io::Result<Option<Packet>>) -> Result<Node, Error> {
        let owed = self.ledger.owes().map(|(_, request)| request.clone());
        match (result, owed) {
            (Ok(Some(packet)), Some(request)) => self.answered(&packet, request).map(|()| Node::Here),
            (Ok(Some(_)), None) => Err(Error::Unasked),
            (Ok(None), Some(request)) => Err(Error::Abandoned(request)),
            (Ok(None), None) => Ok(Node::Gone),
            (Err(error), _) => Err(self.broken(error)),
        }
    }

    fn answered(&mut self, packet: &Packet, request: Request) -> Result<(), Error> {
        let answer = message::answer(packet).map_err(|error| Error::WrongAnswer(request, error))?;
        if let Some(answered) = self.ledger.answered(answer, Instant::now()) {
            self.report(&answered);
        }
        Ok(())
    }

    fn report(&self, Answered { request, refusal, repeated }: &Answered) {
        let node = self.node;
        match refusal {
            None if matches!(request, Request::SnapshotSent) => info!(node, "node has taken its snapshot"),
            None if request.leaves_out() => {
                warn!(node, %request, ports = MOST_PROBE_PORTS, "more ports are probed than nodes can be told of; the highest ones are left out");
            }
            None => debug!(node, %request, "node did as told"),
            Some(reason) => {
                metrics::counter!("culvert_agent_node_refusals_total").increment(1);
                if *repeated {
                    debug!(node, %request, reason = &**reason, "node refused again");
                } else {
                    warn!(node, %request, reason = &**reason, "node refused");
                }
            }
        }
    }

    /// A node that ends with requests unread breaks the connection instead of closing it.
    fn broken(&self, error: io::Error) -> Error {
        let left = [io::ErrorKind::ConnectionReset, io::ErrorKind::BrokenPipe].contains(&error.kind());
        match self.ledger.owes() {
            Some((_, request)) if left => Error::Abandoned(request.clone()),
            Some(_) | None => Error::Broken(error),
        }
    }
}

/// Whether the node is still there.
#[derive(PartialEq, Eq)]
enum Node {
    Here,
    Gone,
}

async fn send(channel: &Channel, request: Option<&Request>) -> io::Result<()> {
    match request {
        Some(request) => channel.send(&request.encode(), request.netns()).await,
        None => std::future::pending().await,
    }
}

/// When the node is late with what it owes.
async fn expiry(owed: Option<(Instant, &Request)>) -> Error {
    match owed {
        Some((deadline, request)) => {
            sleep_until(deadline).await;
            Error::NoAnswer { request: request.clone() }
        }
        None => std::future::pending().await,
    }
}
