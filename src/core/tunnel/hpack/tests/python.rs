//! What another encoder sends: connections that Python's `hpack` has made, with the size of its table after each block.

use super::super::huffman;
use super::*;

const VECTORS: &str = include_str!("python.txt");

/// A connection, and what its last block has still to be compared with.
struct Replay {
    decoder: Decoder,
    list: std::vec::IntoIter<(Vec<u8>, Vec<u8>)>,
    blocks: usize,
}

impl Replay {
    fn step(&mut self, line: &str) {
        let (what, rest) = line.split_once(' ').unwrap();
        let (first, second) = rest.split_once(' ').unwrap_or((rest, ""));
        match what {
            "new" => self.decoder = Decoder::new(first.parse().unwrap()),
            "limit" => self.decoder.limit(first.parse().unwrap()),
            "block" => {
                self.list = whole(&mut self.decoder, &hex(first)).into_iter();
                self.blocks += 1;
            }
            "field" => assert_eq!(self.list.next(), fields(&[(first, second)]).pop(), "{line}"),
            "table" => {
                assert_eq!(self.list.next(), None, "{line}");
                let entries = self.decoder.export().entries;
                let sizes = (size(&entries).to_string(), entries.len().to_string());
                assert_eq!(sizes, (first.to_owned(), second.to_owned()));
            }
            "huffman" => {
                let mut packed = Vec::new();
                huffman::encode(&hex(first), &mut packed);
                assert_eq!(packed, hex(second));
            }
            _ => panic!("no such line: {line}"),
        }
    }
}

#[test]
fn connections_of_another_encoder() {
    let mut replay = Replay { decoder: Decoder::new(0), list: Vec::new().into_iter(), blocks: 0 };
    VECTORS.lines().filter(|line| !line.starts_with('#')).for_each(|line| replay.step(line));
    assert_eq!(replay.blocks, 98);
}
