//! A peer that proves who it is and then breaks the rules of TLS or HTTP/2 is told so, and thrown out. Nobody else notices, and
//! nothing of it stays.

mod deaf;

use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use culvert_lab::{Behaviour, Error, Program, bulk, wait_until};
use rustls::AlertDescription;

use crate::harness::certificates::{Authority, Certificate};
use crate::harness::cluster::{BULK, Cluster, ECHO};
use crate::harness::frames::{End, PREFACE, Rogue, connect, field, flag, frame, kind, number, status};
use crate::harness::kernel::belongings;
use crate::harness::shared::Shared;
use crate::harness::talk::{SOON, assert_alive, assert_echo};

// Error codes (RFC 9113 §7).
const NO_ERROR: u32 = 0;
const PROTOCOL_ERROR: u32 = 1;
const FLOW_CONTROL_ERROR: u32 = 3;
const FRAME_SIZE_ERROR: u32 = 6;
const CANCEL: u32 = 8;
const COMPRESSION_ERROR: u32 = 9;
const ENHANCE_YOUR_CALM: u32 = 11;

/// More than anybody needs who means well.
const FLOOD: u32 = 5000;

struct Rig {
    cluster: Cluster,
    /// The proxy of the node with the server.
    proxy: Program,
    certificate: Certificate,
    /// An application of the server that takes nothing.
    silent: u16,
}

impl Rig {
    fn start(name: &str) -> Result<Self, Error> {
        let cluster = Cluster::without_mesh(name)?;
        let lab = &cluster.lab;
        lab.enrol_all(&[&cluster.client, &cluster.server])?;
        lab.start_control()?;
        lab.start_agent(&cluster.one)?;
        lab.start_agent(&cluster.two)?;
        lab.start_node(&cluster.one)?;
        let proxy = lab.start_node(&cluster.two)?;
        wait_until(SOON, "the client is captured", || cluster.client.is_captured().unwrap())?;
        let identity = "spiffe://cluster.local/ns/default/sa/rogue";
        let certificate = Authority::of_control(lab).issue(lab.directory(), identity);
        let silent = lab.serve(&cluster.server, 0, Behaviour::Silent)?.port();
        Ok(Self { cluster, proxy, certificate, silent })
    }

    fn rogue(&self) -> Rogue {
        Rogue::enter(&self.cluster.outsider, (self.cluster.server.ip4(), 15008), &self.certificate)
    }

    /// One that has begun well.
    fn guest(&self) -> Rogue {
        let mut rogue = self.rogue();
        rogue.begin();
        rogue
    }

    fn at(&self, port: u16) -> SocketAddr {
        (self.cluster.server.ip4(), port).into()
    }

    /// A connection of somebody else to the same pod.
    fn bystander(&self) -> TcpStream {
        let mut stream = self.cluster.client.connect(self.at(ECHO), SOON).unwrap();
        assert_alive(&mut stream, b"before");
        stream
    }
}

fn rig() -> Arc<Rig> {
    static RIG: Shared<Rig> = Shared::new();
    RIG.take(|| Rig::start("hostile"))
}

/// What a peer does, and what it gets for it.
struct Attack {
    name: &'static str,
    begins_well: bool,
    act: fn(&Rig, &mut Rogue),
    end: End,
}

const fn attack(name: &'static str, end: End, act: fn(&Rig, &mut Rogue)) -> Attack {
    Attack { name, begins_well: true, act, end }
}

