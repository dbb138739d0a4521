//! Notices when somebody keeps undoing the installation, and says so, but not each time.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use tracing::{info, warn};

use super::Outcome;

/// So many repairs ...
const MANY: usize = 3;

/// ... within this time are no accident.
const WINDOW: Duration = Duration::from_secs(120);

/// Time between two warnings of the same.
const PACE: Duration = Duration::from_secs(60);

/// What has been repaired lately, and said.
#[derive(Debug, Default)]
pub(super) struct Struggle {
    repairs: VecDeque<Instant>,
    installed: bool,
    warned: Option<Instant>,
    complaints: BTreeMap<String, Instant>,
}

impl Struggle {
    /// Logs what came of a pass.
    pub(super) fn note(&mut self, outcome: &Outcome) {
        let now = Instant::now();
        if !outcome.changed.is_empty() {
            let files = outcome.changed.join(", ");
            info!(files, "installed the CNI plugin");
            if std::mem::replace(&mut self.installed, true) && self.is_one(now) {
                warn!(repairs = self.repairs.len(), within = ?WINDOW, files, "somebody keeps taking the CNI plugin out of the configuration; if that is Cilium, set cni.exclusive=false");
            }
        }
        let mut complaints = Vec::new();
        if let Ok(applied) = &outcome.result {
            complaints.extend(applied.warnings.iter().cloned());
        }
        complaints
            .extend(outcome.state().why_not().map(|why| format!("the CNI plugin is not in place: {why}")));
        self.complain(now, complaints);
    }

    /// Notes a repair. Whether there were so many that somebody should hear of it.
    fn is_one(&mut self, now: Instant) -> bool {
        self.repairs.push_back(now);
        while self.repairs.front().is_some_and(|first| now.duration_since(*first) > WINDOW) {
            self.repairs.pop_front();
        }
        let due = self.warned.is_none_or(|last| now.duration_since(last) >= PACE);
        let one = due && self.repairs.len() >= MANY;
        if one {
            self.warned = Some(now);
        }
        one
    }

    fn complain(&mut self, now: Instant, complaints: Vec<String>) {
        self.complaints.retain(|said, _| complaints.contains(said));
        for complaint in complaints {
            let last = self.complaints.get(&complaint);
            if last.is_none_or(|last| now.duration_since(*last) >= PACE) {
                warn!("{complaint}");
                self.complaints.insert(complaint, now);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_repeated_repairs_are_a_struggle_and_it_is_not_told_each_time() {
        let mut struggle = Struggle::default();
        let start = Instant::now();
        let mut at = |seconds| struggle.is_one(start + Duration::from_secs(seconds));
        assert!(!at(0) && !at(1));
        assert!(at(2), "the third within the window");
        assert!(!at(3) && !at(50), "it was told a moment ago");
        assert!(at(63));
        assert!(!at(400), "all was quiet for long");
    }
}
