//! Both engines move to other processes again and again, in the middle of whatever is going on.

use rand::RngExt;

use super::peer::{Heard, KINDS, Peer};
use super::streams::{Case, MANY};
use crate::tunnel::BUFFER;
use crate::tunnel::http2::tests::wire;
use crate::tunnel::http2::{Event, Fields};

#[test]
fn nothing_is_lost_on_the_way() {
    for seed in 100..160 {
        println!("seed {seed}");
        let mut case = Case::new(seed, 20_000);
        if case.grain > 1_000 {
            // With many small records, more keys would be used up than there are ahead.
            case.limit_records();
        }
        let mut due = 0;
        let over = (0..MANY).any(|_| {
            case.turn();
            if case.carried >= due {
                due = case.carried + case.random.random_range(1..10_000);
                match case.random.random_bool(0.5) {
                    true => case.pair.client.travel(),
                    false => case.pair.server.travel(),
                }
            }
            case.is_over()
        });
        assert!(over, "seed {seed} waits for ever");
        case.pair.check();
    }
}

/// In the middle of frame headers, of a header block in two frames, of payload and padding: after every few octets.
#[test]
fn frames_may_have_come_in_part() {
    let block = wire::block(&[(":status", "200"), ("some-field", "and its value")]);
    let (first, second) = block.split_at(9);
    let frames = [
        wire::raw(wire::HEADERS, 0, 1, first),
        wire::raw(wire::CONTINUATION, wire::END_HEADERS, 1, second),
        wire::ping(b"12345678"),
        wire::raw(wire::DATA, wire::PADDED, 1, b"\x05hello\0\0\0\0\0"),
        wire::raw(wire::UNKNOWN, 0, 0, &[9; 20]),
        wire::data_end(1, b" world"),
    ];
    for step in 1..=20 {
        let mut peer = Peer::new(KINDS[0]);
        peer.engine.open("a:1", &Fields::default()).unwrap();
        peer.hear();
        let (mut told, mut text) = (Vec::new(), Vec::new());
        for piece in frames.concat().chunks(step) {
            let mut record = peer.forger.application(piece);
            let mut events = Vec::new();
            peer.engine.receive(peer.now, &mut record, &mut events).unwrap();
            for event in events {
                if let Event::Data { place, .. } = event {
                    text.extend_from_slice(&record[place]);
                } else {
                    told.push(event);
                }
            }
            peer.travel();
        }
        assert!(
            matches!(&told[..], [Event::Answer { answer, .. }, Event::End { .. }] if answer.status == 200)
        );
        assert_eq!(text, b"hello world", "{step} at a time");
        peer.engine.lend(vec![0; BUFFER]);
        assert_eq!(peer.hear(), [Heard::Text(wire::ping_ack(b"12345678"))]);
    }
}

#[test]
fn a_key_update_may_have_come_in_part() {
    let mut peer = Peer::new(KINDS[0]);
    for piece in [&[24, 0][..], &[0], &[1, 1]] {
        let record = peer.forger.handshake(piece);
        peer.sends(record).unwrap();
        peer.travel();
    }
    peer.forger.next_key();
    peer.engine.lend(vec![0; BUFFER]);
    peer.says(&wire::ping(b"12345678"));
    assert_eq!(peer.hear(), [Heard::Nothing, Heard::Text(wire::ping_ack(b"12345678"))]);
}
