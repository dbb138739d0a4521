//! Header blocks, one after another, through one decoder.
//!
//! Whatever they say: an exact copy of the decoder does the same, memory stays bounded, the list is not longer than it may
//! be, and what was understood can be encoded and understood again.

use culvert_core::tunnel::hpack::{Decoded, Decoder, DecoderState, Error, encode_field, encode_table_size_0};

use crate::input::Input;

type Fields = Vec<(Vec<u8>, Vec<u8>)>;

const LIMITS: [usize; 8] = [0, 32, 64, 100, 300, 4_096, 4_096, 10_000];
const MOSTS: [usize; 8] = [0, 32, 64, 100, 400, 4_096, 16_384, 65_536];

/// The first bytes are limits, then come blocks, each behind its length.
pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let (mut limit, most) = (input.one(&LIMITS), input.one(&MOSTS));
    let mut decoder = Decoder::new(limit);
    while let Some(length) = input.next() {
        if length == 255 {
            limit = input.one(&LIMITS);
            decoder.limit(limit);
            continue;
        }
        let block = input.take(length.into());
        if block_is_wrong(&mut decoder, block, (limit, most)) {
            return;
        }
    }
}

fn block_is_wrong(decoder: &mut Decoder, block: &[u8], (limit, most): (usize, usize)) -> bool {
    let mut twin = Decoder::import(decoder.export());
    let result = decode(decoder, block, most);
    assert_eq!(decode(&mut twin, block, most), result);
    let state = decoder.export();
    assert_eq!(twin.export(), state);
    // The table may be as large as the largest limit was.
    let bound = 6 * 10_000 + 4 * most + 8 * limit + 1_024;
    assert!(decoder.memory() <= bound, "{} where {bound} should do", decoder.memory());
    let Ok((fields, decoded)) = result else { return true };
    assert!(state.size <= state.limit.max(limit));
    assert!(table_size(&state) <= state.size);
    assert!(size(&fields) <= most);
    if decoded == Decoded::Whole {
        say_again(&fields);
    }
    false
}

fn decode(decoder: &mut Decoder, block: &[u8], most: usize) -> Result<(Fields, Decoded), Error> {
    let mut fields = Vec::new();
    let decoded = decoder.decode(block, most, |name, value| fields.push((name.to_vec(), value.to_vec())))?;
    Ok((fields, decoded))
}

fn size(fields: &Fields) -> usize {
    fields.iter().map(|(name, value)| name.len() + value.len() + 32).sum()
}

fn table_size(state: &DecoderState) -> usize {
    size(&state.entries)
}

fn say_again(fields: &Fields) {
    let mut block = Vec::new();
    encode_table_size_0(&mut block);
    for (name, value) in fields {
        encode_field(&mut block, name, value);
    }
    let again = decode(&mut Decoder::new(0), &block, usize::MAX).expect("our own blocks are in order");
    assert_eq!(&again.0, fields);
}
