//! A server that does by hand what a test tells it to, and the client engine it talks to.

use std::time::Instant;

use super::toy::{self, Derived};
use crate::tunnel::http2::tests::wire;
use crate::tunnel::http2::{Event, Fields, Limits, Role, StreamId};
use crate::tunnel::record::tests::forger::Forger;
use crate::tunnel::record::{Alert, Direction, Incoming, Layer, Opened, Suite};
use crate::tunnel::{BUFFER, Engine, Fault};

pub(super) const KINDS: [(Layer, Suite); 2] =
    [(Layer::Tls13, Suite::Aes128Gcm), (Layer::Tls12, Suite::Aes256Gcm)];

/// The windows of the server are no matter here.
const LIMITS: Limits = Limits {
    streams: 100,
    stream_window: 1 << 20,
    connection_window: 1 << 24,
    frame: 16_384,
    fields: 16_384,
};

pub(super) struct Peer {
    pub(super) engine: Engine,
    pub(super) now: Instant,
    pub(super) forger: Forger,
    incoming: Incoming,
    keys: Derived,
}

/// What one record of the engine says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// HTTP/2.
    Text(Vec<u8>),
    /// A key update, or nothing at all.
    Nothing,
    WantsUpdate,
    Close,
    Alert(Alert),
}

impl Heard {
    pub(super) fn text(&self) -> &[u8] {
        if let Self::Text(text) = self { text } else { &[] }
    }

    /// The text of several records.
    pub(super) fn all_text(heard: &[Self]) -> Vec<u8> {
        heard.iter().flat_map(Self::text).copied().collect()
    }
}

impl Peer {
    /// With a buffer lent, and both prefaces exchanged.
    pub(super) fn new(kind: (Layer, Suite)) -> Self {
        Self::lent(kind, BUFFER)
    }

    /// Has the engine send until it cannot go on; says why.
    pub(super) fn uses_up_its_key(&mut self) -> Fault {
        let stream = self.open();
        self.engine.limit_records(128);
        loop {
            self.fill(stream, 1 << 20);
            match self.engine.output().map(<[u8]>::len) {
                Ok(written) => self.engine.written(written),
                Err(fault) => return fault,
            }
        }
    }

    /// The same with a buffer of so many octets.
    pub(super) fn lent(kind: (Layer, Suite), octets: usize) -> Self {
        let mut peer = Self::silent(kind);
        peer.engine.lend(vec![0; octets]);
        peer.hear();
        peer.says(&wire::settings(&[(4, 1 << 30), (3, 100)]));
        peer.says(&wire::window_update(0, 1 << 30));
        peer.hear();
        peer
    }

    /// Before anything was said.
    pub(super) fn silent((layer, suite): (Layer, Suite)) -> Self {
        let now = toy::start();
        let engine =
            Engine::new(Role::Client, LIMITS, Derived::new(Role::Client, suite).0.settled(layer), now);
        let (keys, _) = Derived::new(Role::Server, suite);
        Self {
            engine,
            now,
            forger: Forger::new(Role::Server, (layer, suite)),
            incoming: Incoming::new(layer, keys.secret(Direction::In), &keys),
            keys,
        }
    }

    /// Opens a stream, and lets it be answered.
    pub(super) fn open(&mut self) -> StreamId {
        let stream = self.engine.open("a:1", &Fields::default()).unwrap();
        self.says(&wire::ok(stream.0));
        self.hear();
        stream
    }

    /// Sends frames, in a record of their own.
    pub(super) fn says(&mut self, frames: &[u8]) -> Vec<Event> {
        let record = self.forger.application(frames);
        self.sends(record).unwrap()
    }

    pub(super) fn sends(&mut self, mut records: Vec<u8>) -> Result<Vec<Event>, Fault> {
        let mut events = Vec::new();
        let taken = self.engine.receive(self.now, &mut records, &mut events)?;
        assert_eq!(taken, records.len());
        Ok(events)
    }

    /// An application sends up to so much; says how much it was.
    pub(super) fn fill(&mut self, stream: StreamId, most: usize) -> usize {
        let most = most.min(self.engine.window(stream)).min(self.engine.room());
        if most == 0 {
            return 0;
        }
        let mut left = most;
        let filled = self.engine.fill(stream, most, |slots| {
            for slot in slots.iter_mut() {
                slot.fill(b'x');
                left -= slot.len();
            }
            Ok(most - left)
        });
        filled.unwrap()
    }

    /// Moves the engine to another process, as it were.
    pub(super) fn travel(&mut self) {
        let (away, _) = Derived::new(Role::Client, Suite::Aes128Gcm);
        let empty = Engine::new(Role::Client, LIMITS, away.settled(Layer::Tls13), self.now);
        let state = std::mem::replace(&mut self.engine, empty).export().unwrap();
        self.engine = toy::carry(&state, self.now);
    }

    /// Writes some of what is there, and opens the records that are whole.
    pub(super) fn write_some(&mut self, most: usize) -> Vec<Heard> {
        let output = self.engine.output().unwrap();
        let mut at = 0;
        while let Some([_, _, _, high, low]) = output[at..].first_chunk()
            && at + 5 + usize::from(u16::from_be_bytes([*high, *low])) <= most
        {
            at += 5 + usize::from(u16::from_be_bytes([*high, *low]));
        }
        let mut records = output[..at].to_vec();
        self.engine.written(at);
        self.understand(&mut records)
    }

    /// Writes all the engine has to say, and opens it.
    pub(super) fn hear(&mut self) -> Vec<Heard> {
        let mut heard = Vec::new();
        while self.engine.has_output() {
            let mut output = self.engine.output().unwrap().to_vec();
            assert_ne!(output.len(), 0, "there is a buffer for it");
            self.engine.written(output.len());
            heard.append(&mut self.understand(&mut output));
        }
        heard
    }

    /// Opens records, each with the length it had on the wire.
    pub(super) fn understand(&mut self, mut records: &mut [u8]) -> Vec<Heard> {
        let mut heard = Vec::new();
        while let Some(length) = self.incoming.length(records).unwrap() {
            let (record, rest) = records.split_at_mut(length);
            heard.push(match self.incoming.open(record, &mut self.keys) {
                Ok(Opened::Data(place)) => Heard::Text(record[place].to_vec()),
                Ok(Opened::Nothing) => Heard::Nothing,
                Ok(Opened::WantsUpdate) => Heard::WantsUpdate,
                Ok(Opened::End) => Heard::Close,
                Err(Fault::Alert(alert)) => Heard::Alert(alert),
                Err(other) => panic!("{other}"),
            });
            records = rest;
        }
        assert!(records.is_empty(), "whole records");
        heard
    }
}
