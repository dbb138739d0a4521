//! One engine, its application and its buffer.

use std::time::Instant;

use culvert_core::tunnel::http2::{By, Code, Event, Fields, Limits, StreamId, Unopened};
use culvert_core::tunnel::record::Layer;
use culvert_core::tunnel::{BUFFER, Engine, Fault, Settled, State};

use super::track::{Side, Track, Tracks};
use crate::toy::{self, ToyKeys};

pub(super) struct End {
    pub(super) engine: Engine,
    side: Side,
    /// What has come and is no whole record.
    inbox: Vec<u8>,
    buffer: Option<Vec<u8>>,
    is_broken: bool,
    /// Octets of requests that wait to be written.
    asked: usize,
    /// When the other end, which was asked, must have answered.
    answer_due: Option<Instant>,
}

/// Requests that wait count like all frames that wait, of which there may be 256 KiB.
const MOST_ASKED: usize = 128 * 1024;

/// As few records for a key as can be set.
const FEW_RECORDS: u64 = 128;

impl End {
    pub(super) fn new(side: Side, layer: Layer, limits: Limits, now: Instant) -> Self {
        let (up, down) = (toy::secret(1), toy::secret(2));
        let (outgoing, incoming) = if side == Side::Client { (up, down) } else { (down, up) };
        let keys = ToyKeys::endless(&outgoing, &incoming);
        let engine = Engine::new(side.role(), limits, Settled { layer, outgoing, incoming, keys }, now);
        Self { engine, side, inbox: Vec::new(), buffer: None, is_broken: false, asked: 0, answer_due: None }
    }

    pub(super) fn use_keys_up_soon(&mut self) {
        self.engine.limit_records(FEW_RECORDS);
    }

    /// Moves the engine to another process.
    pub(super) fn move_house(&mut self, now: Instant) {
        let (layer, role) = (Layer::Tls13, self.side.role());
        // What takes its place meanwhile is never used.
        let (outgoing, incoming) = (toy::secret(1), toy::secret(1));
        let keys = ToyKeys::endless(&outgoing, &incoming);
        let limits = Limits { streams: 1, stream_window: 1, connection_window: 1, frame: 1, fields: 1 };
        let other = Engine::new(role, limits, Settled { layer, outgoing, incoming, keys }, now);
        let engine = std::mem::replace(&mut self.engine, other);
        let state = engine.export().expect("there are keys without end, or they were not used up");
        let octets = serde_json::to_vec(&state).expect("a state can be written");
        let mut state: State = serde_json::from_slice(&octets).expect("and read");
        let keys = ToyKeys::ahead(&mut state.ahead);
        self.engine = Engine::import(state, keys, now);
        self.answer_due = None;
    }

    pub(super) fn open(&mut self, shape: u8) -> Result<StreamId, Unopened> {
        if self.asked > MOST_ASKED {
            return Err(Unopened::Full);
        }
        let mut fields = Fields::default();
        if shape > 248 {
            let length = usize::from(shape) * 100;
            fields.add(b"x-long", &vec![b'a'; length]);
            self.asked += length;
        }
        self.asked += 100;
        self.engine.open("10.0.0.1:80", &fields)
    }

    pub(super) fn answer(&mut self, track: &mut Track, stream: StreamId, refuses: bool) -> bool {
        if std::mem::replace(&mut track.is_answered, true) {
            return false;
        }
        let status = if refuses { 503 } else { 200 };
        self.engine.answer(stream, status, &Fields::default(), refuses);
        let view = &mut track.views[self.side.index()];
        view.may_speak = true;
        if refuses {
            view.is_known = false;
            view.reset = !track.ways[self.side.other().index()].received_end;
            track.ways[self.side.index()].sent_end = true;
            track.ways[self.side.index()].wanted = 0;
        }
        true
    }

    pub(super) fn reset(&mut self, track: &mut Track, stream: StreamId) {
        let (sends, receives) = (&track.ways[self.side.index()], &track.ways[self.side.other().index()]);
        let view = &mut track.views[self.side.index()];
        view.reset = !(sends.sent_end && receives.received_end);
        view.is_known = false;
        self.engine.reset(stream, Code::CANCEL);
    }

    pub(super) fn consume(&mut self, track: &mut Track, stream: StreamId, share: u8) -> bool {
        let way = &mut track.ways[self.side.other().index()];
        let bytes = (way.held * usize::from(share)).div_ceil(255);
        way.held -= bytes;
        self.engine.consumed(stream, bytes);
        track.forget_when_over(self.side);
        bytes > 0
    }

    /// Says what there is to say, as far as there is room; then says that this was all, if it was.
    pub(super) fn speak(&mut self, track: &mut Track, stream: StreamId) -> bool {
        let view = &track.views[self.side.index()];
        if !view.is_known || !view.may_speak || self.is_broken {
            return false;
        }
        let mut progress = false;
        if track.ways[self.side.index()].wanted > 0 && view.has_room {
            progress = self.fill(track, stream) > 0;
        }
        if track.is_to_be_ended(self.side) {
            self.engine.finish(stream);
            track.ways[self.side.index()].sent_end = true;
            progress = true;
        }
        track.forget_when_over(self.side);
        progress
    }

