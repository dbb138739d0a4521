//! Bulk data whose receiver can tell what should be at each position.
//!
//! The receiver compares a sample of each read and counts all bytes: what is lost, doubled or swapped shifts the rest
//! and shows in the next sample, for a few nanoseconds a read. The period is no multiple of any buffer in between.

use std::io;
use std::sync::OnceLock;

/// A prime near the size of the buffers.
const PERIOD: usize = 262_139;
/// How much of each read is compared.
const SAMPLE: usize = 64;

/// The bytes of one period and the beginning of the next.
fn bytes() -> &'static [u8] {
    static BYTES: OnceLock<Vec<u8>> = OnceLock::new();
    BYTES.get_or_init(|| {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut next = || {
            // xorshift64: no two places of a period look alike.
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_be_bytes()[0]
        };
        let mut bytes: Vec<u8> = (0..PERIOD).map(|_| next()).collect();
        bytes.extend_from_within(..SAMPLE);
        bytes
    })
}

/// A position in the data.
#[derive(Debug, Default)]
pub(super) struct Pattern {
    position: u64,
}

impl Pattern {
    /// What comes next, as much as is at hand.
    pub(super) fn next(&self) -> &'static [u8] {
        &bytes()[self.offset()..PERIOD]
    }

    pub(super) fn advance(&mut self, count: usize) {
        self.position += count as u64;
    }

    /// Compares what has arrived, and advances.
    ///
    /// # Errors
    /// `InvalidData` when it is not what belongs at this position.
    pub(super) fn check(&mut self, arrived: &[u8]) -> io::Result<()> {
        let sample = arrived.len().min(SAMPLE);
        let offset = self.offset();
        if arrived[..sample] != bytes()[offset..offset + sample] {
            let position = self.position;
            return Err(io::Error::new(io::ErrorKind::InvalidData, format!("wrong data at byte {position}")));
        }
        self.advance(arrived.len());
        Ok(())
    }

    pub(super) fn position(&self) -> u64 {
        self.position
    }

    fn offset(&self) -> usize {
        usize::try_from(self.position % PERIOD as u64).expect("smaller than the period")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some(count: usize) -> Vec<u8> {
        let mut pattern = Pattern::default();
        let mut data = Vec::new();
        while data.len() < count {
            let next = pattern.next();
            data.extend_from_slice(next);
            pattern.advance(next.len());
        }
        data.truncate(count);
        data
    }

    #[test]
    fn what_was_sent_is_accepted_in_any_portions() {
        let data = some(1_000_000);
        for portion in [1, 63, 1000, 262_144, 1_000_000] {
            let mut pattern = Pattern::default();
            data.chunks(portion).for_each(|chunk| pattern.check(chunk).unwrap());
            assert_eq!(pattern.position(), 1_000_000);
        }
    }

    #[test]
    fn a_lost_byte_and_a_doubled_one_show() {
        let data = some(300_000);
        let mut pattern = Pattern::default();
        pattern.check(&data[..1000]).unwrap();
        assert!(pattern.check(&data[1001..2000]).is_err());
        assert!(pattern.check(&data[999..2000]).is_err());
        pattern.check(&data[1000..]).unwrap();
    }
}
