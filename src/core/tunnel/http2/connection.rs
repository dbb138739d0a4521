//! What the caller does with a connection; what the peer does is in [`super::incoming`].

use std::collections::VecDeque;
use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::flood::{Floods, calm};
use super::frame::{self, Head, Kind};
use super::incoming::Parser;
use super::liveness::Liveness;
use super::settings::{self, Settings};
use super::stream::{Stream, Streams};
use super::window::{Sending, Share, Whole};
use super::{Code, Event, Fields, Limits, Overruns, Role, StreamId};
use crate::tunnel::{Fault, hpack};

/// One HTTP/2 connection.
#[derive(Debug, Serialize, Deserialize)]
pub struct Connection {
    pub(super) role: Role,
    pub(super) limits: Limits,
    /// Frames to be sent.
    pub(super) control: Vec<u8>,
    pub(super) parser: Parser,
    pub(super) streams: Streams,
    /// The number of the next stream we open.
    pub(super) next: u32,
    /// The largest number of a stream the peer opened.
    pub(super) highest: u32,
    pub(super) peer: Settings,
    pub(super) sending: Sending,
    pub(super) receiving: Whole,
    pub(super) share: Share,
    /// Streams that wait for the connection's window, those that wait longest first.
    pub(super) starved: VecDeque<u32>,
    pub(super) floods: Floods,
    pub(super) liveness: Liveness,
    pub(super) leaving: Leaving,
    /// The GOAWAY of the peer.
    pub(super) told: Option<Code>,
    /// What the peer wanted beyond the limits, since somebody asked.
    pub(super) overruns: Overruns,
    /// Whether a header block was sent.
    spoken: bool,
    /// Whether the peer goes by our settings: it has acknowledged them.
    pub(super) settled: bool,
}

/// How far we have come with ending the connection (RFC 9113 §6.8).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Leaving {
    /// Streams may be opened.
    No,
    /// The peer was warned; what it has sent meanwhile is still served.
    Warned,
    /// Streams above the last one are not looked at.
    Final {
        /// This one. It is never a later one (RFC 9113 §6.8).
        last: u32,
    },
}

/// Why a stream cannot be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unopened {
    /// The peer takes no more of them at present.
    Full,
    /// The connection takes no new ones at all.
    Leaving,
}

/// The PING whose answer says that the peer has seen our warning.
pub(super) const WARNED: [u8; 8] = *b"draining";
const ALIVE: [u8; 8] = *b"culvert?";

/// Streams a peer is assumed to take before it has said (RFC 9113 §6.5.2 recommends at least as many).
const ASSUMED_STREAMS: u32 = 100;

/// Frames that may wait to be sent because the peer does not read.
pub(super) const MOST_CONTROL: usize = 256 * 1024;

const LAST_ID: u32 = 0x7fff_ffff;

impl Connection {
    /// A new connection; what is to be sent first is in [`Connection::control`].
    #[must_use]
    pub fn new(role: Role, limits: Limits, now: Instant) -> Self {
        let limits = limits.possible();
        let share = Share::new(&limits);
        let mut control = Vec::new();
        put_preface(&mut control, role, &limits, &share);
        Self {
            role,
            limits,
            control,
            parser: Parser::new(role),
            streams: Streams::default(),
            next: 1,
            highest: 0,
            peer: Settings::default(),
            sending: Sending::new(settings::DEFAULT_WINDOW),
            receiving: Whole::new(&limits),
            share,
            starved: VecDeque::new(),
            floods: Floods::new(),
            liveness: Liveness::new(now),
            leaving: Leaving::No,
            told: None,
            overruns: Overruns::default(),
            spoken: false,
            settled: false,
        }
    }

    /// Goes on with a connection that comes from another process.
    pub(in crate::tunnel) fn resume(&mut self, now: Instant) {
        self.liveness.resume(now);
    }

    /// What the peer wanted beyond the limits, and did not get, since this was asked last.
    pub fn take_overruns(&mut self) -> Overruns {
        std::mem::take(&mut self.overruns)
    }

    /// Frames to be sent; the caller takes them out.
    pub fn control(&mut self) -> &mut Vec<u8> {
        &mut self.control
    }

    /// Whether there are none.
    #[must_use]
    pub fn has_no_control(&self) -> bool {
        self.control.is_empty()
    }

    /// Asks the server for a stream (client).
    ///
    /// # Errors
    /// When there is no place for one; nothing has been sent then.
    pub fn open(&mut self, authority: &str, fields: &Fields) -> Result<StreamId, Unopened> {
        if self.leaving != Leaving::No || self.told.is_some() || self.next > LAST_ID {
            return Err(Unopened::Leaving);
        }
        if self.streams.open() >= self.capacity() {
            return Err(Unopened::Full);
        }
        let id = self.next;
        self.next += 2;
        self.streams.insert(id, Stream::new(self.peer.window, self.share.begin()));
        let mut block = self.begin_block();
        hpack::encode_field(&mut block, b":method", b"CONNECT");
        hpack::encode_field(&mut block, b":authority", authority.as_bytes());
        self.put_block(id, block, fields, false);
        Ok(StreamId(id))
    }

