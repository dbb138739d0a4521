//! One tunnel: records around HTTP/2.

use std::io;
use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::Fault;
use super::http2::{Code, Connection, Event, Fields, Limits, Overruns, Role, StreamId, Unopened};
use super::outbox::{Outbox, Sealing, Slots};
use super::record::{Ahead, Alert, Direction, Incoming, Keys, Layer, Opened, Outgoing, Secret};

/// What a handshake has settled.
pub struct Settled {
    /// The version of the records.
    pub layer: Layer,
    /// For what we send.
    pub outgoing: Secret,
    /// For what the peer sends.
    pub incoming: Secret,
    /// The keys after these.
    pub keys: Box<dyn Keys>,
}

/// A tunnel, from the first byte after the handshake. It is driven by whoever has the sockets:
///
/// - bytes from the wire go into [`receive`](Self::receive), which says what they mean;
/// - an application's bytes are read by [`fill`](Self::fill) straight to where they are sealed;
/// - [`output`](Self::output) is to be written to the wire, and [`written`](Self::written) says how much was;
/// - [`on_deadline`](Self::on_deadline) is called at [`deadline`](Self::deadline).
pub struct Engine {
    http2: Connection,
    outgoing: Outgoing,
    incoming: Incoming,
    keys: Box<dyn Keys>,
    /// What goes before the records sealed here.
    inherited: Vec<u8>,
    outbox: Outbox,
    /// The last records: after them nothing is sent.
    farewell: Vec<u8>,
    closed: bool,
    /// The peer sends no more.
    ended: bool,
}

/// Everything another process needs to go on with a tunnel: secrets, windows, streams, and bytes on their way. Times are not
/// part of it; deadlines begin anew.
#[derive(Debug, Serialize, Deserialize)]
pub struct State {
    http2: Connection,
    layer: Layer,
    outgoing: Secret,
    incoming: Secret,
    /// The peer asked for our next key.
    asked: bool,
    /// The keys after these, as many as there will be.
    pub ahead: Ahead,
    handshake: Vec<u8>,
    unsent: Vec<u8>,
    ended: bool,
    closed: bool,
}

/// Octets kept for small frames once they are sent.
const MOST_KEPT: usize = 4096;

/// Key changes a tunnel can go through after it has moved to another process: at 2^24 records each, some terabytes.
const GENERATIONS: usize = 16;

impl Engine {
    /// Begins HTTP/2 on what a handshake has settled.
    #[must_use]
    pub fn new(role: Role, limits: Limits, settled: Settled, now: Instant) -> Self {
        let Settled { layer, outgoing, incoming, keys } = settled;
        Self {
            http2: Connection::new(role, limits, now),
            outgoing: Outgoing::new(layer, outgoing, &*keys),
            incoming: Incoming::new(layer, incoming, &*keys),
            keys,
            inherited: Vec::new(),
            outbox: Outbox::default(),
            farewell: Vec::new(),
            closed: false,
            ended: false,
        }
    }

    /// Has every key protect at most this many records, far fewer than it could.
    pub fn limit_records(&mut self, records: u64) {
        self.outgoing.limit(records);
    }

    /// Has these octets written before all others: the last flight of a handshake.
    pub fn send_first(&mut self, octets: Vec<u8>) {
        self.inherited = octets;
    }

    /// The streams.
    #[must_use]
    pub fn http2(&self) -> &Connection {
        &self.http2
    }

    /// Opens the whole records in `input`, in place, and tells what they mean; events name places in `input`. Returns how much
    /// of it is done with: the rest is the beginning of a record, to be given again with what follows.
    ///
    /// # Errors
    /// When the tunnel cannot go on. What happened before is in `events`; [`fail`](Self::fail) tells the peer.
    pub fn receive(
        &mut self,
        now: Instant,
        input: &mut [u8],
        events: &mut Vec<Event>,
    ) -> Result<usize, Fault> {
        let mut at = 0;
        while !self.ended
            && let Some(length) = self.incoming.length(&input[at..])?
            && let Some(record) = input.get_mut(at..at + length)
        {
            match self.incoming.open(record, &mut *self.keys)? {
                Opened::Data(place) => {
                    let start = at + place.start;
                    self.http2.receive(now, &input[start..at + place.end], start, events)?;
                }
                Opened::Nothing => {}
                Opened::WantsUpdate => self.outgoing.ask(),
                Opened::End => self.ended = true,
            }
            at += length;
        }
        Ok(at)
    }

