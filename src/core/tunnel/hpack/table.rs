//! The dynamic table (RFC 7541 §2.3.2, §4).

use std::collections::VecDeque;

use super::OVERHEAD;

/// What the peer wants us to remember: first in, first out, and never larger than it may be.
///
/// The text of all entries lies in one buffer, oldest first. What evicted entries leave at its front is taken back when the
/// buffer has grown to twice the size of the table, so that a table in use neither allocates nor copies much.
#[derive(Debug, Default)]
pub(super) struct Table {
    most: usize,
    size: usize,
    text: Vec<u8>,
    entries: VecDeque<Entry>,
}

/// Where in the buffer an entry lies: its name, and right after it its value.
#[derive(Debug)]
struct Entry {
    start: usize,
    name: usize,
    value: usize,
}

impl Table {
    pub(super) fn new(most: usize) -> Self {
        Self { most, ..Self::default() }
    }

    /// The size it may have.
    pub(super) fn most(&self) -> usize {
        self.most
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Sets the size it may have. What no longer fits goes, and the memory for it.
    pub(super) fn resize(&mut self, most: usize) {
        let shrinks = most < self.most;
        self.most = most;
        if shrinks {
            self.evict(most);
            self.take_back();
            self.text.shrink_to_fit();
            self.entries.shrink_to_fit();
        }
    }

    /// Evicts what is in the way of an entry of `size`. When it cannot fit at all nothing is left, and it is not to be
    /// pushed, which is not an error (§4.4).
    pub(super) fn make_room(&mut self, size: usize) -> bool {
        self.evict(self.most.saturating_sub(size));
        size <= self.most
    }

    /// Adds an entry that there is room for.
    pub(super) fn push(&mut self, name: &[u8], value: &[u8]) {
        let length = name.len() + value.len();
        debug_assert!(self.size + length + OVERHEAD <= self.most, "room has been made");
        if self.text.len() + length > self.most.saturating_mul(2) {
            self.take_back();
        }
        self.entries.push_back(Entry { start: self.text.len(), name: name.len(), value: value.len() });
        self.text.extend_from_slice(name);
        self.text.extend_from_slice(value);
        self.size += length + OVERHEAD;
    }

    /// The entry that was added as the last but `age`.
    pub(super) fn entry(&self, age: usize) -> Option<(&[u8], &[u8])> {
        let position = self.entries.len().checked_sub(age)?.checked_sub(1)?;
        let entry = self.entries.get(position)?;
        Some(self.text[entry.start..][..entry.name + entry.value].split_at(entry.name))
    }

    /// All entries, the newest first.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        (0..self.entries.len()).filter_map(|age| self.entry(age))
    }

    /// Bytes of memory that are allocated for it.
    pub(super) fn memory(&self) -> usize {
        self.text.capacity() + self.entries.capacity() * size_of::<Entry>()
    }

    /// Removes the oldest entries until no more than `size` is left.
    fn evict(&mut self, size: usize) {
        while self.size > size
            && let Some(entry) = self.entries.pop_front()
        {
            self.size -= entry.name + entry.value + OVERHEAD;
        }
    }

    /// Moves the entries to the front of the buffer.
    fn take_back(&mut self) {
        let gone = self.entries.front().map_or(self.text.len(), |oldest| oldest.start);
        self.text.drain(..gone);
        for entry in &mut self.entries {
            entry.start -= gone;
        }
    }
}
