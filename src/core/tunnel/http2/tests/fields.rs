//! Requests and answers that make no sense (RFC 9113 §8): one stream is reset, the others do not notice.

use super::*;

const METHOD: (&str, &str) = (":method", "CONNECT");
const AUTHORITY: (&str, &str) = (":authority", "a:1");
const STATUS: (&str, &str) = (":status", "200");

#[track_caller]
fn malformed_request(fields: &[(&str, &str)]) {
    let mut server = Script::server();
    server.gets(connect(1)).forget();
    server.gets(headers(3, fields)).tells(&[]).sends(&["RST_STREAM 3 PROTOCOL_ERROR"]);
    assert_eq!(server.does(|server| server.streams()), 1);
    // What follows of it is not listened to.
    server.gets(data_end(3, b"body")).gets(data(1, b"x")).tells(&["data 1 x"]).sends(&[]);
}

#[track_caller]
fn malformed_answer(fields: &[(&str, &str)]) {
    let mut client = Script::client();
    client.opens();
    client.opens();
    client.forget().gets(headers(1, fields)).gets(ok(3));
    client.tells(&["reset 1 PROTOCOL_ERROR by us", "answer 3 200"]).sends(&["RST_STREAM 1 PROTOCOL_ERROR"]);
}

#[test]
fn pseudo_headers_of_requests() {
    malformed_request(&[]);
    malformed_request(&[AUTHORITY]);
    malformed_request(&[METHOD, METHOD, AUTHORITY]);
    malformed_request(&[METHOD, AUTHORITY, AUTHORITY]);
    malformed_request(&[METHOD, AUTHORITY, STATUS]);
    malformed_request(&[METHOD, AUTHORITY, (":scheme", "https")]);
    malformed_request(&[METHOD, AUTHORITY, (":path", "/")]);
    malformed_request(&[METHOD, AUTHORITY, (":protocol2", "x")]);
    malformed_request(&[METHOD, ("a", "b"), AUTHORITY]);
    malformed_request(&[(":method", "GET"), (":path", "/")]);
    malformed_request(&[(":method", "GET"), (":scheme", "https")]);
}

#[test]
fn names() {
    for name in ["", "Upper", "sp ace", "colon:", "a\0", "a\x7f", "\u{e4}", "(", "a/b", "@"] {
        malformed_request(&[METHOD, AUTHORITY, (name, "x")]);
        malformed_answer(&[STATUS, (name, "x")]);
    }
}

#[test]
fn values() {
    for value in ["a\0b", "a\rb", "a\nb", " a", "a ", "\ta", "a\t"] {
        malformed_request(&[METHOD, AUTHORITY, ("x", value)]);
        malformed_answer(&[STATUS, ("x", value)]);
    }
}

#[test]
fn fields_of_http_1() {
    for name in ["connection", "proxy-connection", "keep-alive", "transfer-encoding", "upgrade"] {
        malformed_request(&[METHOD, AUTHORITY, (name, "x")]);
        malformed_answer(&[STATUS, (name, "x")]);
    }
    malformed_request(&[METHOD, AUTHORITY, ("te", "gzip")]);
}

#[test]
fn what_is_in_order_comes_through() {
    let mut server = Script::server();
    server.gets(headers(1, &[AUTHORITY, METHOD, ("te", "trailers"), ("!#$%&'*+-.^_`|~09az", "\u{e4} \t\"")]));
    server.tells(&["request 1 CONNECT a:1 te=trailers !#$%&'*+-.^_`|~09az=\u{e4} \t\""]);
    server.gets(headers(3, &[METHOD, ("empty", "")])).tells(&["request 3 CONNECT  empty="]);
    server.gets(headers(5, &[(":method", "GET"), (":scheme", "https"), (":path", "/"), AUTHORITY]));
    server.tells(&["request 5 GET a:1"]);
}

#[test]
fn pseudo_headers_of_answers() {
    malformed_answer(&[]);
    malformed_answer(&[("a", "b")]);
    malformed_answer(&[STATUS, STATUS]);
    malformed_answer(&[STATUS, AUTHORITY]);
    malformed_answer(&[("a", "b"), STATUS]);
    for status in ["", "20", "2000", "2x0", "099", "+20", "000"] {
        malformed_answer(&[(":status", status)]);
    }
}