const ATTACKS: &[Attack] = &[
    attack("rapid reset", End::GoAway(ENHANCE_YOUR_CALM), |rig, rogue| {
        let headers = connect(rig.at(ECHO));
        for stream in (0..FLOOD).map(|i| i * 2 + 1) {
            let ask = frame(kind::HEADERS, flag::END_HEADERS, stream, &headers);
            rogue.send(&[ask, frame(kind::RESET, 0, stream, &CANCEL.to_be_bytes())].concat());
        }
    }),
    attack("a flood of settings", End::GoAway(ENHANCE_YOUR_CALM), |_, rogue| {
        (0..FLOOD).for_each(|_| rogue.frame(kind::SETTINGS, 0, 0, &[0, 4, 0, 0, 255, 255]));
    }),
    attack("a flood of acknowledgements", End::GoAway(ENHANCE_YOUR_CALM), |_, rogue| {
        (0..FLOOD).for_each(|_| rogue.frame(kind::SETTINGS, flag::ACK, 0, &[]));
    }),
    attack("a flood of pings", End::GoAway(ENHANCE_YOUR_CALM), |_, rogue| {
        (0..FLOOD).for_each(|_| rogue.frame(kind::PING, 0, 0, b"culverts"));
    }),
    attack("empty DATA without end", End::GoAway(ENHANCE_YOUR_CALM), |rig, rogue| {
        rogue.open(1, rig.at(ECHO));
        (0..FLOOD).for_each(|_| rogue.frame(kind::DATA, 0, 1, &[]));
    }),
    attack("window updates without end", End::GoAway(ENHANCE_YOUR_CALM), |rig, rogue| {
        rogue.open(1, rig.at(ECHO));
        let update = frame(kind::WINDOW_UPDATE, 0, 1, &1_u32.to_be_bytes());
        (0..FLOOD).for_each(|_| rogue.send(&update.repeat(10)));
    }),
    attack("a header block in many pieces", End::GoAway(ENHANCE_YOUR_CALM), |_, rogue| {
        rogue.frame(kind::HEADERS, 0, 1, &[]);
        (0..FLOOD).for_each(|_| rogue.frame(kind::CONTINUATION, 0, 1, &[]));
    }),
    attack("a header block without end", End::GoAway(ENHANCE_YOUR_CALM), |_, rogue| {
        rogue.frame(kind::HEADERS, 0, 1, &[]);
        (0..100).for_each(|_| rogue.frame(kind::CONTINUATION, 0, 1, &[0; 16_384]));
    }),
    attack("a header block that is nonsense", End::GoAway(COMPRESSION_ERROR), |_, rogue| {
        rogue.frame(kind::HEADERS, flag::END_HEADERS, 1, &[0xff; 20]);
    }),
    attack("a connection window beyond 2^31-1", End::GoAway(FLOW_CONTROL_ERROR), |_, rogue| {
        rogue.frame(kind::WINDOW_UPDATE, 0, 0, &i32::MAX.to_be_bytes());
    }),
    attack("a window update by nothing", End::GoAway(PROTOCOL_ERROR), |_, rogue| {
        rogue.frame(kind::WINDOW_UPDATE, 0, 0, &[0; 4]);
    }),
    attack("a frame larger than allowed", End::GoAway(FRAME_SIZE_ERROR), |rig, rogue| {
        rogue.open(1, rig.at(ECHO));
        rogue.send(&[&[0xff, 0xff, 0xff, kind::DATA, 0, 0, 0, 0, 1][..], &[0; 1000]].concat());
    }),
    attack("a frame of a size it cannot have", End::GoAway(FRAME_SIZE_ERROR), |_, rogue| {
        rogue.frame(kind::PING, 0, 0, b"short");
    }),
    attack("DATA for a stream nobody opened", End::GoAway(PROTOCOL_ERROR), |_, rogue| {
        rogue.frame(kind::DATA, 0, 7, b"for whom?");
    }),
    attack("a stream of the server's own", End::GoAway(PROTOCOL_ERROR), |rig, rogue| {
        rogue.frame(kind::HEADERS, flag::END_HEADERS, 2, &connect(rig.at(ECHO)));
    }),
    attack("nonsense after the preface", End::GoAway(PROTOCOL_ERROR), |_, rogue| {
        rogue.send(&[0xff; 4096]);
    })
    .before_http2(),
    attack("the preface, then nonsense", End::GoAway(PROTOCOL_ERROR), |_, rogue| {
        rogue.send(PREFACE);
        rogue.frame(kind::PING, 0, 0, b"culverts");
    })
    .before_http2(),
    attack("another protocol", End::GoAway(PROTOCOL_ERROR), |_, rogue| {
        rogue.send(b"GET / HTTP/1.1\r\nHost: culvert\r\n\r\n");
    })
    .before_http2(),
    attack("a record nobody sealed", End::Alert(AlertDescription::BadRecordMac), |_, rogue| {
        rogue.send_raw(&[&[23, 3, 3, 0, 100][..], &[7; 100]].concat());
    }),
    attack("a record too long to be one", End::Alert(AlertDescription::RecordOverflow), |_, rogue| {
        rogue.send_raw(&[23, 3, 3, 0xff, 0xff]);
    }),
    attack("a record in clear", End::Alert(AlertDescription::UnexpectedMessage), |_, rogue| {
        rogue.send_raw(&[22, 3, 3, 0, 5, 0, 0, 0, 1, 0]);
    }),
    attack("new keys without end", End::Alert(AlertDescription::UnexpectedMessage), |_, rogue| {
        (0..70).for_each(|_| rogue.update_keys());
    }),
];

