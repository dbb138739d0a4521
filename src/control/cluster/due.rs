//! Which places are to be looked at, and when.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use tokio::time::{Instant, sleep_until};

/// Places to look at: some at once, in the order in which they came, others later.
#[derive(Debug, Default)]
pub(super) struct Due {
    now: Queue,
    later: BTreeMap<String, Instant>,
    /// Those left alone until then, whoever asks; forgotten ones as well.
    resting: BTreeMap<String, Instant>,
}

/// Places, each once, by when they came: one that comes again and again is behind all that wait.
#[derive(Debug, Default)]
struct Queue {
    places: BTreeMap<u64, String>,
    turns: HashMap<String, u64>,
    next: u64,
}

impl Due {
    /// This one at once, unless it is known that it has to wait.
    pub(super) fn at_once(&mut self, place: &str) {
        if let Some(&then) = self.resting.get(place) {
            self.later.entry(place.to_owned()).or_insert(then);
        }
        if !self.later.contains_key(place) {
            self.now.push(place);
        }
    }

    /// This one not before then.
    pub(super) fn not_before(&mut self, place: &str, then: Instant) {
        self.now.remove(place);
        self.later.insert(place.to_owned(), then);
    }

    /// This one not before then, though it be forgotten meanwhile and come again.
    pub(super) fn rest(&mut self, place: &str, then: Instant) {
        self.not_before(place, then);
        self.resting.insert(place.to_owned(), then);
    }

    /// There is nothing to do there any more.
    pub(super) fn forget(&mut self, place: &str) {
        self.now.remove(place);
        self.later.remove(place);
    }

    /// Those whose time has come are to be looked at at once.
    pub(super) fn ripen(&mut self, now: Instant) {
        self.resting.retain(|_, then| *then > now);
        let mut ripe = Vec::new();
        self.later.retain(|place, then| {
            let waits = *then > now;
            if !waits {
                ripe.push((*then, place.clone()));
            }
            waits
        });
        ripe.sort_unstable();
        ripe.iter().for_each(|(_, place)| self.now.push(place));
    }

    /// When the next of those that wait is to be looked at.
    pub(super) fn next_time(&self) -> Option<Instant> {
        self.later.values().min().copied()
    }

    /// Takes the first that is to be looked at and is none of these.
    pub(super) fn take(&mut self, busy: &BTreeSet<String>) -> Option<String> {
        let place = self.now.places.values().find(|place| !busy.contains(*place))?.clone();
        self.now.remove(&place);
        Some(place)
    }

    /// Takes the first that is to be looked at.
    pub(super) fn take_any(&mut self) -> Option<String> {
        self.take(&BTreeSet::new())
    }
}

impl Queue {
    fn push(&mut self, place: &str) {
        if !self.turns.contains_key(place) {
            self.turns.insert(place.to_owned(), self.next);
            self.places.insert(self.next, place.to_owned());
            self.next += 1;
        }
    }

    fn remove(&mut self, place: &str) {
        if let Some(turn) = self.turns.remove(place) {
            self.places.remove(&turn);
        }
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
    #[test]
    fn whoever_came_first_is_looked_at_first_however_often_others_come() {
        let (mut due, now) = (Due::default(), Instant::now());
        let then = |seconds| now + Duration::from_secs(seconds);
        ["shop", "zoo", "aaa", "shop"].iter().for_each(|place| due.at_once(place));
        due.not_before("early", then(1));
        due.not_before("also", then(2));
        let mut taken = Vec::new();
        for _ in 0..3 {
            due.at_once("aaa");
            taken.extend(due.take_any());
            due.at_once("aaa");
        }
        assert_eq!(taken, ["shop", "zoo", "aaa"]);
        due.ripen(then(2));
        let rest: Vec<String> = std::iter::from_fn(|| due.take_any()).collect();
        assert_eq!(rest, ["aaa", "early", "also"]);
        assert_eq!(format!("{:?}", due.now.turns), "{}", "nothing is left behind");
    }

    #[test]
    fn who_is_left_alone_is_so_though_forgotten_meanwhile() {
        let (mut due, now) = (Due::default(), Instant::now());
        let then = now + Duration::from_secs(5);
        due.rest("a", then);
        due.forget("a");
        assert_eq!(due.next_time(), None, "nothing is to be done there");
        due.at_once("a");
        assert_eq!((due.take_any(), due.next_time()), (None, Some(then)));
        due.ripen(then);
        assert_eq!(due.take_any().as_deref(), Some("a"));
        due.rest("a", then);
        due.forget("a");
        due.ripen(then);
        assert_eq!(due.take_any(), None, "nobody has come again");
        due.at_once("a");
        assert_eq!(due.take_any().as_deref(), Some("a"), "the time is over");
        due.not_before("b", then);
        due.forget("b");
        due.at_once("b");
        assert_eq!(due.take_any().as_deref(), Some("b"), "other times are forgotten");
    }
}
