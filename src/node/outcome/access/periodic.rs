//! Lines about connections that are open for long, so that one that lasts for days is not invisible until its end.
//!
//! One task looks at all of them every interval, a portion at a time: neither they nor the log notice.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::{MissedTickBehavior, interval, sleep};

use super::CONFIG;
use crate::ledger::{OfNode, Record};

/// Lines at once, and how long the log then has for them: 5,000 lines a second.
const PORTION: usize = 100;
const PAUSE: Duration = Duration::from_millis(20);

/// Writes a line of each connection that is older than the interval, every interval; for ever, or not at all when there is none.
pub(crate) async fn tell_of_long_ones(ledger: OfNode) {
    let Some(every) = CONFIG.get().and_then(|config| config.interval) else { return };
    let mut rounds = interval(every);
    rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        rounds.tick().await;
        for book in ledger.books() {
            tell(&book.live(), every).await;
        }
    }
}

async fn tell(live: &[Arc<Record>], least: Duration) {
    for portion in live.chunks(PORTION) {
        let now = Instant::now();
        let old = |record: &&Arc<Record>| now.saturating_duration_since(record.began) >= least;
        let mut told = 0;
        for record in portion.iter().filter(old) {
            super::is_open(record, now);
            told += 1;
        }
        if told == 0 {
            tokio::task::yield_now().await;
        } else {
            sleep(PAUSE).await;
        }
    }
}
