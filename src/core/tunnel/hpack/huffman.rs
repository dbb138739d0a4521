//! The Huffman code of header strings (RFC 7541 §5.2).

mod code;

use super::Error;
use code::{EOS, SHORT, Symbol};

/// Decodes a string to the end of `out` and tells how long it is.
///
/// A string longer than `most` is not worth keeping: it is read to its end, because it may be wrong, but only its first
/// `most` bytes are written.
pub(super) fn decode(packed: &[u8], most: usize, out: &mut Vec<u8>) -> Result<usize, Error> {
    // No code is shorter than five bits.
    out.reserve(most.min(packed.len().saturating_mul(8) / 5));
    let full = out.len().saturating_add(most);
    let mut bits = Bits { left: packed, held: 0, count: 0 };
    let mut length = 0;
    while let Some(window) = bits.window() {
        let Symbol { value, bits: used } = match SHORT[(window >> 24) as usize] {
            Symbol { bits: 0, .. } => code::long(window),
            short => short,
        };
        if used > bits.count {
            return if bits.are_padding(window) { Ok(length) } else { Err(Error::Padding) };
        }
        if value == EOS {
            return Err(Error::EndOfString);
        }
        bits.count -= used;
        length += 1;
        if out.len() < full {
            out.push(value.to_be_bytes()[1]);
        }
    }
    Ok(length)
}

/// Encodes a string to the end of `out`.
pub(super) fn encode(plain: &[u8], out: &mut Vec<u8>) {
    let (mut held, mut count) = (0_u64, 0);
    for &byte in plain {
        let (code, bits) = code::of(byte);
        held = held << bits | u64::from(code);
        count += bits;
        while count >= 8 {
            count -= 8;
            out.push((held >> count).to_be_bytes()[7]);
        }
    }
    if count > 0 {
        let padded = held << (8 - count) | 0xff >> count;
        out.push(padded.to_be_bytes()[7]);
    }
}

/// The length of a string once it is encoded.
pub(super) fn encoded_length(plain: &[u8]) -> usize {
    let bits: usize = plain.iter().map(|&byte| code::of(byte).1 as usize).sum();
    bits.div_ceil(8)
}

/// Bits yet to be decoded: the low `count` ones of `held`, then those of `left`.
struct Bits<'a> {
    left: &'a [u8],
    held: u64,
    count: u32,
}

impl Bits<'_> {
    /// The next 32 bits, filled up with ones at the end of the string; `None` when there are no more.
    fn window(&mut self) -> Option<u32> {
        if self.count < 32 {
            self.refill();
        }
        if self.count == 0 {
            return None;
        }
        let aligned = self.held << (64 - self.count) | u64::MAX >> self.count;
        u32::try_from(aligned >> 32).ok()
    }

    /// Whether what is left is what the last byte of a string may be filled up with. As the window is filled up with ones
    /// too, it has to be all ones.
    fn are_padding(&self, window: u32) -> bool {
        self.count < 8 && window == u32::MAX
    }

    fn refill(&mut self) {
        if let Some((bytes, left)) = self.left.split_first_chunk::<4>() {
            self.held = self.held << 32 | u64::from(u32::from_be_bytes(*bytes));
            self.count += 32;
            self.left = left;
        } else {
            for &byte in self.left {
                self.held = self.held << 8 | u64::from(byte);
                self.count += 8;
            }
            self.left = &[];
        }
    }
}