    /// Streams that may be open at a time, as far as we know.
    #[must_use]
    pub fn capacity(&self) -> u32 {
        self.peer.streams.unwrap_or(ASSUMED_STREAMS).min(self.limits.streams)
    }

    /// Whether the server takes data of a stream before it has answered the request for it: it said so.
    #[must_use]
    pub fn takes_early_data(&self) -> bool {
        self.peer.early
    }

    /// What the peer said when it said that it takes no more streams (GOAWAY), if it has.
    #[must_use]
    pub fn told(&self) -> Option<Code> {
        self.told
    }

    /// Whether new streams can be asked for.
    #[must_use]
    pub fn takes_streams(&self) -> bool {
        self.leaving == Leaving::No && self.told.is_none() && self.next <= LAST_ID
    }

    /// Answers a request (server). With `end`, that is all there will be.
    pub fn answer(&mut self, stream: StreamId, status: u16, fields: &Fields, end: bool) {
        let Some(found) = self.streams.find_mut(stream.0) else { return };
        found.unanswered = false;
        let complete = found.received_all;
        let mut block = self.begin_block();
        hpack::encode_field(&mut block, b":status", status.to_string().as_bytes());
        self.put_block(stream.0, block, fields, end);
        if end {
            self.streams.sent_all(stream.0);
            if complete {
                self.forget(stream.0);
            } else {
                // The rest of the request is not wanted (RFC 9113 §8.1).
                self.reset(stream, Code::NO_ERROR);
            }
        }
    }

    fn begin_block(&mut self) -> Vec<u8> {
        let mut block = Vec::with_capacity(256);
        if !std::mem::replace(&mut self.spoken, true) {
            // Right whatever size the peer allows, now and later (RFC 7541 §4.2).
            hpack::encode_table_size_0(&mut block);
        }
        block
    }

    fn put_block(&mut self, id: u32, mut block: Vec<u8>, fields: &Fields, end: bool) {
        for (name, value) in fields.iter() {
            hpack::encode_field(&mut block, name, value);
        }
        frame::put_headers(&mut self.control, id, &block, end, self.peer.frame);
    }

    /// How much may be sent on a stream. When it is nothing, an [`Event::Room`] follows once it is more.
    pub fn room(&mut self, stream: StreamId) -> usize {
        let whole = self.sending.room();
        let Some(found) = self.streams.find_mut(stream.0) else { return 0 };
        let room = found.sending.room().min(whole);
        if room == 0 && !found.sent_all {
            found.starved = true;
            // Otherwise its own window is what it waits for.
            if whole == 0 && !std::mem::replace(&mut found.queued, true) {
                self.starved.push_back(stream.0);
            }
        }
        room
    }

    /// The header of a DATA frame with this much payload, which there must be [room](Self::room) for.
    pub fn data(&mut self, stream: StreamId, bytes: usize, end: bool) -> [u8; frame::HEAD] {
        if let Some(found) = self.streams.find_mut(stream.0) {
            found.sending.take(bytes);
            self.sending.take(bytes);
        }
        self.floods.sent_data();
        if end {
            self.streams.sent_all(stream.0);
            self.forget_when_over(stream.0);
        }
        let length = u32::try_from(bytes).expect("a frame is at most a record long");
        let flags = if end { frame::END_STREAM } else { 0 };
        Head { length, kind: Kind::Data, flags, stream: stream.0 }.octets()
    }

    /// Whether the stream can still be sent on.
    #[must_use]
    pub fn is_sending(&self, stream: StreamId) -> bool {
        self.streams.find(stream.0).is_some_and(|stream| !stream.sent_all)
    }

    /// What came and the caller is not done with, on all streams together.
    #[must_use]
    pub fn held(&self) -> u64 {
        self.receiving.held()
    }

    /// The caller is done with this much of what came: the peer may send as much more.
    pub fn consumed(&mut self, stream: StreamId, bytes: usize) {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        let Some(found) = self.streams.find_mut(stream.0) else { return };
        let counted = found.receiving.consume(bytes);
        if !found.received_all && found.receiving.is_due() {
            let growth = self.share.grow(&found.receiving);
            let increment = found.receiving.give(growth);
            frame::put_window_update(&mut self.control, stream.0, increment);
        }
        self.give_back(counted);
        self.forget_when_over(stream.0);
    }

    pub(super) fn give_back(&mut self, bytes: u32) {
        if let Some(increment) = self.receiving.give(bytes) {
            frame::put_window_update(&mut self.control, 0, increment);
        }
    }