impl Attack {
    /// The rogue has not begun HTTP/2.
    const fn before_http2(mut self) -> Self {
        self.begins_well = false;
        self
    }

    #[track_caller]
    fn assert_ends(&self, rig: &Rig) {
        let mut rogue = if self.begins_well { rig.guest() } else { rig.rogue() };
        (self.act)(rig, &mut rogue);
        assert_eq!(rogue.end(SOON), self.end, "{}", self.name);
    }
}

#[test]
fn whoever_breaks_the_rules_is_told_and_thrown_out() {
    let rig = rig();
    let mut bystander = rig.bystander();
    for attack in ATTACKS {
        attack.assert_ends(&rig);
        assert_alive(&mut bystander, attack.name.as_bytes());
    }
}

#[test]
fn nothing_of_them_stays() {
    /// An allocator needs some until it has all it ever will.
    const ROUNDS: usize = 4;
    const SLACK: u64 = 6 << 20;
    let rig = Rig::start("hostile-remains").unwrap();
    let mut bystander = rig.bystander();
    let all = || ATTACKS.iter().for_each(|attack| attack.assert_ends(&rig));
    let (descriptors, _) = belongings(&rig.proxy);
    (0..ROUNDS).for_each(|_| all());
    let (_, memory) = belongings(&rig.proxy);
    (0..ROUNDS).for_each(|_| all());
    let is_as_before = || {
        let now = belongings(&rig.proxy);
        now.0 <= descriptors && now.1 <= memory + SLACK
    };
    let what = format!("the proxy has {descriptors} descriptors again, and {memory} bytes");
    rig.cluster.lab.wait_until(SOON, &what, is_as_before).unwrap();
    assert_alive(&mut bystander, b"after");
}

#[test]
fn a_peer_that_reads_nothing_costs_little() {
    const STREAMS: u32 = 150;
    /// All that is held for one tunnel, whatever its streams want to send, and what an allocator may keep.
    const COST: u64 = 24 << 20;
    let rig = Rig::start("hostile-deaf").unwrap();
    let mut bystander = rig.bystander();
    let source = rig.cluster.lab.serve(&rig.cluster.server, 0, Behaviour::Source(BULK)).unwrap();
    let (descriptors, memory) = belongings(&rig.proxy);
    let mut guest = rig.guest();
    let wide = [&[0, 4][..], &i32::MAX.to_be_bytes()].concat();
    guest.frame(kind::SETTINGS, 0, 0, &wide);
    guest.frame(kind::WINDOW_UPDATE, 0, 0, &(i32::MAX - 65_535).to_be_bytes());
    for stream in (0..STREAMS).map(|i| i * 2 + 1) {
        guest.frame(kind::HEADERS, flag::END_HEADERS, stream, &connect(rig.at(source.port())));
    }
    let all = STREAMS as usize;
    rig.cluster.lab.wait_until(SOON, "all connections are there", || source.open() == all).unwrap();
    for _ in 0..200 {
        assert_alive(&mut bystander, &[7; 10_000]);
    }
    let (_, now) = belongings(&rig.proxy);
    assert!(now < memory + COST, "{memory} bytes before, {now} now");
    drop(guest);
    let what = "connections of a peer that has gone are closed";
    let is_as_before = || source.open() == 0 && belongings(&rig.proxy).0 <= descriptors;
    rig.cluster.lab.wait_until(SOON, what, is_as_before).unwrap();
}

#[test]
fn what_is_wrong_with_a_stream_ends_the_stream_alone() {
    let rig = rig();
    let mut guest = rig.guest();
    guest.open(1, rig.at(ECHO));
    guest.frame(kind::WINDOW_UPDATE, 0, 1, &[0; 4]);
    assert_eq!(guest.reset_of(1), PROTOCOL_ERROR);
    guest.open(3, rig.at(ECHO));
    guest.frame(kind::WINDOW_UPDATE, 0, 3, &i32::MAX.to_be_bytes());
    assert_eq!(guest.reset_of(3), FLOW_CONTROL_ERROR);
    guest.open(5, rig.at(ECHO));
    guest.frame(kind::DATA, 0, 5, b"still here");
    let echo = guest.wait_for(|frame| frame.kind == kind::DATA && !frame.payload.is_empty());
    assert_eq!((echo.stream, &echo.payload[..]), (5, &b"still here"[..]));
}

