//! One HTTP/2 connection whose peer says whatever the fuzzer makes up, while its application does what it likes.
//!
//! Whatever happens: no panic; events make sense one after another; what we send is frames; windows are neither exceeded nor
//! lost; nothing grows beyond the limits.

mod model;

use culvert_core::tunnel::hpack;
use culvert_core::tunnel::http2::{Code, Connection, Fields, Limits, Role, StreamId};

use crate::frames::{self, Head, PREFACE};
use crate::input::{Clock, Input, pieces};
use crate::memory::Bound;
use model::Model;

/// The first bytes are limits, then come choices.
pub fn run(role: Role, data: &[u8]) {
    let mut input = Input::new(data);
    let limits = Limits {
        streams: input.one(&[1, 3, 10, 30]),
        stream_window: input.one(&[4_096, 20_000, 65_535, 1 << 20]),
        connection_window: input.one(&[65_535, 70_000, 200_000, 1 << 20]),
        frame: input.one(&[16_384, 16_385, 40_000]),
        fields: input.one(&[64, 1_024, 16_384]),
    };
    let mut scene = Scene::new(role, limits);
    while let Some(choice) = input.next() {
        if scene.step(choice, &mut input).is_none() {
            return;
        }
    }
}

/// A connection, its peer and its application.
struct Scene {
    http2: Connection,
    limits: Limits,
    role: Role,
    clock: Clock,
    model: Model,
    bound: Bound,
    /// What the peer has not read of what we send.
    read: usize,
}

/// Frames that may wait to be sent: what a connection allows, and what one piece of input may add.
const MOST_CONTROL: usize = (256 + 192) * 1024;

impl Scene {
    fn new(role: Role, limits: Limits) -> Self {
        let clock = Clock::new();
        // Control frames twice, as a vector grows; header blocks, their fields and their events; streams.
        let most = 3 * MOST_CONTROL + 24 * limits.fields as usize + 4 * limits.frame as usize + (1 << 20);
        let bound = Bound::new(most);
        let http2 = Connection::new(role, limits, clock.now);
        let mut scene = Self { http2, limits, role, clock, model: Model::new(role, limits), bound, read: 0 };
        scene.look();
        scene
    }

    /// `None` when the connection is over.
    fn step(&mut self, choice: u8, input: &mut Input<'_>) -> Option<()> {
        match choice % 16 {
            0 | 1 => {
                let (length, cut) = (input.byte(), input.byte());
                self.come(input.take(length.into()), cut)?;
            }
            2..=5 => {
                let octets = frame(input);
                self.come(&octets, input.byte())?;
            }
            6 | 7 => {
                let octets = self.headers(input);
                self.come(&octets, input.byte())?;
            }
            8 => self.come(&preface(self.role, input), 0)?,
            9..=12 => self.act(input),
            13 => self.open(input),
            14 => self.pass_time(input)?,
            _ => self.peer_reads(),
        }
        self.look();
        Some(())
    }

    fn come(&mut self, octets: &[u8], cut: u8) -> Option<()> {
        let mut events = Vec::new();
        for piece in pieces(octets, cut) {
            let received = self.http2.receive(self.clock.now, piece, 3, &mut events);
            self.model.came(piece);
            for event in events.drain(..) {
                self.model.event(event, 3..3 + piece.len());
            }
            if let Err(fault) = received {
                self.http2.leave_at_once(fault.code().unwrap_or(Code::NO_ERROR));
                self.model.is_broken = true;
                self.look();
                return None;
            }
        }
        Some(())
    }

    /// A header block that makes sense, on any stream.
    fn headers(&mut self, input: &mut Input<'_>) -> Vec<u8> {
        let (stream, flags, extra) = (stream(input), input.byte(), input.below(4));
        let mut block = Vec::new();
        if flags & 0x40 == 0 {
            hpack::encode_table_size_0(&mut block);
        }
        match self.role {
            Role::Server => {
                hpack::encode_field(&mut block, b":method", b"CONNECT");
                hpack::encode_field(&mut block, b":authority", b"10.0.0.1:80");
            }
            Role::Client => hpack::encode_field(&mut block, b":status", input.one(&[b"200", b"503", b"103"])),
        }
        for _ in 0..extra {
            hpack::encode_field(&mut block, b"x-extra", input.take(30));
        }
        let mut out = Vec::new();
        let end = flags & frames::END_STREAM;
        if flags & 0x80 == 0 {
            frames::put(
                &mut out,
                Head { kind: frames::HEADERS, flags: end | frames::END_HEADERS, stream },
                &block,
            );
            return out;
        }
        let (first, second) = block.split_at(input.below(block.len()));
        frames::put(&mut out, Head { kind: frames::HEADERS, flags: end, stream }, first);
        let flags = frames::END_HEADERS;
        frames::put(&mut out, Head { kind: frames::CONTINUATION, flags, stream }, second);
        out
    }

