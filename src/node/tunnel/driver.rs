//! The task of a tunnel: the one place where its engine, its socket and the sockets of its connections meet.
//!
//! ```text
//!   wire ──read──▶ engine ──events──▶ legs ──write──▶ applications
//!   wire ◀─write── engine ◀───────── turns ◀──read── applications
//! ```
//! An application's bytes are read to where they are sealed, and written from where they were opened. Reading the wire never
//! waits for an application: what it does not take stays with its [leg](Leg), as much as the stream's window and the pod's share of
//! the memory for that allow. Writing to the wire never waits for reading. So neither direction can hold the other up.
//!
//! In goes an [`Engine`] whose handshake is over, and [orders](super::inbox); out come [`Step`]s, and for every leg one result.

mod attempt;
mod backlog;
mod evidence;
mod gauge;
mod half_closed;
mod leg;
mod legs;
mod lending;
mod orders;
mod parting;
mod remains;
mod steps;
mod turns;
mod wire;

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use culvert_core::tunnel::http2::{Event, Overruns, Request, Role, StreamId};
use culvert_core::tunnel::{Engine, Fault};
use tokio::time::Sleep;

use super::MOST_STREAMS;
use super::inbox::{Inbox, Order, Withdrawn};
use super::socket::Socket;
use crate::ledger::Direction;
use crate::limits::{Account, Limit, Output, hit};
use crate::stats::{self, open::Open};
use crate::stream::Loss;
use crate::tasks::Tasks;
pub(crate) use gauge::{Gauge, TunnelState};
use legs::Legs;
use turns::Turns;
use wire::Wire;

/// One tunnel being driven.
#[derive(Debug)]
pub(super) struct Driver {
    engine: Engine,
    role: Role,
    wire: Wire,
    legs: Legs,
    turns: Turns,
    inbox: Arc<Inbox>,
    gauge: Arc<Gauge>,
    timer: Timer,
    events: Vec<Event>,
    orders: Vec<Order>,
    ready: Vec<usize>,
    offers: Vec<Wish>,
    /// Why it is over, while the last offers are looked at.
    over: Option<Over>,
    /// Legs that end, and bring what is left.
    parting: Tasks,
    /// How often connections are probed of which one direction has ended.
    half_closed_probe: Option<Duration>,
    /// Whose memory it is that takes what applications do not.
    account: Arc<Account>,
    /// Whether it has a large buffer for what it sends.
    output: Output,
    _open: Open,
}

/// What a tunnel is held to.
#[derive(Debug)]
pub(super) struct Terms {
    /// A client's tunnel ends when no stream was open for so long, a server's when none was asked for in that time at all.
    pub(super) idle: Option<Duration>,
    /// How often connections are probed of which one direction has ended.
    pub(super) half_closed_probe: Option<Duration>,
    /// Whose memory it is that takes what applications do not.
    pub(super) account: Arc<Account>,
}

/// What the caller must know.
#[derive(Debug)]
pub(super) enum Step {
    /// The peer asks for streams (server).
    Offers(Vec<Wish>),
    /// The tunnel is over. Its legs are in [`Driver::part`].
    Over(Over),
}

/// A stream the peer asks for.
#[derive(Debug)]
pub(super) struct Wish {
    pub(super) stream: StreamId,
    pub(super) request: Request,
    pub(super) withdrawn: Withdrawn,
}

/// Why a tunnel is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Over {
    /// All is said and done.
    Done,
    /// It was not used for long.
    Unused,
    /// It was told to end at once.
    Cut,
    /// The peer's certificate was revoked.
    Revoked,
    /// The peer closed the connection, or it was lost.
    Lost(Loss),
    /// One end broke the rules.
    Fault(Fault),
}

/// Rounds a task may take before others get a turn: a few milliseconds when each moves a full buffer. Every turn it gives away
/// wakes another thread to look for work.
const ROUNDS: usize = 16;

impl Driver {
    /// `rest` is what has been read behind the handshake.
    pub(super) fn new(
        role: Role,
        (socket, engine, rest): (Socket, Engine, Vec<u8>),
        inbox: Arc<Inbox>,
        Terms { idle, half_closed_probe, account }: Terms,
    ) -> Self {
        let direction = match role {
            Role::Client => Direction::Outbound,
            Role::Server => Direction::Inbound,
        };
        let gauge = Arc::new(Gauge::new());
        let driver = Self {
            _open: stats::open::tunnel(direction),
            engine,
            role,
            wire: Wire::new(socket, rest),
            legs: Legs::default(),
            turns: Turns::default(),
            inbox,
            gauge,
            timer: Timer::new(idle),
            events: Vec::new(),
            orders: Vec::new(),
            ready: Vec::new(),
            offers: Vec::new(),
            over: None,
            parting: Tasks::default(),
            half_closed_probe,
            output: account.output(),
            account,
        };
        driver.show_capacity();
        driver
    }

