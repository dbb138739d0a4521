//! The connection's window is shared out so that no stream keeps another one from moving, and none of it is ever lost.

use std::collections::BTreeMap;

use rand::rngs::SmallRng;
use rand::seq::{IndexedRandom, IteratorRandom};
use rand::{RngExt, SeedableRng};

use super::super::window::Share;
use super::*;
use crate::tunnel::hpack::Decoder;
use crate::tunnel::tests::toy;

/// A client as it sees the windows a server gives it.
struct Client {
    server: Connection,
    limits: Limits,
    /// What it may send on all streams together.
    whole: i64,
    streams: BTreeMap<u32, Flow>,
    next: u32,
    decoder: Decoder,
}

/// A stream that the server knows.
#[derive(Debug, Clone, Copy)]
struct Flow {
    window: i64,
    /// What the application on the other end has and does not let go of.
    held: u32,
    stalled: bool,
    sent_all: bool,
    received_all: bool,
}

impl Client {
    fn new(limits: Limits) -> Self {
        let server = Connection::new(Role::Server, limits, toy::start());
        let (streams, decoder) = (BTreeMap::new(), Decoder::new(4096));
        let mut client = Self { server, limits, whole: 65_535, streams, next: 1, decoder };
        client.send([preface(), settings_ack()].concat());
        client
    }

    /// Sends frames and looks at what comes back.
    fn send(&mut self, octets: Vec<u8>) {
        let mut events = Vec::new();
        self.server.receive(toy::start(), &octets, 0, &mut events).expect("it keeps to the windows");
        for event in events {
            match event {
                Event::Data { stream, place } => {
                    self.flow(stream.0).held += u32::try_from(place.len()).unwrap();
                }
                Event::Reset { code, by: By::Us, .. } => panic!("{code}, though it keeps to the windows"),
                Event::Request { .. } | Event::Answer { .. } | Event::End { .. } => {}
                Event::Reset { .. } | Event::Refused { .. } | Event::Room { .. } | Event::Capacity => {}
            }
        }
        self.look();
    }

    fn look(&mut self) {
        let control = std::mem::take(self.server.control());
        for line in read(&control, &mut self.decoder) {
            let Some(update) = line.strip_prefix("WINDOW_UPDATE ") else { continue };
            let (stream, increment) = update.split_once(' ').unwrap();
            let (stream, increment): (u32, i64) = (stream.parse().unwrap(), increment.parse().unwrap());
            match (stream, self.streams.get_mut(&stream)) {
                (0, _) => self.whole += increment,
                (_, Some(flow)) => flow.window += increment,
                (_, None) => {}
            }
        }
        self.check();
    }

    /// Whatever those do that nobody reads, all others can use the whole of their windows.
    fn check(&self) {
        let moving = self.streams.values().filter(|flow| !flow.sent_all);
        let windows: i64 = moving.map(|flow| flow.window).sum();
        assert!(windows <= self.whole, "{windows} on all streams, {} together", self.whole);
    }

    fn flow(&mut self, stream: u32) -> &mut Flow {
        self.streams.get_mut(&stream).expect("nothing comes of a stream that is over")
    }

    fn open(&mut self) -> u32 {
        let stream = self.next;
        self.next += 2;
        let window = self.server.share.initial().into();
        let flow = Flow { window, held: 0, stalled: false, sent_all: false, received_all: false };
        self.streams.insert(stream, flow);
        self.send(connect(stream));
        self.server.answer(StreamId(stream), 200, &Fields::default(), false);
        self.look();
        stream
    }

    /// Sends payload and padding, as far as the windows go.
    fn data(&mut self, stream: u32, bytes: u32, padding: Option<u8>, end: bool) {
        let flow = *self.flow(stream);
        let overhead = padding.map_or(0, |padding| u32::from(padding) + 1);
        let window = u32::try_from(flow.window).unwrap().min(self.limits.frame);
        if window < overhead || flow.sent_all {
            return;
        }
        let bytes = bytes.min(window - overhead);
        let flow = self.flow(stream);
        flow.window -= i64::from(bytes + overhead);
        flow.sent_all = end;
        self.whole -= i64::from(bytes + overhead);
        let mut payload = vec![0; bytes as usize];
        let flags = if end { END_STREAM } else { 0 };
        let frame = match padding {
            None => raw(DATA, flags, stream, &payload),
            Some(padding) => {
                payload.insert(0, padding);
                payload.resize((bytes + overhead) as usize, 0);
                raw(DATA, flags | PADDED, stream, &payload)
            }
        };
        self.send(frame);
    }

    fn consume(&mut self, stream: u32, bytes: u32) {
        let flow = self.flow(stream);
        let bytes = bytes.min(flow.held);
        flow.held -= bytes;
        self.server.consumed(StreamId(stream), bytes as usize);
        self.look();
    }

    /// The server has sent all.
    fn finish(&mut self, stream: u32) {
        if self.server.is_sending(StreamId(stream)) {
            self.server.data(StreamId(stream), 0, true);
            self.flow(stream).received_all = true;
            self.look();
        }
    }

    fn reset(&mut self, stream: u32) {
        self.streams.remove(&stream);
        self.send(rst_stream(stream, Code::CANCEL));
    }

