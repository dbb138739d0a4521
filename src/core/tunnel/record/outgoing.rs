//! The records we send.

use super::{Alert, Direction, Keys, Layer, MOST_RECORDS, Protection, Secret, content};
use crate::tunnel::Fault;

/// Seals records, and changes keys before they are used up.
#[derive(Debug)]
pub struct Outgoing {
    layer: Layer,
    protection: Protection,
    most_records: u64,
    /// The peer asked for new keys (RFC 8446 §4.6.3).
    asked: bool,
}

/// Records that may follow before a key update is sent: more than one buffer holds.
const MARGIN: u64 = 64;

/// The message that says that the next record is under the next key (RFC 8446 §4.6.3), without asking for the same.
const KEY_UPDATE: [u8; 5] = [24, 0, 0, 1, 0];

impl Outgoing {
    /// Seals from the next record on.
    #[must_use]
    pub fn new(layer: Layer, secret: Secret, keys: &dyn Keys) -> Self {
        Self { layer, protection: Protection::new(secret, keys), most_records: MOST_RECORDS, asked: false }
    }

    pub(in crate::tunnel) fn layer(&self) -> Layer {
        self.layer
    }

    /// Lets each key protect fewer records than it could.
    pub(in crate::tunnel) fn limit(&mut self, records: u64) {
        self.most_records = records.clamp(2 * MARGIN, MOST_RECORDS);
    }

    /// The peer wants us to change keys.
    pub fn ask(&mut self) {
        self.asked = true;
    }

    /// Seals application data that lies in its slot.
    pub(in crate::tunnel) fn seal(&mut self, record: &mut [u8]) {
        self.layer.seal(&mut self.protection, record, content::APPLICATION);
    }

    /// Whether a key update must go out before the next record.
    #[must_use]
    pub fn wants_update(&self) -> bool {
        self.asked || self.protection.is_used_up(self.most_records - MARGIN)
    }

    /// Octets of the record that says so.
    #[must_use]
    pub fn update_length(&self) -> usize {
        self.layer.before() + KEY_UPDATE.len() + self.layer.after()
    }

    /// Writes the key update into `record` and changes keys.
    ///
    /// # Errors
    /// When there are no other keys.
    pub fn update(&mut self, record: &mut [u8], keys: &mut dyn Keys) -> Result<(), Fault> {
        if self.layer == Layer::Tls12 {
            return Err(Fault::KeysUsedUp);
        }
        let next = keys.next(Direction::Out).ok_or(Fault::KeysUsedUp)?;
        let before = self.layer.before();
        record[before..before + KEY_UPDATE.len()].copy_from_slice(&KEY_UPDATE);
        self.layer.seal(&mut self.protection, record, content::HANDSHAKE);
        self.protection = Protection::new(next, keys);
        self.asked = false;
        Ok(())
    }

    /// An alert as a record of its own.
    pub fn alert(&mut self, alert: Alert) -> Vec<u8> {
        let level = if alert == Alert::CLOSE_NOTIFY { 1 } else { 2 };
        self.record(content::ALERT, &[level, alert.0])
    }

    /// Application data, no more than fits, as a record of its own.
    pub fn application(&mut self, text: &[u8]) -> Vec<u8> {
        self.record(content::APPLICATION, text)
    }

    fn record(&mut self, kind: u8, text: &[u8]) -> Vec<u8> {
        let before = self.layer.before();
        let mut record = vec![0; before + text.len() + self.layer.after()];
        record[before..before + text.len()].copy_from_slice(text);
        self.layer.seal(&mut self.protection, &mut record, kind);
        record
    }

    /// For another process to go on with: the secret, and whether the peer asked for the next one.
    pub(in crate::tunnel) fn into_parts(self) -> (Secret, bool) {
        (self.protection.secret, self.asked)
    }
}
