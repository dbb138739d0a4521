//! Leaving without losing anything (RFC 9113 §6.8).

use super::*;
use crate::tunnel::Fault;

fn open(client: &mut Connection) -> Result<StreamId, Unopened> {
    client.open("a:1", &Fields::default())
}

#[test]
fn a_server_leaves_in_two_steps() {
    let mut server = Script::server();
    server.gets(connect(1)).forget().does(Connection::leave);
    server.sends(&["GOAWAY 2147483647 NO_ERROR", "PING draining"]);
    // On its way when the client was warned.
    server.gets(connect(3)).tells(&["request 3 CONNECT a:1"]).answers(3, 200).forget();
    server.gets(ping_ack(b"draining")).sends(&["GOAWAY 3 NO_ERROR"]);
    // A client that opens streams all the same.
    server.gets(connect(5)).gets(data_end(5, b"x")).tells(&[]).sends(&[]);
    assert!(!server.does(|server| server.is_over()));
    server.gets(data_end(1, b"")).gets(data_end(3, b"on")).tells(&["end 1", "data 3 on", "end 3"]);
    server.ends(1).ends(3);
    assert!(!server.does(|server| server.is_over()));
    server.consumes(3, 2);
    assert!(server.does(|server| server.is_over()));
}

#[test]
fn a_server_leaves_once() {
    let mut server = Script::server();
    server.does(Connection::leave);
    server.forget().does(Connection::leave);
    server.gets(ping_ack(b"draining")).sends(&["GOAWAY 0 NO_ERROR"]);
    server.gets(ping_ack(b"draining")).does(Connection::leave);
    server.sends(&[]);
    assert!(server.does(|server| server.is_over()));
}

#[test]
fn another_ping_is_not_the_one() {
    let mut server = Script::server();
    server.gets(ping_ack(b"draining")).sends(&[]);
    server.does(Connection::leave);
    server.forget().gets(ping_ack(b"whatever")).gets(ping(b"draining"));
    server.sends(&["PING ack draining"]);
}

/// The last stream of a GOAWAY may only go down.
#[test]
fn the_last_stream_stays_the_last() {
    let mut server = Script::server();
    server.gets(connect(1)).forget();
    server.does(|server| server.leave_at_once(Code::NO_ERROR));
    server.gets(connect(3)).does(|server| server.leave_at_once(Code::INTERNAL_ERROR));
    server.sends(&["GOAWAY 1 NO_ERROR", "GOAWAY 1 INTERNAL_ERROR"]);
}

#[test]
fn a_client_leaves_at_once() {
    let mut client = Script::client();
    client.opens();
    client.forget().does(Connection::leave);
    client.sends(&["GOAWAY 0 NO_ERROR"]);
    assert_eq!(client.does(open), Err(Unopened::Leaving));
    assert!(!client.does(|client| client.takes_streams()));
    client.gets(ok(1)).gets(data_end(1, b"")).tells(&["answer 1 200", "end 1"]);
    assert!(!client.does(|client| client.is_over()));
    client.ends(1);
    assert!(client.does(|client| client.is_over()));
}

#[test]
fn streams_the_server_has_not_seen_are_refused() {
    let mut client = Script::client();
    for _ in 0..4 {
        client.opens();
    }
    client.gets(ok(1)).gets(ok(7)).forget();
    // The warning says nothing about any of them.
    client.gets(goaway(0x7fff_ffff, Code::NO_ERROR)).tells(&["capacity"]);
    assert_eq!(client.does(open), Err(Unopened::Leaving));
    client.gets(goaway(3, Code::NO_ERROR));
    // Who has answered has seen.
    client.tells(&["capacity", "refused 5", "reset 7 REFUSED_STREAM by peer"]).sends(&[]);
    client.gets(ok(3)).gets(data_end(1, b"rest")).tells(&["answer 3 200", "data 1 rest", "end 1"]);
    client.gets(rst_stream(3, Code::CANCEL)).ends(1).consumes(1, 4);
    assert!(client.does(|client| client.is_over()));
}

#[test]
fn a_client_that_leaves_is_served_to_the_end() {
    let mut server = Script::server();
    server.gets(connect(1)).forget().gets(goaway(0, Code::NO_ERROR)).tells(&["capacity"]);
    server.answers(1, 200).gets(data_end(1, b"x")).tells(&["data 1 x", "end 1"]);
    assert!(!server.does(|server| server.is_over()));
}

#[test]
fn an_error_is_the_end() {
    for code in [Code::ENHANCE_YOUR_CALM, Code::INTERNAL_ERROR, Code(0x1234)] {
        let mut client = Script::client();
        client.opens();
        client.opens();
        assert_eq!(client.fails(goaway(1, code)), Fault::GoAway(code));
        client.tells(&["capacity", "refused 3"]);
    }
}

/// Debug data is nobody's business.
#[test]
fn debug_data_is_skipped() {
    let mut client = Script::client();
    let mut payload = [[0, 0, 0, 9], [0; 4]].concat();
    payload.extend_from_slice(b"have a nice day");
    client.gets(raw(GOAWAY, 0, 0, &payload)).tells(&["capacity"]);
}
