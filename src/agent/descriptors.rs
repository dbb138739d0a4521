//! Whether the agent has file descriptors for all the pods it shall enrol.
//!
//! In go the limit and how many pods are wanted; out come a decision on each further pod and one warning while they do not fit. A
//! pod that is refused here has a reason and is tried again; without it, whatever comes first would fail somewhere, at random. It
//! counts pods, not descriptors: those of short work come and go.

/// What one pod takes: its namespace, held by the enrolment, once more as the container runtime has named it, and three to hear of
/// changes in it.
const OF_A_POD: u64 = 5;

/// What all else takes at most: nodes, callers of the API, the watches of the cluster, and the programs at work on pods.
const OF_ALL_ELSE: u64 = 256;

/// The descriptors the agent has for pods.
#[derive(Debug)]
pub(crate) struct Budget {
    limit: u64,
    warned: bool,
}

/// There are no descriptors for another pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the agent may have {limit} files open, which is enough for {room} pods; raise its limit (LimitNOFILE, ulimit -n) to {needed} \
     or more"
)]
pub(crate) struct Full {
    /// The limit in force.
    pub(crate) limit: u64,
    /// How many pods it is enough for.
    pub(crate) room: usize,
    /// A limit that would be enough for the pods that are wanted.
    pub(crate) needed: u64,
}

impl Budget {
    /// With the limit on open files that is in force.
    pub(crate) fn new(limit: u64) -> Self {
        Self { limit, warned: false }
    }

    /// How many pods there can be.
    pub(crate) fn room(&self) -> usize {
        usize::try_from(self.limit.saturating_sub(OF_ALL_ELSE) / OF_A_POD).unwrap_or(usize::MAX)
    }

    /// Whether there is room for one more, beside those that have a place; `wanted` are all of them.
    ///
    /// # Errors
    /// When there is none, with what to do.
    pub(crate) fn admit(&self, placed: usize, wanted: usize) -> Result<(), Full> {
        if placed < self.room() { Ok(()) } else { Err(self.full(wanted)) }
    }

    /// Takes note of how many pods are wanted; says so, once, when they begin to be too many.
    pub(crate) fn note_wanted(&mut self, wanted: usize) {
        metrics::gauge!("culvert_agent_open_files_limit").set(self.limit as f64);
        metrics::gauge!("culvert_agent_open_files_needed").set(needed(wanted) as f64);
        if let Some(full) = self.news(wanted) {
            tracing::error!(wanted, reason = %full, "not all pods can be enrolled");
        }
    }

    fn news(&mut self, wanted: usize) -> Option<Full> {
        let too_many = wanted > self.room();
        let news = too_many && !self.warned;
        self.warned = too_many;
        news.then(|| self.full(wanted))
    }

    fn full(&self, wanted: usize) -> Full {
        Full { limit: self.limit, room: self.room(), needed: needed(wanted.max(self.room() + 1)) }
    }
}

/// The limit that is enough for this many pods.
fn needed(pods: usize) -> u64 {
    OF_ALL_ELSE.saturating_add(OF_A_POD.saturating_mul(pods as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_limits_are_enough_for_a_node_full_of_pods() {
        assert!(Budget::new(1_048_576).room() > 100_000);
        assert!(Budget::new(20_000).room() > 1_000);
        assert_eq!(Budget::new(1_024).room(), 153);
        assert_eq!(Budget::new(10).room(), 0);
    }

    #[test]
    fn pods_beyond_the_limit_are_refused_with_the_limit_that_would_do() {
        let budget = Budget::new(1_024);
        budget.admit(152, 500).unwrap();
        let full = budget.admit(153, 500).unwrap_err();
        assert_eq!(full, Full { limit: 1_024, room: 153, needed: 2_756 });
        assert!(Budget::new(full.needed).room() >= 500, "what it says would do does");
        let sentence = full.to_string();
        assert!(sentence.contains("1024 files") && sentence.contains("to 2756"), "{sentence}");
        // Pods that are on their way out hold theirs for a while.
        assert!(Budget::new(budget.admit(153, 153).unwrap_err().needed).room() > 153);
    }

    #[test]
    fn it_is_said_once_each_time_the_pods_begin_to_be_too_many() {
        let mut budget = Budget::new(1_024);
        let said = [153, 154, 400, 154, 153, 154].map(|wanted| budget.news(wanted).is_some());
        assert_eq!(said, [false, true, false, false, false, true]);
    }
}
