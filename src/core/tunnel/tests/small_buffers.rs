//! Everything goes through the smallest buffer there may be; it only takes more turns.

use super::peer::{Heard, KINDS, Peer};
use crate::tunnel::http2::tests::wire;
use crate::tunnel::http2::{Code, Fields, StreamId};
use crate::tunnel::record::{Layer, MOST_PLAIN};
use crate::tunnel::{BUFFER, Fault, SMALL_BUFFER};

/// Octets of a frame header.
const HEAD: usize = 9;

/// Payload that says where it belongs.
fn octet_at(at: usize) -> u8 {
    (at ^ (at >> 8) ^ (at >> 16)) as u8
}

/// Fills in what comes next of a stream, as much as there is room for; says how much it was.
fn go_on(peer: &mut Peer, stream: StreamId, from: usize) -> usize {
    let most = peer.engine.window(stream).min(peer.engine.room());
    let filled = peer.engine.fill(stream, most, |slots| {
        let mut at = from;
        for octet in slots.iter_mut().flat_map(|slot| slot.iter_mut()) {
            *octet = octet_at(at);
            at += 1;
        }
        Ok(at - from)
    });
    filled.unwrap()
}

/// The payload of the DATA frames in what was heard.
fn payload(heard: &[Heard]) -> Vec<u8> {
    frames(heard)
        .into_iter()
        .filter(|frame| frame.kind == wire::DATA)
        .flat_map(|frame| frame.payload)
        .collect()
}

/// A frame that was heard.
struct Frame {
    kind: u8,
    stream: u32,
    payload: Vec<u8>,
}

/// The frames in what was heard, which are whole.
fn frames(heard: &[Heard]) -> Vec<Frame> {
    let text = Heard::all_text(heard);
    let (mut all, mut rest) = (Vec::new(), &text[..]);
    while let Some([l0, l1, l2, kind, _, stream @ ..]) = rest.first_chunk::<HEAD>() {
        let (frame, behind) = rest.split_at(HEAD + u32::from_be_bytes([0, *l0, *l1, *l2]) as usize);
        let stream = u32::from_be_bytes(*stream);
        all.push(Frame { kind: *kind, stream, payload: frame[HEAD..].to_vec() });
        rest = behind;
    }
    assert!(rest.is_empty(), "{rest:?}");
    all
}

#[test]
fn a_small_one_is_an_eighth_of_a_large_one_and_holds_a_full_record_and_more() {
    const { assert!(SMALL_BUFFER * 8 < BUFFER) };
    for kind in KINDS {
        let mut peer = Peer::lent(kind, SMALL_BUFFER);
        let stream = peer.open();
        assert_eq!(peer.engine.lent(), SMALL_BUFFER);
        assert!(peer.engine.room() > SMALL_BUFFER - 100, "{}", peer.engine.room());
        assert!(go_on(&mut peer, stream, 0) > 2 * (MOST_PLAIN - HEAD));
        let full = |heard: &&Heard| heard.text().len() == MOST_PLAIN;
        assert_eq!(peer.hear().iter().filter(full).count(), 2);
    }
}

#[test]
fn bulk_comes_as_it_was_sent() {
    for kind in KINDS {
        let mut peer = Peer::lent(kind, SMALL_BUFFER);
        let stream = peer.open();
        let (mut sent, mut came) = (0, Vec::new());
        while sent < 3_000_000 {
            while peer.engine.room() > 0 {
                sent += go_on(&mut peer, stream, sent);
            }
            came.extend(payload(&peer.hear()));
        }
        assert!(came == (0..sent).map(octet_at).collect::<Vec<u8>>());
    }
}

