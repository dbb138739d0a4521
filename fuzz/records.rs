//! What a peer says in TLS records after the handshake, sealed with the keys that were agreed on.
//!
//! Whatever is in them: no panic, memory stays bounded, and what we say is records the peer can open, with frames in them.

use culvert_core::tunnel::http2::{Event, Fields, Limits, Role};
use culvert_core::tunnel::record::{Cipher as _, Incoming, Layer, Opened, Secret};
use culvert_core::tunnel::{BUFFER, Engine, Settled};

use crate::frames::{self, Head, PREFACE, Scanner};
use crate::input::{Clock, Input};
use crate::memory::Bound;
use crate::toy::{self, IV, Toy, ToyKeys};

const LIMITS: Limits =
    Limits { streams: 10, stream_window: 65_535, connection_window: 100_000, frame: 16_384, fields: 4_096 };

/// The most that is allocated for a tunnel: its buffer, a message as long as any may be, what the two ends have to say.
const MOST_MEMORY: usize = BUFFER + (4 << 20);

/// The first byte is role and version, then come records.
pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let shape = input.byte();
    let role = if shape & 1 == 0 { Role::Server } else { Role::Client };
    let layer = if shape & 2 == 0 { Layer::Tls13 } else { Layer::Tls12 };
    let mut scene = Scene::new(role, layer);
    while let Some(choice) = input.next() {
        if scene.step(choice, &mut input).is_none() {
            break;
        }
        scene.bound.check();
    }
    scene.close();
}

struct Scene {
    engine: Engine,
    role: Role,
    peer: Peer,
    /// What has come and is no whole record.
    inbox: Vec<u8>,
    events: Vec<Event>,
    clock: Clock,
    bound: Bound,
}

/// The other end: seals whatever it is told to, and opens what we say.
struct Peer {
    layer: Layer,
    secret: Secret,
    sequence: u64,
    incoming: Incoming,
    keys: Box<ToyKeys>,
    frames: Scanner,
    is_told_off: bool,
}

impl Scene {
    fn new(role: Role, layer: Layer) -> Self {
        let bound = Bound::new(MOST_MEMORY);
        let clock = Clock::new();
        let (ours, theirs) = (toy::secret(1), toy::secret(2));
        let keys = ToyKeys::endless(&ours, &theirs);
        let settled = Settled { layer, outgoing: ours.clone(), incoming: theirs.clone(), keys };
        let mut engine = Engine::new(role, LIMITS, settled, clock.now);
        if role == Role::Client {
            let _ = engine.open("10.0.0.1:80", &Fields::default());
        }
        let peer = Peer::new(role, layer, (theirs, ours));
        Self { engine, role, peer, inbox: Vec::new(), events: Vec::new(), clock, bound }
    }

    /// `None` when the tunnel is over.
    fn step(&mut self, choice: u8, input: &mut Input<'_>) -> Option<()> {
        match choice % 16 {
            0 | 1 => self.record(23, &begin(self.role)),
            2..=4 => self.record(23, &frame(input)),
            5 => {
                let length = input.number();
                self.record(23, input.take(length));
            }
            6 | 7 => {
                let length = input.below(64);
                self.record(22, input.take(length));
            }
            8 => self.update(input.byte()),
            9 => {
                let length = input.below(4);
                self.record(21, input.take(length));
            }
            10 => {
                let kind = input.byte();
                let length = input.number();
                self.record(kind, &vec![kind; length]);
            }
            11 => {
                let length = input.below(64);
                self.inbox.extend_from_slice(input.take(length));
            }
            12 => self.ticket(input.number()),
            13 => {
                self.inbox.pop();
            }
            14 => {
                self.clock.advance(input.number());
                self.engine.on_deadline(self.clock.now).ok()?;
            }
            _ => self.speak(),
        }
        self.receive()
    }

    /// Adds a record with this content.
    fn record(&mut self, kind: u8, content: &[u8]) {
        let record = self.peer.seal(kind, content);
        self.inbox.extend(record);
    }

    fn update(&mut self, asks: u8) {
        self.record(22, &[24, 0, 0, 1, asks % 3]);
        self.peer.renew();
    }

    fn ticket(&mut self, length: usize) {
        let mut message = vec![4];
        message.extend_from_slice(&(length as u32).to_be_bytes()[1..]);
        message.resize(4 + length, 0);
        for piece in message.chunks(16_000) {
            self.record(22, piece);
        }
    }

    fn receive(&mut self) -> Option<()> {
        let received = self.engine.receive(self.clock.now, &mut self.inbox, &mut self.events);
        self.answer_all();
        match received {
            Ok(taken) => {
                assert!(taken <= self.inbox.len());
                self.inbox.drain(..taken);
                (!self.engine.is_ended()).then_some(())
            }
            Err(fault) => {
                self.engine.fail(fault);
                None
            }
        }
    }

