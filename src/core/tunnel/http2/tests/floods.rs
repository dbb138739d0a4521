//! Too much of what moves nothing forward ends the connection; much of what does move something does not.

use std::time::Duration;

use super::*;
use crate::tunnel::Fault;

const SECOND: Duration = Duration::from_secs(1);

/// A server with a stream.
fn server() -> Script {
    let mut server = Script::server().at_home();
    server.gets(connect(1)).answers(1, 200).forget();
    server
}

/// So many of a frame.
fn times(count: usize, frame: &[u8]) -> Vec<u8> {
    frame.repeat(count)
}

/// A burst is fine, and then so many a second, and no more.
#[track_caller]
fn limited(begin: impl Fn() -> Script, frame: &[u8]) {
    begin().gets(times(990, frame));
    begin().breaks(times(1_010, frame), Code::ENHANCE_YOUR_CALM);
    let (mut patient, mut hasty) = (begin(), begin());
    for _ in 0..10 {
        patient.gets(times(490, frame)).forget().wait(SECOND);
    }
    for _ in 0..3 {
        hasty.gets(times(380, frame)).forget().wait(SECOND / 5);
    }
    hasty.breaks(times(200, frame), Code::ENHANCE_YOUR_CALM);
    // Long silence earns no more than a burst.
    begin().gets(frame.to_vec()).wait(3_600 * SECOND).breaks(times(1_010, frame), Code::ENHANCE_YOUR_CALM);
}

#[test]
fn frames_that_say_nothing() {
    for frame in [
        ping(b"12345678"),
        ping_ack(b"12345678"),
        settings(&[]),
        settings_ack(),
        data(1, b""),
        raw(PRIORITY_FRAME, 0, 1, &[0; 5]),
        raw(UNKNOWN, 0, 0, b"x"),
        goaway(0, Code::NO_ERROR),
    ] {
        limited(server, &frame);
    }
}

/// More of them than can have been on their way.
#[test]
fn frames_for_streams_that_are_over() {
    let begin = || {
        let mut server = Script::server().at_home();
        server.gets(connect(9));
        server
    };
    for frame in [data_end(3, b""), rst_stream(3, Code::CANCEL), headers_end(3, &[("a", "b")])] {
        limited(begin, &frame);
    }
}

#[test]
fn interim_answers() {
    let begin = || {
        let mut client = Script::client().at_home();
        client.opens();
        client
    };
    limited(begin, &headers(1, &[(":status", "103")]));
}

#[test]
fn continuations() {
    let begin = raw(HEADERS, 0, 1, &block(&[(":method", "CONNECT")]));
    let goes_on = |count| [begin.clone(), times(count, &raw(CONTINUATION, 0, 1, &[]))].concat();
    let end = raw(CONTINUATION, END_HEADERS, 1, &[]);
    Script::server().gets([goes_on(31), end].concat()).tells(&["request 1 CONNECT "]);
    Script::server().breaks(goes_on(33), Code::ENHANCE_YOUR_CALM);
}

/// CVE-2023-44487.
#[test]
fn streams_taken_back_at_once() {
    let round = |stream| [connect(stream), rst_stream(stream, Code::CANCEL)].concat();
    let rounds = |count| (1..count).map(|n| round(2 * n + 1)).collect::<Vec<_>>().concat();
    server().gets(rounds(990));
    server().breaks(rounds(1_010), Code::ENHANCE_YOUR_CALM);
}

/// Some seconds of a client whose applications connect and go again.
#[test]
fn streams_taken_back_after_they_were_answered() {
    let mut server = server();
    for n in 1..2_000 {
        let stream = 2 * n + 1;
        server.gets(connect(stream)).answers(stream, 200).gets(rst_stream(stream, Code::CANCEL)).forget();
    }
}

#[test]
fn requests_that_make_no_sense() {
    let requests = |count| (1..count).flat_map(|n| headers(2 * n + 1, &[(":method", "CONNECT"), ("A", "")]));
    server().gets(requests(990).collect());
    server().breaks(requests(1_010).collect(), Code::ENHANCE_YOUR_CALM);
}

