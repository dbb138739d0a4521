//! Inputs made of others, by chance that is the same every time.

/// Inputs are no longer than those of libFuzzer.
const LONGEST: usize = 2048;

/// Changes of one input, at most.
const MOST_CHANGES: usize = 8;

/// Bytes that are borders of something, more often than others.
const BORDERS: [u8; 8] = [0, 1, 0x7f, 0x80, 0xff, 0x40, 0xc0, b'\n'];

/// A sequence that looks random (splitmix64).
pub(crate) struct Chance(u64);

impl Chance {
    /// Starts with a name, so that each has a sequence of its own.
    pub(crate) fn new(name: &str) -> Self {
        Self(name.bytes().fold(1, |seed, byte| seed.wrapping_mul(31).wrapping_add(byte.into())))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `most`; 0 when there is none.
    fn below(&mut self, most: usize) -> usize {
        usize::try_from(self.next() % most.max(1) as u64).expect("it is below a usize")
    }

    fn byte(&mut self) -> u8 {
        match self.below(2) {
            0 => BORDERS[self.below(BORDERS.len())],
            _ => self.next().to_le_bytes()[0],
        }
    }

    fn one<'a>(&mut self, of: &'a [Vec<u8>]) -> &'a [u8] {
        of.get(self.below(of.len())).map_or(&[], Vec::as_slice)
    }

    /// The next input.
    pub(crate) fn input(&mut self, corpus: &[Vec<u8>], words: &[Vec<u8>]) -> Vec<u8> {
        let mut input = self.one(corpus).to_vec();
        for _ in 0..=self.below(MOST_CHANGES) {
            self.change(&mut input, corpus, words);
        }
        input.truncate(LONGEST);
        input
    }

    fn change(&mut self, input: &mut Vec<u8>, corpus: &[Vec<u8>], words: &[Vec<u8>]) {
        let at = self.below(input.len() + 1);
        let end = (at + self.below(32)).min(input.len());
        match self.below(7) {
            0 => {
                if let Some(byte) = input.get_mut(at) {
                    *byte ^= 1 << self.below(8);
                }
            }
            1 => {
                if let Some(byte) = input.get_mut(at) {
                    *byte = self.byte();
                }
            }
            2 => input.insert(at, self.byte()),
            3 => drop(input.drain(at..end)),
            4 => {
                let again = input[at..end].to_vec();
                put(input, at, &again);
            }
            5 => {
                let other = self.one(corpus);
                let from = self.below(other.len() + 1);
                let to = from + self.below(other.len() - from + 1);
                put(input, at, &other[from..to]);
            }
            _ => {
                let word = self.one(words);
                put(input, at, word);
            }
        }
    }
}

fn put(input: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    input.splice(at..at, bytes.iter().copied());
}
