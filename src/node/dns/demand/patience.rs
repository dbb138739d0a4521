//! Whether it is worth waiting for the control plane: DNS of all pods of a node hangs on the answer.
//!
//! ```text
//!          timed out, too often in a row
//!  wait ──────────────────────────────────▶ pass ──(every PAUSE)──▶ try: ask, and wait for nobody
//!    ▲                                       ▲                        │
//!    └────────── anything is answered soon ──┴────────────────────────┘ nothing is
//! ```

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Queries in a row that waited for nothing before none waits any more.
const IN_A_ROW: u32 = 3;
/// Time between two questions nobody waits for.
const PAUSE: Duration = Duration::from_secs(5);

/// What is left of the patience of a node. All handles know the same.
#[derive(Debug, Clone, Default)]
pub(in crate::dns) struct Patience(Arc<Mutex<Left>>);

#[derive(Debug, Default)]
struct Left {
    timed_out: u32,
    /// When the next one may try.
    next: Option<Instant>,
}

/// What a query does that could do with an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// Asks and waits.
    Wait,
    /// Asks for those that come later.
    Try,
    /// Goes on as if nothing could be asked.
    Pass,
}

impl Patience {
    /// Whose turn it is.
    pub(super) fn turn(&self) -> Turn {
        let (mut left, now) = (self.lock(), Instant::now());
        let Some(next) = left.next else { return Turn::Wait };
        if now < next {
            return Turn::Pass;
        }
        left.next = Some(now + PAUSE);
        Turn::Try
    }

    /// The control plane has answered, before anybody would have given up.
    pub(super) fn answered(&self) {
        let before = std::mem::take(&mut *self.lock());
        if before.next.is_some() {
            tracing::info!("the control plane says again what names are");
        }
    }

    /// A query has waited for nothing.
    pub(super) fn timed_out(&self) {
        let mut left = self.lock();
        left.timed_out = left.timed_out.saturating_add(1);
        if left.timed_out >= IN_A_ROW && left.next.is_none() {
            left.next = Some(Instant::now() + PAUSE);
            drop(left);
            tracing::warn!(
                "the control plane does not say what names are; DNS of pods does not wait for it until it does so soon enough: names that were not asked for before are others' to answer"
            );
        }
    }

    fn lock(&self) -> MutexGuard<'_, Left> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_waits_too_often_for_nothing_does_not_until_something_is_answered() {
        let patience = Patience::default();
        for _ in 1..IN_A_ROW {
            patience.timed_out();
            assert_eq!(patience.turn(), Turn::Wait);
        }
        patience.timed_out();
        assert_eq!(patience.turn(), Turn::Pass);
        tokio::time::advance(PAUSE).await;
        assert_eq!([patience.turn(), patience.turn()], [Turn::Try, Turn::Pass], "one at a time");
        patience.answered();
        assert_eq!(patience.turn(), Turn::Wait);
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_in_between_is_enough() {
        let patience = Patience::default();
        for _ in 0..10 * IN_A_ROW {
            patience.timed_out();
            patience.answered();
        }
        assert_eq!(patience.turn(), Turn::Wait);
    }
}
