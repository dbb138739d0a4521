//! Seals what no sender in order would.

use super::super::{Direction, Keys, Layer, Protection, Suite, content};
use crate::tunnel::http2::Role;
use crate::tunnel::tests::toy::Derived;

pub(in crate::tunnel) struct Forger {
    layer: Layer,
    protection: Protection,
    keys: Derived,
}

impl Forger {
    pub(in crate::tunnel) fn new(role: Role, (layer, suite): (Layer, Suite)) -> Self {
        let (keys, _) = Derived::new(role, suite);
        let protection = Protection::new(keys.secret(Direction::Out), &keys);
        Self { layer, protection, keys }
    }

    /// A record of any kind.
    pub(in crate::tunnel) fn record(&mut self, kind: u8, text: &[u8]) -> Vec<u8> {
        let before = self.layer.before();
        let mut record = vec![0; before + text.len() + self.layer.after()];
        record[before..before + text.len()].copy_from_slice(text);
        self.layer.seal(&mut self.protection, &mut record, kind);
        record
    }

    pub(in crate::tunnel) fn application(&mut self, text: &[u8]) -> Vec<u8> {
        self.record(content::APPLICATION, text)
    }

    pub(in crate::tunnel) fn handshake(&mut self, text: &[u8]) -> Vec<u8> {
        self.record(content::HANDSHAKE, text)
    }

    pub(in crate::tunnel) fn alert(&mut self, description: u8) -> Vec<u8> {
        self.record(content::ALERT, &[1, description])
    }

    /// A key update. With `asks` the receiver is to change its key, too.
    pub(in crate::tunnel) fn update(&mut self, asks: bool) -> Vec<u8> {
        let record = self.handshake(&[24, 0, 0, 1, asks.into()]);
        self.next_key();
        record
    }

    pub(in crate::tunnel) fn next_key(&mut self) {
        let next = self.keys.next(Direction::Out).expect("there is always one more");
        self.protection = Protection::new(next, &self.keys);
    }
}
