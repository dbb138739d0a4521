//! What the peer lets us send (RFC 9113 §6.9).

use super::*;

const WINDOW: u16 = 4;

/// A client with so many streams that were answered, whose server has this initial window.
fn client(window: u32, streams: u32) -> Script {
    let mut client = Script::client_of(&[(WINDOW, window)]);
    for _ in 0..streams {
        let stream = client.opens();
        client.gets(ok(stream.0));
    }
    client.forget();
    client
}

fn room(script: &mut Script, stream: u32) -> usize {
    script.does(|connection| connection.room(StreamId(stream)))
}

#[test]
fn a_stream_has_a_window() {
    let mut client = client(100, 1);
    assert_eq!(room(&mut client, 1), 100);
    client.sends_data(1, 60);
    assert_eq!(room(&mut client, 1), 40);
    client.sends_data(1, 40);
    assert_eq!(room(&mut client, 1), 0);
    client.gets(window_update(1, 7)).tells(&["room 1"]);
    assert_eq!(room(&mut client, 1), 7);
}

#[test]
fn room_is_told_of_only_to_who_waits() {
    let mut client = client(100, 2);
    client.sends_data(1, 100).gets(window_update(1, 7)).tells(&[]);
    client.sends_data(1, 7);
    assert_eq!(room(&mut client, 1), 0);
    client.gets(window_update(1, 7)).gets(window_update(1, 7)).tells(&["room 1"]);
    // Who has ended does not wait.
    client.sends_data(3, 100).ends(3);
    assert_eq!(room(&mut client, 3), 0);
    client.gets(window_update(3, 7)).tells(&[]);
}

#[test]
fn streams_share_the_window_of_the_connection() {
    let mut client = client(100_000, 3);
    client.sends_data(1, 65_000);
    assert_eq!(room(&mut client, 3), 535);
    client.sends_data(3, 535);
    assert_eq!([3, 1, 5].map(|stream| room(&mut client, stream)), [0; 3]);
    // Those that wait longest come first.
    client.gets(window_update(0, 10)).tells(&["room 3", "room 1", "room 5"]);
    client.sends_data(3, 10);
    assert_eq!([5, 1].map(|stream| room(&mut client, stream)), [0; 2]);
    client.gets(window_update(1, 1)).gets(window_update(5, 1)).tells(&[]);
    client.gets(window_update(0, 10)).tells(&["room 5", "room 1"]);
}

#[test]
fn both_windows_must_have_room() {
    let mut client = client(65_535, 2);
    client.sends_data(1, 65_535);
    assert_eq!([1, 3].map(|stream| room(&mut client, stream)), [0; 2]);
    // Of no use to the stream whose own window is used up.
    client.gets(window_update(0, 10)).tells(&["room 3"]);
    client.gets(window_update(1, 10)).tells(&["room 1"]);
    client.sends_data(3, 10);
    assert_eq!([1, 3].map(|stream| room(&mut client, stream)), [0; 2]);
    client.gets(window_update(0, 1)).tells(&["room 1", "room 3"]);
}

#[test]
fn a_stream_that_is_over_does_not_wait() {
    let mut client = client(100_000, 2);
    client.sends_data(1, 65_535);
    assert_eq!([1, 3].map(|stream| room(&mut client, stream)), [0; 2]);
    client.gets(rst_stream(1, Code::CANCEL)).forget();
    assert_eq!(client.does(|client| client.starved.len()), 1);
    client.gets(window_update(0, 1)).tells(&["room 3"]);
}

/// It waits for one window, and when that has room, for the other one.
#[test]
fn a_stream_may_wait_twice() {
    let mut client = client(65_000, 2);
    client.sends_data(1, 65_000);
    assert_eq!(room(&mut client, 1), 0);
    client.sends_data(3, 535);
    client.gets(window_update(1, 5)).tells(&[]).gets(window_update(0, 5)).tells(&["room 1"]);
}

#[test]
fn the_initial_window_changes_all_there_are() {
    let mut client = client(100, 2);
    client.sends_data(1, 100);
    assert_eq!(room(&mut client, 1), 0);
    client.gets(settings(&[(WINDOW, 120)])).tells(&["room 1", "capacity"]).sends(&["SETTINGS ack"]);
    assert_eq!([1, 3].map(|stream| room(&mut client, stream)), [20, 120]);
    client.opens();
    assert_eq!(room(&mut client, 5), 120);
}

/// RFC 9113 §6.9.2: what was sent may be more than is allowed now.
#[test]
fn a_window_may_be_less_than_nothing() {
    let mut client = client(100, 1);
    client.sends_data(1, 100).gets(settings(&[(WINDOW, 30)])).forget();
    assert_eq!(room(&mut client, 1), 0);
    client.gets(window_update(1, 70)).tells(&[]);
    assert_eq!(room(&mut client, 1), 0);
    client.gets(window_update(1, 1)).tells(&["room 1"]);
    client.sends_data(1, 1).gets(settings(&[(WINDOW, 0)])).forget();
    assert_eq!(room(&mut client, 1), 0);
    client.gets(settings(&[(WINDOW, 30)])).tells(&["capacity"]).gets(settings(&[(WINDOW, 31)]));
    client.tells(&["room 1", "capacity"]);
    assert_eq!(room(&mut client, 1), 1);
}

#[test]
fn no_window_is_above_2_31() {
    let most = 0x7fff_ffff;
    let mut client = client(100, 2);
    client.gets(window_update(1, most - 100)).tells(&[]);
    client.gets(window_update(1, 1)).tells(&["reset 1 FLOW_CONTROL_ERROR by us"]);
    client.sends(&["RST_STREAM 1 FLOW_CONTROL_ERROR"]);
    client.gets(window_update(0, most - 65_535));
    client.breaks(window_update(0, 1), Code::FLOW_CONTROL_ERROR);
}

#[test]
fn settings_must_not_make_a_window_too_large() {
    let mut client = client(100, 1);
    client.gets(window_update(1, 0x7fff_ffff - 100));
    client.breaks(settings(&[(WINDOW, 101)]), Code::FLOW_CONTROL_ERROR);
}

#[test]
fn an_update_is_by_something() {
    let mut client = client(100, 2);
    client.gets(window_update(1, 0)).tells(&["reset 1 PROTOCOL_ERROR by us"]);
    client.sends(&["RST_STREAM 1 PROTOCOL_ERROR"]);
    // For a stream that is over it does not matter.
    client.gets(window_update(1, 0)).gets(window_update(1, 5)).sends(&[]).tells(&[]);
    client.breaks(window_update(0, 0), Code::PROTOCOL_ERROR);
}