#[test]
fn fields_may_be_so_large_and_no_larger() {
    // Two fields of 7 + 7 and 10 + 3, one of 1 and the rest, each with 32 more, in 1024.
    let rest = 1024 - (7 + 7 + 10 + 3 + 1) - 3 * 32;
    let request = |id, length| headers(id, &[METHOD, AUTHORITY, ("x", &"\u{1}".repeat(length))]);
    let mut server = Script::server();
    server.gets(request(1, rest));
    server.forget().gets(request(3, rest + 1)).tells(&[]);
    server.sends(&["HEADERS 3 :status=431 end", "RST_STREAM 3 NO_ERROR"]);
    assert_eq!(server.does(Connection::take_overruns), Overruns { fields: 1, ..Overruns::default() });
    assert_eq!(server.does(|server| server.streams()), 1);
}

/// Nothing is left to be reset then.
#[test]
fn too_large_a_request_that_is_all() {
    let mut server = Script::server();
    server.gets(headers_end(1, &[METHOD, AUTHORITY, ("x", &"y".repeat(1024))]));
    server.tells(&[]).sends(&["HEADERS 1 :status=431 end"]);
    assert_eq!(server.does(|server| server.streams()), 0);
}

#[test]
fn too_large_an_answer() {
    malformed_answer(&[STATUS, ("x", &"y".repeat(1024))]);
}

/// Encoded, a field can be four times as long (RFC 7541 appendix B); a block longer than that is not even kept.
#[test]
fn a_block_that_is_much_too_long() {
    let fields = [METHOD, AUTHORITY, ("x", &"y".repeat(6_000))];
    Script::server().breaks(headers(1, &fields), Code::ENHANCE_YOUR_CALM);
    let begin = raw(HEADERS, 0, 1, &vec![0; 4_000]);
    Script::server().breaks([begin, raw(CONTINUATION, 0, 1, &[0; 700])].concat(), Code::ENHANCE_YOUR_CALM);
}

#[test]
fn a_block_goes_on_in_continuations() {
    let fields = block(&[METHOD, AUTHORITY, ("x", "y")]);
    let mut server = Script::server();
    for (stream, pieces) in [(1, 1), (3, 2), (5, fields.len())] {
        let mut pieces = fields.chunks(fields.len().div_ceil(pieces)).peekable();
        server.gets(raw(HEADERS, END_STREAM, stream, pieces.next().unwrap_or_default()));
        while let Some(piece) = pieces.next() {
            let last = if pieces.peek().is_some() { 0 } else { END_HEADERS };
            server.gets(raw(CONTINUATION, last, stream, piece));
        }
        if stream == 1 {
            server.gets(raw(CONTINUATION, END_HEADERS, stream, &[]));
        }
        let request = format!("request {stream} CONNECT a:1 x=y");
        server.tells(&[&request, &format!("end {stream}")]);
    }
}

#[test]
fn a_block_is_in_one_piece() {
    let begin = || raw(HEADERS, 0, 3, &block(&[METHOD]));
    for other in [
        data(1, b"x"),
        ping(b"abcdefgh"),
        settings(&[]),
        window_update(0, 1),
        connect(5),
        raw(CONTINUATION, END_HEADERS, 1, &[]),
        raw(CONTINUATION, END_HEADERS, 0, &[]),
        raw(UNKNOWN, 0, 3, &[]),
        raw(PRIORITY_FRAME, 0, 3, &[0; 5]),
        rst_stream(3, Code::CANCEL),
    ] {
        let mut server = Script::server();
        server.gets(connect(1)).breaks([begin(), other].concat(), Code::PROTOCOL_ERROR);
    }
    Script::server().breaks(raw(CONTINUATION, END_HEADERS, 1, &[]), Code::PROTOCOL_ERROR);
}

#[test]
fn a_block_that_cannot_be_decoded_is_the_end() {
    Script::server().breaks(raw(HEADERS, END_HEADERS, 1, &[0xff]), Code::COMPRESSION_ERROR);
    // Also when its stream is over.
    let mut server = Script::server();
    server.gets(connect(1)).does(|server| server.reset(StreamId(1), Code::CANCEL));
    server.breaks(raw(HEADERS, END_HEADERS | END_STREAM, 1, &[0x80]), Code::COMPRESSION_ERROR);
}
