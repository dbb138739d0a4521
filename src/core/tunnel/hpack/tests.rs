//! What the RFC shows, what nobody may send, what another encoder sends, and what chance comes up with.

mod chance;
mod fields;
mod malformed;
mod model;
mod python;
mod rfc;
mod strings;
mod tables;

use super::encode;
use super::{Decoded, Decoder, DecoderState, Error, OVERHEAD};

/// Names and values, in order.
type Fields = Vec<(Vec<u8>, Vec<u8>)>;

/// More than any list here is large.
const PLENTY: usize = 1 << 20;

fn decode(decoder: &mut Decoder, block: &[u8], most: usize) -> Result<(Fields, Decoded), Error> {
    let mut fields = Fields::new();
    let each = |name: &[u8], value: &[u8]| fields.push((name.to_vec(), value.to_vec()));
    let decoded = decoder.decode(block, most, each)?;
    Ok((fields, decoded))
}

/// Decodes a block that is in order, to the whole list.
#[track_caller]
fn whole(decoder: &mut Decoder, block: &[u8]) -> Fields {
    match decode(decoder, block, PLENTY) {
        Ok((fields, Decoded::Whole)) => fields,
        other => panic!("{block:02x?}: {other:?}"),
    }
}

fn fields(text: &[(&str, &str)]) -> Fields {
    text.iter().map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec())).collect()
}

/// The size of a list or of a table.
fn size(fields: &Fields) -> usize {
    fields.iter().map(|(name, value)| name.len() + value.len() + OVERHEAD).sum()
}

/// Bytes from hexadecimal digits, spaces between them as it pleases.
fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u32> =
        text.chars().filter(|c| !c.is_whitespace()).map(|c| c.to_digit(16).unwrap()).collect();
    digits.chunks_exact(2).map(|pair| (pair[0] * 16 + pair[1]) as u8).collect()
}

/// A field `a` whose value is Huffman coded, in so many zero bytes: each five are eight times "0".
fn literal_of_zeros(length: usize) -> Vec<u8> {
    let mut block = hex("00 01 61");
    encode::integer(&mut block, 0x80, 7, length);
    block.resize(block.len() + length, 0);
    block
}