    /// Ends a stream before its time. Nothing more is heard of it.
    pub fn reset(&mut self, stream: StreamId, code: Code) {
        let Some(found) = self.streams.find(stream.0) else { return };
        // Both ends know already that a closed stream is over.
        if !(found.sent_all && found.received_all) {
            frame::put_reset(&mut self.control, stream.0, code);
        }
        self.forget(stream.0);
    }

    pub(super) fn forget(&mut self, id: u32) {
        let Some(stream) = self.streams.remove(id) else { return };
        self.share.end(&stream.receiving);
        self.give_back(stream.receiving.held());
        self.floods.gave_up(if stream.received_all { 0 } else { stream.receiving.left() });
        if stream.queued {
            self.starved.retain(|waiting| *waiting != id);
        }
    }

    pub(super) fn forget_when_over(&mut self, id: u32) {
        if self.streams.find(id).is_some_and(Stream::is_over) {
            self.forget(id);
        }
    }

    /// Takes no new streams; those there go on. The server lets the peer know in two steps, so that what is on its way is
    /// not lost (RFC 9113 §6.8); told again, it no longer waits for the peer to say that it knows.
    pub fn leave(&mut self) {
        match (self.leaving, self.role) {
            (Leaving::Final { .. }, _) => {}
            (Leaving::Warned, _) | (Leaving::No, Role::Client) => self.leave_at_once(Code::NO_ERROR),
            (Leaving::No, Role::Server) => {
                self.leaving = Leaving::Warned;
                frame::put_go_away(&mut self.control, LAST_ID, Code::NO_ERROR);
                frame::put_ping(&mut self.control, WARNED, false);
            }
        }
    }

    /// Tells the peer that this is the end.
    pub fn leave_at_once(&mut self, code: Code) {
        let last = if let Leaving::Final { last } = self.leaving { last } else { self.highest };
        self.leaving = Leaving::Final { last };
        frame::put_go_away(&mut self.control, last, code);
    }

    /// Whether all is said and done: no streams, and none to come.
    #[must_use]
    pub fn is_over(&self) -> bool {
        let is_final = matches!(self.leaving, Leaving::Final { .. });
        let none_to_come = is_final || (self.told.is_some() && self.role == Role::Client);
        none_to_come && self.streams.is_empty()
    }

    /// Streams that are open.
    #[must_use]
    pub fn streams(&self) -> u32 {
        self.streams.open()
    }

    /// Whether the peer's SETTINGS have come.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.liveness.has_begun()
    }

    /// Says that a stream was asked for at `now`, so that a peer that has gone is noticed soon.
    pub fn expect(&mut self, now: Instant) {
        self.liveness.expect(now);
    }

    /// Since when the peer owes us a word: a stream was asked for, and nothing at all has come since.
    #[must_use]
    pub fn owes_since(&self) -> Option<Instant> {
        self.liveness.owes_since()
    }

    /// When [`Connection::on_deadline`] wants to be called.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.liveness.deadline()
    }

    /// Does what is due.
    ///
    /// # Errors
    /// When the peer has not been heard of for too long.
    pub fn on_deadline(&mut self, now: Instant) -> Result<(), Fault> {
        if self.liveness.on_deadline(now)? {
            frame::put_ping(&mut self.control, ALIVE, false);
        }
        Ok(())
    }

    /// Takes bytes as they come; events name their places counted from `at`.
    ///
    /// # Errors
    /// When the connection cannot go on. [`Connection::leave_at_once`] tells the peer.
    pub fn receive(
        &mut self,
        now: Instant,
        input: &[u8],
        at: usize,
        events: &mut Vec<Event>,
    ) -> Result<(), Fault> {
        self.liveness.heard(now);
        super::incoming::receive(self, now, super::incoming::Input { bytes: input, at }, events)?;
        if self.control.len() > MOST_CONTROL {
            return Err(calm("it makes us answer and does not read the answers"));
        }
        Ok(())
    }
}

fn put_preface(control: &mut Vec<u8>, role: Role, limits: &Limits, share: &Share) {
    // The table of our decoder is empty: no state to hand over, nothing to leak between streams.
    let mut all = vec![(settings::HEADER_TABLE_SIZE, 0)];
    match role {
        Role::Client => {
            control.extend_from_slice(frame::PREFACE);
            all.push((settings::ENABLE_PUSH, 0));
        }
        Role::Server => {
            all.push((settings::MAX_CONCURRENT_STREAMS, limits.streams));
            all.push((settings::EARLY_DATA, 1));
        }
    }
    all.extend([
        (settings::INITIAL_WINDOW_SIZE, share.initial()),
        (settings::MAX_FRAME_SIZE, limits.frame),
        (settings::MAX_HEADER_LIST_SIZE, limits.fields),
    ]);
    frame::put_settings(control, &all);
    let more = limits.connection_window.saturating_sub(settings::DEFAULT_WINDOW);
    if more > 0 {
        frame::put_window_update(control, 0, more);
    }
}
