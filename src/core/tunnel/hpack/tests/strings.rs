//! The Huffman code, there and back.

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use super::super::huffman;

fn packed(plain: &[u8]) -> Vec<u8> {
    let mut packed = Vec::new();
    huffman::encode(plain, &mut packed);
    packed
}

#[track_caller]
fn check(plain: &[u8]) {
    let packed = packed(plain);
    assert_eq!(packed.len(), huffman::encoded_length(plain), "{plain:02x?}");
    let mut out = b"before".to_vec();
    assert_eq!(huffman::decode(&packed, plain.len(), &mut out), Ok(plain.len()), "{plain:02x?}");
    assert_eq!(out.strip_prefix(b"before"), Some(plain));
}

#[test]
fn every_symbol_comes_back_beside_every_other() {
    check(b"");
    for first in 0..=255 {
        for second in 0..=255 {
            check(&[first, second]);
        }
    }
}

#[test]
fn random_bytes_come_back() {
    let mut random = SmallRng::seed_from_u64(1);
    for _ in 0..2_000 {
        let length = random.random_range(0..100);
        let (low, high) = if random.random() { (b' ', b'~') } else { (0, 255) };
        let plain: Vec<u8> = (0..length).map(|_| random.random_range(low..=high)).collect();
        check(&plain);
    }
}

/// Whatever can be decoded is what it is encoded to: there is one code for every string.
#[test]
fn there_is_one_code_for_every_string() {
    let mut random = SmallRng::seed_from_u64(2);
    let mut decoded = 0;
    for _ in 0..20_000 {
        let mut bytes = packed(&[b'a', random.random(), random.random_range(b' '..=b'~')]);
        let at = random.random_range(0..bytes.len());
        bytes[at] ^= 1 << random.random_range(0..8);
        let mut plain = Vec::new();
        if let Ok(length) = huffman::decode(&bytes, 100, &mut plain) {
            assert_eq!((length, packed(&plain)), (plain.len(), bytes));
            decoded += 1;
        }
    }
    assert!((1_000..19_000).contains(&decoded), "{decoded}");
}

#[test]
fn no_more_is_written_than_asked_for() {
    let packed = packed(b"www.example.com");
    for most in 0..20 {
        let mut out = b"x".to_vec();
        assert_eq!(huffman::decode(&packed, most, &mut out), Ok(15));
        assert_eq!(&out[1..], &b"www.example.com"[..most.min(15)]);
    }
}
