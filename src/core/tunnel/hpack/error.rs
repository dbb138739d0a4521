//! Why a header block cannot be understood.

/// What is wrong with a header block.
///
/// Each of them means that both sides no longer agree on the table, so each ends the connection with COMPRESSION_ERROR
/// (RFC 9113 §4.3), and the decoder is of no further use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The block ends within a field.
    #[error("the header block ends within a field")]
    Truncated,
    /// An index or a length that nobody needs (RFC 7541 §5.1).
    #[error("the header block has an integer of more than 32 bits, or of more than 6 bytes")]
    Integer,
    /// An index of neither table (RFC 7541 §2.3.3).
    #[error("the header block refers to entry {0}, which is in neither table")]
    Index(usize),
    /// A Huffman string that ends in something other than up to seven one bits (RFC 7541 §5.2).
    #[error("the header block has a Huffman string with wrong padding")]
    Padding,
    /// A Huffman string with the symbol that no string may have (RFC 7541 §5.2).
    #[error("the header block has a Huffman string with the symbol for its end")]
    EndOfString,
    /// A table larger than we allow (RFC 7541 §6.3).
    #[error("the header block asks for a table of {asked} bytes where {most} are allowed")]
    TableSize {
        /// The size that is asked for.
        asked: usize,
        /// The size that is allowed there.
        most: usize,
    },
    /// A table size after the first field, or a third one (RFC 7541 §4.2).
    #[error("the header block changes the table size where it may not")]
    TableSizeLate,
    /// The first block since we lowered the table size does not say that the peer has followed (RFC 7541 §4.2).
    #[error("the header block does not begin with the table size we asked for")]
    TableSizeMissing,
}
