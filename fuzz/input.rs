//! Bytes of the fuzzer, taken off the front as choices.

use std::time::{Duration, Instant};

/// What is left of them.
pub(crate) struct Input<'i>(&'i [u8]);

impl<'i> Input<'i> {
    pub(crate) fn new(bytes: &'i [u8]) -> Self {
        Self(bytes)
    }

    /// The next byte; `None` at the end.
    pub(crate) fn next(&mut self) -> Option<u8> {
        let (&byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(byte)
    }

    /// The next byte; 0 at the end.
    pub(crate) fn byte(&mut self) -> u8 {
        self.next().unwrap_or(0)
    }

    /// One of `most` numbers.
    pub(crate) fn below(&mut self, most: usize) -> usize {
        usize::from(self.byte()) % most.max(1)
    }

    /// One of these.
    pub(crate) fn one<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }

    /// Two bytes.
    pub(crate) fn number(&mut self) -> usize {
        usize::from(self.byte()) << 8 | usize::from(self.byte())
    }

    /// Up to so many bytes as they are.
    pub(crate) fn take(&mut self, most: usize) -> &'i [u8] {
        let (taken, rest) = self.0.split_at(most.min(self.0.len()));
        self.0 = rest;
        taken
    }
}

/// Sizes of pieces that bytes come in.
pub(crate) fn pieces(bytes: &[u8], cut: u8) -> impl Iterator<Item = &[u8]> {
    let size = if cut < 128 { bytes.len() } else { usize::from(cut - 127) };
    bytes.chunks(size.max(1))
}

/// A clock that only the fuzzer moves.
pub(crate) struct Clock {
    pub(crate) now: Instant,
}

impl Clock {
    pub(crate) fn new() -> Self {
        Self { now: Instant::now() }
    }

    pub(crate) fn advance(&mut self, milliseconds: usize) {
        self.now += Duration::from_millis(milliseconds as u64);
    }
}
