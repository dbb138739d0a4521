//! Fields to bytes, without any state.

use super::fixed::{self, Found};
use super::huffman;

/// Writes a field to the end of a header block.
///
/// A field of the static table is one byte; of any other the name is an index when the static table has it. Nothing is ever
/// added to the peer's table. Strings are Huffman coded when that makes them shorter.
pub fn encode_field(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    match fixed::find(name, value) {
        Found::Field(index) => return integer(out, INDEXED, 7, index),
        Found::Name(index) => integer(out, NOT_KEPT, 4, index),
        Found::Nothing => {
            integer(out, NOT_KEPT, 4, 0);
            string(out, name);
        }
    }
    string(out, value);
}

/// Writes that our table has no room at all, which may only be done at the beginning of a header block.
///
/// That is true from the first field on, as nothing is ever added. But the size of our table counts as 4096 until we say
/// otherwise (RFC 9113 §6.5.2), so a peer whose SETTINGS_HEADER_TABLE_SIZE is smaller may insist on being told in the first
/// block after we have acknowledged it (RFC 9113 §4.3.1). It is always allowed, and once it has been said in the first
/// block of a connection no later setting can make it necessary again (RFC 7541 §4.2).
pub fn encode_table_size_0(out: &mut Vec<u8>) {
    integer(out, TABLE_SIZE, 5, 0);
}

/// An entry of a table (RFC 7541 §6.1).
const INDEXED: u8 = 0x80;
/// A field that is not added to the table (RFC 7541 §6.2.2).
const NOT_KEPT: u8 = 0x00;
/// The size of the table (RFC 7541 §6.3).
const TABLE_SIZE: u8 = 0x20;
/// A string that is Huffman coded (RFC 7541 §5.2).
const HUFFMAN: u8 = 0x80;

fn string(out: &mut Vec<u8>, plain: &[u8]) {
    let packed = huffman::encoded_length(plain);
    if packed < plain.len() {
        integer(out, HUFFMAN, 7, packed);
        huffman::encode(plain, out);
    } else {
        integer(out, 0, 7, plain.len());
        out.extend_from_slice(plain);
    }
}

/// Writes an integer (RFC 7541 §5.1) that begins in the low `prefix` bits of a byte; `high` are the other ones.
pub(super) fn integer(out: &mut Vec<u8>, high: u8, prefix: u32, value: usize) {
    let full = u8::MAX >> (8 - prefix);
    match u8::try_from(value) {
        Ok(value) if value < full => return out.push(high | value),
        Ok(_) | Err(_) => out.push(high | full),
    }
    let mut rest = value - usize::from(full);
    while rest >= 0x80 {
        out.push(0x80 | rest.to_le_bytes()[0]);
        rest >>= 7;
    }
    out.push(rest.to_le_bytes()[0]);
}
