//! Two ends of a tunnel and the wire between them, which moves as many octets as a test wants it to.

use std::collections::{BTreeMap, VecDeque};
use std::sync::mpsc::Receiver;
use std::time::Instant;

use super::stream::{Leg, Plan, Then};
use super::toy::{self, Asked, Derived};
use crate::tunnel::http2::{Code, Event, Fields, Limits, Role, StreamId};
use crate::tunnel::record::{Layer, Suite};
use crate::tunnel::{BUFFER, Engine, SMALL_BUFFER};

/// Small enough to matter in a test of a few hundred kilobytes.
pub(super) const LIMITS: Limits = Limits {
    streams: 20,
    stream_window: 128 * 1024,
    connection_window: 512 * 1024,
    frame: 16_384,
    fields: 16_384,
};

/// What the two ends of the streams do, by number: the client's and the server's.
pub(super) type Plans = Vec<[Plan; 2]>;

/// The buffers an end has, in octets: they are lent one after the other.
pub(super) const LENT: [&[usize]; 3] = [&[BUFFER], &[SMALL_BUFFER], &[SMALL_BUFFER, BUFFER]];

/// One end: an engine and the applications on its streams.
pub(super) struct End {
    role: Role,
    engine: Option<Engine>,
    buffers: VecDeque<Vec<u8>>,
    lent: &'static [usize],
    /// Records each key may protect.
    records: u64,
    /// What came from the wire and was not taken.
    pub(super) inbox: Vec<u8>,
    pub(super) legs: BTreeMap<StreamId, Leg>,
    /// Streams that have room, as far as we know.
    ready: Vec<StreamId>,
    plans: Plans,
    /// What the keys were asked for, while it is at home.
    asked: Receiver<Asked>,
    /// Where the next round of sending begins.
    turn: usize,
    now: Instant,
}

impl End {
    fn new(role: Role, kind: (Layer, Suite), lent: &'static [usize], plans: &Plans) -> Self {
        let (layer, suite) = kind;
        let now = toy::start();
        let (keys, asked) = Derived::new(role, suite);
        let engine = Engine::new(role, LIMITS, keys.settled(layer), now);
        Self {
            role,
            engine: Some(engine),
            buffers: of(lent),
            lent,
            records: 1 << 24,
            inbox: Vec::new(),
            legs: BTreeMap::new(),
            ready: Vec::new(),
            plans: plans.clone(),
            asked,
            turn: 0,
            now,
        }
    }

    pub(super) fn engine(&mut self) -> &mut Engine {
        self.engine.as_mut().expect("it is only away while it moves")
    }

    pub(super) fn limit_records(&mut self, records: u64) {
        self.records = records;
        self.engine().limit_records(records);
    }

    /// How often keys were changed, either way.
    pub(super) fn changes(&self) -> usize {
        self.asked.try_iter().count()
    }

    /// Asks for as many of the streams to come as there is place for.
    pub(super) fn open(&mut self) {
        while self.legs.len() < self.plans.len() {
            let number = self.legs.len();
            let Ok(stream) = self.engine().open(&number.to_string(), &Fields::default()) else { return };
            self.begin(stream, number);
        }
    }

    fn begin(&mut self, stream: StreamId, number: usize) {
        let side = usize::from(self.role == Role::Server);
        self.legs.insert(stream, Leg::new(self.plans[number][side], number, side));
    }

    /// Has the engine look at what is in the inbox, and the applications at what it means.
    pub(super) fn take(&mut self) {
        let now = self.now;
        let mut inbox = std::mem::take(&mut self.inbox);
        let mut events = Vec::new();
        let taken = self.engine().receive(now, &mut inbox, &mut events);
        let taken = taken.expect("both ends are in order");
        for event in events {
            self.hear(event, &inbox);
        }
        inbox.drain(..taken);
        self.inbox = inbox;
    }

    fn hear(&mut self, event: Event, inbox: &[u8]) {
        match event {
            Event::Request { stream, request } => {
                let number = std::str::from_utf8(&request.authority).unwrap().parse().unwrap();
                self.begin(stream, number);
                self.engine().answer(stream, 200, &Fields::default(), false);
                self.answered(stream);
            }
            Event::Answer { stream, answer } => {
                assert_eq!(answer.status, 200);
                self.answered(stream);
            }
            Event::Data { stream, place } => self.leg(stream).read(&inbox[place]),
            Event::End { stream } => self.leg(stream).ended(),
            Event::Reset { stream, code, by } => self.leg(stream).was_reset(code, by),
            Event::Room { stream } => self.ready.push(stream),
            Event::Refused { stream } => panic!("{stream} was refused"),
            Event::Capacity => {}
        }
    }

