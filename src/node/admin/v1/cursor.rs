//! Where a page ends, as a text to ask for the next one with.
//!
//! A cursor is the place of the last item in the order of its list, and not a number of items: what comes and goes in front of it
//! makes no difference. To whoever gets one it means nothing.

use std::fmt::Write as _;

/// Writes a place among texts.
pub(super) fn of_text(text: &[u8]) -> String {
    let mut cursor = String::with_capacity(text.len() * 2);
    for byte in text {
        write!(cursor, "{byte:02x}").expect("a String takes everything");
    }
    cursor
}

/// Writes a place among pairs of numbers.
pub(super) fn of_numbers([one, other]: [u64; 2]) -> String {
    format!("{one:016x}{other:016x}")
}

/// Reads a place among texts.
pub(super) fn read_text(cursor: &str) -> Option<Vec<u8>> {
    let digits = cursor.as_bytes();
    if digits.is_empty() || !digits.len().is_multiple_of(2) {
        return None;
    }
    digits.chunks_exact(2).map(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?)).collect()
}

/// Reads a place among pairs of numbers.
pub(super) fn read_numbers(cursor: &str) -> Option<[u64; 2]> {
    let bytes = read_text(cursor)?;
    let (one, other) = bytes.split_first_chunk()?;
    Some([u64::from_be_bytes(*one), u64::from_be_bytes(other.try_into().ok()?)])
}

/// Only small letters are digits: there is one way to write a cursor.
fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_as_it_is_written() {
        for text in ["a", "Kubernetes//Pod/shop/web-1", "é\0\u{10ffff}"] {
            assert_eq!(read_text(&of_text(text.as_bytes())).as_deref(), Some(text.as_bytes()));
        }
        for numbers in [[0, 0], [1, u64::MAX], [u64::MAX, 0xabc]] {
            assert_eq!(read_numbers(&of_numbers(numbers)), Some(numbers));
        }
    }

    #[test]
    fn what_is_no_cursor_is_none() {
        for text in ["", "a", "0g", "0A", "é", "+1", " 0", "0x10", "00\0\0"] {
            assert_eq!(read_text(text), None, "{text}");
        }
        let whole = of_numbers([1, 2]);
        for text in [&whole[..30], &whole[..31], &format!("{whole}00"), "00"] {
            assert_eq!(read_numbers(text), None, "{text}");
        }
    }
}
