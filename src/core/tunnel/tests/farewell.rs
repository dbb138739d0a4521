//! The end of a tunnel: what the peer is told, and that nothing is said after it.

use std::time::Duration;

use super::peer::{Heard, KINDS, Peer};
use crate::tunnel::http2::Code;
use crate::tunnel::http2::tests::wire;
use crate::tunnel::record::Alert;
use crate::tunnel::{BUFFER, Fault};

/// The end of what was said.
#[track_caller]
fn hears(peer: &mut Peer, code: Option<Code>, alert: Alert) {
    let alert = if alert == Alert::CLOSE_NOTIFY { Heard::Close } else { Heard::Alert(alert) };
    let goaway = code.map(|code| Heard::Text(wire::goaway(0, code)));
    let expected: Vec<Heard> = goaway.into_iter().chain([alert]).collect();
    assert_eq!(peer.hear(), expected);
}

#[test]
fn a_tunnel_ends_in_order() {
    for kind in KINDS {
        let mut peer = Peer::new(kind);
        peer.engine.close();
        peer.engine.close();
        hears(&mut peer, Some(Code::NO_ERROR), Alert::CLOSE_NOTIFY);
        assert!(!peer.engine.has_output());
    }
}

#[test]
fn payload_comes_before_the_end() {
    for with_buffer_full in [false, true] {
        let mut peer = Peer::new(KINDS[0]);
        let stream = peer.open();
        let mut filled = peer.fill(stream, 5);
        while with_buffer_full && peer.engine.room() > 0 {
            filled += peer.fill(stream, usize::MAX);
        }
        peer.engine.finish(stream);
        peer.engine.close();
        let heard = peer.hear();
        let text = Heard::all_text(&heard);
        let end = [wire::data_end(stream.0, b""), wire::goaway(0, Code::NO_ERROR)].concat();
        assert!(text.ends_with(&end) && text.len() > filled + end.len());
        assert_eq!(heard.last(), Some(&Heard::Close));
    }
}

#[test]
fn nothing_is_said_after_the_end() {
    let mut peer = Peer::new(KINDS[0]);
    let stream = peer.open();
    peer.engine.close();
    peer.hear();
    peer.says(&wire::ping(b"12345678"));
    peer.engine.finish(stream);
    assert_eq!((peer.engine.room(), peer.engine.has_output()), (0, false));
    assert_eq!(peer.hear(), []);
}

#[test]
fn a_tunnel_without_a_buffer_says_good_bye_as_well() {
    let mut peer = Peer::new(KINDS[0]);
    peer.engine.take_back().unwrap();
    peer.engine.close();
    hears(&mut peer, Some(Code::NO_ERROR), Alert::CLOSE_NOTIFY);
}

#[test]
fn a_fault_is_told_to_who_should_know() {
    let http2 = Fault::Http2 { code: Code::ENHANCE_YOUR_CALM, what: "" };
    let tls = Fault::Tls { alert: Alert::BAD_RECORD_MAC, what: "" };
    for (fault, code, alert) in [
        (http2, Some(Code::ENHANCE_YOUR_CALM), Alert::CLOSE_NOTIFY),
        (tls, None, Alert::BAD_RECORD_MAC),
        (Fault::GoAway(Code::INTERNAL_ERROR), None, Alert::CLOSE_NOTIFY),
        (Fault::Alert(Alert::DECODE_ERROR), None, Alert::CLOSE_NOTIFY),
        (Fault::Dead, None, Alert::CLOSE_NOTIFY),
        (Fault::NoPreface, Some(Code::NO_ERROR), Alert::CLOSE_NOTIFY),
        (Fault::KeysUsedUp, Some(Code::NO_ERROR), Alert::CLOSE_NOTIFY),
    ] {
        let mut peer = Peer::new(KINDS[0]);
        peer.engine.fail(fault);
        hears(&mut peer, code, alert);
    }
}

#[test]
fn the_peer_ends() {
    let mut peer = Peer::new(KINDS[0]);
    assert!(!peer.engine.is_ended());
    let mut records = [peer.forger.application(&wire::ping(b"12345678")), peer.forger.alert(0)].concat();
    let taken = records.len();
    // Whatever comes after is not even looked at.
    records.extend(b"\x17\x03\x03\x00\x40 garbage");
    let taken_now = peer.engine.receive(peer.now, &mut records, &mut Vec::new());
    assert_eq!((taken_now, peer.engine.is_ended()), (Ok(taken), true));
    // The other direction goes on (RFC 8446 §6.1).
    assert_eq!(peer.hear(), [Heard::Text(wire::ping_ack(b"12345678"))]);
}

#[test]
fn a_broken_record_is_a_fault_and_what_came_before_is_told() {
    let mut peer = Peer::new(KINDS[0]);
    let stream = peer.open();
    let mut records = peer.forger.application(&wire::data(stream.0, b"hello"));
    let mut broken = peer.forger.application(b"x");
    broken[9] ^= 1;
    records.append(&mut broken);
    let mut events = Vec::new();
    let fault = peer.engine.receive(peer.now, &mut records, &mut events).unwrap_err();
    assert!(matches!(fault, Fault::Tls { alert: Alert::BAD_RECORD_MAC, .. }));
    assert_eq!(events.len(), 1);
}

#[test]
fn the_last_flight_of_the_handshake_comes_first() {
    let mut peer = Peer::silent(KINDS[0]);
    peer.engine.send_first(b"finished".to_vec());
    assert_eq!(peer.engine.output().unwrap(), b"finished");
    peer.engine.written(3);
    assert_eq!(peer.engine.output().unwrap(), b"ished");
    peer.engine.lend(vec![0; BUFFER]);
    assert_eq!(peer.engine.output().unwrap(), b"ished");
    peer.engine.written(5);
    assert_eq!(peer.hear().len(), 1);
}

/// The last words travel, too.
#[test]
fn an_end_that_was_not_written_yet_is_not_lost() {
    let mut peer = Peer::new(KINDS[0]);
    let stream = peer.open();
    peer.fill(stream, 5);
    peer.engine.close();
    peer.travel();
    let text = [wire::data(stream.0, b"xxxxx"), wire::goaway(0, Code::NO_ERROR)];
    assert_eq!(peer.hear(), [Heard::Text(text[0].clone()), Heard::Text(text[1].clone()), Heard::Close]);
    assert_eq!(peer.engine.room(), 0);
}

#[test]
fn who_is_quiet_is_asked_and_given_up() {
    let mut peer = Peer::new(KINDS[0]);
    let deadline = peer.engine.deadline().unwrap();
    assert_eq!(deadline - peer.now, Duration::from_secs(10));
    peer.engine.on_deadline(deadline).unwrap();
    assert_eq!(peer.hear(), [Heard::Text(wire::ping(b"culvert?"))]);
    let deadline = peer.engine.deadline().unwrap();
    assert_eq!(peer.engine.on_deadline(deadline), Err(Fault::Dead));
}
