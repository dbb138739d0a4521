use std::time::Instant;

use culvert_sys::tcp::Info;

use super::*;
use crate::why::constructed::{Fate, evidence, socket, tunnelled};

const OPEN: Fate = Fate::Lives(Stage::Open);

/// Bytes to send that the other end gives no room for.
fn shut() -> Socket {
    socket(50_000, 0)
}

fn unread(bytes: u32) -> Socket {
    Socket { unread: bytes, ..socket(0, 60_000) }
}

fn found(evidence: &Evidence) -> Option<Culprit> {
    find(evidence).map(|finding| finding.culprit)
}

#[test]
fn who_does_not_read_is_told_by_where_bytes_wait() {
    let idle = socket(0, 60_000);
    for (direction, near, far, plain, in_tunnel) in [
        (Direction::Outbound, shut(), idle, Some(Culprit::Client), Some(Culprit::Client)),
        (Direction::Inbound, shut(), idle, Some(Culprit::Server), Some(Culprit::Server)),
        // What is not taken from the own application cannot be passed on.
        (Direction::Outbound, unread(9), idle, Some(Culprit::Server), Some(Culprit::Server)),
        (Direction::Inbound, unread(9), idle, Some(Culprit::Client), Some(Culprit::Client)),
        // The window of a tunnel's socket is that of a node, which carries other connections, too.
        (Direction::Outbound, idle, shut(), Some(Culprit::Server), None),
        (Direction::Outbound, idle, idle, None, None),
    ] {
        for (made, expected) in [(evidence(direction, OPEN), plain), (tunnelled(direction, OPEN), in_tunnel)]
        {
            let given = Evidence { near: Some(near), far: Some(far), ..made };
            assert_eq!(found(&given), expected, "{direction:?} {near:?} {far:?}");
        }
    }
}

#[test]
fn what_is_on_its_way_is_waited_for() {
    let near = unread(9);
    let mut far = socket(0, 60_000);
    far.info.bytes_unacknowledged = 3000;
    let given = Evidence { near: Some(near), far: Some(far), ..tunnelled(Direction::Outbound, OPEN) };
    assert_eq!(found(&given), None);
    // A window that is used up by what was not acknowledged is the network's pace.
    let mut near = shut();
    near.info.bytes_unacknowledged = 20_000;
    let given = Evidence { near: Some(near), ..evidence(Direction::Outbound, OPEN) };
    assert_eq!(found(&given), None);
}

#[test]
fn a_question_without_an_answer_is_the_servers_unless_it_is_on_its_way() {
    let ask = |made: Evidence| {
        made.facts.moved.forth.add(10);
        made
    };
    assert_eq!(found(&ask(evidence(Direction::Outbound, OPEN))), Some(Culprit::Server));
    let mut soon = ask(evidence(Direction::Outbound, OPEN));
    soon.now = soon.facts.since + STUCK / 2;
    assert_eq!(found(&soon), None);
    let mut waiting = socket(10, 60_000);
    waiting.info.bytes_unacknowledged = 10;
    let sent = Evidence { far: Some(waiting), ..ask(evidence(Direction::Outbound, OPEN)) };
    assert_eq!(found(&sent), None);
    let answered = ask(evidence(Direction::Outbound, OPEN));
    answered.facts.moved.back.add(1);
    assert_eq!(found(&answered), None);
}

#[test]
fn a_network_that_loses_is_told_from_one_that_has_lost_a_packet() {
    let sent_again = |retransmits, bytes_acknowledged| Socket {
        info: Info { retransmits, bytes_acknowledged, ..Info::default() },
        unread: 0,
    };
    for (retransmits, megabytes, expected) in [
        (MANY - 1, 0, None),
        (MANY, 0, Some(Culprit::Network)),
        (10, 1, Some(Culprit::Network)),
        (10, 10, None),
        (500, 10, Some(Culprit::Network)),
    ] {
        let far = Some(sent_again(retransmits, megabytes << 20));
        for fate in [OPEN, Fate::Ends(Ok(()))] {
            let given = Evidence { far, ..evidence(Direction::Outbound, fate) };
            assert_eq!(found(&given), expected, "{retransmits} of {megabytes} MB");
        }
    }
}

#[test]
fn who_was_slow_to_read_is_told_when_it_is_over() {
    let limited = |seconds: u64| Socket {
        info: Info { peer_limited: seconds * 1_000_000, ..Info::default() },
        unread: 0,
    };
    // It took no time here, so that any wait is most of it.
    for (near, far, plain, in_tunnel) in [
        (limited(2), limited(0), Some(Culprit::Client), Some(Culprit::Client)),
        (limited(0), limited(2), Some(Culprit::Server), None),
        (limited(0), limited(0), None, None),
    ] {
        let over = || Fate::Ends(Ok(()));
        let made = [
            (evidence(Direction::Outbound, over()), plain),
            (tunnelled(Direction::Outbound, over()), in_tunnel),
        ];
        for (made, expected) in made {
            let given = Evidence { near: Some(near), far: Some(far), ..made };
            assert_eq!(found(&given), expected, "{near:?} {far:?}");
        }
    }
}

#[test]
fn an_idle_connection_waits_for_nobody() {
    let idle = Some(socket(0, 60_000));
    let given = Evidence {
        near: idle,
        far: idle,
        now: Instant::now() + Duration::from_secs(3600),
        ..tunnelled(Direction::Outbound, OPEN)
    };
    assert_eq!(found(&given), None);
}
