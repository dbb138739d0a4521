//! Bytes to fields.

use serde::{Deserialize, Serialize};

use super::reader::Reader;
use super::table::Table;
use super::{Error, OVERHEAD, fixed, huffman};

/// Decodes the header blocks of one direction of one connection.
///
/// Blocks go in in the order they came in: each may depend on all before it. After an error it is of no further use.
#[derive(Debug)]
pub struct Decoder {
    /// The largest table the peer may ask for.
    limit: usize,
    /// The table size the next block has to begin with, or a smaller one.
    owed: Option<usize>,
    table: Table,
    /// The strings of the field at hand, as far as they do not lie in the block as they are.
    scratch: Vec<u8>,
}

/// What has become of a header block that is in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decoded {
    /// All of its fields were handed out.
    Whole,
    /// The list is longer than it may be. The first fields were handed out, as many as fit.
    TooLarge,
}

/// All a [`Decoder`] knows, to go on with in another process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DecoderState {
    /// The largest table the peer may ask for.
    pub limit: usize,
    /// The largest table the peer has asked for.
    pub size: usize,
    /// The table size the peer's next block has to begin with, or a smaller one.
    pub owed: Option<usize>,
    /// Names and values in the table, the newest first.
    pub entries: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Decoder {
    /// A decoder for a peer that may use a table of `most_table` bytes.
    ///
    /// That is 4096 while the peer has not acknowledged any other SETTINGS_HEADER_TABLE_SIZE (RFC 9113 §6.5.2); with the
    /// acknowledgement comes [`limit`](Self::limit).
    #[must_use]
    pub fn new(most_table: usize) -> Self {
        Self { limit: most_table, owed: None, table: Table::new(most_table), scratch: Vec::new() }
    }

    /// Changes how large the peer may make its table; called when it acknowledges our SETTINGS_HEADER_TABLE_SIZE.
    ///
    /// A larger table is only an offer. When the table is larger than it may be then it shrinks at once, and the next block
    /// has to begin with the peer's word that it has done the same (RFC 7541 §4.2).
    pub fn limit(&mut self, most_table: usize) {
        self.limit = most_table;
        if most_table < self.table.most() {
            self.table.resize(most_table);
            self.owed = Some(most_table);
        }
    }

    /// Decodes a whole header block and calls `each` with the name and value of every field, in order.
    ///
    /// `most` is how large the list may become, as SETTINGS_MAX_HEADER_LIST_SIZE counts (RFC 9113 §6.5.2): names, values
    /// and 32 for each field. From the first field that is too much `each` is not called any more. The rest of the block is
    /// decoded all the same, because the table has to stay the one that the peer has.
    ///
    /// # Errors
    /// Whatever makes it impossible to go on with the connection.
    pub fn decode(
        &mut self,
        block: &[u8],
        most: usize,
        each: impl FnMut(&[u8], &[u8]),
    ) -> Result<Decoded, Error> {
        let mut input = Reader::new(block);
        let mut list = List { room: Some(most), each };
        self.table_sizes(&mut input)?;
        while let Some(first) = input.peek() {
            match first {
                0x80.. => self.indexed(&mut input, &mut list)?,
                0x40..0x80 => self.literal(&mut input, Literal::Kept, &mut list)?,
                0x20..0x40 => return Err(Error::TableSizeLate),
                // Of 0x10 to 0x1f only those who pass a field on need to know that it may not be kept (§6.2.3).
                0x00..0x20 => self.literal(&mut input, Literal::NotKept, &mut list)?,
            }
        }
        self.scratch.clear();
        self.scratch.shrink_to(IDLE_SCRATCH);
        Ok(if list.room.is_some() { Decoded::Whole } else { Decoded::TooLarge })
    }

    /// Whether there is nothing to carry along: a fresh `Decoder::new(0)` does as well from here on.
    ///
    /// It may be so before the peer has confirmed a limit of 0. A peer in order will confirm it to the fresh one, too.
    #[must_use]
    pub fn is_stateless(&self) -> bool {
        self.limit == 0 && self.table.is_empty()
    }

    /// All it knows.
    #[must_use]
    pub fn export(&self) -> DecoderState {
        DecoderState {
            limit: self.limit,
            size: self.table.most(),
            owed: self.owed,
            entries: self.table.iter().map(|(name, value)| (name.to_vec(), value.to_vec())).collect(),
        }
    }

    /// Goes on where another one has stopped. Entries for which there is no room are left out.
    #[must_use]
    pub fn import(state: DecoderState) -> Self {
        let mut table = Table::new(state.size.min(state.limit));
        for (name, value) in state.entries.iter().rev() {
            if table.make_room(name.len() + value.len() + OVERHEAD) {
                table.push(name, value);
            }
        }
        Self { limit: state.limit, owed: state.owed, table, scratch: Vec::new() }
    }

    /// Bytes of memory that are allocated for it. They are bounded by small multiples of the table's limit and of the most a
    /// list may be.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.table.memory() + self.scratch.capacity()
    }

    /// Reads the table sizes a block begins with: two at most, the smallest there was and the last one (§4.2).
    fn table_sizes(&mut self, input: &mut Reader<'_>) -> Result<(), Error> {
        for _ in 0..2 {
            if !matches!(input.peek(), Some(0x20..0x40)) {
                break;
            }
            let asked = input.integer(5)?;
            let most = self.owed.take().unwrap_or(self.limit);
            if asked > most {
                return Err(Error::TableSize { asked, most });
            }
            self.table.resize(asked);
        }
        self.owed.map_or(Ok(()), |_| Err(Error::TableSizeMissing))
    }

    /// Reads a field that is in a table (§6.1).
    fn indexed<F>(&self, input: &mut Reader<'_>, list: &mut List<F>) -> Result<(), Error>
    where
        F: FnMut(&[u8], &[u8]),
    {
        let (name, value) = look_up(&self.table, input.integer(7)?)?;
        if list.admit(name.len() + value.len() + OVERHEAD) {
            (list.each)(name, value);
        }
        Ok(())
    }

    /// Reads a field of which at least the value is spelled out (§6.2).
    fn literal<F>(
        &mut self,
        input: &mut Reader<'_>,
        literal: Literal,
        list: &mut List<F>,
    ) -> Result<(), Error>
    where
        F: FnMut(&[u8], &[u8]),
    {
        let Self { table, scratch, .. } = self;
        scratch.clear();
        // A longer string fits neither the list nor the table.
        let most = list.room.unwrap_or(0).max(table.most());
        let name = match input.integer(literal.prefix())? {
            0 => string(input, most, scratch)?,
            index => {
                // A copy, because the entry may be the one that makes room for this very field (§4.4).
                scratch.extend_from_slice(look_up(table, index)?.0);
                Text::InScratch { start: 0, length: scratch.len() }
            }
        };
        let value = string(input, most, scratch)?;
        let size = name.length() + value.length() + OVERHEAD;
        if list.admit(size) {
            (list.each)(name.bytes(scratch), value.bytes(scratch));
        }
        if literal == Literal::Kept && table.make_room(size) {
            table.push(name.bytes(scratch), value.bytes(scratch));
        }
        Ok(())
    }
}

