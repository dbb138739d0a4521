//! How payload and frames are laid out in records.

use std::io;

use super::peer::{Heard, KINDS, Peer};
use crate::tunnel::BUFFER;
use crate::tunnel::http2::tests::wire;
use crate::tunnel::http2::{Code, StreamId};
use crate::tunnel::record::MOST_PLAIN;

/// Octets of a frame header.
const HEAD: usize = 9;

fn lengths(heard: &[Heard]) -> Vec<usize> {
    let length = |heard: &Heard| if let Heard::Text(text) = heard { text.len() } else { 0 };
    heard.iter().map(length).collect()
}

#[test]
fn small_writes_share_a_record() {
    for kind in KINDS {
        let mut peer = Peer::new(kind);
        let streams: Vec<StreamId> = (0..3).map(|_| peer.open()).collect();
        for stream in &streams {
            peer.fill(*stream, 2);
        }
        peer.engine.finish(streams[0]);
        peer.engine.reset(streams[1], Code::CANCEL);
        peer.fill(streams[2], 1);
        let all = [
            wire::data(1, b"xx"),
            wire::data(3, b"xx"),
            wire::data(5, b"xx"),
            wire::data_end(1, b""),
            wire::rst_stream(3, Code::CANCEL),
            wire::data(5, b"x"),
        ];
        assert_eq!(peer.hear(), [Heard::Text(all.concat())]);
    }
}

#[test]
fn bulk_makes_records_as_large_as_can_be() {
    for kind in KINDS {
        let mut peer = Peer::new(kind);
        let stream = peer.open();
        let payload = 10 * (MOST_PLAIN - HEAD) + 100;
        assert_eq!(peer.fill(stream, payload), payload);
        let heard = peer.hear();
        let expected = [vec![MOST_PLAIN; 10], vec![HEAD + 100]].concat();
        assert_eq!(lengths(&heard), expected);
        let full = wire::data(stream.0, &[b'x'; MOST_PLAIN - HEAD]);
        assert!(heard[..10].iter().all(|heard| *heard == Heard::Text(full.clone())));
    }
}

/// The rest of a record is filled first, as long as it is worth a frame of its own.
#[test]
fn bulk_goes_on_where_something_small_ended() {
    let rest = |payload: usize| MOST_PLAIN - HEAD - payload;
    for (first, expected) in [
        (10, vec![MOST_PLAIN, HEAD + 1_000 - (rest(10) - HEAD) % 1_000]),
        (rest(HEAD + 512), vec![MOST_PLAIN, HEAD + 488]),
        (rest(HEAD + 511), vec![MOST_PLAIN - HEAD - 511, HEAD + 1_000]),
    ] {
        let mut peer = Peer::new(KINDS[0]);
        let stream = peer.open();
        peer.fill(stream, first);
        let second = if first == 10 { rest(10) - HEAD + expected[1] - HEAD } else { 1_000 };
        assert_eq!(peer.fill(stream, second), second);
        assert_eq!(lengths(&peer.hear()), expected, "{first}");
    }
}

#[test]
fn there_are_as_many_records_as_a_buffer_holds() {
    for kind in KINDS {
        let mut peer = Peer::new(kind);
        let stream = peer.open();
        let mut filled = 0;
        while peer.engine.room() > 0 {
            let once = peer.fill(stream, usize::MAX);
            assert_ne!(once, 0);
            filled += once;
        }
        assert!(filled >= 17 * (MOST_PLAIN - HEAD), "{filled}");
        let payload: usize = lengths(&peer.hear()).iter().map(|length| length - HEAD).sum();
        assert_eq!(payload, filled);
    }
}

/// Whatever is in the buffer, what there is room for can be put there.
#[test]
fn there_is_room_for_what_there_is_room_for() {
    for kind in KINDS {
        let mut peer = Peer::new(kind);
        let stream = peer.open();
        // Records of such lengths that the buffer ends at any place of the last one.
        for length in 15_440..15_500 {
            let mut records = 0;
            while peer.engine.room() > 0 {
                let most = if records < 17 { length } else { 1 };
                assert_ne!(peer.fill(stream, most), 0, "{length}, {} octets of room", peer.engine.room());
                records += 1;
                if records < 18 {
                    // An output that is not written: the record is closed.
                    peer.engine.output().unwrap();
                }
            }
            peer.hear();
        }
    }
}

