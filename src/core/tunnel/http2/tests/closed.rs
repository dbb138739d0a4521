//! Frames for streams that were never opened, that are half closed, and that are over (RFC 9113 §5.1).

use super::*;

#[test]
fn nothing_may_be_said_of_a_stream_never_opened() {
    for frame in [data(1, b"x"), data_end(1, b""), rst_stream(1, Code::CANCEL), window_update(1, 1)] {
        Script::server().breaks(frame.clone(), Code::PROTOCOL_ERROR);
        Script::client().breaks(frame, Code::PROTOCOL_ERROR);
    }
    Script::client().breaks(ok(1), Code::PROTOCOL_ERROR);
}

/// Those are a server's to open, and we switched that off.
#[test]
fn there_are_no_even_streams() {
    for frame in [connect(2), data(2, b"x"), rst_stream(2, Code::CANCEL), window_update(2, 1)] {
        Script::server().breaks(frame.clone(), Code::PROTOCOL_ERROR);
        Script::client().breaks(frame, Code::PROTOCOL_ERROR);
    }
    Script::client().breaks(raw(PUSH_PROMISE, END_HEADERS, 1, &[0, 0, 0, 2]), Code::PROTOCOL_ERROR);
    Script::server().breaks(raw(PUSH_PROMISE, END_HEADERS, 1, &[]), Code::PROTOCOL_ERROR);
}

#[test]
fn frames_have_their_place() {
    let of_streams = [DATA, HEADERS, PRIORITY_FRAME, RST_STREAM];
    let sizes = [1, 1, 5, 4];
    for (kind, size) in of_streams.into_iter().zip(sizes) {
        Script::server().breaks(raw(kind, END_HEADERS, 0, &vec![0; size]), Code::PROTOCOL_ERROR);
    }
    for (kind, size) in [(SETTINGS, 0), (PING, 8), (GOAWAY, 8)] {
        let mut server = Script::server();
        server.gets(connect(1)).breaks(raw(kind, 0, 1, &vec![0; size]), Code::PROTOCOL_ERROR);
    }
}

#[test]
fn who_has_sent_all_sends_nothing_more() {
    for late in [data(1, b"x"), data_end(1, b""), headers_end(1, &[("a", "b")])] {
        let mut server = Script::server();
        server.gets(connect(1)).answers(1, 200).gets(data_end(1, b"")).forget();
        server.gets(late).tells(&["reset 1 STREAM_CLOSED by us"]).sends(&["RST_STREAM 1 STREAM_CLOSED"]);
    }
}

/// It may still reset, and make room.
#[test]
fn who_has_sent_all_may_still_steer() {
    let mut server = Script::server();
    server.gets(connect(1)).answers(1, 200).gets(data_end(1, b"")).forget();
    server.gets(window_update(1, 1)).gets(raw(PRIORITY_FRAME, 0, 1, &[0; 5])).tells(&[]);
    server.gets(rst_stream(1, Code::CANCEL)).tells(&["reset 1 CANCEL by peer"]);
}

/// They may have been on their way.
#[test]
fn frames_for_a_stream_that_is_over_are_skipped() {
    for late in [
        data(1, b"x"),
        data_end(1, b"x"),
        headers_end(1, &[("a", "b")]),
        rst_stream(1, Code::CANCEL),
        window_update(1, 5),
        raw(PRIORITY_FRAME, 0, 1, &[0; 5]),
    ] {
        let mut server = Script::server();
        server.gets(connect(1)).does(|server| server.reset(StreamId(1), Code::CANCEL));
        server.forget().gets(late).tells(&[]).sends(&[]);
        server.gets(connect(3)).tells(&["request 3 CONNECT a:1"]);
    }
}

/// A block of a stream that is over may fill the table that the next one refers to.
#[test]
fn a_block_nobody_wants_is_read_all_the_same() {
    let mut server = Script::new(Role::Server, LIMITS);
    let literal = |name: &[u8], value: &[u8]| {
        let mut field = vec![0x40, name.len() as u8];
        field.extend(name);
        field.push(value.len() as u8);
        [&field, value].concat()
    };
    let request = |stream, fields: &[u8]| raw(HEADERS, END_HEADERS, stream, fields);
    server.gets(preface()).gets(connect(1)).forget();
    server.does(|server| server.reset(StreamId(1), Code::CANCEL));
    let trailers = [literal(b":authority", b"late:1"), literal(b":method", b"CONNECT")].concat();
    server.gets(request(1, &[&[0x3f, 0xe1, 0x1f], &trailers[..]].concat())).tells(&[]);
    server.gets(request(3, &[0xbe, 0xbf])).tells(&["request 3 CONNECT late:1"]);
}

#[test]
fn an_answer_begins_with_headers() {
    let mut client = Script::client();
    client.opens();
    client.forget().gets(data(1, b"x"));
    client.tells(&["reset 1 PROTOCOL_ERROR by us"]).sends(&["RST_STREAM 1 PROTOCOL_ERROR"]);
}

/// Numbers only go up; those left out are closed (RFC 9113 §5.1.1).
#[test]
fn numbers_may_be_left_out() {
    let mut server = Script::server();
    server.gets(connect(7)).tells(&["request 7 CONNECT a:1"]);
    server.gets(connect(5)).tells(&[]).gets(data(3, b"x")).tells(&[]);
    server.gets(connect(9)).tells(&["request 9 CONNECT a:1"]);
}
