//! A peer that uses all there is, and the naive table it keeps.

use std::collections::VecDeque;

use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};

use super::super::{fixed, huffman};
use super::*;

const WORDS: [&str; 9] =
    ["", "a", "b", ":path", "via", "custom-key", "accept", "eight by", "a value that takes a while to read"];

/// The sending side of a connection.
pub(super) struct Peer {
    random: SmallRng,
    /// What it may use, and what it uses.
    limit: usize,
    most: usize,
    /// The smallest limit since its last block.
    smallest: usize,
    /// The newest first.
    pub(super) table: VecDeque<(Vec<u8>, Vec<u8>)>,
}

impl Peer {
    pub(super) fn new(seed: u64, limit: usize) -> Self {
        let random = SmallRng::seed_from_u64(seed);
        Self { random, limit, most: limit, smallest: limit, table: VecDeque::new() }
    }

    /// Acknowledges another table size.
    pub(super) fn limit(&mut self, limit: usize) {
        self.limit = limit;
        self.smallest = self.smallest.min(limit);
    }

    /// A list, and the block that it sends for it.
    pub(super) fn block(&mut self) -> (Fields, Vec<u8>) {
        let mut block = Vec::new();
        self.sizes(&mut block);
        let fields = (0..self.random.random_range(0..8)).map(|_| self.field(&mut block)).collect();
        (fields, block)
    }

    /// Says what it has to say about the size of its table, and sometimes more than that.
    fn sizes(&mut self, block: &mut Vec<u8>) {
        if self.smallest < self.most {
            self.resize(self.smallest, block);
        }
        if self.random.random_ratio(1, 6) {
            let size = self.random.random_range(0..=self.limit);
            self.resize(size, block);
        }
        self.smallest = self.limit;
    }

    fn resize(&mut self, most: usize, block: &mut Vec<u8>) {
        encode::integer(block, 0x20, 5, most);
        self.most = most;
        self.evict();
    }

    fn evict(&mut self) {
        while size(&self.table.iter().cloned().collect()) > self.most {
            self.table.pop_back();
        }
    }

    fn field(&mut self, block: &mut Vec<u8>) -> (Vec<u8>, Vec<u8>) {
        let index = self.random.random_range(1..=fixed::COUNT + self.table.len());
        let (known_name, known_value) = self.entry(index);
        if self.random.random_ratio(1, 3) {
            encode::integer(block, 0x80, 7, index);
            return (known_name, known_value);
        }
        let (high, prefix) = [(0x40, 6), (0x00, 4), (0x10, 4)][self.random.random_range(0..3)];
        let name = if self.random.random() {
            encode::integer(block, high, prefix, index);
            known_name
        } else {
            encode::integer(block, high, prefix, 0);
            self.string(block)
        };
        let value = self.string(block);
        if high == 0x40 {
            self.table.push_front((name.clone(), value.clone()));
            self.evict();
        }
        (name, value)
    }

    fn entry(&self, index: usize) -> (Vec<u8>, Vec<u8>) {
        match fixed::entry(index) {
            Some((name, value)) => (name.to_vec(), value.to_vec()),
            None => self.table[index - fixed::COUNT - 1].clone(),
        }
    }

    fn string(&mut self, block: &mut Vec<u8>) -> Vec<u8> {
        let mut plain = WORDS.choose(&mut self.random).unwrap().as_bytes().to_vec();
        plain.extend((0..self.random.random_range(0..4)).map(|_| self.random.random::<u8>()));
        if self.random.random() {
            encode::integer(block, 0x80, 7, huffman::encoded_length(&plain));
            huffman::encode(&plain, block);
        } else {
            encode::integer(block, 0x00, 7, plain.len());
            block.extend_from_slice(&plain);
        }
        plain
    }
}
