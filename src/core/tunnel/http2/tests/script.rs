//! One connection in three guises that must not differ: its input comes whole, octet by octet, or moves to another process
//! half-way.

use std::fmt::Debug;
use std::time::{Duration, Instant};

use super::super::{Code, Connection, Event, Fields, Limits, Role, StreamId};
use super::wire;
use crate::tunnel::Fault;
use crate::tunnel::hpack::Decoder;
use crate::tunnel::tests::toy;

pub(super) struct Script {
    guises: Vec<Guise>,
    now: Instant,
}

struct Guise {
    cut: Cut,
    connection: Connection,
    told: Vec<String>,
    decoder: Decoder,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cut {
    Whole,
    Octets,
    Moved,
}

impl Script {
    /// Before anything was said.
    pub(super) fn new(role: Role, limits: Limits) -> Self {
        let now = toy::start();
        let guise = |cut| {
            let connection = Connection::new(role, limits, now);
            Guise { cut, connection, told: Vec::new(), decoder: Decoder::new(4096) }
        };
        Self { guises: [Cut::Whole, Cut::Octets, Cut::Moved].map(guise).into(), now }
    }

    /// A server whose client has said hello.
    pub(super) fn server() -> Self {
        Self::server_with(super::LIMITS)
    }

    pub(super) fn server_with(limits: Limits) -> Self {
        let mut script = Self::new(Role::Server, limits);
        script.gets(wire::preface()).gets(wire::settings_ack()).forget();
        script
    }

    /// A client whose server has said hello.
    pub(super) fn client() -> Self {
        Self::client_of(&[])
    }

    /// A client whose server has these settings.
    pub(super) fn client_of(settings: &[(u16, u32)]) -> Self {
        let mut script = Self::new(Role::Client, super::LIMITS);
        script.gets(wire::settings(settings)).gets(wire::settings_ack()).forget();
        script
    }

    /// Stays in its process: times do not travel.
    pub(super) fn at_home(mut self) -> Self {
        self.guises.retain(|guise| guise.cut != Cut::Moved);
        self
    }

    pub(super) fn now(&self) -> Instant {
        self.now
    }

    pub(super) fn wait(&mut self, time: Duration) -> &mut Self {
        self.now += time;
        self
    }

    /// The peer sends something that is in order.
    #[track_caller]
    pub(super) fn gets(&mut self, octets: Vec<u8>) -> &mut Self {
        for guise in &mut self.guises {
            guise.receive(&octets, self.now).unwrap_or_else(|fault| panic!("{:?}: {fault}", guise.cut));
        }
        self
    }

    /// The peer sends something that ends the connection.
    #[track_caller]
    pub(super) fn fails(&mut self, octets: Vec<u8>) -> Fault {
        let faults = self.guises.iter_mut().map(|guise| guise.receive(&octets, self.now).err());
        let faults: Vec<_> = faults.collect();
        assert!(faults.iter().all(|fault| *fault == faults[0]), "{faults:?}");
        faults[0].expect("it is wrong however it comes")
    }

    /// The peer breaks the rules, and is to be told so.
    #[track_caller]
    pub(super) fn breaks(&mut self, octets: Vec<u8>, expected: Code) {
        let fault = self.fails(octets);
        assert!(matches!(fault, Fault::Http2 { code, .. } if code == expected), "{fault}");
    }

    /// We do something.
    #[track_caller]
    pub(super) fn does<T: PartialEq + Debug>(&mut self, mut act: impl FnMut(&mut Connection) -> T) -> T {
        let mut results = self.guises.iter_mut().map(|guise| act(&mut guise.connection));
        let first = results.next().expect("there is more than one");
        results.for_each(|result| assert_eq!(result, first));
        first
    }

    #[track_caller]
    pub(super) fn opens(&mut self) -> StreamId {
        self.does(|connection| connection.open("a:1", &Fields::default()).unwrap())
    }

    #[track_caller]
    pub(super) fn answers(&mut self, stream: u32, status: u16) -> &mut Self {
        self.does(|connection| connection.answer(StreamId(stream), status, &Fields::default(), false));
        self
    }

    /// We send payload, for which there is room.
    #[track_caller]
    pub(super) fn sends_data(&mut self, stream: u32, bytes: usize) -> &mut Self {
        self.does(|connection| {
            assert!(connection.room(StreamId(stream)) >= bytes);
            connection.data(StreamId(stream), bytes, false);
        });
        self
    }

    #[track_caller]
    pub(super) fn ends(&mut self, stream: u32) -> &mut Self {
        self.does(|connection| {
            connection.data(StreamId(stream), 0, true);
        });
        self
    }

    pub(super) fn consumes(&mut self, stream: u32, bytes: usize) -> &mut Self {
        self.does(|connection| connection.consumed(StreamId(stream), bytes));
        self
    }

    /// The events since the last look.
    #[track_caller]
    pub(super) fn tells(&mut self, expected: &[&str]) -> &mut Self {
        for guise in &mut self.guises {
            assert_eq!(std::mem::take(&mut guise.told), expected, "{:?}", guise.cut);
        }
        self
    }

    /// The frames since the last look.
    #[track_caller]
    pub(super) fn sends(&mut self, expected: &[&str]) -> &mut Self {
        for guise in &mut self.guises {
            let control = std::mem::take(guise.connection.control());
            assert_eq!(wire::read(&control, &mut guise.decoder), expected, "{:?}", guise.cut);
        }
        self
    }

    /// Nobody looks at what happened so far.
    pub(super) fn forget(&mut self) -> &mut Self {
        for guise in &mut self.guises {
            guise.told.clear();
            let control = std::mem::take(guise.connection.control());
            wire::read(&control, &mut guise.decoder);
        }
        self
    }
}

impl Guise {
    fn receive(&mut self, octets: &[u8], now: Instant) -> Result<(), Fault> {
        match self.cut {
            Cut::Whole => self.piece(octets, now),
            Cut::Octets => octets.chunks(1).try_for_each(|octet| self.piece(octet, now)),
            Cut::Moved => {
                let (first, second) = octets.split_at(octets.len() / 2);
                self.piece(first, now)?;
                self.travel(now);
                self.piece(second, now)
            }
        }
    }

    fn piece(&mut self, piece: &[u8], now: Instant) -> Result<(), Fault> {
        let mut events = Vec::new();
        // As if there were other things before it in the caller's buffer.
        let result = self.connection.receive(now, piece, 7, &mut events);
        let input = [&[0; 7], piece].concat();
        events.iter().for_each(|event| self.tell(event, &input));
        result
    }

    /// Payload that came in pieces is one.
    fn tell(&mut self, event: &Event, input: &[u8]) {
        let line = wire::tell(event, input);
        match (event, self.told.last_mut()) {
            (Event::Data { stream, .. }, Some(last)) if last.starts_with(&format!("data {stream} ")) => {
                last.push_str(&line[format!("data {stream} ").len()..]);
            }
            _ => self.told.push(line),
        }
    }

    fn travel(&mut self, now: Instant) {
        let text = serde_json::to_string(&self.connection).unwrap();
        self.connection = serde_json::from_str(&text).unwrap();
        self.connection.resume(now);
    }
}
