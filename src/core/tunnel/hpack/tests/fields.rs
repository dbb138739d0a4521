//! What we send.

use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};

use super::super::{encode_field, encode_table_size_0, fixed};
use super::*;

#[test]
fn fields_as_they_are_sent() {
    for (name, value, expected) in [
        // Both known.
        (":method", "GET", "82"),
        (":status", "200", "88"),
        (":status", "404", "8d"),
        (":path", "/", "84"),
        (":authority", "", "81"),
        ("www-authenticate", "", "bd"),
        // The name known, the value shorter with Huffman, or not.
        (":method", "CONNECT", "02 07 434f 4e4e 4543 54"),
        (":authority", "www.example.com", "01 8c f1e3 c2e5 f23a 6ba0 ab90 f4ff"),
        (":status", "302", "08 82 6402"),
        (":status", "503", "08 03 3530 33"),
        (":status", "{}", "08 02 7b7d"),
        ("location", "{}", "0f 1f 02 7b7d"),
        // Nothing known.
        ("custom-key", "custom-value", "00 88 25a8 49e9 5ba9 7d7f 89 25a8 49e9 5bb8 e8b4 bf"),
        ("|", "", "00 01 7c 00"),
        ("", "", "00 00 00"),
    ] {
        let mut block = b"before".to_vec();
        encode_field(&mut block, name.as_bytes(), value.as_bytes());
        assert_eq!(block.strip_prefix(b"before"), Some(&hex(expected)[..]), "{name}: {value}");
    }
}

#[test]
fn a_table_of_no_size_is_confirmed() {
    let mut block = Vec::new();
    encode_table_size_0(&mut block);
    encode_field(&mut block, b":status", b"200");
    assert_eq!(block, hex("20 88"));
    let mut peer = Decoder::new(4096);
    peer.limit(0);
    assert_eq!(whole(&mut peer, &block), fields(&[(":status", "200")]));
}

/// Once said in the first block of a connection, it holds for settings that come later.
#[test]
fn a_table_of_no_size_is_confirmed_beforehand() {
    let mut peer = Decoder::new(4096);
    whole(&mut peer, &hex("20 88"));
    peer.limit(0);
    whole(&mut peer, &hex("88"));
    peer.limit(4096);
    peer.limit(100);
    whole(&mut peer, &hex("88"));
}

#[test]
fn the_static_table_is_referred_to_wherever_it_can_be() {
    for index in 1..=fixed::COUNT {
        let (name, value) = fixed::entry(index).unwrap();
        let mut block = Vec::new();
        encode_field(&mut block, name, value);
        assert_eq!(block, [0x80 | index as u8]);
        assert_eq!(whole(&mut Decoder::new(0), &block), vec![(name.to_vec(), value.to_vec())]);
    }
    assert_eq!(fixed::entry(0), None);
    assert_eq!(fixed::entry(fixed::COUNT + 1), None);
}

fn bytes(random: &mut SmallRng, longest: usize) -> Vec<u8> {
    let length = random.random_range(0..=longest);
    let text = random.random();
    let byte = |_| if text { random.random_range(b' '..=b'~') } else { random.random() };
    (0..length).map(byte).collect()
}

#[test]
fn what_is_sent_comes_back() {
    let mut random = SmallRng::seed_from_u64(3);
    let mut decoder = Decoder::new(0);
    let known: Vec<usize> = (1..=fixed::COUNT).collect();
    for _ in 0..1_000 {
        let mut list = Fields::new();
        for _ in 0..random.random_range(0..12) {
            let longest = if random.random_ratio(1, 20) { 20_000 } else { 60 };
            let (mut name, mut value) = (bytes(&mut random, 30), bytes(&mut random, longest));
            if random.random() {
                let field = fixed::entry(*known.choose(&mut random).unwrap()).unwrap();
                name = field.0.to_vec();
                value = if random.random() { field.1.to_vec() } else { value };
            }
            list.push((name, value));
        }
        let mut block = Vec::new();
        list.iter().for_each(|(name, value)| encode_field(&mut block, name, value));
        assert_eq!(whole(&mut decoder, &block), list);
        assert!(decoder.is_stateless());
    }
}