#[test]
fn window_updates_for_nothing() {
    server().gets(times(9_990, &window_update(1, 1)));
    server().breaks(times(10_010, &window_update(1, 1)), Code::ENHANCE_YOUR_CALM);
    server().breaks(times(10_010, &window_update(0, 1)), Code::ENHANCE_YOUR_CALM);
}

#[test]
fn window_updates_for_what_was_sent() {
    let mut server = server();
    for _ in 0..5_000 {
        server.sends_data(1, 2).gets(window_update(1, 1)).gets(window_update(1, 1));
        server.gets(window_update(0, 1)).gets(window_update(0, 1));
    }
}

/// An application that writes octet by octet.
#[test]
fn small_frames_of_data() {
    let mut server = server();
    for _ in 0..20 {
        server.gets(times(1_000, &data(1, b"x"))).consumes(1, 1_000).forget();
    }
}

/// Answers pile up when the peer does not read them.
#[test]
fn answers_that_nobody_reads() {
    let mut server = server();
    let fault = (0..100).find_map(|_| {
        server.wait(2 * SECOND);
        let answers = server.does(|server| server.control().len());
        if answers + 900 * 17 <= 256 * 1024 {
            server.gets(times(900, &ping(b"12345678")));
            return None;
        }
        Some(server.fails(times(900, &ping(b"12345678"))))
    });
    assert!(matches!(fault, Some(Fault::Http2 { code: Code::ENHANCE_YOUR_CALM, .. })), "{fault:?}");
}

/// What was on its way when we gave up many streams at once is no flood: an end, a reset, an answer and its end for each.
#[test]
fn farewells_that_cross_ours() {
    let limits = Limits { streams: 2_000, connection_window: 64 << 20, ..LIMITS };
    let mut server = Script::server_with(limits).at_home();
    let streams = || (0..2_000).map(|n| 2 * n + 1);
    for stream in streams() {
        server.gets(connect(stream)).answers(stream, 200);
        server.does(|server| server.reset(StreamId(stream), Code::CANCEL));
        server.forget();
    }
    server.gets(streams().flat_map(|stream| data(stream, b"bye")).collect());
    server.gets(streams().flat_map(|stream| data_end(stream, b"")).collect());
    server.gets(streams().flat_map(|stream| rst_stream(stream, Code::CANCEL)).collect());
    server.sends(&[]).tells(&[]);
}

/// A stream that was given up is no licence: no more comes late than could have been sent before.
#[test]
fn late_data_has_an_end() {
    let begin = || {
        let mut server = server();
        server.does(|server| server.reset(StreamId(1), Code::CANCEL));
        server.forget();
        server
    };
    let octets = |count: u32| times(count as usize, &data(1, b"x"));
    begin().gets(octets(INITIAL)).gets(times(990, &data_end(1, b"")));
    begin().gets(octets(INITIAL)).breaks(octets(1_010), Code::ENHANCE_YOUR_CALM);
}

#[test]
fn farewells_are_not_saved_up() {
    let mut server = server();
    for n in 1..5_000 {
        let stream = 2 * n + 1;
        server.gets(connect(stream)).answers(stream, 200);
        server.does(|server| server.reset(StreamId(stream), Code::CANCEL));
        server.forget();
    }
    server.breaks(times(11_100, &rst_stream(3, Code::CANCEL)), Code::ENHANCE_YOUR_CALM);
}

#[test]
fn answers_that_cross_our_resets() {
    let settings = [(3, 5_000)];
    let mut client = Script::new(Role::Client, Limits { streams: 5_000, ..LIMITS }).at_home();
    client.gets(settings_of(&settings)).forget();
    let streams: Vec<u32> = (0..2_000).map(|_| client.opens().0).collect();
    for stream in &streams {
        client.does(|client| client.reset(StreamId(*stream), Code::CANCEL));
    }
    client.forget().gets(streams.iter().flat_map(|stream| ok(*stream)).collect());
    client.gets(streams.iter().flat_map(|stream| data_end(*stream, b"")).collect()).tells(&[]).sends(&[]);
}

fn settings_of(all: &[(u16, u32)]) -> Vec<u8> {
    [settings(all), settings_ack()].concat()
}