    fn answer_all(&mut self) {
        for event in std::mem::take(&mut self.events) {
            match event {
                Event::Request { stream, .. } => self.engine.answer(stream, 200, &Fields::default(), false),
                Event::Data { stream, place } => {
                    assert!(place.end <= self.inbox.len());
                    self.engine.consumed(stream, place.len());
                }
                Event::End { stream } => self.engine.finish(stream),
                Event::Answer { .. }
                | Event::Reset { .. }
                | Event::Refused { .. }
                | Event::Room { .. }
                | Event::Capacity => {}
            }
        }
    }

    /// Writes all there is to write, to a peer who looks at it.
    fn speak(&mut self) {
        while self.engine.has_output() {
            if self.engine.wants_buffer() {
                self.engine.lend(vec![0; BUFFER]);
            }
            let Ok(output) = self.engine.output() else { return };
            let output = output.to_vec();
            assert!(!output.is_empty(), "there is output, and none comes");
            self.engine.written(output.len());
            self.peer.read(output);
        }
        assert!(self.peer.frames.is_between(), "half a frame was said");
        drop(self.engine.take_back());
    }

    fn close(mut self) {
        self.engine.close();
        self.speak();
        assert!(!self.engine.has_output());
    }
}

impl Peer {
    fn new(role: Role, layer: Layer, (ours, theirs): (Secret, Secret)) -> Self {
        let keys = ToyKeys::endless(&ours, &theirs);
        let preface = if role == Role::Client { PREFACE.len() } else { 0 };
        let incoming = Incoming::new(layer, theirs, &*keys);
        let frames = Scanner::after(preface);
        Self { layer, secret: ours, sequence: 0, incoming, keys, frames, is_told_off: false }
    }

    fn renew(&mut self) {
        self.secret = toy::after(&self.secret);
        self.sequence = 0;
    }

    /// A record of any kind, with content of any length that the header can say.
    fn seal(&mut self, kind: u8, content: &[u8]) -> Vec<u8> {
        let content = &content[..content.len().min(20_000)];
        let mut nonce = IV;
        for (octet, sequence) in nonce[4..].iter_mut().zip(self.sequence.to_be_bytes()) {
            *octet ^= sequence;
        }
        let mut text = content.to_vec();
        let (head, prefix, associated) = self.heads(kind, &mut text, nonce);
        let tag = Toy::of(&self.secret).seal(nonce, &associated, &mut text);
        self.sequence += 1;
        [head.as_slice(), prefix.as_slice(), text.as_slice(), tag.as_slice()].concat()
    }

    /// The header, what is before the sealed text, and what is authenticated with it.
    fn heads(&self, kind: u8, text: &mut Vec<u8>, nonce: [u8; 12]) -> (Vec<u8>, Vec<u8>, Vec<u8>) {
        let head = |kind, length: usize| [&[kind, 3, 3], &(length as u16).to_be_bytes()[..]].concat();
        match self.layer {
            Layer::Tls13 => {
                // An unknown kind of 0 is padding alone.
                text.push(kind);
                let head = head(23, text.len() + 16);
                (head.clone(), Vec::new(), head)
            }
            Layer::Tls12 => {
                let length = (text.len() as u16).to_be_bytes();
                let associated = [&self.sequence.to_be_bytes()[..], &[kind, 3, 3], &length].concat();
                (head(kind, 8 + text.len() + 16), nonce[4..].to_vec(), associated)
            }
        }
    }

    /// Opens what we say; all of it is whole records.
    fn read(&mut self, mut output: Vec<u8>) {
        let mut rest = output.as_mut_slice();
        while !rest.is_empty() {
            let length = self
                .incoming
                .length(rest)
                .expect("records of a length they may have")
                .expect("whole headers");
            let (record, after) = rest.split_at_mut(length);
            assert!(!self.is_told_off, "a record after the last one");
            match self.incoming.open(record, &mut *self.keys) {
                Ok(Opened::Data(place)) => self.frames.push(&record[place], check),
                Ok(Opened::Nothing) => {}
                Ok(Opened::WantsUpdate) => panic!("we never ask for an update"),
                Ok(Opened::End) | Err(culvert_core::tunnel::Fault::Alert(_)) => self.is_told_off = true,
                Err(fault) => panic!("the peer cannot open what we say: {fault}"),
            }
            rest = after;
        }
    }
}

fn check(head: Head, _payload: &[u8]) {
    assert!(head.kind <= frames::CONTINUATION, "{head:?}");
}

fn begin(role: Role) -> Vec<u8> {
    let mut out = if role == Role::Server { PREFACE.to_vec() } else { Vec::new() };
    frames::put(&mut out, Head { kind: frames::SETTINGS, flags: 0, stream: 0 }, &[]);
    frames::put(&mut out, Head { kind: frames::SETTINGS, flags: frames::ACK, stream: 0 }, &[]);
    out
}

fn frame(input: &mut Input<'_>) -> Vec<u8> {
    let head = Head { kind: input.byte() % 10, flags: input.byte(), stream: u32::from(input.byte() % 8) };
    let length = input.byte();
    let mut out = Vec::new();
    frames::put(&mut out, head, input.take(length.into()));
    out
}