    /// The server gives a stream up while something of it is on its way.
    fn is_reset(&mut self, stream: u32, late: u32) {
        let flow = self.streams.remove(&stream).unwrap();
        self.server.reset(StreamId(stream), Code::CANCEL);
        self.look();
        let late = if flow.sent_all {
            0
        } else {
            late.min(u32::try_from(flow.window).unwrap()).min(self.limits.frame)
        };
        if late > 0 {
            self.whole -= i64::from(late);
            self.send(data(stream, &vec![0; late as usize]));
        }
    }

    fn ask_for_nonsense(&mut self) {
        self.next += 2;
        self.send(headers(self.next - 2, &[]));
    }

    fn forget_what_is_over(&mut self) {
        self.streams.retain(|_, flow| !(flow.sent_all && flow.received_all && flow.held == 0));
    }

    fn any(&self, random: &mut SmallRng) -> Option<u32> {
        self.streams.keys().copied().choose(random)
    }

    /// After everything is over the connection has its window again, up to what may be owed.
    fn check_nothing_is_lost(&self) {
        assert_eq!(self.server.streams(), 0);
        assert_eq!(self.server.share, Share::new(&self.limits));
        let all = i64::from(self.limits.connection_window);
        assert!(self.whole <= all && self.whole > all - all / 16, "{} of {all}", self.whole);
    }
}

/// One thing happens; in one of so many cases it is a new stream.
fn step(client: &mut Client, random: &mut SmallRng, opens: u32) {
    let most = *[1, 100, 20_000].choose(random).unwrap();
    let bytes = random.random_range(0..=most);
    let Some(stream) = client.any(random).filter(|_| !random.random_ratio(1, opens)) else {
        if client.streams.len() < client.limits.streams as usize {
            client.open();
        }
        return;
    };
    match random.random_range(0..100) {
        0..40 => {
            let padding = random.random_ratio(1, 10).then(|| random.random());
            client.data(stream, bytes, padding, random.random_ratio(1, 50));
        }
        40..90 if client.flow(stream).stalled => client.data(stream, bytes, None, false),
        40..75 => client.consume(stream, bytes),
        75..90 => keep_up(client, stream, 2),
        90..94 => client.flow(stream).stalled ^= true,
        94..97 => client.finish(stream),
        97 => client.reset(stream),
        98 => client.is_reset(stream, bytes),
        _ => client.ask_for_nonsense(),
    }
    client.forget_what_is_over();
}

#[test]
fn chance_finds_no_way_to_block_or_to_lose_a_window() {
    for seed in 0..40 {
        println!("seed {seed}");
        let random = &mut SmallRng::seed_from_u64(seed);
        let connection_window = random.random_range(300_000..2_000_000);
        let stream_window = random.random_range(30_000..1_000_000);
        let mut client = Client::new(Limits { connection_window, stream_window, ..LIMITS });
        let opens = *[20, 100].choose(random).unwrap();
        for _ in 0..3_000 {
            step(&mut client, random, opens);
        }
        while let Some(stream) = client.any(random) {
            match random.random_range(0..4) {
                0 => client.reset(stream),
                1 => client.is_reset(stream, 100),
                _ => {
                    client.data(stream, 0, None, true);
                    client.finish(stream);
                    client.consume(stream, u32::MAX);
                }
            }
            client.forget_what_is_over();
        }
        client.check_nothing_is_lost();
    }
}

/// Sends what the window allows and has it read, some rounds long.
fn keep_up(client: &mut Client, stream: u32, rounds: u32) {
    for _ in 0..rounds {
        fill(client, stream);
        client.consume(stream, u32::MAX);
    }
}

fn fill(client: &mut Client, stream: u32) {
    while client.flow(stream).window > 0 && !client.flow(stream).sent_all {
        client.data(stream, u32::MAX, None, false);
    }
}

#[test]
fn who_keeps_up_gets_all_there_is() {
    let mut client = Client::new(LIMITS);
    let stream = client.open();
    keep_up(&mut client, stream, 8);
    assert_eq!(client.flow(stream).window, i64::from(LIMITS.stream_window));
}

/// Fifteen whose windows are full of what nobody reads.
#[test]
fn who_keeps_up_does_not_mind_those_who_do_not() {
    let mut client = Client::new(LIMITS);
    for _ in 1..LIMITS.streams {
        let stalled = client.open();
        fill(&mut client, stalled);
    }
    let stream = client.open();
    keep_up(&mut client, stream, 8);
    assert_eq!(client.flow(stream).window, i64::from(LIMITS.stream_window));
}

/// First all grow, then all stall, one after the other: there is something left for each that comes later.
#[test]
fn there_is_room_for_those_who_come_late() {
    let mut client = Client::new(LIMITS);
    for _ in 0..LIMITS.streams {
        let stream = client.open();
        keep_up(&mut client, stream, 8);
        fill(&mut client, stream);
    }
    assert_eq!(client.streams.values().filter(|flow| flow.window > 0).count(), 0);
}

#[test]
fn those_who_grow_share() {
    let mut client = Client::new(LIMITS);
    let streams: Vec<u32> = (0..4).map(|_| client.open()).collect();
    for _ in 0..10 {
        streams.iter().for_each(|stream| keep_up(&mut client, *stream, 1));
    }
    let windows: Vec<i64> = streams.iter().map(|stream| client.flow(*stream).window).collect();
    let least = *windows.iter().min().unwrap();
    assert!(least >= 2 * i64::from(INITIAL), "{windows:?}");
}
