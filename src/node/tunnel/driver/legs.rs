//! The legs of a tunnel, by slot and by stream.

use std::collections::BTreeMap;

use culvert_core::tunnel::http2::StreamId;

use super::leg::Leg;
use crate::tunnel::inbox::Ticket;

/// A slot is what a socket's wake-up names; it is used again when its leg has gone, so a late wake-up may name another leg,
/// which is then looked at for nothing.
#[derive(Debug, Default)]
pub(super) struct Legs {
    slots: Vec<Option<Box<Leg>>>,
    free: Vec<usize>,
    by_stream: BTreeMap<StreamId, usize>,
}

impl Legs {
    pub(super) fn is_empty(&self) -> bool {
        self.by_stream.is_empty()
    }

    pub(super) fn count(&self) -> usize {
        self.by_stream.len()
    }

    /// Puts a leg in, made for its slot.
    pub(super) fn insert(&mut self, make: impl FnOnce(usize) -> Leg) -> usize {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() - 1
        });
        let leg = make(slot);
        self.by_stream.insert(leg.stream, slot);
        self.slots[slot] = Some(Box::new(leg));
        slot
    }

    /// Slots in use are below this.
    pub(super) fn slots(&self) -> usize {
        self.slots.len()
    }

    pub(super) fn remove(&mut self, slot: usize) -> Option<Box<Leg>> {
        let leg = self.slots.get_mut(slot)?.take()?;
        self.by_stream.remove(&leg.stream);
        self.free.push(slot);
        Some(leg)
    }

    pub(super) fn slot(&self, stream: StreamId) -> Option<usize> {
        self.by_stream.get(&stream).copied()
    }

    pub(super) fn find(&mut self, slot: usize) -> Option<&mut Leg> {
        self.slots.get_mut(slot)?.as_deref_mut()
    }

    pub(super) fn slot_of_ticket(&self, ticket: Ticket) -> Option<usize> {
        let is_it = |leg: &Leg| leg.carried.as_ref().is_some_and(|carried| carried.ticket == ticket);
        self.slots.iter().position(|leg| leg.as_deref().is_some_and(is_it))
    }

    /// Takes all legs out.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = Box<Leg>> + use<> {
        self.by_stream.clear();
        self.free.clear();
        std::mem::take(&mut self.slots).into_iter().flatten()
    }
}