    /// Whether the peer has said that it sends no more.
    #[must_use]
    pub fn is_ended(&self) -> bool {
        self.ended
    }

    /// Asks the server for a stream (client); see [`Connection::open`].
    ///
    /// # Errors
    /// When there is no place for one.
    pub fn open(&mut self, authority: &str, fields: &Fields) -> Result<StreamId, Unopened> {
        self.http2.open(authority, fields)
    }

    /// Says that a stream was asked for at `now`; see [`Connection::expect`].
    pub fn expect(&mut self, now: Instant) {
        self.http2.expect(now);
    }

    /// Answers a request (server); with `end`, that is all there will be.
    pub fn answer(&mut self, stream: StreamId, status: u16, fields: &Fields, end: bool) {
        self.http2.answer(stream, status, fields, end);
    }

    /// Ends a stream before its time.
    pub fn reset(&mut self, stream: StreamId, code: Code) {
        self.http2.reset(stream, code);
    }

    /// The caller is done with this much of what came on a stream.
    pub fn consumed(&mut self, stream: StreamId, bytes: usize) {
        self.http2.consumed(stream, bytes);
    }

    /// How much of a stream could be sent now, as far as windows go; [`Event::Room`] follows when it is nothing.
    pub fn window(&mut self, stream: StreamId) -> usize {
        self.http2.room(stream)
    }

    /// How much payload there is room for before output must be written. What was to be sent before is put in its place first, so
    /// this is asked before every [`fill`](Self::fill).
    pub fn room(&mut self) -> usize {
        // A fault shows when output is asked for.
        let settled = self.settle().is_ok() && self.http2.has_no_control();
        if !settled || self.closed || self.outgoing.wants_update() {
            return 0;
        }
        self.outbox.room(self.outgoing.layer())
    }

    /// Has `read` put up to `most` octets of a stream to where they are sealed; returns how much it put there. `most` is not
    /// more than the stream's [window](Self::window); it may be less than there is [room](Self::room) for.
    ///
    /// # Errors
    /// What `read` returns.
    pub fn fill(
        &mut self,
        stream: StreamId,
        most: usize,
        read: impl FnOnce(Slots<'_, '_>) -> io::Result<usize>,
    ) -> io::Result<usize> {
        debug_assert!(self.http2.has_no_control(), "frames go out in the order they were made in");
        let mut sealing = Sealing { outgoing: &mut self.outgoing, keys: &mut *self.keys };
        self.outbox.fill(&mut sealing, &mut self.http2, (stream, most), read)
    }

    /// Says that a stream has been sent whole (END_STREAM).
    pub fn finish(&mut self, stream: StreamId) {
        if self.http2.is_sending(stream) {
            let head = self.http2.data(stream, 0, true);
            self.http2.control().extend_from_slice(&head);
        }
    }

    /// What the peer wanted beyond the limits, and did not get, since this was asked last.
    pub fn take_overruns(&mut self) -> Overruns {
        self.http2.take_overruns()
    }

    /// Takes no new streams; those there go on.
    pub fn leave(&mut self) {
        self.http2.leave();
    }

    /// Puts what is due into records and returns what is to be written.
    ///
    /// # Errors
    /// When the keys are used up.
    pub fn output(&mut self) -> Result<&[u8], Fault> {
        self.settle()?;
        self.outbox.seal(&mut self.outgoing);
        Ok(self.sealed())
    }

    fn sealed(&self) -> &[u8] {
        let parts = [&self.inherited, self.outbox.pending(), &self.farewell];
        parts.into_iter().find(|part| !part.is_empty()).unwrap_or_default()
    }

    /// Puts small frames into the open record, and changes keys when it is time.
    ///
    /// # Errors
    /// When the keys are used up.
    pub fn settle(&mut self) -> Result<(), Fault> {
        if self.closed || !self.outbox.has_buffer() {
            return Ok(());
        }
        let mut sealing = Sealing { outgoing: &mut self.outgoing, keys: &mut *self.keys };
        self.outbox.update_keys(&mut sealing)?;
        let control = self.http2.control();
        if !control.is_empty() {
            let put = self.outbox.put(&mut sealing, control)?;
            control.drain(..put);
            if control.is_empty() && control.capacity() > MOST_KEPT {
                *control = Vec::new();
            }
        }
        Ok(())
    }

    /// Notes that this much of the output was written.
    pub fn written(&mut self, bytes: usize) {
        if !self.inherited.is_empty() {
            self.inherited.drain(..bytes);
        } else if !self.outbox.pending().is_empty() {
            self.outbox.advance(bytes);
        } else {
            self.farewell.drain(..bytes);
        }
    }

