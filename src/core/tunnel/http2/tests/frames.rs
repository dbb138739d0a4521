//! Frames of kinds and sizes that nobody expects (RFC 9113 §4.1, §4.2, §5.5).

use super::*;

#[test]
fn what_nobody_knows_is_skipped() {
    let mut server = Script::server();
    server.gets(connect(1)).forget();
    for stream in [0, 1, 2, 99] {
        server.gets(raw(UNKNOWN, 0xff, stream, b"what is this")).gets(raw(10, 0, stream, &[]));
    }
    server.gets(raw(UNKNOWN, 0, 0, &[0; 16_384])).gets(data(1, b"x")).tells(&["data 1 x"]).sends(&[]);
}

/// The bit before the number of a stream, and flags without a meaning.
#[test]
fn what_is_reserved_is_skipped() {
    let mut server = Script::server();
    let request = block(&[(":method", "CONNECT"), (":authority", "a:1")]);
    server.gets(raw(HEADERS, END_HEADERS | 0xd2, 0x8000_0001, &request)).tells(&["request 1 CONNECT a:1"]);
    server.gets(raw(WINDOW_UPDATE, 0xff, 0x8000_0001, &[0x80, 0, 0, 1])).tells(&[]).sends(&[]);
    server.gets(raw(PING, 0xfe, 0x8000_0000, b"12345678")).sends(&["PING ack 12345678"]);
    server.gets(raw(DATA, 0xf6, 1, b"x")).tells(&["data 1 x"]);
}

#[test]
fn pings_are_answered() {
    let mut server = Script::server();
    server.gets(ping(b"who's it")).gets(ping(b"anybody?"));
    server.sends(&["PING ack who's it", "PING ack anybody?"]);
    server.gets(ping_ack(b"nobody's")).sends(&[]).tells(&[]);
}

#[test]
fn sizes() {
    for (kind, size) in [
        (RST_STREAM, 3),
        (RST_STREAM, 5),
        (WINDOW_UPDATE, 3),
        (WINDOW_UPDATE, 5),
        (PRIORITY_FRAME, 4),
        (PRIORITY_FRAME, 6),
        (DATA, 16_385),
        (HEADERS, 16_385),
        (UNKNOWN, 16_385),
    ] {
        let mut server = Script::server();
        server.gets(connect(1)).breaks(raw(kind, 0, 1, &vec![0; size]), Code::FRAME_SIZE_ERROR);
    }
    for (kind, flags, size) in [
        (PING, 0, 7),
        (PING, 1, 9),
        (PING, 0, 0),
        (GOAWAY, 0, 7),
        (GOAWAY, 0, 0),
        (SETTINGS, 0, 5),
        (SETTINGS, 1, 6),
    ] {
        Script::server().breaks(raw(kind, flags, 0, &vec![0; size]), Code::FRAME_SIZE_ERROR);
    }
    for kind in [RST_STREAM, WINDOW_UPDATE] {
        let mut server = Script::server();
        server.gets(connect(1)).breaks(raw(kind, 0, 1, &[]), Code::FRAME_SIZE_ERROR);
    }
}

#[test]
fn the_largest_frame_is_ours_to_say() {
    let mut server = Script::server_with(Limits { frame: 20_000, ..LIMITS });
    server.gets(connect(1)).gets(data(1, &[b'x'; 20_000])).forget();
    server.breaks(raw(UNKNOWN, 0, 0, &[0; 20_001]), Code::FRAME_SIZE_ERROR);
}

/// Frames we collect before we look at them.
#[test]
fn what_has_no_business_being_long() {
    let limits = Limits { frame: 1 << 20, ..LIMITS };
    for kind in [SETTINGS, GOAWAY] {
        let mut server = Script::server_with(limits);
        server.breaks(raw(kind, 0, 0, &vec![0; 16_386]), Code::ENHANCE_YOUR_CALM);
    }
}

/// Our blocks are cut as the peer wants them.
#[test]
fn blocks_are_cut_to_the_frames_of_the_peer() {
    let mut client = Script::client_of(&[(5, 16_385)]);
    let mut fields = Fields::default();
    let value = "\u{1}".repeat(40_000);
    fields.add(b"x", value.as_bytes());
    client.does(|client| client.open("a:1", &fields).unwrap());
    client.does(|client| {
        let first = frame::Head::parse(*client.control().first_chunk().unwrap());
        assert_eq!(first.length, 16_385);
    });
    client.sends(&[&format!("HEADERS 1 :method=CONNECT :authority=a:1 x={value}")]);
}
