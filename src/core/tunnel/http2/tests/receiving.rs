//! What we let the peer send (RFC 9113 §6.9).

use super::*;

/// A server with two streams that were answered.
fn server() -> Script {
    let mut server = Script::server();
    server.gets(connect(1)).gets(connect(3)).answers(1, 200).answers(3, 200).forget();
    server
}

fn zeros(bytes: u32) -> Vec<u8> {
    vec![b'0'; bytes as usize]
}

/// Payload in frames of the largest size.
fn frames(stream: u32, bytes: u32) -> Vec<u8> {
    zeros(bytes).chunks(16_384).flat_map(|piece| data(stream, piece)).collect()
}

#[test]
fn a_window_is_given_back_when_half_of_it_is_used_up() {
    let mut server = server();
    server.gets(frames(1, INITIAL));
    server.consumes(1, INITIAL as usize / 2 - 1).sends(&[]);
    server.consumes(1, 1).sends(&["WINDOW_UPDATE 1 13107"]);
    server.gets(frames(1, 13_107));
}

#[test]
fn a_window_grows_while_its_reader_keeps_up() {
    let mut server = server();
    server.gets(frames(1, INITIAL)).consumes(1, INITIAL as usize).sends(&["WINDOW_UPDATE 1 52428"]);
    server.gets(frames(1, 52_428));
}

#[test]
fn more_than_a_window_is_the_end_of_the_stream() {
    let mut server = server();
    server.gets(frames(1, INITIAL)).forget().gets(data(1, b"x"));
    server.tells(&["reset 1 FLOW_CONTROL_ERROR by us"]).sends(&["RST_STREAM 1 FLOW_CONTROL_ERROR"]);
    server.gets(data(3, b"x")).tells(&["data 3 x"]);
    let counted = Overruns { of_stream: 1, ..Overruns::default() };
    assert_eq!(server.does(Connection::take_overruns), counted);
}

#[test]
fn what_nobody_is_done_with_is_held() {
    let mut server = server();
    let held = |server: &mut Script| server.does(|server| server.held());
    assert_eq!(held(&mut server), 0);
    server.gets(frames(1, 20_000)).gets(frames(3, 5_000));
    assert_eq!(held(&mut server), 25_000);
    server.consumes(1, 15_000);
    assert_eq!(held(&mut server), 10_000);
    server.gets(rst_stream(1, Code::CANCEL)).consumes(3, 5_000);
    assert_eq!(held(&mut server), 0);
}

#[test]
fn one_frame_more_than_a_window() {
    let mut server = server();
    server.gets(frames(1, 16_384)).forget().gets(data_end(1, &zeros(INITIAL - 16_384 + 1)));
    server.tells(&["reset 1 FLOW_CONTROL_ERROR by us"]).sends(&["RST_STREAM 1 FLOW_CONTROL_ERROR"]);
}

#[test]
fn more_than_the_window_of_the_connection_is_its_end() {
    let mut server = Script::server_with(Limits { connection_window: 65_536, ..LIMITS });
    for stream in (1..30).step_by(2) {
        server.gets(connect(stream)).gets(frames(stream, 4096));
    }
    server.gets(connect(31)).gets(frames(31, 4095));
    server.breaks(data(31, b"ab"), Code::FLOW_CONTROL_ERROR);
    let counted = Overruns { of_tunnel: 1, ..Overruns::default() };
    assert_eq!(server.does(Connection::take_overruns), counted);
}

/// What nobody wants still takes its part of the connection's window, and gives it back.
#[test]
fn data_for_nobody_counts_and_is_given_back() {
    let mut server = server();
    server.does(|server| server.reset(StreamId(1), Code::CANCEL));
    server.forget().gets(frames(1, 16_384 * 4)).tells(&[]).sends(&["WINDOW_UPDATE 0 65536"]);
}

#[test]
fn what_was_held_of_a_stream_that_is_reset_is_given_back() {
    let mut server = server();
    server.gets(frames(1, INITIAL)).gets(frames(3, INITIAL)).forget();
    server.gets(rst_stream(1, Code::CANCEL)).sends(&[]);
    server.consumes(1, 5).consumes(3, INITIAL as usize).sends(&["WINDOW_UPDATE 3 52428"]);
    server.gets(frames(3, 13_108)).consumes(3, 13_108).sends(&["WINDOW_UPDATE 0 65536"]);
}

/// A stream may be given up in the middle of a frame; the rest of it still belongs to the frame.
#[test]
fn the_rest_of_a_frame_is_skipped() {
    let mut server = server();
    let frame = data_end(1, b"hello world");
    let (first, second) = frame.split_at(14);
    server.gets(first.to_vec()).tells(&["data 1 hello"]);
    server.does(|server| server.reset(StreamId(1), Code::CANCEL));
    server.forget().gets(second.to_vec()).gets(data(3, b"x")).tells(&["data 3 x"]).sends(&[]);
}

#[test]
fn nobody_gives_back_more_than_came() {
    let mut server = server();
    server.gets(data(1, b"hello")).consumes(1, usize::MAX).consumes(1, 100_000).sends(&[]);
    server.gets(frames(1, INITIAL - 5)).consumes(1, INITIAL as usize).sends(&["WINDOW_UPDATE 1 52428"]);
}

/// A client goes by windows of 65535 until it has seen ours (RFC 9113 §6.9.3).
#[test]
fn who_has_not_seen_our_settings_may_send_more() {
    let mut server = Script::new(Role::Server, LIMITS);
    server.gets(preface()).gets(connect(1)).gets(frames(1, 65_535)).forget();
    // From here on its window is as we said, and less than nothing.
    server.gets(settings_ack()).consumes(1, 65_535).sends(&["WINDOW_UPDATE 1 91749"]);
}

#[test]
fn who_has_not_seen_our_settings_may_not_send_any_amount() {
    let mut server = Script::new(Role::Server, LIMITS);
    server.gets(preface()).gets(connect(1)).gets(frames(1, 65_535)).forget().gets(data(1, b"x"));
    server.tells(&["reset 1 FLOW_CONTROL_ERROR by us"]);
}

#[test]
fn who_has_seen_our_settings_keeps_to_them() {
    let mut server = Script::new(Role::Server, LIMITS);
    server.gets(preface()).gets(connect(1)).gets(settings_ack()).gets(frames(1, INITIAL)).forget();
    server.gets(data(1, b"x")).tells(&["reset 1 FLOW_CONTROL_ERROR by us"]);
}
