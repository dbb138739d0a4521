//! Our end: a [`Connection`] on one side of a pipe, driven turn by turn as its plan says.
//!
//! Reads and writes come in pieces of any size, at any moment. A leg sends only while it knows of room, so a missing
//! `Event::Room` stops the case for good.

mod events;
mod leg;
mod pipe;

use std::collections::{BTreeMap, VecDeque};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use culvert_core::tunnel::http2::{Code, Connection, Fields, Role, StreamId, Unopened};
use rand::RngExt;
use rand::rngs::SmallRng;
use tokio::io::DuplexStream;

use crate::plan::{End, Plan, authority};
use crate::report::Report;
use leg::Leg;

/// One connection being driven.
#[derive(Debug)]
pub(crate) struct Ours {
    plan: Rc<Plan>,
    http2: Connection,
    io: DuplexStream,
    random: SmallRng,
    legs: BTreeMap<StreamId, Leg>,
    /// Scripts whose stream is yet to be asked for (client).
    waiting: VecDeque<usize>,
    reports: Vec<Report>,
    out: Vec<u8>,
    clock: Clock,
    turns: u32,
    /// Turns until the pipe is looked at again.
    read_rest: u32,
    write_rest: u32,
    /// Whether asking for a stream makes sense.
    may_open: bool,
    leaving: bool,
    ended: Ended,
}

/// The time we tell the connection, which runs on as we like.
#[derive(Debug)]
struct Clock {
    now: Instant,
    /// The connection has sent a PING, and nothing has come since.
    asked: bool,
}

/// What is over.
#[derive(Debug, Default)]
struct Ended {
    /// Nothing more is sent.
    writing: bool,
    /// The pipe is shut, or nobody is at its other end.
    shut: bool,
    /// All that is to come has come.
    reading: bool,
}

/// Octets to be sent beyond which no payload is added.
const MOST_OUT: usize = 48 * 1024;

impl Ours {
    pub(crate) fn new(plan: Rc<Plan>, io: DuplexStream) -> Self {
        let now = tokio::time::Instant::now().into_std();
        let waiting = match plan.role {
            Role::Client => (0..plan.scripts.len()).collect(),
            Role::Server => VecDeque::new(),
        };
        Self {
            http2: Connection::new(plan.role, plan.limits, now),
            io,
            random: plan.chance(1),
            legs: BTreeMap::new(),
            waiting,
            reports: vec![Report::default(); plan.scripts.len()],
            out: Vec::new(),
            clock: Clock { now, asked: false },
            turns: 0,
            read_rest: 0,
            write_rest: 0,
            may_open: true,
            leaving: false,
            ended: Ended::default(),
            plan,
        }
    }

    /// Takes turns until the connection is over.
    pub(crate) async fn run(mut self) -> Result<Vec<Report>, String> {
        poll_fn(|cx| self.turn(cx)).await?;
        if !self.plan.is_cut() {
            self.check_nothing_is_left()?;
        }
        Ok(self.reports)
    }

    fn check_nothing_is_left(&self) -> Result<(), String> {
        let left = (self.legs.len(), self.http2.streams(), self.waiting.len());
        if left != (0, 0, 0) {
            return Err(format!("(legs, streams, waiting) at the end: {left:?}"));
        }
        // A server is over when its warning is answered, which a client that has nothing to ask for need not do.
        if self.plan.role == Role::Client && !self.http2.is_over() {
            return Err("it is not over".to_owned());
        }
        Ok(())
    }

    fn turn(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), String>> {
        self.turns += 1;
        let mut progress = self.read(cx)?;
        progress |= self.time()?;
        progress |= self.leave();
        progress |= self.open();
        progress |= self.act();
        progress |= self.write(cx)?;
        if self.ended.reading && !progress {
            return Poll::Ready(Ok(()));
        }
        if progress {
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }

    fn time(&mut self) -> Result<bool, String> {
        if !self.http2.has_begun() || self.clock.asked || !self.random.random_ratio(1, 100) {
            return Ok(false);
        }
        match self.http2.deadline() {
            Some(deadline) if self.random.random() => {
                self.clock.now = deadline;
                self.clock.asked = true;
                self.http2.on_deadline(deadline).map_err(|fault| fault.to_string())?;
            }
            _ => self.clock.now += Duration::from_millis(5),
        }
        Ok(true)
    }

    fn leave(&mut self) -> bool {
        let Some(leave) = self.plan.leave else { return false };
        if leave.by != End::Ours || self.leaving {
            return false;
        }
        if self.turns >= leave.after {
            self.leaving = true;
            match leave.code {
                None => self.http2.leave(),
                Some(code) => {
                    self.http2.leave_at_once(Code(code));
                    self.ended.writing = true;
                }
            }
        }
        true
    }

    fn open(&mut self) -> bool {
        let mut progress = false;
        if self.ended.writing {
            return false;
        }
        while self.may_open && self.random.random_ratio(2, 3) {
            let Some(&index) = self.waiting.front() else { break };
            let script = &self.plan.scripts[index];
            let mut fields = Fields::default();
            for (name, value) in &script.fields {
                fields.add(name.as_bytes(), value.as_bytes());
            }
            match self.http2.open(&authority(index), &fields) {
                Ok(stream) => {
                    self.waiting.pop_front();
                    let leg = Leg::new(index, Role::Client, self.http2.has_begun());
                    self.legs.insert(stream, leg);
                    let refused = self.reports[index].refused;
                    self.reports[index] = Report { opened: true, refused, ..Report::default() };
                }
                Err(Unopened::Full) => self.may_open = false,
                Err(Unopened::Leaving) => self.waiting.clear(),
            }
            progress = true;
        }
        progress || (self.may_open && !self.waiting.is_empty())
    }

    /// Everybody on this end is done.
    fn is_done(&self) -> bool {
        self.plan.role == Role::Client && self.waiting.is_empty() && self.legs.is_empty()
    }
}
