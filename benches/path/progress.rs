//! Tells on stderr what has been measured and how long the rest will take.

use std::collections::BTreeMap;
use std::time::Duration;

/// Knows what is to be done, and how long what is done has taken.
pub(super) struct Progress {
    /// The loads still to be measured, as often as they will be.
    left: Vec<&'static str>,
    all: usize,
    /// How often each load was measured, and how long that took in all.
    spent: BTreeMap<&'static str, (u32, Duration)>,
}

impl Progress {
    pub(super) fn new(steps: Vec<&'static str>) -> Self {
        Self { all: steps.len(), left: steps, spent: BTreeMap::new() }
    }

    /// One more is done.
    pub(super) fn done(&mut self, load: &'static str, took: Duration, shown: &str) {
        if let Some(position) = self.left.iter().position(|other| *other == load) {
            self.left.remove(position);
        }
        let (count, time) = self.spent.entry(load).or_default();
        (*count, *time) = (*count + 1, *time + took);
        let (done, all) = (self.all - self.left.len(), self.all);
        eprintln!("[{done:>3}/{all}] {shown} ({} left)", show(self.left()));
    }

    /// How long the rest takes if each load takes as long as before, and new ones as long as the others.
    fn left(&self) -> Duration {
        let (count, time) = self
            .spent
            .values()
            .fold((0, Duration::ZERO), |(count, time), (more, longer)| (count + more, time + *longer));
        let usual = time / count.max(1);
        let expected = |load: &&str| self.spent.get(*load).map_or(usual, |(count, time)| *time / *count);
        self.left.iter().map(expected).sum()
    }
}

fn show(left: Duration) -> String {
    let seconds = left.as_secs();
    if seconds < 90 { format!("{seconds} s") } else { format!("{} min", (seconds + 30) / 60) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rest_takes_as_long_as_before() {
        let mut progress = Progress::new(vec!["fast", "slow", "fast", "slow", "new"]);
        progress.done("fast", Duration::from_secs(1), "");
        progress.done("slow", Duration::from_secs(9), "");
        assert_eq!(progress.left(), Duration::from_secs(15));
        assert_eq!(show(Duration::from_secs(24)), "24 s");
        assert_eq!(show(Duration::from_secs(179)), "3 min");
    }
}
