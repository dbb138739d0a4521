//! What is to be sent: a row of records in one buffer, filled and sealed in place.
//!
//! ```text
//!   │ sealed, being sent │ open record ............│ room
//!   ▲ sent               ▲ start    ▲ end of its plaintext
//! ```
//! The payload of a DATA frame is read straight to where it will be sealed: room for its header and the record's is left
//! before it. Small frames share a record. The buffer is lent when there is something to send, and taken back when all is sent. How much
//! it holds is for who lends it: a smaller one takes more turns, and nothing else.

use std::io::{self, IoSliceMut};

use super::Fault;
use super::http2::frame::HEAD;
use super::http2::{Connection, StreamId};
use super::record::{Keys, Layer, MOST_PLAIN, Outgoing};

/// Records of one buffer.
const RECORDS: usize = 16;

/// Octets of a buffer with which nothing is slow: so many full records of either layer, and one for small frames.
pub const BUFFER: usize = holding(RECORDS + 1);

/// Octets of the smallest buffer there may be: one full record of either layer, and one for small frames.
pub const SMALL_BUFFER: usize = holding(2);

const fn holding(records: usize) -> usize {
    records * (MOST_PLAIN + Layer::Tls12.before() + Layer::Tls13.after()) + 1024
}

/// In less than this, payload is not worth the header.
const WORTHWHILE: usize = 512;

#[derive(Debug, Default)]
pub(super) struct Outbox {
    /// Empty while none is lent.
    buffer: Vec<u8>,
    sent: usize,
    start: usize,
    end: usize,
    open: bool,
}

/// Places for payload in a row of records, as `readv(2)` takes them.
pub type Slots<'s, 'b> = &'s mut [IoSliceMut<'b>];

/// Where the payload of one DATA frame goes.
#[derive(Debug, Clone, Copy, Default)]
struct Slot {
    /// Where the record begins.
    record: usize,
    /// Where the payload begins, after its frame header.
    payload: usize,
    length: usize,
}

/// What sealing takes.
pub(super) struct Sealing<'e> {
    pub(super) outgoing: &'e mut Outgoing,
    pub(super) keys: &'e mut dyn Keys,
}

impl Outbox {
    pub(super) fn has_buffer(&self) -> bool {
        !self.buffer.is_empty()
    }

    pub(super) fn lend(&mut self, buffer: Vec<u8>) {
        debug_assert!(buffer.len() >= SMALL_BUFFER && !self.has_buffer(), "one buffer, not too small");
        self.buffer = buffer;
    }

    pub(super) fn lent(&self) -> usize {
        self.buffer.len()
    }

    pub(super) fn take_back(&mut self) -> Option<Vec<u8>> {
        (self.has_buffer() && self.is_empty()).then(|| std::mem::take(&mut self.buffer))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.sent == self.start && !self.open
    }

    /// What is sealed and not sent.
    pub(super) fn pending(&self) -> &[u8] {
        &self.buffer[self.sent..self.start]
    }

    /// Notes that this much of it was sent.
    pub(super) fn advance(&mut self, bytes: usize) {
        self.sent += bytes;
        if self.is_empty() {
            (self.sent, self.start, self.end) = (0, 0, 0);
        }
    }

    /// How much payload can be put in.
    pub(super) fn room(&self, layer: Layer) -> usize {
        let at = match (self.open, self.goes_on(layer)) {
            (true, true) => self.end,
            (true, false) => self.end + layer.after() + layer.before(),
            (false, _) => self.start + layer.before(),
        };
        self.buffer.len().saturating_sub(at + HEAD + layer.after())
    }

    /// Whether payload goes to the open record, and not to a new one.
    fn goes_on(&self, layer: Layer) -> bool {
        self.open && self.left_in_record(layer) >= HEAD + WORTHWHILE
    }

    /// Puts frames into records, as far as there is room; says how far.
    pub(super) fn put(&mut self, sealing: &mut Sealing<'_>, mut frames: &[u8]) -> Result<usize, Fault> {
        let layer = sealing.outgoing.layer();
        let all = frames.len();
        while !frames.is_empty() {
            self.update_keys(sealing)?;
            if self.open && self.left_in_record(layer) == 0 {
                self.seal(sealing.outgoing);
            }
            if !self.open {
                self.begin(layer);
            }
            let room =
                self.left_in_record(layer).min(self.buffer.len().saturating_sub(self.end + layer.after()));
            let (now, later) = frames.split_at(room.min(frames.len()));
            if now.is_empty() {
                self.abandon_if_nothing_is_in_it(layer);
                break;
            }
            self.buffer[self.end..self.end + now.len()].copy_from_slice(now);
            self.end += now.len();
            frames = later;
        }
        Ok(all - frames.len())
    }

