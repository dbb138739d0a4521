//! The open watches, and what they have been told to do: the desk at which tests leave their orders.
//!
//! An order is carried out after the changes that were made before it was given and before those that were made later,
//! however late the watch comes to read it.

use std::collections::{BTreeMap, VecDeque};

use serde_json::Value;

/// All open watches.
#[derive(Debug, Default)]
pub(crate) struct Watches {
    next: u64,
    open: BTreeMap<u64, Desk>,
}

/// One of them.
#[derive(Debug, Default)]
struct Desk {
    resource: String,
    orders: VecDeque<Order>,
    stalled: bool,
}

/// Something a watch shall do once the changes up to a revision have been sent.
#[derive(Debug, Clone)]
pub(crate) struct Order {
    pub(crate) after: u64,
    pub(crate) act: Act,
}

/// What a watch can be told to do.
#[derive(Debug, Clone)]
pub(crate) enum Act {
    /// Send a bookmark, if the client takes them.
    Bookmark,
    /// Send an ERROR event.
    Error(Value),
    /// Send a line of something.
    Line(String),
    /// End, as with a timeout.
    End,
    /// Break off, after some bytes that are not a whole line, or after none.
    Break(&'static str),
}

impl Watches {
    pub(crate) fn add(&mut self, resource: &str) -> u64 {
        self.next += 1;
        self.open.insert(self.next, Desk { resource: resource.to_owned(), ..Desk::default() });
        self.next
    }

    pub(crate) fn remove(&mut self, number: u64) {
        self.open.remove(&number);
    }

    /// How many there are, of one resource or altogether.
    pub(crate) fn count(&self, resource: Option<&str>) -> usize {
        self.open.values().filter(|desk| resource.is_none_or(|resource| desk.resource == resource)).count()
    }

    /// Gives an order to all of them.
    pub(crate) fn order(&mut self, after: u64, act: &Act) {
        for desk in self.open.values_mut() {
            desk.orders.push_back(Order { after, act: act.clone() });
        }
    }

    pub(crate) fn stall(&mut self, stalled: bool) {
        for desk in self.open.values_mut() {
            desk.stalled = stalled;
        }
    }

    /// The orders of a watch, which are thereby taken; none while it is stalled: it shall do nothing at all.
    pub(crate) fn orders(&mut self, number: u64) -> Option<VecDeque<Order>> {
        let desk = self.open.get_mut(&number)?;
        (!desk.stalled).then(|| std::mem::take(&mut desk.orders))
    }
}
