//! Finds connections on which nothing moves any more, and has those ended that are quiet for too long: half-closed ones that nobody
//! finishes, and idle ones where that is wished.
//!
//! One task looks at all connections of the node now and then; none has a timer of its own. In go the books and the limits; what is
//! found is told to whoever carries the connection, who breaks it on both sides. Deliberately absent: whether the other end is there at
//! all, which keepalive and PING find out much sooner.

use std::sync::Arc;
use std::time::Duration;

use culvert_metrics::{Collected, Metrics};
use tokio::time::{MissedTickBehavior, interval};

use crate::ledger::{Book, Direction, OfNode, Record, Stage};
use crate::stream::Moved;
use crate::stream::quiet::{Limits, Moment};

/// Between two looks, at most. A connection ends at most two looks later than it could.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
const SHORTEST_PAUSE: Duration = Duration::from_millis(100);

/// So many looks there are within the shortest limit, where it is a short one.
const LOOKS: u32 = 8;

/// Has connections ended that are quiet for too long, for ever; not at all when there are no limits.
pub(crate) async fn end_quiet_ones(ledger: OfNode, limits: Limits) {
    let Some(shortest) = limits.half_closed.into_iter().chain(limits.open).min() else { return };
    let mut looks = interval((shortest / LOOKS).clamp(SHORTEST_PAUSE, LONGEST_PAUSE));
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        looks.tick().await;
        for book in ledger.books() {
            look(&book, &limits).await;
        }
    }
}

async fn look(book: &Book, limits: &Limits) {
    let now = Moment::now();
    for some in book.live_in_parts() {
        for record in &some {
            if let Some(moved) = of_open(record) {
                moved.look(limits, now);
            }
        }
        // There may be a hundred thousand.
        tokio::task::yield_now().await;
    }
}

/// What has moved on a connection that is open.
fn of_open(record: &Record) -> Option<Arc<Moved>> {
    let facts = record.facts();
    (facts.stage == Stage::Open).then(|| Arc::clone(&facts.moved))
}

/// Has half-closed connections counted whenever somebody looks at the metrics.
pub(crate) fn watch(metrics: &Metrics, ledger: OfNode) {
    metrics.collect(move || vec![half_closed(&ledger)]);
}

fn half_closed(ledger: &OfNode) -> Collected {
    let (mut outbound, mut inbound) = (0_u32, 0_u32);
    let books = ledger.books();
    for record in books.iter().flat_map(|book| book.live_in_parts()).flatten() {
        if of_open(&record).is_some_and(|moved| moved.half_closed_since().is_some()) {
            *(match record.direction {
                Direction::Outbound => &mut outbound,
                Direction::Inbound => &mut inbound,
            }) += 1;
        }
    }
    let help = "Connections of which one direction has ended and the other goes on (unstable).";
    Collected::gauge("culvert_half_closed_connections", help)
        .with(&[("direction", "outbound")], f64::from(outbound))
        .with(&[("direction", "inbound")], f64::from(inbound))
}

#[cfg(test)]
mod tests;