    /// Has `read` put up to `most` octets of payload into DATA frames of a stream, and finishes those it filled.
    pub(super) fn fill(
        &mut self,
        sealing: &mut Sealing<'_>,
        http2: &mut Connection,
        (stream, most): (StreamId, usize),
        read: impl FnOnce(Slots<'_, '_>) -> io::Result<usize>,
    ) -> io::Result<usize> {
        let layer = sealing.outgoing.layer();
        if !self.goes_on(layer) {
            self.seal(sealing.outgoing);
        }
        let (slots, count) = self.slots(layer, most);
        let slots = &slots[..count];
        let read = self.read_into(slots, read)?;
        let mut left = read;
        for slot in slots {
            let length = left.min(slot.length);
            if length == 0 {
                break;
            }
            if self.start != slot.record {
                self.seal(sealing.outgoing);
            }
            let head = slot.payload - HEAD;
            self.buffer[head..slot.payload].copy_from_slice(&http2.data(stream, length, false));
            (self.open, self.end) = (true, slot.payload + length);
            left -= length;
        }
        Ok(read)
    }

    /// Lays out places for up to `most` octets of payload.
    fn slots(&self, layer: Layer, mut most: usize) -> ([Slot; RECORDS + 1], usize) {
        let mut slots = [Slot::default(); RECORDS + 1];
        let mut count = 0;
        let mut record = self.start;
        let mut payload = if self.open { self.end } else { record + layer.before() } + HEAD;
        for slot in &mut slots {
            let in_record = (record + layer.before() + MOST_PLAIN).saturating_sub(payload);
            let in_buffer = self.buffer.len().saturating_sub(payload + layer.after());
            let length = most.min(in_record).min(in_buffer);
            if length == 0 {
                break;
            }
            *slot = Slot { record, payload, length };
            count += 1;
            most -= length;
            record = payload + length + layer.after();
            payload = record + layer.before() + HEAD;
        }
        (slots, count)
    }

    fn read_into(
        &mut self,
        slots: &[Slot],
        read: impl FnOnce(Slots<'_, '_>) -> io::Result<usize>,
    ) -> io::Result<usize> {
        let mut places: [IoSliceMut<'_>; RECORDS + 1] = std::array::from_fn(|_| IoSliceMut::new(&mut []));
        let mut rest = self.buffer.as_mut_slice();
        let mut at = 0;
        for (slot, place) in slots.iter().zip(&mut places) {
            let (_, after) = rest.split_at_mut(slot.payload - at);
            let (payload, after) = after.split_at_mut(slot.length);
            *place = IoSliceMut::new(payload);
            rest = after;
            at = slot.payload + slot.length;
        }
        read(&mut places[..slots.len()])
    }

    /// Seals the open record, so that it can be sent.
    pub(super) fn seal(&mut self, outgoing: &mut Outgoing) {
        if !self.open {
            return;
        }
        let end = self.end + outgoing.layer().after();
        outgoing.seal(&mut self.buffer[self.start..end]);
        (self.start, self.end, self.open) = (end, end, false);
    }

    /// Changes keys when it is time, between two records.
    pub(super) fn update_keys(&mut self, sealing: &mut Sealing<'_>) -> Result<(), Fault> {
        if !sealing.outgoing.wants_update() {
            return Ok(());
        }
        self.seal(sealing.outgoing);
        let length = sealing.outgoing.update_length();
        let Some(record) = self.buffer.get_mut(self.start..self.start + length) else { return Ok(()) };
        sealing.outgoing.update(record, sealing.keys)?;
        self.start += length;
        self.end = self.start;
        Ok(())
    }

    fn begin(&mut self, layer: Layer) {
        self.open = true;
        self.end = self.start + layer.before();
    }

    fn abandon_if_nothing_is_in_it(&mut self, layer: Layer) {
        if self.end == self.start + layer.before() {
            (self.open, self.end) = (false, self.start);
        }
    }

    fn left_in_record(&self, layer: Layer) -> usize {
        (self.start + layer.before() + MOST_PLAIN).saturating_sub(self.end)
    }
}