#[test]
fn a_buffer_is_given_back_when_all_is_sent() {
    let mut peer = Peer::new(KINDS[0]);
    let stream = peer.open();
    assert!(peer.engine.take_back().is_some());
    assert!(peer.engine.wants_buffer() && !peer.engine.has_output());
    assert_eq!((peer.engine.room(), peer.engine.take_back()), (0, None));
    peer.engine.lend(vec![0; BUFFER]);
    peer.fill(stream, 100);
    assert_eq!(peer.engine.take_back(), None);
    let length = peer.engine.output().unwrap().len();
    peer.engine.written(length - 1);
    assert_eq!(peer.engine.take_back(), None);
    peer.engine.written(1);
    assert_eq!(peer.engine.take_back().unwrap().len(), BUFFER);
}

/// Nothing is lost of what is due while there is no buffer.
#[test]
fn frames_wait_for_a_buffer() {
    let mut peer = Peer::new(KINDS[0]);
    let buffer = peer.engine.take_back().unwrap();
    peer.says(&wire::ping(b"12345678"));
    assert!(peer.engine.has_output() && peer.engine.wants_buffer());
    assert_eq!(peer.engine.output().unwrap(), b"");
    peer.engine.lend(buffer);
    assert_eq!(peer.hear(), [Heard::Text(wire::ping_ack(b"12345678"))]);
}

#[test]
fn small_frames_go_out_between_bulk() {
    let mut peer = Peer::new(KINDS[0]);
    let stream = peer.open();
    while peer.fill(stream, 100_000) > 0 {}
    peer.says(&wire::ping(b"12345678"));
    let before = lengths(&peer.write_some(40_000)).len();
    // Nothing of it fits before what is there has gone out; then it comes before all other payload.
    assert_eq!((before, peer.engine.room()), (2, 0));
    let mut heard = peer.hear();
    peer.fill(stream, 5);
    heard.append(&mut peer.hear());
    let ping = heard.iter().position(|heard| *heard == Heard::Text(wire::ping_ack(b"12345678")));
    assert_eq!(ping, Some(heard.len() - 2));
}

#[test]
fn small_frames_follow_payload_in_its_record() {
    let mut peer = Peer::new(KINDS[0]);
    let stream = peer.open();
    peer.fill(stream, 20_000);
    peer.says(&wire::ping(b"12345678"));
    peer.fill(stream, 1);
    let last = [wire::data(1, &[b'x'; 20_000 - 16_375]), wire::ping_ack(b"12345678"), wire::data(1, b"x")];
    assert_eq!(peer.hear()[1..], [Heard::Text(last.concat())]);
}

#[test]
fn nothing_read_leaves_no_trace() {
    for before in [0, 5, 16_000] {
        let mut peer = Peer::new(KINDS[0]);
        let stream = peer.open();
        let window = peer.engine.window(stream);
        if before > 0 {
            peer.fill(stream, before);
        }
        assert!(peer.engine.room() > 0);
        assert_eq!(peer.engine.fill(stream, 10, |_| Ok(0)).unwrap(), 0);
        let error = peer.engine.fill(stream, 10, |slots| {
            slots[0][0] = 1;
            Err(io::ErrorKind::WouldBlock.into())
        });
        assert_eq!(error.unwrap_err().kind(), io::ErrorKind::WouldBlock);
        assert_eq!(peer.engine.window(stream), window - before);
        assert_eq!(peer.engine.has_output(), before > 0);
        let heard = peer.hear();
        assert_eq!(lengths(&heard), if before > 0 { vec![HEAD + before] } else { vec![] });
    }
}

#[test]
fn a_read_may_be_shorter_than_its_places() {
    let mut peer = Peer::new(KINDS[0]);
    let stream = peer.open();
    assert!(peer.engine.room() > 0);
    let read = peer.engine.fill(stream, 50_000, |slots| {
        let places: Vec<usize> = slots.iter().map(|slot| slot.len()).collect();
        assert_eq!(places, [16_375, 16_375, 16_375, 875]);
        slots[..2].iter_mut().for_each(|slot| slot.fill(b'x'));
        Ok(16_375 + 7)
    });
    assert_eq!(read.unwrap(), 16_382);
    assert_eq!(lengths(&peer.hear()), [MOST_PLAIN, HEAD + 7]);
}