    fn fill(&mut self, track: &mut Track, stream: StreamId) -> usize {
        let (side, wanted) = (self.side, track.ways[self.side.index()].wanted);
        let window = self.engine.window(stream);
        track.views[side.index()].has_room = window > 0;
        self.lend();
        let most = wanted.min(window).min(self.engine.room());
        if most == 0 {
            return 0;
        }
        let sent = track.ways[side.index()].sent;
        let filled = self.engine.fill(stream, most, |slots| {
            let mut at = sent;
            for octet in slots.iter_mut().flat_map(|slot| slot.iter_mut()).take(most) {
                *octet = track.octet(side, at);
                at += 1;
            }
            Ok(at - sent)
        });
        let filled = filled.expect("the application's bytes are there");
        let way = &mut track.ways[side.index()];
        way.sent += filled;
        way.wanted -= filled;
        filled
    }

    fn lend(&mut self) {
        if self.engine.wants_buffer() {
            self.engine.lend(self.buffer.take().unwrap_or_else(|| vec![0; BUFFER]));
        }
    }

    pub(super) fn write(&mut self, wire: &mut Vec<u8>, most: usize) -> bool {
        let mut left = most;
        while left > 0 && self.engine.has_output() {
            self.lend();
            let Ok(output) = self.engine.output() else { break };
            assert!(!output.is_empty(), "there is output, and none comes");
            let length = output.len().min(left);
            wire.extend_from_slice(&output[..length]);
            self.engine.written(length);
            left -= length;
        }
        self.buffer = self.engine.take_back().or(self.buffer.take());
        if !self.engine.has_output() {
            self.asked = 0;
        }
        left < most
    }

    pub(super) fn ping(&mut self, now: Instant) {
        if self.engine.deadline() != self.answer_due {
            self.engine.on_deadline(now).expect("the other end was not asked before");
            self.answer_due = self.engine.deadline();
        }
    }

    pub(super) fn receive(&mut self, octets: &[u8], now: Instant, tracks: &mut Tracks) -> Result<(), Fault> {
        if self.is_broken {
            return Ok(());
        }
        self.inbox.extend_from_slice(octets);
        let mut events = Vec::new();
        let received = self.engine.receive(now, &mut self.inbox, &mut events);
        for event in events {
            self.event(event, tracks);
        }
        match received {
            Ok(taken) => {
                self.inbox.drain(..taken);
                Ok(())
            }
            Err(fault) => {
                self.is_broken = true;
                self.engine.fail(fault);
                Err(fault)
            }
        }
    }

    fn event(&mut self, event: Event, tracks: &mut Tracks) {
        let side = self.side;
        match event {
            Event::Request { stream, request } => {
                assert_eq!((side, request.authority.as_slice()), (Side::Server, &b"10.0.0.1:80"[..]));
                let view = &mut tracks.get(stream).views[1];
                assert!(!view.is_seen, "stream {stream} is asked for twice");
                (view.is_known, view.is_seen, view.has_room) = (true, true, true);
            }
            Event::Answer { stream, .. } => assert!(tracks.get(stream).is_answered),
            Event::Data { stream, place } => self.data(tracks.get(stream), place),
            Event::End { stream } => {
                let track = tracks.get(stream);
                assert!(track.views[side.index()].is_known);
                track.ways[side.other().index()].received_end = true;
                track.forget_when_over(side);
            }
            Event::Reset { stream, by, .. } => {
                assert_eq!(by, By::Peer, "the other end does nothing wrong");
                let view = &mut tracks.get(stream).views[side.index()];
                (view.is_known, view.saw_reset) = (false, true);
            }
            Event::Refused { stream } => {
                let track = tracks.get(stream);
                assert!(!track.views[1].is_known && !track.is_answered);
                track.views[0].is_known = false;
                track.is_refused = true;
            }
            Event::Room { stream } => {
                let view = &mut tracks.get(stream).views[side.index()];
                assert!(view.is_known);
                view.has_room = true;
            }
            Event::Capacity => {}
        }
    }

    fn data(&self, track: &mut Track, place: std::ops::Range<usize>) {
        let sender = self.side.other();
        assert!(track.views[self.side.index()].is_known, "payload of a stream that is over");
        let at = track.ways[sender.index()].received;
        let right =
            self.inbox[place.clone()].iter().zip(at..).all(|(octet, at)| *octet == track.octet(sender, at));
        assert!(right, "wrong payload");
        let way = &mut track.ways[sender.index()];
        way.received += place.len();
        way.held += place.len();
        assert!(way.received <= way.sent && !way.received_end);
    }
}
