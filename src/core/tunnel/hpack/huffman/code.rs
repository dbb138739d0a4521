//! The code itself (RFC 7541 Appendix B), and the tables that are made from it by the compiler.
//!
//! The code is canonical: in the order of their lengths, and among equals of their values, the codes of all symbols count
//! upwards. So the lengths say everything, and a code that is too long for a table is found by comparing it with the end of
//! each length's range.

/// The symbol that says that a string is over. No string may have it.
pub(super) const EOS: u16 = 256;

/// A symbol and the length of its code.
#[derive(Clone, Copy)]
pub(super) struct Symbol {
    pub(super) value: u16,
    pub(super) bits: u32,
}

/// The symbol that the first eight bits of a window stand for. No bits: its code is longer.
pub(super) static SHORT: [Symbol; 256] = short();

/// The symbol at the front of a window that [`SHORT`] does not know.
pub(super) fn long(window: u32) -> Symbol {
    let bits = (9..LONGEST).find(|&bits| prefix(window, bits) < RANGES[bits].end).unwrap_or(LONGEST);
    let range = &RANGES[bits];
    let position = range.position + (prefix(window, bits) - range.first) as usize;
    Symbol { value: SORTED[position], bits: bits as u32 }
}

/// The code of a byte, and its length.
pub(super) fn of(byte: u8) -> (u32, u32) {
    (CODES[byte as usize], LENGTHS[byte as usize] as u32)
}

/// The longest code. The last one of that length is all ones, so that nothing lies beyond it.
const LONGEST: usize = 30;

/// The codes of one length.
#[derive(Clone, Copy)]
struct Range {
    /// The first of them.
    first: u32,
    /// The one after the last.
    end: u32,
    /// Where in [`SORTED`] their symbols begin.
    position: usize,
}

static RANGES: [Range; LONGEST + 1] = ranges();
static SORTED: [u16; 257] = sorted();
static CODES: [u32; 257] = codes();

fn prefix(window: u32, bits: usize) -> u32 {
    window >> (32 - bits)
}

/// All symbols in the order of their codes.
const fn sorted() -> [u16; 257] {
    let mut sorted = [0; 257];
    let (mut bits, mut position) = (0, 0);
    while bits <= LONGEST {
        let mut symbol = 0;
        while symbol <= EOS {
            if LENGTHS[symbol as usize] as usize == bits {
                sorted[position] = symbol;
                position += 1;
            }
            symbol += 1;
        }
        bits += 1;
    }
    sorted
}

const fn ranges() -> [Range; LONGEST + 1] {
    let sorted = sorted();
    let mut ranges = [Range { first: 0, end: 0, position: 0 }; LONGEST + 1];
    let (mut bits, mut position, mut code) = (0, 0, 0);
    while bits <= LONGEST {
        code <<= 1;
        ranges[bits] = Range { first: code, end: code, position };
        while position < sorted.len() && LENGTHS[sorted[position] as usize] as usize == bits {
            code += 1;
            position += 1;
        }
        ranges[bits].end = code;
        bits += 1;
    }
    ranges
}

const fn codes() -> [u32; 257] {
    let (sorted, ranges) = (sorted(), ranges());
    let mut codes = [0; 257];
    let mut position = 0;
    while position < sorted.len() {
        let symbol = sorted[position] as usize;
        let range = ranges[LENGTHS[symbol] as usize];
        codes[symbol] = range.first + (position - range.position) as u32;
        position += 1;
    }
    codes
}

const fn short() -> [Symbol; 256] {
    let codes = codes();
    let mut short = [Symbol { value: 0, bits: 0 }; 256];
    let mut symbol = 0;
    while symbol < EOS {
        let bits = LENGTHS[symbol as usize] as u32;
        let mut rest = 0;
        while bits <= 8 && rest < 1 << (8 - bits) {
            short[(codes[symbol as usize] << (8 - bits) | rest) as usize] = Symbol { value: symbol, bits };
            rest += 1;
        }
        symbol += 1;
    }
    short
}

/// The length of each symbol's code, in bits.
#[rustfmt::skip]
static LENGTHS: [u8; 257] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28,
    28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
    6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6,
    5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
    13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
    7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5,
    6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,
    20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23,
    24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23,
    21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25,
    19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
    20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23,
    26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
    30,
];
