//! Keys change while the tunnel is busy (RFC 8446 §4.6.3).

use super::peer::{Heard, KINDS, Peer};
use crate::tunnel::http2::tests::wire;
use crate::tunnel::{BUFFER, Fault};

fn text(frames: Vec<u8>) -> Heard {
    Heard::Text(frames)
}

#[test]
fn the_peer_changes_its_key() {
    let mut peer = Peer::new(KINDS[0]);
    let records = [peer.forger.update(false), peer.forger.application(&wire::ping(b"12345678"))].concat();
    peer.sends(records).unwrap();
    assert_eq!(peer.hear(), [text(wire::ping_ack(b"12345678"))]);
}

/// However often it asks, it is done once, and before anything else.
#[test]
fn the_peer_asks_for_our_next_key() {
    let mut peer = Peer::new(KINDS[0]);
    let records = [peer.forger.update(true), peer.forger.update(true), peer.forger.update(false)].concat();
    peer.sends(records).unwrap();
    assert!(peer.engine.has_output());
    peer.says(&wire::ping(b"12345678"));
    assert_eq!(peer.hear(), [Heard::Nothing, text(wire::ping_ack(b"12345678"))]);
    peer.says(&wire::ping(b"12345678"));
    assert_eq!(peer.hear(), [text(wire::ping_ack(b"12345678"))]);
}

/// What was filled in before goes out under the old key.
#[test]
fn a_record_that_is_open_is_closed_first() {
    let mut peer = Peer::new(KINDS[0]);
    let stream = peer.open();
    peer.fill(stream, 3);
    let update = peer.forger.update(true);
    peer.sends(update).unwrap();
    peer.fill(stream, 2);
    let data = |payload| wire::data(stream.0, payload);
    assert_eq!(peer.hear(), [text(data(b"xxx")), Heard::Nothing, text(data(b"xx"))]);
}

#[test]
fn the_peer_asks_and_then_we_move() {
    let mut peer = Peer::new(KINDS[0]);
    peer.engine.take_back().unwrap();
    let update = peer.forger.update(true);
    peer.sends(update).unwrap();
    peer.travel();
    peer.engine.lend(vec![0; BUFFER]);
    peer.says(&wire::ping(b"12345678"));
    assert_eq!(peer.hear(), [Heard::Nothing, text(wire::ping_ack(b"12345678"))]);
}

#[test]
fn there_is_an_end_to_keys_that_were_derived_ahead() {
    let mut peer = Peer::new(KINDS[0]);
    peer.travel();
    peer.engine.lend(vec![0; BUFFER]);
    let updates: Vec<Vec<u8>> = (0..17).map(|_| peer.forger.update(true)).collect();
    for update in &updates[..16] {
        peer.sends(update.clone()).unwrap();
        assert_eq!(peer.hear(), [Heard::Nothing]);
    }
    assert_eq!(peer.sends(updates[16].clone()), Err(Fault::KeysUsedUp));
}

#[test]
fn keys_are_changed_at_their_limit_in_the_middle_of_bulk_data() {
    let mut peer = Peer::new(KINDS[0]);
    let stream = peer.open();
    peer.engine.limit_records(128);
    let (mut records, mut updates) = (0, Vec::new());
    while updates.len() < 5 {
        while peer.fill(stream, 1 << 20) > 0 {}
        for heard in peer.hear() {
            records += 1;
            if heard == Heard::Nothing {
                updates.push(std::mem::take(&mut records));
            }
        }
    }
    // Up to a buffer later than it could be, never later than it must be; the first key has done other things before.
    assert!(updates[1..].iter().all(|records| (64..=128).contains(records)), "{updates:?}");
}

/// TLS 1.2 has no way to change keys: the tunnel ends in order.
#[test]
fn tls_1_2_ends_when_its_key_is_used_up() {
    let mut peer = Peer::new(KINDS[1]);
    assert_eq!(peer.uses_up_its_key(), Fault::KeysUsedUp);
}
