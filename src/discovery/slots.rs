//! A set of places of resources, a bit for each: 14 kB where there are 110,000.

use crate::catalog::Slot;

/// Words the set grows by.
const STEP: usize = 64;

/// Places. An empty set holds no memory.
#[derive(Debug, Default)]
pub(crate) struct Slots {
    words: Vec<u64>,
    len: usize,
    /// Words before this one are zero.
    first: usize,
}

impl Slots {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(crate) fn contains(&self, slot: Slot) -> bool {
        let (word, bit) = place(slot);
        self.words.get(word).is_some_and(|bits| bits & bit != 0)
    }

    pub(crate) fn insert(&mut self, slot: Slot) {
        let (word, bit) = place(slot);
        if word >= self.words.len() {
            let words = (word + 1).next_multiple_of(STEP);
            self.words.reserve_exact(words - self.words.len());
            self.words.resize(words, 0);
        }
        self.len += usize::from(self.words[word] & bit == 0);
        self.words[word] |= bit;
        self.first = self.first.min(word);
    }

    /// Tells whether it was there.
    pub(crate) fn remove(&mut self, slot: Slot) -> bool {
        if !self.contains(slot) {
            return false;
        }
        let (word, bit) = place(slot);
        self.words[word] &= !bit;
        self.len -= 1;
        if self.len == 0 {
            *self = Self::default();
        }
        true
    }

    /// The first of them.
    pub(crate) fn first(&mut self) -> Option<Slot> {
        let word = (self.first..self.words.len()).find(|&word| self.words[word] != 0)?;
        self.first = word;
        Some(Slot::of_index(word * 64 + self.words[word].trailing_zeros() as usize))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Slot> {
        self.words.iter().enumerate().flat_map(|(word, &bits)| {
            let ones = std::iter::successors(Some(bits), |bits| Some(bits & bits.wrapping_sub(1)));
            let ones = ones.take_while(|bits| *bits != 0);
            ones.map(move |bits| Slot::of_index(word * 64 + bits.trailing_zeros() as usize))
        })
    }
}

fn place(slot: Slot) -> (usize, u64) {
    (slot.index() / 64, 1 << (slot.index() % 64))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use rand::rngs::StdRng;
    use rand::{RngExt as _, SeedableRng as _};

    use super::*;

    #[test]
    fn it_is_a_set() {
        let mut random = StdRng::seed_from_u64(1);
        let (mut slots, mut model) = (Slots::default(), BTreeSet::new());
        for _ in 0..20_000 {
            let most = [3, 200, 9000][random.random_range(0..3)];
            let index = random.random_range(0..most);
            let slot = Slot::of_index(index);
            if random.random() {
                slots.insert(slot);
                model.insert(slot);
            } else {
                assert_eq!(slots.remove(slot), model.remove(&slot));
            }
            assert_eq!(slots.contains(slot), model.contains(&slot));
            assert_eq!((slots.len(), slots.is_empty()), (model.len(), model.is_empty()));
            assert_eq!(slots.first(), model.first().copied());
        }
        assert!(slots.iter().eq(model.iter().copied()));
        for slot in model {
            slots.remove(slot);
        }
        assert_eq!((slots.first(), slots.words.capacity()), (None, 0));
    }
}