    /// Whether there is anything to be written.
    #[must_use]
    pub fn has_output(&self) -> bool {
        let due = !self.http2.has_no_control() || self.outgoing.wants_update();
        !self.sealed().is_empty() || !self.outbox.is_empty() || (due && !self.closed)
    }

    /// Whether a buffer must be lent before anything can be sent.
    #[must_use]
    pub fn wants_buffer(&self) -> bool {
        !self.outbox.has_buffer()
    }

    /// Lends a buffer of at least [`SMALL_BUFFER`](super::SMALL_BUFFER) octets; with [`BUFFER`](super::BUFFER) much goes at a time.
    pub fn lend(&mut self, buffer: Vec<u8>) {
        self.outbox.lend(buffer);
    }

    /// Octets of the buffer that is lent: the most that there could be [room](Self::room) for.
    #[must_use]
    pub fn lent(&self) -> usize {
        self.outbox.lent()
    }

    /// Gives the buffer back when it is not needed.
    pub fn take_back(&mut self) -> Option<Vec<u8>> {
        self.outbox.take_back()
    }

    /// Ends the tunnel in order: nothing can be sent after what is there.
    pub fn close(&mut self) {
        self.say_farewell(Some(Code::NO_ERROR), Alert::CLOSE_NOTIFY);
    }

    /// Ends the tunnel because of a fault, and tells the peer as much as it should know.
    pub fn fail(&mut self, fault: Fault) {
        let alert = if let Fault::Tls { alert, .. } = fault { alert } else { Alert::CLOSE_NOTIFY };
        self.say_farewell(fault.code(), alert);
    }

    fn say_farewell(&mut self, code: Option<Code>, alert: Alert) {
        if std::mem::replace(&mut self.closed, true) {
            return;
        }
        if let Some(code) = code {
            self.http2.leave_at_once(code);
        }
        self.outbox.seal(&mut self.outgoing);
        let frames = std::mem::take(self.http2.control());
        for frames in frames.chunks(super::record::MOST_PLAIN) {
            self.farewell.extend(self.outgoing.application(frames));
        }
        self.farewell.extend(self.outgoing.alert(alert));
    }

    /// When [`on_deadline`](Self::on_deadline) wants to be called.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.http2.deadline()
    }

    /// Does what is due.
    ///
    /// # Errors
    /// When the peer has not been heard of for too long.
    pub fn on_deadline(&mut self, now: Instant) -> Result<(), Fault> {
        self.http2.on_deadline(now)
    }

    /// Ends this engine and gives away all that another one needs to go on.
    ///
    /// # Errors
    /// When the keys are used up.
    pub fn export(mut self) -> Result<State, Fault> {
        self.settle()?;
        self.outbox.seal(&mut self.outgoing);
        let mut unsent = self.inherited;
        unsent.extend_from_slice(self.outbox.pending());
        unsent.append(&mut self.farewell);
        let layer = self.outgoing.layer();
        let mut next =
            |direction| std::iter::from_fn(|| self.keys.next(direction)).take(GENERATIONS).collect();
        let ahead = Ahead { outgoing: next(Direction::Out), incoming: next(Direction::In) };
        let (incoming, handshake) = self.incoming.into_parts();
        let (outgoing, asked) = self.outgoing.into_parts();
        let (ended, closed) = (self.ended, self.closed);
        Ok(State {
            http2: self.http2,
            layer,
            outgoing,
            incoming,
            asked,
            ahead,
            handshake,
            unsent,
            ended,
            closed,
        })
    }

    /// Goes on where another engine stopped; `keys` are made of [`State::ahead`].
    #[must_use]
    pub fn import(state: State, keys: Box<dyn Keys>, now: Instant) -> Self {
        let State { mut http2, layer, outgoing, incoming, asked, handshake, unsent, ended, closed, .. } =
            state;
        http2.resume(now);
        let mut outgoing = Outgoing::new(layer, outgoing, &*keys);
        if asked {
            outgoing.ask();
        }
        let mut incoming = Incoming::new(layer, incoming, &*keys);
        incoming.resume(&handshake);
        Self {
            http2,
            outgoing,
            incoming,
            keys,
            inherited: unsent,
            outbox: Outbox::default(),
            farewell: Vec::new(),
            closed,
            ended,
        }
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("http2", &self.http2).finish_non_exhaustive()
    }
}