    fn answered(&mut self, stream: StreamId) {
        self.leg(stream).answered = true;
        self.ready.push(stream);
    }

    pub(super) fn leg(&mut self, stream: StreamId) -> &mut Leg {
        self.legs.get_mut(&stream).expect("an event is about a stream that was begun")
    }

    /// Applications take up to `most` octets of what they were handed, if `takes` says so.
    pub(super) fn consume(&mut self, most: usize, mut takes: impl FnMut(StreamId) -> bool) {
        let Self { legs, engine: Some(engine), .. } = self else { return };
        for (stream, leg) in legs.iter_mut().filter(|(_, leg)| leg.held > 0) {
            if takes(*stream) {
                let bytes = leg.held.min(most);
                leg.held -= bytes;
                engine.consumed(*stream, bytes);
            }
        }
    }

    /// Every application that can sends up to `most` octets.
    pub(super) fn send(&mut self, most: usize) {
        if self.engine().wants_buffer()
            && let Some(buffer) = self.buffers.pop_front()
        {
            self.engine().lend(buffer);
        }
        let mut ready = std::mem::take(&mut self.ready);
        ready.sort();
        ready.dedup();
        self.turn += 1;
        let first = self.turn % ready.len().max(1);
        ready.rotate_left(first);
        ready.retain(|stream| self.send_on(*stream, most));
        self.ready.append(&mut ready);
    }

    /// Whether it is worth coming back to.
    fn send_on(&mut self, stream: StreamId, most: usize) -> bool {
        let Self { legs, engine: Some(engine), .. } = self else { return false };
        let leg = legs.get_mut(&stream).expect("it was begun");
        if leg.to_send() > 0 {
            let window = engine.window(stream);
            if window == 0 {
                return false;
            }
            let most = leg.to_send().min(window).min(engine.room()).min(most);
            if most > 0 {
                let sent = engine.fill(stream, most, |slots| {
                    Ok(leg.write(slots.iter_mut().map(|slot| &mut **slot), most))
                });
                assert_ne!(sent.unwrap(), 0, "there is room, as was said");
            }
        }
        match leg.finale() {
            Some(Then::End) => engine.finish(stream),
            Some(Then::Reset) => {
                engine.reset(stream, Code::CANCEL);
                leg.reset();
            }
            None => {}
        }
        !leg.done
    }

    /// The wire takes up to `most` octets.
    pub(super) fn write(&mut self, most: usize) -> Vec<u8> {
        let engine = self.engine.as_mut().expect("it is only away while it moves");
        let output = engine.output().unwrap();
        let written = output[..output.len().min(most)].to_vec();
        engine.written(written.len());
        if !engine.has_output() {
            self.buffers.extend(engine.take_back());
        }
        written
    }

    /// Moves the engine to another process, as it were.
    pub(super) fn travel(&mut self) {
        let state = self.engine.take().unwrap().export().unwrap();
        let mut engine = toy::carry(&state, self.now);
        engine.limit_records(self.records);
        (self.engine, self.buffers) = (Some(engine), of(self.lent));
    }

    pub(super) fn is_over(&self) -> bool {
        self.legs.len() == self.plans.len() && self.legs.values().all(Leg::is_over)
    }

    pub(super) fn has_output(&self) -> bool {
        self.engine.as_ref().is_some_and(Engine::has_output)
    }
}

/// Buffers of so many octets each.
fn of(lengths: &[usize]) -> VecDeque<Vec<u8>> {
    lengths.iter().map(|length| vec![0; *length]).collect()
}

/// The two ends; what one writes lies in the inbox of the other.
pub(super) struct Pair {
    pub(super) client: End,
    pub(super) server: End,
}

impl Pair {
    pub(super) fn new(kind: (Layer, Suite), lent: &'static [usize], plans: &Plans) -> Self {
        let [client, server] = [Role::Client, Role::Server].map(|role| End::new(role, kind, lent, plans));
        Self { client, server }
    }

    pub(super) fn is_over(&self) -> bool {
        self.client.is_over() && self.server.is_over()
    }

    /// All that was sent came as it was sent.
    #[track_caller]
    pub(super) fn check(&mut self) {
        for (stream, client) in &self.client.legs {
            let server = &self.server.legs[stream];
            client.check(server);
            server.check(client);
        }
        for end in [&mut self.client, &mut self.server] {
            assert_eq!(end.engine().http2().streams(), 0);
        }
    }
}