    /// What an application does with one of its streams.
    fn act(&mut self, input: &mut Input<'_>) {
        let (choice, which) = (input.byte(), input.byte());
        let Some(stream) = self.model.any(which) else { return };
        match choice % 8 {
            0 | 1 => {
                let bytes = self.model.consume(stream, choice < 128);
                self.http2.consumed(stream, bytes);
            }
            2 => self.answer(stream, choice),
            3 | 4 => self.send(stream, input),
            5 if self.http2.is_sending(stream) && self.model.may_speak(stream) => {
                let head = self.http2.data(stream, 0, true);
                self.http2.control().extend_from_slice(&head);
                self.model.sent_end(stream);
            }
            6 => {
                self.http2.reset(stream, Code::CANCEL);
                self.model.gave_up(stream);
            }
            _ => {}
        }
    }

    fn answer(&mut self, stream: StreamId, choice: u8) {
        if self.role == Role::Client || !self.model.answers(stream) {
            return;
        }
        let end = choice > 200;
        self.http2.answer(stream, if end { 503 } else { 200 }, &Fields::default(), end);
        if end {
            self.model.gave_up(stream);
        }
    }

    fn send(&mut self, stream: StreamId, input: &mut Input<'_>) {
        if !self.http2.is_sending(stream) || !self.model.may_speak(stream) {
            return;
        }
        let room = self.http2.room(stream);
        assert_eq!(room, self.model.room(stream), "octets of room");
        self.model.asked_for_room(stream, room);
        let bytes = room.min(input.number()).min(16_384);
        if bytes > 0 {
            // The payload is sent elsewhere; the head is all there is of it here.
            let _head = self.http2.data(stream, bytes, false);
            self.model.sent(stream, bytes);
        }
    }

    fn open(&mut self, input: &mut Input<'_>) {
        match (self.role, input.byte()) {
            (_, 250..) => self.http2.leave(),
            (Role::Client, _) => {
                if let Ok(stream) = self.http2.open("10.0.0.1:80", &Fields::default()) {
                    self.model.opened(stream);
                }
            }
            (Role::Server, _) => {}
        }
    }

    fn pass_time(&mut self, input: &mut Input<'_>) -> Option<()> {
        self.clock.advance(input.number());
        assert!(self.http2.deadline().is_some());
        self.http2.on_deadline(self.clock.now).ok()
    }

    fn peer_reads(&mut self) {
        self.http2.control().clear();
        self.read = 0;
    }

    /// Looks at what has become of it all.
    fn look(&mut self) {
        let control = self.http2.control();
        self.model.said(&control[self.read..]);
        self.read = control.len();
        assert!(control.len() <= MOST_CONTROL, "{} octets wait to be sent", control.len());
        assert!(self.http2.streams() <= self.limits.streams);
        self.model.check();
        self.bound.check();
    }
}

fn stream(input: &mut Input<'_>) -> u32 {
    match input.byte() {
        byte @ ..240 => u32::from(byte % 24),
        byte => u32::from(byte) * 0x0080_8081,
    }
}

/// A frame of any kind, with a length that is its own.
fn frame(input: &mut Input<'_>) -> Vec<u8> {
    let kind = input.byte() % 12;
    let (flags, stream, shape) = (input.byte(), stream(input), input.byte());
    let mut payload = match kind {
        frames::WINDOW_UPDATE => {
            let increment = if shape < 128 { input.number() as u32 } else { u32::MAX >> (shape % 32) };
            increment.to_be_bytes().to_vec()
        }
        frames::RESET => vec![0, 0, 0, shape % 14],
        frames::PING if shape < 128 => b"draining".to_vec(),
        frames::PING => input.take(8).to_vec(),
        frames::GO_AWAY => [&stream.to_be_bytes(), &[0, 0, 0, shape % 2][..]].concat(),
        frames::SETTINGS if flags & frames::ACK != 0 => Vec::new(),
        frames::SETTINGS => settings(input, shape),
        frames::DATA if shape < 200 => vec![7; usize::from(shape) * 100],
        _ => input.take(shape.into()).to_vec(),
    };
    if input.byte() > 240 {
        payload.pop();
    }
    let stream = if matches!(kind, frames::SETTINGS | frames::PING | frames::GO_AWAY) { 0 } else { stream };
    let mut out = Vec::new();
    frames::put(&mut out, Head { kind, flags, stream }, &payload);
    out
}

fn settings(input: &mut Input<'_>, shape: u8) -> Vec<u8> {
    let mut payload = Vec::new();
    for _ in 0..shape % 4 {
        payload.extend([0, input.byte() % 8]);
        let value = match input.byte() {
            byte @ ..128 => u32::from(byte) * 1_000,
            byte @ ..240 => u32::from(byte - 128),
            byte => u32::MAX >> (byte % 8),
        };
        payload.extend(value.to_be_bytes());
    }
    payload
}

fn preface(role: Role, input: &mut Input<'_>) -> Vec<u8> {
    let mut out = if role == Role::Server { PREFACE.to_vec() } else { Vec::new() };
    let shape = input.byte();
    frames::put(&mut out, Head { kind: frames::SETTINGS, flags: 0, stream: 0 }, &settings(input, shape));
    if shape >= 128 {
        frames::put(&mut out, Head { kind: frames::SETTINGS, flags: frames::ACK, stream: 0 }, &[]);
    }
    out
}
