//! Header blocks of HTTP/2 (RFC 7541).
//!
//! In go whole header blocks, already joined from HEADERS and CONTINUATION; out come names and values, field by field, in
//! the order they were sent. The other way, fields go in and are written to the end of a block that is being built.
//!
//! - [`Decoder`] understands everything a peer may send, the dynamic table included
//! - [`encode_field`] keeps no state at all: what we send refers to the static table and to nothing else, so there is
//!   nothing of ours for a peer to keep, and nothing to carry along when a connection moves to another process
//!
//! What it does not do: judge the fields (letters that may not be in a name, the order of pseudo-headers), cut blocks
//! into frames, decide when a table size is announced. It never needs more memory than the table and the list may have.

mod decode;
mod encode;
mod error;
mod fixed;
mod huffman;
mod reader;
mod table;

pub use decode::{Decoded, Decoder, DecoderState};
pub use encode::{encode_field, encode_table_size_0};
pub use error::Error;

/// What each field counts beyond its name and value, in the table (RFC 7541 §4.1) and on the list (RFC 9113 §6.5.2).
const OVERHEAD: usize = 32;

#[cfg(test)]
mod tests;
