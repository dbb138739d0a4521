//! The first frames of both ends (RFC 9113 §3.4, §6.5).

use super::*;

/// 1: header table, 2: push, 3: streams, 4: window, 5: frame, 6: fields, f0c0: early data.
#[test]
fn a_client_begins() {
    let mut client = Script::new(Role::Client, LIMITS);
    client.does(|client| assert!(client.control().starts_with(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")));
    client.sends(&["SETTINGS 1=0 2=0 4=26214 5=16384 6=1024", "WINDOW_UPDATE 0 983041"]);
}

#[test]
fn a_server_begins() {
    let mut server = Script::new(Role::Server, LIMITS);
    server.sends(&["SETTINGS 1=0 3=16 f0c0=1 4=26214 5=16384 6=1024", "WINDOW_UPDATE 0 983041"]);
}

#[test]
fn settings_are_acknowledged() {
    let mut server = Script::new(Role::Server, LIMITS);
    server.forget().gets(preface()).sends(&["SETTINGS ack"]).tells(&[]);
    assert!(server.does(|server| server.has_begun()));
    server.gets(settings(&[(4, 1), (0x1234, 5)])).sends(&["SETTINGS ack"]);
    server.gets(settings_ack()).sends(&[]);
}

#[test]
fn a_client_hears_of_its_capacity() {
    let mut client = Script::new(Role::Client, LIMITS);
    client.forget();
    assert_eq!(client.does(|client| client.capacity()), 16);
    client.gets(settings(&[(3, 5)])).tells(&["capacity"]);
    assert_eq!(client.does(|client| client.capacity()), 5);
    client.gets(settings(&[(3, 7)])).tells(&["capacity"]);
    assert_eq!(client.does(|client| client.capacity()), 7);
}

#[test]
fn early_data_is_what_the_server_says_it_is() {
    for (value, expected) in [(None, false), (Some(0), false), (Some(1), true), (Some(2), false)] {
        let settings: Vec<_> = value.map(|value| (0xf0c0, value)).into_iter().collect();
        let mut client = Script::client_of(&settings);
        assert_eq!(client.does(|client| client.takes_early_data()), expected, "{value:?}");
    }
}

#[test]
fn something_else_than_http_2_is_not_taken() {
    for begin in ["GET / HTTP/1.1\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSN"] {
        Script::new(Role::Server, LIMITS).breaks(begin.into(), Code::PROTOCOL_ERROR);
    }
}

#[test]
fn the_first_frame_is_settings() {
    for first in [ping(b"abcdefgh"), settings_ack(), connect(1), raw(UNKNOWN, 0, 0, b"")] {
        let mut server = Script::new(Role::Server, LIMITS);
        server.breaks([frame::PREFACE.to_vec(), first].concat(), Code::PROTOCOL_ERROR);
    }
    Script::new(Role::Client, LIMITS).breaks(ok(1), Code::PROTOCOL_ERROR);
}

#[test]
fn settings_have_bounds() {
    for (id, value, code) in [
        (2, 2, Code::PROTOCOL_ERROR),
        (4, 0x8000_0000, Code::FLOW_CONTROL_ERROR),
        (5, 16_383, Code::PROTOCOL_ERROR),
        (5, 0x0100_0000, Code::PROTOCOL_ERROR),
    ] {
        Script::server().breaks(settings(&[(id, value)]), code);
    }
    Script::server().gets(settings(&[
        (2, 1),
        (4, 0x7fff_ffff),
        (5, 16_384),
        (5, 0x00ff_ffff),
        (1, u32::MAX),
    ]));
}

/// The peer's decoder may have no table at all; ours is told of the first thing (RFC 7541 §4.2).
#[test]
fn the_first_block_says_that_our_table_is_empty() {
    let mut client = Script::client_of(&[(1, 0)]);
    client.opens();
    client.does(|client| {
        let block = &client.control()[frame::HEAD..];
        assert_eq!(block[0], 0x20);
    });
    client.sends(&["HEADERS 1 :method=CONNECT :authority=a:1"]);
}

/// Once it has acknowledged that ours may have none, the peer has to say that it has none, and keep to it (RFC 7541 §4.2).
#[test]
fn the_table_of_the_peer_is_empty() {
    let request = |size: &[u8]| {
        let block = block(&[(":method", "CONNECT"), (":authority", "a:1")]);
        raw(HEADERS, END_HEADERS, 1, &[size, &block[1..]].concat())
    };
    Script::server().gets(request(&[0x20])).tells(&["request 1 CONNECT a:1"]);
    Script::server().breaks(request(&[]), Code::COMPRESSION_ERROR);
    Script::server().breaks(request(&[0x21]), Code::COMPRESSION_ERROR);
    let mut server = Script::new(Role::Server, LIMITS);
    server.gets(preface()).gets(request(&[0x3f, 0xe1, 0x1f])).tells(&["request 1 CONNECT a:1"]);
}
