//! The peer's bytes, shown to rustls one record at a time.

/// Octets of a record header; the last two are the length of what follows (RFC 8446 §5.1).
const HEAD: usize = 5;

/// ```text
///   bytes: | read | records of a message that is not whole | record in hand | not shown yet |
///                 start                                                     shown
/// ```
#[derive(Debug, Default)]
pub(super) struct Input {
    bytes: Vec<u8>,
    /// What comes before was read.
    start: usize,
    /// Where the whole records that were shown end.
    shown: usize,
    /// Where that ends which may be looked at: at `shown`, or at the end when no whole record is left.
    end: usize,
}

impl Input {
    pub(super) fn extend(&mut self, bytes: &[u8]) {
        self.bytes.drain(..self.start);
        self.shown -= self.start;
        self.start = 0;
        self.bytes.extend_from_slice(bytes);
    }

    /// Shows the next record; says whether there was one. When there is none its beginning is shown, which is enough to see
    /// that it is no TLS.
    pub(super) fn offer(&mut self) -> bool {
        let next = &self.bytes[self.shown..];
        let length = next.first_chunk().map(|[.., high, low]: &[u8; HEAD]| u16::from_be_bytes([*high, *low]));
        let record = length.map(|length| HEAD + usize::from(length)).filter(|length| *length <= next.len());
        if let Some(record) = record {
            self.shown += record;
            self.end = self.shown;
        } else {
            self.end = self.bytes.len();
        }
        record.is_some()
    }

    pub(super) fn offered(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..self.end]
    }

    /// Takes note of what is needed no more.
    pub(super) fn discard(&mut self, read: usize) {
        self.start += read;
    }

    pub(super) fn held(&self) -> usize {
        self.bytes.len() - self.start
    }

    /// What was never shown.
    pub(super) fn into_rest(mut self) -> Vec<u8> {
        self.bytes.split_off(self.shown)
    }
}
