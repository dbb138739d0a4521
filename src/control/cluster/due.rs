//! Which places are to be looked at, and when.

use std::collections::{BTreeMap, BTreeSet};

use tokio::time::{Instant, sleep_until};

/// Places to look at: some at once, others later.
#[derive(Debug, Default)]
pub(super) struct Due {
    now: BTreeSet<String>,
    later: BTreeMap<String, Instant>,
}

impl Due {
    /// This one at once, unless it is known that it has to wait.
    pub(super) fn at_once(&mut self, place: &str) {
        if !self.later.contains_key(place) {
            self.now.insert(place.to_owned());
        }
    }

    /// This one not before then.
    pub(super) fn not_before(&mut self, place: &str, then: Instant) {
        self.now.remove(place);
        self.later.insert(place.to_owned(), then);
    }

    /// There is no such place any more.
    pub(super) fn forget(&mut self, place: &str) {
        self.now.remove(place);
        self.later.remove(place);
    }

    /// Those whose time has come are to be looked at at once.
    pub(super) fn ripen(&mut self, now: Instant) {
        self.later.retain(|place, then| {
            let waits = *then > now;
            if !waits {
                self.now.insert(place.clone());
            }
            waits
        });
    }

    /// When the next of those that wait is to be looked at.
    pub(super) fn next_time(&self) -> Option<Instant> {
        self.later.values().min().copied()
    }

    /// Takes one that is to be looked at, and is none of these.
    pub(super) fn take(&mut self, busy: &BTreeSet<String>) -> Option<String> {
        let place = self.now.iter().find(|place| !busy.contains(*place))?.clone();
        self.now.take(&place)
    }

    /// Takes one that is to be looked at.
    pub(super) fn take_any(&mut self) -> Option<String> {
        self.now.pop_first()
    }
}

/// Waits until then, or for ever.
pub(super) async fn wait(until: Option<Instant>) {
    match until {
        Some(until) => sleep_until(until).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn who_has_to_wait_is_not_looked_at_before_and_holds_nobody_up() {
        let (mut due, now, none) = (Due::default(), Instant::now(), BTreeSet::new());
        let then = now + Duration::from_secs(5);
        due.at_once("b");
        due.not_before("a", then);
        due.at_once("a");
        assert_eq!(due.take(&none).as_deref(), Some("b"));
        assert_eq!((due.take(&none), due.next_time()), (None, Some(then)));
        due.ripen(now);
        assert_eq!(due.take(&none), None);
        due.ripen(then);
        assert_eq!(due.next_time(), None);
        assert_eq!(due.take(&BTreeSet::from(["a".to_owned()])), None, "it is being written");
        assert_eq!(due.take(&none).as_deref(), Some("a"));
        due.at_once("a");
        due.forget("a");
        assert_eq!(due.take(&none), None);
    }
}
