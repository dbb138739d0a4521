//! Padding (RFC 9113 §6.1, §6.2): it counts, and nobody sees it.

use super::*;

fn padded(stream: u32, flags: u8, payload: &[u8], padding: u8) -> Vec<u8> {
    let all = [&[padding], payload, &vec![0; padding.into()]].concat();
    raw(DATA, flags | PADDED, stream, &all)
}

fn server() -> Script {
    let mut server = Script::server();
    server.gets(connect(1)).answers(1, 200).forget();
    server
}

#[test]
fn padding_is_taken_off_data() {
    let mut server = server();
    server.gets(padded(1, 0, b"ab", 0)).gets(padded(1, 0, b"cd", 255)).gets(padded(1, 0, b"", 3));
    server.tells(&["data 1 abcd"]).sends(&[]);
    server.gets(padded(1, END_STREAM, b"e", 7)).tells(&["data 1 e", "end 1"]);
}

#[test]
fn an_end_may_be_padding_alone() {
    for padding in [0, 1, 255] {
        server().gets(padded(1, END_STREAM, b"", padding)).tells(&["end 1"]);
    }
}

/// A frame of 256 octets that holds none for us.
#[test]
fn padding_is_given_back_at_once() {
    let mut server = server();
    let frames = |count| (0..count).flat_map(|_| padded(1, 0, b"", 255)).collect::<Vec<_>>();
    server.gets(frames(51)).sends(&[]);
    server.gets(frames(1)).sends(&["WINDOW_UPDATE 1 39526"]);
}

#[test]
fn padding_counts_against_the_window() {
    let mut server = server();
    server.gets(data(1, &[0; 16_384])).gets(data(1, &[0; 9_600])).forget();
    server.gets(padded(1, 0, b"", 229)).tells(&[]);
    server.gets(padded(1, 0, b"x", 229)).tells(&["reset 1 FLOW_CONTROL_ERROR by us"]);
}

#[test]
fn padding_must_fit_its_frame() {
    for payload in [&[1][..], &[3, 0, 0], &[255]] {
        server().breaks(raw(DATA, PADDED, 1, payload), Code::PROTOCOL_ERROR);
    }
    server().breaks(raw(DATA, PADDED, 1, &[]), Code::FRAME_SIZE_ERROR);
}

#[test]
fn padding_and_priority_are_taken_off_headers() {
    let fields = block(&[(":method", "CONNECT"), (":authority", "a:1")]);
    let priority: &[u8] = &[0x80, 0, 0, 0, 16];
    let frame = |flags: u8, parts: &[&[u8]]| raw(HEADERS, flags | END_HEADERS, 3, &parts.concat());
    for frame in [
        frame(0, &[&fields]),
        frame(PADDED, &[&[0], &fields]),
        frame(PADDED, &[&[4], &fields, &[0; 4]]),
        frame(PRIORITY, &[priority, &fields]),
        frame(PADDED | PRIORITY, &[&[4], priority, &fields, &[0; 4]]),
    ] {
        server().gets(frame).tells(&["request 3 CONNECT a:1"]);
    }
}

#[test]
fn headers_must_hold_what_they_say() {
    for (flags, payload) in
        [(PADDED, &[][..]), (PADDED, &[1]), (PRIORITY, &[0; 4]), (PADDED | PRIORITY, &[1, 0, 0, 0, 0, 0])]
    {
        server().breaks(raw(HEADERS, flags | END_HEADERS, 3, payload), Code::PROTOCOL_ERROR);
    }
}
