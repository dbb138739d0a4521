//! What nobody may send.

use super::super::reader::Reader;
use super::*;

/// Checks what becomes of a block at the beginning of a connection with a table of 4096 bytes.
#[track_caller]
fn check(block: &str, expected: Error) {
    assert_eq!(decode(&mut Decoder::new(4096), &hex(block), PLENTY), Err(expected), "{block}");
}

#[test]
fn blocks_that_end_too_early() {
    // A field of every kind, whole; any beginning of it is not.
    for field in [
        "ff 80 00",
        "3f e1 1f",
        "40 01 61 02 62 63",
        "00 82 1c 64 02 62 63",
        "58 86 a8 eb 10 64 9c bf",
        "1f 1f 7f 00 61 62 63",
    ] {
        let block = hex(field);
        for end in 1..block.len() {
            let result = decode(&mut Decoder::new(4096), &block[..end], PLENTY);
            assert_eq!(result, Err(Error::Truncated), "{field} cut after {end}");
        }
    }
}

#[test]
fn integers_that_are_too_large() {
    // The largest there is, and one more.
    assert_eq!(Reader::new(&hex("ff 80 ff ff ff 0f")).integer(7), Ok(0xffff_ffff));
    check("ff 81 ff ff ff 0f", Error::Integer);
    // 127 and 0, the one written in as many bytes as may be, the other in one more.
    assert_eq!(Reader::new(&hex("ff 80 80 80 80 00")).integer(7), Ok(127));
    check("ff 80 80 80 80 80 00", Error::Integer);
    // Index of a field, of a name; lengths; a table size.
    check("ff ff ff ff ff ff ff ff", Error::Integer);
    check("7f ff ff ff ff ff ff ff", Error::Integer);
    check("0f ff ff ff ff ff ff ff", Error::Integer);
    check("1f ff ff ff ff ff ff ff", Error::Integer);
    check("00 7f ff ff ff ff ff ff ff", Error::Integer);
    check("00 01 61 ff ff ff ff ff ff ff", Error::Integer);
    check("3f ff ff ff ff ff ff ff", Error::Integer);
}

#[test]
fn strings_longer_than_the_block() {
    check("00 7f ff ff ff ff 07 61", Error::Truncated);
    check("00 01 61 ff ff ff ff ff 07", Error::Truncated);
}

#[test]
fn indices_of_neither_table() {
    check("80", Error::Index(0));
    check("be", Error::Index(62));
    check("7e 01 61", Error::Index(62));
    check("0f 2f 01 61", Error::Index(62));
    check("1f 2f 01 61", Error::Index(62));
    // With one entry in the table the next index is the first that is in none.
    check("40 01 61 01 62 be bf", Error::Index(63));
    // What has never fit, and what has been evicted.
    check("21 40 01 61 01 62 be", Error::Index(62));
    check("3f 03 40 01 61 01 62 40 01 63 01 64 bf", Error::Index(63));
}

#[test]
fn huffman_strings_with_wrong_padding() {
    // "0" is 00000, so three ones have to follow.
    assert_eq!(whole(&mut Decoder::new(0), &hex("00 81 07 00")), fields(&[("0", "")]));
    check("00 81 00 00", Error::Padding);
    check("00 81 06 00", Error::Padding);
    check("00 81 03 00", Error::Padding);
    // A whole byte of ones, alone, after another one, and after a full one ("&" is 11111000).
    check("00 81 ff 00", Error::Padding);
    check("00 82 07 ff 00", Error::Padding);
    check("00 82 f8 ff 00", Error::Padding);
    // Ones up to the last bit that is not yet the end of the string.
    check("00 83 ff ff ff 00", Error::Padding);
    check("00 84 07 ff ff ff 00", Error::Padding);
    // In a value, too, and where the string is far too long for everything.
    check("00 01 61 81 00", Error::Padding);
    let long = literal_of_zeros(10_001);
    assert_eq!(decode(&mut Decoder::new(0), &long, 100), Err(Error::Padding));
}

#[test]
fn huffman_strings_with_an_end() {
    check("00 84 ff ff ff ff 00", Error::EndOfString);
    check("00 84 ff ff ff fc 00", Error::EndOfString);
    check("00 85 07 ff ff ff ff 00", Error::EndOfString);
    check("00 01 61 85 07 ff ff ff ff", Error::EndOfString);
}

#[test]
fn table_sizes_out_of_place() {
    check("82 20", Error::TableSizeLate);
    check("20 82 3f e1 1f", Error::TableSizeLate);
    check("40 01 61 01 62 be 20", Error::TableSizeLate);
    check("20 20 20", Error::TableSizeLate);
    check("20 3f e1 1f 20", Error::TableSizeLate);
}

#[test]
fn tables_that_are_too_large() {
    assert_eq!(whole(&mut Decoder::new(4096), &hex("3f e1 1f")), []);
    check("3f e2 1f", Error::TableSize { asked: 4097, most: 4096 });
    check("20 3f e2 1f", Error::TableSize { asked: 4097, most: 4096 });
    let result = decode(&mut Decoder::new(0), &hex("21"), PLENTY);
    assert_eq!(result, Err(Error::TableSize { asked: 1, most: 0 }));
}

#[test]
fn what_is_wrong_is_found_beyond_the_largest_list() {
    let mut decoder = Decoder::new(4096);
    assert_eq!(decode(&mut decoder, &hex("82 82 82 be"), 42), Err(Error::Index(62)));
}
