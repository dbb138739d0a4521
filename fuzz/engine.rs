//! Two engines, a client and a server, and the wire between them, with everything that can happen to all three.
//!
//! Whatever happens: no panic; payload comes as it was sent; what was not broken off comes whole, with its end, once
//! everybody does what is left to do; what was broken off is seen to be; an engine that moves to another process goes on as
//! if nothing had happened; and after a changed octet on the wire nothing wrong is ever delivered.

mod end;
mod track;

use culvert_core::tunnel::http2::{Limits, Role, StreamId};
use culvert_core::tunnel::record::Layer;

use crate::input::{Clock, Input};
use crate::memory::Bound;
use end::End;
use track::{Side, Track, Tracks};

/// The first bytes are settings, then come choices.
pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let mut pair = Pair::new(&mut input);
    while let Some(choice) = input.next() {
        pair.step(choice, &mut input);
        pair.bound.check();
    }
    pair.settle();
}

struct Pair {
    ends: [End; 2],
    /// Octets on their way to the client and to the server.
    wires: [Vec<u8>; 2],
    tracks: Tracks,
    layer: Layer,
    clock: Clock,
    bound: Bound,
    /// An octet was changed, or one end was closed: what is open stays so.
    is_spoilt: bool,
}

/// Two tunnels with a buffer each, what is on the wires, and all that is counted.
const MOST_MEMORY: usize = 32 << 20;

/// Octets on a wire beyond which nothing is written to it.
const MOST_ON_WIRE: usize = 400_000;

/// Turns in which everything must be over that is left to do.
const TURNS: usize = 20_000;

impl Pair {
    fn new(input: &mut Input<'_>) -> Self {
        let bound = Bound::new(MOST_MEMORY);
        let clock = Clock::new();
        let layer = input.one(&[Layer::Tls13, Layer::Tls12]);
        let ends = [Side::Client, Side::Server].map(|side| End::new(side, layer, limits(input), clock.now));
        let wires = [Vec::new(), Vec::new()];
        Self { ends, wires, tracks: Tracks::default(), layer, clock, bound, is_spoilt: false }
    }

    fn step(&mut self, choice: u8, input: &mut Input<'_>) {
        let side = if choice & 0x80 == 0 { Side::Client } else { Side::Server };
        match choice % 16 {
            0 => self.open(input.byte()),
            1 => self.answer(input.byte()),
            2 | 3 => {
                let (which, bytes) = (input.byte(), input.number() >> 2);
                self.want(side, which, bytes);
            }
            4 => self.with_any(side, input.byte(), |track| track.finish(side)),
            5 => self.reset(side, input.byte()),
            6 => {
                let (which, share) = (input.byte(), input.byte());
                self.consume(side, which, share);
            }
            7 | 8 => {
                self.write(side, usize::MAX);
            }
            9 => {
                self.write(side, input.number());
            }
            10 => {
                self.read(side, usize::MAX);
            }
            11 => {
                self.read(side, 1 + input.number());
            }
            12 => {
                self.turn(side);
            }
            13 => self.ends[side.index()].engine.leave(),
            14 => self.seldom(side, input),
            _ => self.pass_time(input.number()),
        }
    }

    fn seldom(&mut self, side: Side, input: &mut Input<'_>) {
        match input.byte() {
            0..128 => self.ends[side.index()].move_house(self.clock.now),
            128..200 if self.layer == Layer::Tls13 => self.ends[side.index()].use_keys_up_soon(),
            200..240 => self.spoil(side, input.number(), input.byte()),
            240.. => {
                self.is_spoilt = true;
                self.ends[side.index()].engine.close();
            }
            _ => {}
        }
    }

    fn open(&mut self, shape: u8) {
        let Ok(stream) = self.ends[0].open(shape) else { return };
        self.tracks.insert(stream);
    }

    /// Chooses among the streams an end knows.
    fn any(&self, side: Side, which: u8) -> Option<StreamId> {
        let known: Vec<StreamId> = self.tracks.known(side).collect();
        known.get(usize::from(which) % known.len().max(1)).copied()
    }

    fn with_any(&mut self, side: Side, which: u8, change: impl FnOnce(&mut Track)) {
        if let Some(stream) = self.any(side, which) {
            change(self.tracks.get(stream));
        }
    }

