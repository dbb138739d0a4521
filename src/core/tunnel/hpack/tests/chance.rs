//! Random connections: what a peer in order sends is understood, and what anybody sends does no harm.

use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};

use super::model::Peer;
use super::*;

const LIMITS: [usize; 7] = [0, 33, 34, 100, 300, 4096, 10_000];
const MOSTS: [usize; 5] = [0, 33, 100, 400, PLENTY];

/// The list, the table and, where the list is cut, the place are those of a naive peer, also after the state has moved.
#[test]
fn a_peer_in_order_is_understood() {
    for seed in 0..300 {
        let random = &mut SmallRng::seed_from_u64(seed);
        let limit = *LIMITS.choose(random).unwrap();
        let (mut peer, mut decoder) = (Peer::new(seed, limit), Decoder::new(limit));
        for _ in 0..40 {
            for _ in 0..[0, 0, 0, 0, 1, 2][random.random_range(0..6)] {
                let limit = *LIMITS.choose(random).unwrap();
                peer.limit(limit);
                decoder.limit(limit);
            }
            if random.random_ratio(1, 10) {
                decoder = Decoder::import(decoder.export());
            }
            let (expected, block) = peer.block();
            let most = *MOSTS.choose(random).unwrap();
            let (list, decoded) = decode(&mut decoder, &block, most).unwrap();
            check_cut(&expected, &list, decoded, most);
            assert_eq!(decoder.export().entries, Vec::from(peer.table.clone()));
        }
    }
}

/// What was handed out is the beginning of the list, and as much of it as fits.
#[track_caller]
fn check_cut(expected: &Fields, list: &Fields, decoded: Decoded, most: usize) {
    assert_eq!(list[..], expected[..list.len()]);
    assert!(size(list) <= most);
    match expected.get(list.len()) {
        None => assert_eq!(decoded, Decoded::Whole),
        Some(next) => {
            assert!(size(list) + size(&vec![next.clone()]) > most);
            assert_eq!(decoded, Decoded::TooLarge);
        }
    }
}

/// Feeds arbitrary bytes, cut into blocks by themselves, to a decoder, and checks what must hold for any.
fn endure(mut bytes: &[u8], limit: usize, most: usize) -> Result<(), Error> {
    let mut decoder = Decoder::new(limit);
    while let Some((&length, rest)) = bytes.split_first() {
        let (block, rest) = rest.split_at(rest.len().min(length.into()));
        bytes = rest;
        let mut twin = Decoder::import(decoder.export());
        let result = decode(&mut decoder, block, most);
        assert_eq!(decode(&mut twin, block, most), result);
        assert_eq!(twin.export(), decoder.export());
        assert!(decoder.memory() <= 6 * limit + 4 * most.max(limit) + 1024, "{}", decoder.memory());
        let state = decoder.export();
        assert!(state.size <= limit && size(&state.entries) <= state.size);
        let (list, _) = result?;
        assert!(size(&list) <= most);
    }
    Ok(())
}

#[test]
fn arbitrary_bytes_do_no_harm() {
    let mut random = SmallRng::seed_from_u64(4);
    for _ in 0..20_000 {
        let bytes: Vec<u8> = (0..random.random_range(0..200)).map(|_| random.random()).collect();
        let (limit, most) = (*LIMITS.choose(&mut random).unwrap(), *MOSTS.choose(&mut random).unwrap());
        let _ = endure(&bytes, limit, most);
    }
}

/// The blocks of a peer in order, with some bytes changed.
#[test]
fn spoilt_blocks_do_no_harm() {
    let mut random = SmallRng::seed_from_u64(5);
    let mut wrong = 0;
    for seed in 0..3_000 {
        let (limit, most) = (*LIMITS.choose(&mut random).unwrap(), *MOSTS.choose(&mut random).unwrap());
        let mut peer = Peer::new(seed, limit);
        let mut bytes = Vec::new();
        for (_, block) in (0..6).map(|_| peer.block()) {
            bytes.push(block.len().min(255) as u8);
            bytes.extend(block.iter().take(255));
        }
        for _ in 0..random.random_range(1..3) {
            let at = random.random_range(0..bytes.len());
            bytes[at] = random.random();
        }
        wrong += usize::from(endure(&bytes, limit, most).is_err());
    }
    assert!((300..2_900).contains(&wrong), "{wrong}");
}
