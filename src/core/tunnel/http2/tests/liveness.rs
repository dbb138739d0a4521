//! Whether the peer is still there (RFC 9113 §6.7).

use std::time::{Duration, Instant};

use super::*;
use crate::tunnel::Fault;

const SECOND: Duration = Duration::from_secs(1);
const MOMENT: Duration = Duration::from_nanos(1);

#[track_caller]
fn on_deadline(script: &mut Script) -> Result<(), Fault> {
    let now = script.now();
    script.does(|connection| connection.on_deadline(now))
}

/// What is left until the connection wants to be called.
#[track_caller]
fn until_deadline(script: &mut Script) -> Duration {
    let now = script.now();
    script.does(|connection| connection.deadline().unwrap() - now)
}

#[test]
fn who_says_nothing_is_given_up() {
    for role in [Role::Client, Role::Server] {
        let mut script = Script::new(role, LIMITS).at_home();
        assert_eq!(until_deadline(&mut script), 10 * SECOND);
        script.wait(10 * SECOND - MOMENT);
        assert_eq!(on_deadline(&mut script), Ok(()));
        script.wait(MOMENT);
        assert_eq!(on_deadline(&mut script), Err(Fault::NoPreface));
    }
}

#[test]
fn a_preface_that_drips_is_none() {
    let mut server = Script::new(Role::Server, LIMITS).at_home();
    for octet in &preface()[..20] {
        server.gets(vec![*octet]).wait(SECOND / 2);
    }
    assert_eq!(on_deadline(&mut server), Err(Fault::NoPreface));
}

#[test]
fn who_is_quiet_is_asked_and_answers() {
    let mut server = Script::server().at_home();
    assert_eq!(until_deadline(&mut server), 10 * SECOND);
    assert_eq!(on_deadline(server.wait(10 * SECOND - MOMENT)), Ok(()));
    server.sends(&[]);
    assert_eq!(on_deadline(server.wait(MOMENT)), Ok(()));
    server.sends(&["PING culvert?"]);
    assert_eq!(until_deadline(&mut server), 20 * SECOND);
    server.wait(19 * SECOND).gets(ping_ack(b"culvert?"));
    assert_eq!(until_deadline(&mut server), 10 * SECOND);
}

#[test]
fn who_does_not_answer_is_dead() {
    let mut client = Script::client().at_home();
    assert_eq!(on_deadline(client.wait(10 * SECOND)), Ok(()));
    assert_eq!(on_deadline(client.wait(20 * SECOND - MOMENT)), Ok(()));
    // It is asked once.
    client.sends(&["PING culvert?"]);
    assert_eq!(on_deadline(client.wait(MOMENT)), Err(Fault::Dead));
}

/// A peer busy sending may have the answer at the end of a long queue.
#[test]
fn whatever_comes_is_an_answer() {
    for something in [vec![0], data(1, b"x"), window_update(0, 1), raw(UNKNOWN, 0, 0, &[])] {
        let mut server = Script::server().at_home();
        server.gets(connect(1)).forget();
        assert_eq!(on_deadline(server.wait(10 * SECOND)), Ok(()));
        server.wait(19 * SECOND).gets(something);
        assert_eq!(until_deadline(&mut server), 10 * SECOND);
    }
}

/// Times do not travel: deadlines begin anew.
#[test]
fn a_new_process_waits_as_long_as_it_takes() {
    let mut connection = Connection::new(Role::Server, LIMITS, Script::server().now());
    let later = |connection: &Connection| connection.deadline().unwrap() + 100 * SECOND;
    let resumed = move_to(connection, later);
    assert_eq!(resumed.1, 10 * SECOND);
    connection = resumed.0;
    let mut events = Vec::new();
    connection.receive(later(&connection), &preface(), 0, &mut events).unwrap();
    assert_eq!(move_to(connection, later).1, 10 * SECOND);
}

/// The connection in another process, and how long it waits there.
fn move_to(connection: Connection, when: impl Fn(&Connection) -> Instant) -> (Connection, Duration) {
    let now = when(&connection);
    let mut moved: Connection = serde_json::from_str(&serde_json::to_string(&connection).unwrap()).unwrap();
    moved.resume(now);
    let wait = moved.deadline().unwrap() - now;
    (moved, wait)
}

#[test]
fn who_owes_an_answer_and_is_quiet_is_asked_soon() {
    let mut client = Script::client().at_home();
    let now = client.now();
    assert_eq!(client.does(|connection| connection.owes_since()), None);
    client.does(|connection| connection.expect(now));
    assert_eq!(until_deadline(&mut client), SECOND / 2);
    // Asking again does not put it off.
    let later = client.wait(SECOND / 4).now();
    client.does(|connection| connection.expect(later));
    assert_eq!(until_deadline(&mut client), SECOND / 4);
    assert_eq!(client.does(|connection| connection.owes_since()), Some(now));
    assert_eq!(on_deadline(client.wait(SECOND / 4)), Ok(()));
    client.sends(&["PING culvert?"]);
    assert_eq!(until_deadline(&mut client), 20 * SECOND);
    client.gets(ping_ack(b"culvert?"));
    assert_eq!(client.does(|connection| connection.owes_since()), None, "it has been heard");
    assert_eq!(until_deadline(&mut client), 10 * SECOND);
}

#[test]
fn who_is_heard_in_time_is_not_asked() {
    let mut client = Script::client().at_home();
    let now = client.now();
    client.does(|connection| connection.expect(now));
    client.wait(SECOND / 4).gets(window_update(0, 1));
    assert_eq!(until_deadline(&mut client), 10 * SECOND);
    // Who has not said anything yet has a deadline of its own.
    let mut beginning = Script::new(Role::Client, LIMITS).at_home();
    let now = beginning.now();
    beginning.does(|connection| connection.expect(now));
    assert_eq!(until_deadline(&mut beginning), 10 * SECOND);
}
