//! Which node is the newest: during a rolling restart two are connected, and only the newest is given pods.
//!
//! A seat is taken after the hello and left when the session ends; then the next older node is the newest again.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::sync::watch;

/// The seats of all sessions.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seats(Arc<watch::Sender<Taken>>);

#[derive(Debug, Default)]
struct Taken {
    last: u64,
    numbers: BTreeSet<u64>,
}

/// One session's seat.
#[derive(Debug)]
pub(crate) struct Seat {
    number: u64,
    seats: Seats,
    changes: watch::Receiver<Taken>,
}

/// What a node is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rank {
    /// Pods, and their removal.
    Newest,
    /// Only the removal of pods.
    Older,
}

impl Seats {
    pub(crate) fn take(&self) -> Seat {
        let mut number = 0;
        self.0.send_modify(|taken| {
            taken.last += 1;
            number = taken.last;
            taken.numbers.insert(number);
            metrics::gauge!("culvert_agent_nodes_connected").set(taken.numbers.len() as f64);
        });
        Seat { number, seats: self.clone(), changes: self.0.subscribe() }
    }
}

impl Seat {
    pub(crate) fn rank(&self) -> Rank {
        let newest = self.changes.borrow().numbers.last() == Some(&self.number);
        if newest { Rank::Newest } else { Rank::Older }
    }

    /// Waits until somebody has taken or left a seat. Cancel safe.
    pub(crate) async fn changed(&mut self) {
        // It cannot fail: the seat itself holds the sender.
        let _ = self.changes.changed().await;
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.seats.0.send_modify(|taken| {
            taken.numbers.remove(&self.number);
            metrics::gauge!("culvert_agent_nodes_connected").set(taken.numbers.len() as f64);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_last_to_come_is_newest_until_it_leaves() {
        let seats = Seats::default();
        let mut first = seats.take();
        assert_eq!(first.rank(), Rank::Newest);
        let second = seats.take();
        first.changed().await;
        assert_eq!((first.rank(), second.rank()), (Rank::Older, Rank::Newest));
        drop(second);
        first.changed().await;
        assert_eq!(first.rank(), Rank::Newest);
        let third = seats.take();
        drop(first);
        assert_eq!(third.rank(), Rank::Newest);
    }
}