/// Whatever is in the buffer, what there is room for can be put there.
#[test]
fn there_is_room_for_what_there_is_room_for() {
    for kind in KINDS {
        let mut peer = Peer::lent(kind, SMALL_BUFFER);
        let stream = peer.open();
        for length in (1..MOST_PLAIN).step_by(61).chain(16_300..16_400) {
            for rest in [0, 1, 511] {
                let first = peer.fill(stream, length);
                peer.engine.output().unwrap();
                let mut second = 0;
                while peer.engine.room() > rest {
                    let filled = peer.fill(stream, peer.engine.lent());
                    assert_ne!(filled, 0, "{length}");
                    second += filled;
                }
                assert_eq!(payload(&peer.hear()).len(), first + second, "{length}");
            }
        }
    }
}

/// Requests with so many fields that they do not go in at once, in the middle of bulk.
#[test]
fn frames_that_do_not_fit_wait_their_turn_and_come_in_order() {
    for kind in KINDS {
        let mut peer = Peer::lent(kind, SMALL_BUFFER);
        let stream = peer.open();
        let sent = go_on(&mut peer, stream, 0);
        let mut fields = Fields::default();
        fields.add(b"x-much", &[b'~'; 3000]);
        let asked: Vec<u32> = (0..40).map(|_| peer.engine.open("a:1", &fields).unwrap().0).collect();
        assert_eq!(peer.engine.room(), 0);
        let heard = peer.hear();
        assert_eq!(payload(&heard).len(), sent);
        let requests = frames(&heard).into_iter().filter(|frame| frame.kind == wire::HEADERS);
        assert_eq!(requests.map(|frame| frame.stream).collect::<Vec<_>>(), asked);
        assert_ne!(peer.engine.room(), 0);
    }
}

#[test]
fn keys_are_changed_at_their_limit() {
    let mut peer = Peer::lent(KINDS[0], SMALL_BUFFER);
    let stream = peer.open();
    peer.engine.limit_records(128);
    let (mut records, mut updates) = (0, Vec::new());
    let (mut sent, mut came) = (0, Vec::new());
    while updates.len() < 5 {
        sent += go_on(&mut peer, stream, sent);
        let heard = peer.hear();
        for heard in &heard {
            records += 1;
            if *heard == Heard::Nothing {
                updates.push(std::mem::take(&mut records));
            }
        }
        came.extend(payload(&heard));
    }
    assert!(updates[1..].iter().all(|records| (64..=128).contains(records)), "{updates:?}");
    assert!(came == (0..sent).map(octet_at).collect::<Vec<u8>>());
}

#[test]
fn a_key_that_cannot_be_changed_ends_the_tunnel_in_order() {
    let mut peer = Peer::lent(KINDS[1], SMALL_BUFFER);
    assert_eq!(KINDS[1].0, Layer::Tls12);
    assert_eq!(peer.uses_up_its_key(), Fault::KeysUsedUp);
}

#[test]
fn a_farewell_follows_a_full_one() {
    for kind in KINDS {
        let mut peer = Peer::lent(kind, SMALL_BUFFER);
        let stream = peer.open();
        let mut filled = 0;
        while peer.engine.room() > 0 {
            filled += peer.fill(stream, usize::MAX);
        }
        peer.engine.finish(stream);
        peer.engine.close();
        let heard = peer.hear();
        let text = Heard::all_text(&heard);
        let end = [wire::data_end(stream.0, b""), wire::goaway(0, Code::NO_ERROR)].concat();
        assert!(text.ends_with(&end));
        assert_eq!((payload(&heard).len(), heard.last()), (filled, Some(&Heard::Close)));
    }
}

/// The next one may be of another size.
#[test]
fn a_tunnel_is_lent_what_there_is() {
    let mut peer = Peer::lent(KINDS[0], SMALL_BUFFER);
    let stream = peer.open();
    let (mut sent, mut came) = (0, Vec::new());
    for octets in [BUFFER, SMALL_BUFFER, SMALL_BUFFER + 1, BUFFER] {
        peer.engine.take_back().unwrap();
        peer.engine.lend(vec![0; octets]);
        let now = go_on(&mut peer, stream, sent);
        assert!(now > octets - octets / 100, "{now} of {octets}");
        sent += now;
        came.extend(payload(&peer.hear()));
    }
    assert!(came == (0..sent).map(octet_at).collect::<Vec<u8>>());
}
