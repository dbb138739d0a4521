//! What waits to be sent: a bounded queue that nobody waits at.
//!
//! Whoever sends looks into it from time to time. It is woken once for each batch that is full, not for each connection.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::{Notify, mpsc};

/// What one request carries at most.
const BATCH: usize = 512;

/// The end things are put in.
#[derive(Debug)]
pub(super) struct Queue<T> {
    sender: mpsc::Sender<T>,
    /// The room that is left when a batch is full.
    full_batch: usize,
    told: Arc<Told>,
}

/// The end they are taken out.
#[derive(Debug)]
pub(super) struct Receiver<T> {
    receiver: mpsc::Receiver<T>,
    told: Arc<Told>,
}

/// What became of them.
#[derive(Debug, Default)]
struct Told {
    dropped: AtomicU64,
    sent: AtomicU64,
    full: Notify,
}

/// What became of them so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) dropped: u64,
    pub(super) sent: u64,
}

/// Makes one with room for so many.
pub(super) fn of<T>(room: usize) -> (Queue<T>, Receiver<T>) {
    let (sender, receiver) = mpsc::channel(room);
    let told = Arc::<Told>::default();
    let full_batch = room.saturating_sub(BATCH);
    (Queue { sender, full_batch, told: Arc::clone(&told) }, Receiver { receiver, told })
}

impl<T> Queue<T> {
    /// Puts something in, or drops it.
    pub(super) fn push(&self, item: T) {
        if self.sender.try_send(item).is_err() {
            self.told.dropped.fetch_add(1, Ordering::Relaxed);
        } else if self.sender.capacity() == self.full_batch {
            self.told.full.notify_one();
        }
    }

    pub(super) fn counts(&self) -> Counts {
        let Told { dropped, sent, .. } = &*self.told;
        Counts { dropped: dropped.load(Ordering::Relaxed), sent: sent.load(Ordering::Relaxed) }
    }
}

impl<T> Receiver<T> {
    /// Takes out as many as one request carries.
    pub(super) fn take(&mut self) -> Vec<T> {
        std::iter::from_fn(|| self.receiver.try_recv().ok()).take(BATCH).collect()
    }

    /// Resolves when a batch is full. Cancel safe.
    pub(super) async fn full(&self) {
        self.told.full.notified().await;
    }

    /// Notes what became of those that were taken out.
    pub(super) fn settle(&self, sent: u64, dropped: u64) {
        self.told.sent.fetch_add(sent, Ordering::Relaxed);
        self.told.dropped.fetch_add(dropped, Ordering::Relaxed);
    }

    pub(super) fn dropped(&self) -> u64 {
        self.told.dropped.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    #[test]
    fn what_has_no_room_is_dropped_and_counted() {
        let (queue, mut receiver) = of(3);
        (0..5).for_each(|item| queue.push(item));
        assert_eq!(queue.counts(), Counts { dropped: 2, sent: 0 });
        assert_eq!(receiver.take(), [0, 1, 2], "the first ones are kept");
        queue.push(5);
        receiver.settle(2, 1);
        assert_eq!(queue.counts(), Counts { dropped: 3, sent: 2 });
        assert_eq!(receiver.take(), [5]);
        drop(receiver);
        queue.push(6);
        assert_eq!(queue.counts().dropped, 4, "nobody takes it any more");
    }

    #[test]
    fn a_batch_is_bounded_and_tells_when_it_is_full() {
        let (queue, mut receiver) = of(BATCH * 2);
        (1..BATCH).for_each(|item| queue.push(item));
        assert!(receiver.full().now_or_never().is_none());
        (0..=BATCH).for_each(|item| queue.push(item));
        assert!(receiver.full().now_or_never().is_some());
        assert_eq!((receiver.take().len(), receiver.take().len(), receiver.take().len()), (BATCH, BATCH, 0));
    }
}