    fn answer(&mut self, which: u8) {
        if let Some(stream) = self.any(Side::Server, which) {
            self.ends[1].answer(self.tracks.get(stream), stream, which > 200);
        }
    }

    /// An application has more to say.
    fn want(&mut self, side: Side, which: u8, bytes: usize) {
        if let Some(stream) = self.any(side, which) {
            self.tracks.get(stream).want(side, bytes);
            self.ends[side.index()].speak(self.tracks.get(stream), stream);
        }
    }

    fn reset(&mut self, side: Side, which: u8) {
        if let Some(stream) = self.any(side, which) {
            self.ends[side.index()].reset(self.tracks.get(stream), stream);
        }
    }

    fn consume(&mut self, side: Side, which: u8, share: u8) {
        if let Some(stream) = self.any(side, which) {
            self.ends[side.index()].consume(self.tracks.get(stream), stream, share);
        }
    }

    /// Writes up to so much to the wire.
    fn write(&mut self, side: Side, most: usize) -> bool {
        let wire = &mut self.wires[side.other().index()];
        if wire.len() > MOST_ON_WIRE {
            return false;
        }
        self.ends[side.index()].write(wire, most)
    }

    /// Takes up to so much from the wire.
    fn read(&mut self, side: Side, most: usize) -> bool {
        let wire = &mut self.wires[side.index()];
        let length = wire.len().min(most);
        if length == 0 {
            return false;
        }
        let octets: Vec<u8> = wire.drain(..length).collect();
        let end = &mut self.ends[side.index()];
        if let Err(fault) = end.receive(&octets, self.clock.now, &mut self.tracks) {
            assert!(self.is_spoilt, "the {side:?}: {fault}");
        }
        true
    }

    /// One end does all it can, but for reading the wire.
    fn turn(&mut self, side: Side) -> bool {
        let mut progress = false;
        for stream in self.tracks.known(side).collect::<Vec<_>>() {
            let (end, track) = (&mut self.ends[side.index()], self.tracks.get(stream));
            progress |= end.consume(track, stream, 255);
            progress |= side == Side::Server && end.answer(track, stream, false);
            progress |= end.speak(track, stream);
        }
        progress | self.write(side, usize::MAX)
    }

    fn spoil(&mut self, side: Side, at: usize, with: u8) {
        let wire = &mut self.wires[side.index()];
        let length = wire.len().max(1);
        if let Some(octet) = wire.get_mut(at % length) {
            *octet ^= with.max(1);
            self.is_spoilt = true;
        }
    }

    fn pass_time(&mut self, milliseconds: usize) {
        // Short of what would make either end give the other up.
        self.clock.advance(milliseconds % 9_000);
        for side in [Side::Client, Side::Server] {
            let end = &mut self.ends[side.index()];
            if end.engine.http2().has_begun()
                && end.engine.deadline().is_some_and(|due| due <= self.clock.now)
            {
                end.ping(self.clock.now);
            }
        }
    }

    /// Everybody does what is left to do.
    fn settle(&mut self) {
        for _ in 0..TURNS {
            self.tracks.finish_all();
            let mut progress = false;
            for side in [Side::Client, Side::Server] {
                progress |= self.turn(side);
                progress |= self.read(side, usize::MAX);
            }
            if !progress {
                return self.check();
            }
        }
        panic!("it does not come to an end");
    }

    fn check(&self) {
        if self.is_spoilt {
            return;
        }
        self.tracks.check_all();
        for end in &self.ends {
            assert_eq!(end.engine.http2().streams(), 0);
            assert!(!end.engine.has_output());
        }
    }
}

fn limits(input: &mut Input<'_>) -> Limits {
    Limits {
        streams: input.one(&[1, 2, 8, 30]),
        stream_window: input.one(&[4_096, 30_000, 65_535, 1 << 20]),
        connection_window: input.one(&[65_535, 100_000, 1 << 20]),
        frame: 16_384,
        fields: 65_536,
    }
}

impl Side {
    fn role(self) -> Role {
        match self {
            Self::Client => Role::Client,
            Self::Server => Role::Server,
        }
    }
}
