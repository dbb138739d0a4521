//! Bulk data that proves itself: a sender makes a pattern, a receiver digests what arrives, the two digests must be
//! equal. A lost, doubled or swapped byte changes the digest.

use std::fmt;
use std::io::{self, Read, Write};
use std::str::FromStr;

/// What went over a connection, in one line: `BYTES CHECKSUM`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Digest {
    /// How many bytes.
    pub bytes: u64,
    /// What they were, in which order.
    pub checksum: u64,
}

/// The size of reads and writes: larger than any frame or record in between.
const BLOCK: usize = 256 * 1024;
/// FNV-1a, 64 bits.
const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const PRIME: u64 = 0x0100_0000_01b3;

impl Digest {
    /// The digest of the first `bytes` bytes of the pattern: what [`send`] will send.
    #[must_use]
    pub fn of_pattern(bytes: u64) -> Self {
        send(&mut io::sink(), bytes).expect("writing to nowhere cannot fail")
    }
}

impl Default for Digest {
    fn default() -> Self {
        Self { bytes: 0, checksum: OFFSET }
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:016x}", self.bytes, self.checksum)
    }
}

impl FromStr for Digest {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not a digest");
        let (bytes, checksum) = text.trim().split_once(' ').ok_or_else(wrong)?;
        let checksum = u64::from_str_radix(checksum, 16).map_err(|_| wrong())?;
        Ok(Self { bytes: bytes.parse().map_err(|_| wrong())?, checksum })
    }
}

/// Digests bytes as they come, eight at a time.
#[derive(Debug, Default)]
struct Digester {
    digest: Digest,
    /// Bytes that do not make up eight yet.
    rest: Vec<u8>,
}

impl Digester {
    fn update(&mut self, mut bytes: &[u8]) {
        self.digest.bytes += bytes.len() as u64;
        if !self.rest.is_empty() {
            let (head, tail) = bytes.split_at(bytes.len().min(8 - self.rest.len()));
            self.rest.extend_from_slice(head);
            bytes = tail;
            if self.rest.len() < 8 {
                return;
            }
            self.mix_rest();
        }
        let words = bytes.chunks_exact(8);
        self.rest.extend_from_slice(words.remainder());
        words.for_each(|word| {
            self.mix(u64::from_be_bytes(word.try_into().expect("chunks are of eight bytes")))
        });
    }

    fn mix_rest(&mut self) {
        let word = self.rest.iter().fold(0, |word, byte| (word << 8) | u64::from(*byte));
        self.rest.clear();
        self.mix(word);
    }

    fn mix(&mut self, word: u64) {
        // The rotation carries high bits down, which multiplication alone never does.
        self.digest.checksum = (self.digest.checksum ^ word).wrapping_mul(PRIME).rotate_left(23);
    }

    fn finish(mut self) -> Digest {
        self.mix_rest();
        self.digest
    }
}

/// Sends the first `bytes` bytes of the pattern and gives back their digest.
///
/// # Errors
/// When the connection breaks.
pub fn send(stream: &mut impl Write, bytes: u64) -> io::Result<Digest> {
    let (mut digester, mut left, mut state) = (Digester::default(), bytes, 1);
    let mut block = vec![0; BLOCK];
    while left > 0 {
        fill(&mut block, &mut state);
        let length = usize::try_from(left).map_or(BLOCK, |left| left.min(BLOCK));
        stream.write_all(&block[..length])?;
        digester.update(&block[..length]);
        left -= length as u64;
    }
    Ok(digester.finish())
}

/// Reads to the end and gives back the digest of what came.
///
/// # Errors
/// When the connection breaks; a reset is `ConnectionReset`.
pub fn receive(stream: &mut impl Read) -> io::Result<Digest> {
    let (mut digester, mut block) = (Digester::default(), vec![0; BLOCK]);
    loop {
        match stream.read(&mut block) {
            Ok(0) => return Ok(digester.finish()),
            Ok(length) => digester.update(&block[..length]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// The next bytes of the pattern (xorshift64): no part of it repeats another.
fn fill(block: &mut [u8], state: &mut u64) {
    for word in block.chunks_exact_mut(8) {
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        word.copy_from_slice(&state.to_le_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives bytes out in pieces of odd sizes.
    struct Pieces<'b>(&'b [u8], usize);

    impl Read for Pieces<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.1 = self.1 % 13 + 1;
            let length = self.1.min(self.0.len());
            buffer[..length].copy_from_slice(&self.0[..length]);
            self.0 = &self.0[length..];
            Ok(length)
        }
    }

    #[test]
    fn the_digest_does_not_depend_on_the_pieces() {
        for bytes in [0, 1, 7, 8, 1000, BLOCK as u64 + 3] {
            let mut sent = Vec::new();
            let digest = send(&mut sent, bytes).unwrap();
            assert_eq!(receive(&mut Pieces(&sent, 0)).unwrap(), digest);
            assert_eq!(Digest::of_pattern(bytes), digest);
        }
    }

    #[test]
    fn any_damage_changes_the_digest() {
        let mut sent = Vec::new();
        let digest = send(&mut sent, 100).unwrap();
        let damaged = |damage: &dyn Fn(&mut Vec<u8>)| {
            let mut bytes = sent.clone();
            damage(&mut bytes);
            receive(&mut bytes.as_slice()).unwrap()
        };
        assert_ne!(damaged(&|bytes| bytes.truncate(99)), digest);
        assert_ne!(damaged(&|bytes| bytes[50] ^= 1), digest);
        assert_ne!(damaged(&|bytes| bytes.swap(8, 16)), digest);
        assert_ne!(damaged(&|bytes| bytes.push(0)), digest);
    }

    #[test]
    fn a_digest_can_be_sent_as_text() {
        let digest = Digest::of_pattern(77);
        assert_eq!(format!("{digest}\n").parse(), Ok(digest));
        assert!("12".parse::<Digest>().is_err());
    }
}
