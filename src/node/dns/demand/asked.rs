//! What one pod has asked for lately, and how much more it may ask for.
//!
//! **Invariant:** each pod has its own. One that asks for names without end spends its own budget and forgets its own names;
//! others' are as they were.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Names that are remembered; the oldest go first.
const MOST: usize = 1024;
/// What asking for one more name costs in the long run.
const COST: Duration = Duration::from_millis(50);
/// Names that can be asked for at once after a while without any.
pub(super) const BURST: u32 = 200;

/// How long it holds that a name was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Holds {
    /// As long as a record of DNS that is there would.
    Usual,
    /// Nothing was said; it may be soon.
    Shortly,
}

/// The names of one pod. All handles know the same.
#[derive(Debug, Clone, Default)]
pub(super) struct Asked(Arc<Mutex<Names>>);

#[derive(Debug, Default)]
struct Names {
    until: HashMap<Arc<str>, Instant>,
    /// Each name once, in the order in which they came.
    order: VecDeque<Arc<str>>,
    /// Until when what was asked for is paid for; `None` before the first.
    paid: Option<Instant>,
}

impl Holds {
    const fn time(self) -> Duration {
        match self {
            Self::Usual => Duration::from_secs(culvert_core::dns::TTL as u64),
            Self::Shortly => Duration::from_secs(5),
        }
    }
}

impl Asked {
    /// Whether a name was asked for lately: what there is to know is known.
    pub(super) fn is_held(&self, name: &str) -> bool {
        self.lock().until.get(name).is_some_and(|until| Instant::now() < *until)
    }

    /// Remembers that a name was asked for.
    pub(super) fn hold(&self, name: &Arc<str>, holds: Holds) {
        let (mut names, until) = (self.lock(), Instant::now() + holds.time());
        if let Some(before) = names.until.get_mut(name) {
            *before = until.max(*before);
            return;
        }
        if names.order.len() >= MOST
            && let Some(oldest) = names.order.pop_front()
        {
            names.until.remove(&oldest);
        }
        names.order.push_back(Arc::clone(name));
        names.until.insert(Arc::clone(name), until);
    }

    /// Takes one name off the budget; false when there is none left.
    pub(super) fn pay(&self) -> bool {
        let (mut names, now) = (self.lock(), Instant::now());
        let paid = names.paid.map_or(now, |paid| paid.max(now));
        let is_left = paid - now <= COST * (BURST - 1);
        if is_left {
            names.paid = Some(paid + COST);
        }
        is_left
    }

    fn lock(&self) -> MutexGuard<'_, Names> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_was_asked_for_holds_for_its_time() {
        let asked = Asked::default();
        let name: Arc<str> = "ns/a".into();
        assert!(!asked.is_held(&name));
        asked.hold(&name, Holds::Usual);
        asked.hold(&name, Holds::Shortly);
        tokio::time::advance(Holds::Usual.time() - Duration::from_millis(1)).await;
        assert!(asked.is_held(&name), "the longer one counts");
        tokio::time::advance(Duration::from_millis(1)).await;
        assert!(!asked.is_held(&name));
        asked.hold(&name, Holds::Shortly);
        assert!(asked.is_held(&name));
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_than_so_many_names_are_remembered() {
        let asked = Asked::default();
        (0..=MOST).for_each(|n| asked.hold(&n.to_string().into(), Holds::Usual));
        assert!(!asked.is_held("0") && asked.is_held("1"));
        (0..10 * MOST).for_each(|_| asked.hold(&"same".into(), Holds::Usual));
        assert!(!asked.is_held("1") && asked.is_held("2"));
        let names = asked.lock();
        assert_eq!((names.order.len(), names.until.len()), (MOST, MOST));
    }

    #[tokio::test(start_paused = true)]
    async fn a_budget_is_spent_and_comes_back_slowly() {
        let asked = Asked::default();
        let paid = || (0..10 * BURST).filter(|_| asked.pay()).count();
        assert_eq!(paid(), BURST as usize);
        tokio::time::advance(COST).await;
        assert_eq!(paid(), 1);
        tokio::time::advance(COST * BURST * 10).await;
        assert_eq!(paid(), BURST as usize, "no more is saved up");
    }
}