#[test]
fn more_data_than_a_window_allows_ends_the_stream_alone() {
    let rig = rig();
    let mut bystander = rig.bystander();
    let mut guest = rig.guest();
    guest.open(1, rig.at(rig.silent));
    // Buffers on the way to the application take some of it, and that is allowed again.
    let data = frame(kind::DATA, 0, 1, &[0; 16_384]).repeat(16);
    let reset = (0..200).find_map(|_| {
        guest.send(&data);
        guest.frame(kind::PING, 0, 0, b"and then");
        let next = guest.wait_for(|frame| [kind::PING, kind::RESET].contains(&frame.kind));
        (next.kind == kind::RESET).then_some(next)
    });
    let reset = reset.expect("nothing takes 50 MB");
    assert_eq!((reset.stream, number(&reset.payload)), (1, FLOW_CONTROL_ERROR));
    guest.assert_alive();
    assert_alive(&mut bystander, b"undisturbed");
}

#[test]
fn too_large_a_list_of_headers_is_answered_431() {
    let rig = rig();
    let mut guest = rig.guest();
    let headers = [connect(rig.at(ECHO)), field(b"x-much", &[b'x'; 4000]).repeat(20)].concat();
    let mut pieces = headers.chunks(16_384).peekable();
    guest.frame(kind::HEADERS, 0, 1, pieces.next().unwrap());
    while let Some(piece) = pieces.next() {
        let flags = if pieces.peek().is_none() { flag::END_HEADERS } else { 0 };
        guest.frame(kind::CONTINUATION, flags, 1, piece);
    }
    let answer = guest.wait_for(|frame| frame.kind == kind::HEADERS);
    assert_eq!((answer.stream, status(&answer)), (1, 431));
    assert_eq!(answer.flags & flag::END_STREAM, flag::END_STREAM);
    guest.open(3, rig.at(ECHO));
    guest.assert_alive();
}

#[test]
fn a_tunnel_that_breaks_off_breaks_its_connections() {
    let rig = rig();
    let (seen, sees) = mpsc::channel();
    let seen = Mutex::new(seen);
    let sink = move |mut stream: TcpStream| {
        let ending = bulk::receive(&mut stream).map(|digest| digest.bytes).map_err(|error| error.kind());
        seen.lock().unwrap().send(ending).map_err(std::io::Error::other)
    };
    let sink = rig.cluster.lab.serve(&rig.cluster.server, 0, Behaviour::custom(sink)).unwrap();
    let mut guest = rig.guest();
    guest.open(1, rig.at(sink.port()));
    guest.frame(kind::DATA, 0, 1, b"this is not all");
    guest.cut();
    let ending = sees.recv_timeout(SOON).unwrap();
    assert_eq!(ending, Err(std::io::ErrorKind::ConnectionReset), "an application took a part for the whole");
    assert_ne!(guest.end(SOON), End::Open);
}

#[test]
fn a_peer_that_never_begins_is_left_at_the_deadline() {
    const DEADLINE: Duration = Duration::from_secs(10);
    let rig = rig();
    let begun = Instant::now();
    let (mut silent, mut slow) = (rig.rogue(), rig.rogue());
    slow.send(&PREFACE[..10]);
    assert_eq!(silent.end(DEADLINE * 2), End::GoAway(NO_ERROR));
    assert_eq!(slow.end(DEADLINE), End::GoAway(NO_ERROR));
    let took = begun.elapsed();
    assert!(took > DEADLINE.mul_f32(0.9) && took < DEADLINE.mul_f32(1.3), "{took:?}");
}

#[test]
fn a_peer_that_falls_silent_within_a_record_is_left() {
    /// Quiet for 10 s, and no answer to a ping for 20 s.
    const DEADLINE: Duration = Duration::from_secs(30);
    let rig = rig();
    let mut bystander = rig.bystander();
    let begun = Instant::now();
    let mut guest = rig.guest();
    guest.open(1, rig.at(ECHO));
    guest.send_raw(&[23, 3, 3, 1, 0, 7, 7, 7]);
    assert_eq!(guest.end(DEADLINE * 2), End::Closed);
    let took = begun.elapsed();
    assert!(took > DEADLINE.mul_f32(0.9) && took < DEADLINE.mul_f32(1.3), "{took:?}");
    assert_alive(&mut bystander, b"undisturbed");
    assert_echo(&rig.cluster.client, rig.at(ECHO), b"undisturbed");
}
