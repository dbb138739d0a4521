//! What was said lately of which pod.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::pod::Uid;

/// The same reason is given for the same pod once in this time.
const PAUSE: Duration = Duration::from_secs(60);

/// Entries at which those that no longer matter are thrown out.
const MANY: usize = 4096;

#[derive(Debug, Default)]
pub(super) struct Throttle {
    said: BTreeMap<(Uid, &'static str), Said>,
}

#[derive(Debug)]
struct Said {
    at: Instant,
    unsaid: u32,
}

impl Throttle {
    /// Whether it may be said, and how often it was not since it was said last.
    pub(super) fn admit(&mut self, uid: &Uid, reason: &'static str, now: Instant) -> Option<u32> {
        if self.said.len() >= MANY {
            self.said.retain(|_, said| now.duration_since(said.at) < PAUSE);
        }
        if self.said.len() >= MANY {
            // So many pods do not fit on a node; better to say it than to remember it.
            return Some(0);
        }
        let said = self.said.entry((uid.clone(), reason));
        let mut is_new = false;
        let said = said.or_insert_with(|| {
            is_new = true;
            Said { at: now, unsaid: 0 }
        });
        if !is_new && now.duration_since(said.at) < PAUSE {
            said.unsaid += 1;
            return None;
        }
        said.at = now;
        Some(std::mem::take(&mut said.unsaid))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_is_said_once_a_minute_with_how_often_it_happened() {
        let mut throttle = Throttle::default();
        let (start, uid, other) = (Instant::now(), Uid::from("u1"), Uid::from("u2"));
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(throttle.admit(&uid, "A", at(0)), Some(0));
        assert_eq!(throttle.admit(&uid, "A", at(1)), None);
        assert_eq!(throttle.admit(&uid, "A", at(59)), None);
        assert_eq!(throttle.admit(&uid, "B", at(1)), Some(0), "something else");
        assert_eq!(throttle.admit(&other, "A", at(1)), Some(0), "another pod");
        assert_eq!(throttle.admit(&uid, "A", at(60)), Some(2));
        assert_eq!(throttle.admit(&uid, "A", at(61)), None);
        assert_eq!(throttle.admit(&uid, "A", at(3600)), Some(1));
        assert_eq!(throttle.admit(&uid, "A", at(7200)), Some(0));
    }

    #[test]
    fn what_is_remembered_has_a_bound() {
        let mut throttle = Throttle::default();
        let start = Instant::now();
        for number in 0..5_000 {
            let uid = Uid::from(format!("u{number}").as_str());
            assert_eq!(throttle.admit(&uid, "A", start), Some(0));
        }
        assert!(throttle.said.len() <= 4096, "{}", throttle.said.len());
        throttle.admit(&Uid::from("late"), "A", start + Duration::from_secs(61));
        assert_eq!(throttle.said.len(), 1, "what no longer matters is forgotten");
    }
}