    pub(super) fn gauge(&self) -> Arc<Gauge> {
        Arc::clone(&self.gauge)
    }

    /// Moves bytes until there is something the caller must know. Cancel safe.
    pub(super) async fn step(&mut self) -> Step {
        std::future::poll_fn(|cx| self.poll_step(cx)).await
    }

    fn poll_step(&mut self, cx: &mut Context<'_>) -> Poll<Step> {
        let step = self.poll_rounds(cx);
        // Whoever waits, gives way to others or has something to tell may not be asked again for long.
        self.rest();
        step
    }

    fn poll_rounds(&mut self, cx: &mut Context<'_>) -> Poll<Step> {
        for _ in 0..ROUNDS {
            if let Some(over) = self.over.take() {
                return Poll::Ready(Step::Over(over));
            }
            let progress = self.round(cx).unwrap_or_else(|over| {
                self.over = Some(over);
                true
            });
            // Also what was asked for with the last bytes was asked for, and is reported.
            if !self.offers.is_empty() {
                return Poll::Ready(Step::Offers(std::mem::take(&mut self.offers)));
            }
            if !progress {
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Does what can be done at once; says whether there may be more.
    fn round(&mut self, cx: &mut Context<'_>) -> Result<bool, Over> {
        let read = self.read_wire(cx);
        // Also what has ended the tunnel counts.
        self.count_overruns();
        let mut progress = read?;
        progress |= self.take_orders(cx)?;
        progress |= self.take_turns()?;
        self.look_at_the_clock(cx)?;
        progress |= self.flush(cx)?;
        self.gauge.has(self.legs.count());
        if self.engine.http2().is_over() && self.legs.is_empty() {
            return Err(Over::Done);
        }
        Ok(progress)
    }

    fn count_overruns(&mut self) {
        let Overruns { streams, fields, of_stream, of_tunnel } = self.engine.take_overruns();
        let hits = [
            (streams, Limit::StreamsOfTunnel),
            (fields, Limit::FieldsOfRequest),
            (of_stream, Limit::BufferedBytesOfStream),
            (of_tunnel, Limit::BufferedBytesOfTunnel),
        ];
        for (times, limit) in hits {
            (0..times).for_each(|_| hit(limit));
        }
    }

    /// Lets go of what was borrowed.
    fn rest(&mut self) {
        self.wire.rest();
        self.take_back_buffer();
    }

    fn look_at_the_clock(&mut self, cx: &mut Context<'_>) -> Result<(), Over> {
        while self.timer.poll(cx, self.engine.deadline(), self.legs.is_empty()).is_ready() {
            let now = Instant::now();
            if self.timer.is_unused(now) {
                return Err(Over::Unused);
            }
            self.engine.on_deadline(now).map_err(Over::Fault)?;
        }
        Ok(())
    }

    /// Tells others how many streams there may be.
    fn show_capacity(&self) {
        let http2 = self.engine.http2();
        let capacity = match self.role {
            Role::Client => http2.capacity(),
            Role::Server => MOST_STREAMS,
        };
        self.gauge.takes(capacity, !http2.takes_streams());
    }
}

/// The one timer of a tunnel. It is set anew only when it would be too late: deadlines that move on are looked at when the
/// one before has passed.
#[derive(Debug)]
struct Timer {
    sleep: Option<Pin<Box<Sleep>>>,
    idle: Option<Duration>,
    unused_since: Option<Instant>,
}

impl Timer {
    fn new(idle: Option<Duration>) -> Self {
        Self { sleep: None, idle, unused_since: None }
    }

    /// Ready when something is due.
    fn poll(&mut self, cx: &mut Context<'_>, deadline: Option<Instant>, unused: bool) -> Poll<()> {
        if !unused {
            self.unused_since = None;
        } else if self.unused_since.is_none() {
            self.unused_since = Some(Instant::now());
        }
        let Some(due) = self.unused_at().into_iter().chain(deadline).min() else { return Poll::Pending };
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(due.into())));
        if sleep.deadline().into_std() > due {
            sleep.as_mut().reset(due.into());
        }
        while sleep.as_mut().poll(cx).is_ready() {
            if Instant::now() >= due {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(due.into());
        }
        Poll::Pending
    }

    /// From now on it does not matter whether it is used.
    fn is_used(&mut self) {
        self.idle = None;
    }

    fn unused_at(&self) -> Option<Instant> {
        Some(self.unused_since? + self.idle?)
    }

    fn is_unused(&self, now: Instant) -> bool {
        self.unused_at().is_some_and(|at| now >= at)
    }
}
