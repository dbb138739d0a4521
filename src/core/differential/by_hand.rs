//! What happens seldom by chance, frame by frame.

use std::time::Instant;

use culvert_core::tunnel::http2::{By, Code, Connection, Event, Fields, Limits, Role, StreamId};
use culvert_core::tunnel::{Fault, hpack};

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RESET: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;

const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;

const LIMITS: Limits = Limits {
    streams: 100,
    stream_window: 1 << 20,
    connection_window: 1 << 20,
    frame: 16_384,
    fields: 16_384,
};

/// Our end, and the peer we play.
struct Scene {
    http2: Connection,
    now: Instant,
    events: Vec<Event>,
}

impl Scene {
    fn server() -> Self {
        let mut scene = Self::new(Role::Server);
        scene.come(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").unwrap();
        scene.frame(SETTINGS, 0, 0, &[]).unwrap();
        scene
    }

    fn client() -> Self {
        let mut scene = Self::new(Role::Client);
        scene.frame(SETTINGS, 0, 0, &[]).unwrap();
        scene
    }

    fn new(role: Role) -> Self {
        let now = tokio::time::Instant::now().into_std();
        Self { http2: Connection::new(role, LIMITS, now), now, events: Vec::new() }
    }

    fn come(&mut self, octets: &[u8]) -> Result<(), Fault> {
        self.http2.receive(self.now, octets, 0, &mut self.events)
    }

    fn frame(&mut self, kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Result<(), Fault> {
        self.come(&frame(kind, flags, stream.into(), payload))
    }

    /// The peer acknowledges our settings.
    fn settle(&mut self) {
        self.frame(SETTINGS, ACK, 0, &[]).unwrap();
    }

    /// The peer asks for a stream.
    fn ask(&mut self, stream: u8) -> StreamId {
        let mut block = Vec::new();
        hpack::encode_table_size_0(&mut block);
        hpack::encode_field(&mut block, b":method", b"CONNECT");
        hpack::encode_field(&mut block, b":authority", b"10.0.0.1:80");
        self.frame(HEADERS, END_HEADERS, stream, &block).unwrap();
        match self.events.pop() {
            Some(Event::Request { stream, .. }) => stream,
            other => panic!("{other:?}"),
        }
    }

    /// What we have to say, as kinds and streams.
    fn says(&mut self) -> Vec<(u8, u8)> {
        let control = std::mem::take(self.http2.control());
        let mut rest = control.as_slice();
        let mut said = Vec::new();
        while let Some((&[_, high, low, kind, _, _, _, _, stream], body)) = rest.split_first_chunk() {
            said.push((kind, stream));
            rest = &body[usize::from(u16::from_be_bytes([high, low]))..];
        }
        said
    }

    fn happened(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = u32::try_from(payload.len()).unwrap().to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

#[test]
fn of_a_stream_given_up_within_a_frame_nothing_more_is_heard() {
    let mut scene = Scene::server();
    let stream = scene.ask(1);
    let data = frame(DATA, END_STREAM, 1, &[7; 100]);
    scene.come(&data[..50]).unwrap();
    assert_eq!(scene.happened(), [Event::Data { stream, place: 9..50 }]);
    scene.http2.reset(stream, Code::CANCEL);
    scene.come(&data[50..]).unwrap();
    assert_eq!(scene.happened(), []);
}

#[test]
fn a_client_may_use_the_usual_window_until_it_has_seen_ours() {
    let mut scene = Scene::server();
    let stream = scene.ask(1);
    for _ in 0..4 {
        scene.frame(DATA, 0, 1, &[7; 16_000]).unwrap();
    }
    assert_eq!(scene.happened().len(), 4);
    scene.settle();
    scene.says();
    // Its window is negative now, in which there is room for nothing, and opens when what it sent is consumed.
    scene.frame(DATA, 0, 1, &[]).unwrap();
    scene.http2.consumed(stream, 64_000);
    assert_eq!(scene.says(), [(8, 1)]);
    scene.frame(DATA, 0, 1, &[7; 2_000]).unwrap();
    assert_eq!(scene.happened().len(), 1);
}

#[test]
fn a_client_that_has_seen_our_window_keeps_to_it() {
    let mut scene = Scene::server();
    scene.settle();
    let stream = scene.ask(1);
    scene.frame(DATA, 0, 1, &[7; 4_096]).unwrap();
    scene.happened();
    let (code, by) = (Code::FLOW_CONTROL_ERROR, By::Us);
    scene.frame(DATA, 0, 1, &[7; 4_096]).unwrap();
    assert_eq!(scene.happened(), [Event::Reset { stream, code, by }]);
}

/// A client that had streams in line may ask for them after the warning.
#[test]
fn a_stream_behind_the_last_one_is_passed_over_and_all_that_belongs_to_it() {
    let mut scene = Scene::server();
    let stream = scene.ask(1);
    scene.http2.leave();
    scene.frame(PING, ACK, 0, b"draining").unwrap();
    scene.says();
    let mut block = Vec::new();
    hpack::encode_field(&mut block, b":method", b"CONNECT");
    scene.frame(HEADERS, END_HEADERS, 3, &block).unwrap();
    scene.frame(DATA, 0, 3, &[7; 10]).unwrap();
    scene.frame(RESET, 0, 3, &[0, 0, 0, 8]).unwrap();
    assert_eq!((scene.happened(), scene.says()), (vec![], vec![]));
    scene.frame(DATA, 0, 1, &[7; 10]).unwrap();
    assert_eq!(scene.happened(), [Event::Data { stream, place: 9..19 }]);
    // The last stream stays the last, whatever comes after it.
    scene.http2.leave_at_once(Code::INTERNAL_ERROR);
    assert_eq!(scene.http2.control()[9..13], [0, 0, 0, 1]);
}

#[test]
fn what_is_on_its_way_when_a_stream_is_given_up_is_no_flood() {
    let mut scene = Scene::server();
    let stream = scene.ask(1);
    scene.settle();
    scene.http2.reset(stream, Code::CANCEL);
    for _ in 0..4_000 {
        scene.frame(DATA, 0, 1, &[7]).unwrap();
    }
    // More than the window allowed is one.
    let fault = (0..8_000).find_map(|_| scene.frame(DATA, 0, 1, &[7]).err());
    assert_eq!(fault.and_then(Fault::code), Some(Code::ENHANCE_YOUR_CALM));
}

/// Whoever opens streams and takes them back while the connection's window is used up must not fill our memory.
#[test]
fn streams_that_are_over_do_not_stay_in_line_for_the_window() {
    let mut scene = Scene::server();
    let mut memory = Vec::new();
    for stream in (1..=101).step_by(2) {
        let id = scene.ask(stream);
        scene.http2.answer(id, 200, &Fields::default(), false);
        let room = scene.http2.room(id);
        scene.http2.data(id, room, false);
        assert_eq!(scene.http2.room(id), 0);
        scene.frame(RESET, 0, stream, &[0, 0, 0, 8]).unwrap();
        scene.says();
        scene.happened();
        memory.push(format!("{:?}", scene.http2).len());
    }
    assert!(memory[50] < memory[1] + 20, "{memory:?}");
}

#[test]
fn an_answer_begins_with_its_head() {
    let mut scene = Scene::client();
    let stream = scene.http2.open("10.0.0.1:80", &Fields::default()).unwrap();
    scene.happened();
    scene.frame(DATA, END_STREAM, 1, b"payload").unwrap();
    let (code, by) = (Code::PROTOCOL_ERROR, By::Us);
    assert_eq!(scene.happened(), [Event::Reset { stream, code, by }]);
}

#[test]
fn a_server_cannot_keep_us_busy_with_interim_answers() {
    let mut scene = Scene::client();
    scene.http2.open("10.0.0.1:80", &Fields::default()).unwrap();
    let mut block = Vec::new();
    hpack::encode_field(&mut block, b":status", b"103");
    let fault = (0..2_000).find_map(|_| scene.frame(HEADERS, END_HEADERS, 1, &block).err());
    assert_eq!(fault.and_then(Fault::code), Some(Code::ENHANCE_YOUR_CALM));
}