/// The list of fields that is being handed out.
struct List<F> {
    /// How much may still be added; `None` once something could not.
    room: Option<usize>,
    each: F,
}

impl<F> List<F> {
    /// Whether a field of this size is still handed out.
    fn admit(&mut self, size: usize) -> bool {
        self.room = self.room.and_then(|room| room.checked_sub(size));
        self.room.is_some()
    }
}

/// Whether a field that is spelled out goes to the table.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Literal {
    Kept,
    NotKept,
}

impl Literal {
    /// In how many bits the index of its name begins.
    fn prefix(self) -> u32 {
        match self {
            Self::Kept => 6,
            Self::NotKept => 4,
        }
    }
}

/// A string of the field at hand.
enum Text<'a> {
    InBlock(&'a [u8]),
    /// A string that is too long for any use is not there as a whole, but its length is true.
    InScratch {
        start: usize,
        length: usize,
    },
}

impl Text<'_> {
    fn length(&self) -> usize {
        match self {
            Self::InBlock(bytes) => bytes.len(),
            Self::InScratch { length, .. } => *length,
        }
    }

    /// The string itself, provided that it fits the list or the table.
    fn bytes<'b>(&'b self, scratch: &'b [u8]) -> &'b [u8] {
        match *self {
            Self::InBlock(bytes) => bytes,
            Self::InScratch { start, length } => &scratch[start..][..length],
        }
    }
}

/// Reads a string (§5.2), of which `most` bytes are worth keeping.
fn string<'a>(input: &mut Reader<'a>, most: usize, scratch: &mut Vec<u8>) -> Result<Text<'a>, Error> {
    let is_packed = input.peek().is_some_and(|first| first & 0x80 != 0);
    let length = input.integer(7)?;
    let bytes = input.bytes(length)?;
    if !is_packed {
        return Ok(Text::InBlock(bytes));
    }
    let start = scratch.len();
    let length = huffman::decode(bytes, most, scratch)?;
    Ok(Text::InScratch { start, length })
}

/// The entry with an index: first come those of the static table, then those of the dynamic one (§2.3.3).
fn look_up(table: &Table, index: usize) -> Result<(&[u8], &[u8]), Error> {
    let entry = match index.checked_sub(fixed::COUNT + 1) {
        None => fixed::entry(index),
        Some(age) => table.entry(age),
    };
    entry.ok_or(Error::Index(index))
}

/// How much memory for strings is kept from block to block, to spare busy connections most allocations.
const IDLE_SCRATCH: usize = 256;
