//! What is reviewed against what, and how long everything may take.

use std::time::Duration;

use culvert_token::Account;

use crate::budget::Pace;

use super::turns::Places;

/// What callers are judged by.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// Whom tokens must be for: one of these.
    pub(crate) audiences: Vec<String>,
    /// Whose pods are the proxies of their nodes.
    pub(crate) trusted: Vec<Account>,
    /// Where identities are.
    pub(crate) trust_domain: String,
    /// The namespace whose policies are for everybody.
    pub(crate) root_namespace: String,
    pub(crate) timing: Timing,
}

/// How long answers are good for, and what may be had at once.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timing {
    /// How long a yes is believed.
    pub(crate) yes: Duration,
    /// How long a no is.
    pub(crate) no: Duration,
    /// How long it is believed that the API server cannot be asked.
    pub(crate) away: Duration,
    /// How long a yes is believed while the API server cannot be asked.
    pub(crate) overdue: Duration,
    /// How often streams are looked at again, give or take a fifth.
    pub(crate) again: Duration,
    /// How long a review may take, waiting for others included.
    pub(crate) deadline: Duration,
    pub(crate) places: Places,
    /// Tokens that are remembered: those that are good, and as many others.
    pub(crate) entries: usize,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            yes: Duration::from_secs(60),
            no: Duration::from_secs(5),
            away: Duration::from_secs(2),
            overdue: Duration::from_secs(600),
            again: Duration::from_secs(240),
            deadline: Duration::from_secs(5),
            places: Places {
                of_known: 4,
                of_nodes: 8,
                of_pods: 8,
                of_strangers: 4,
                bad: Pace { in_a_row: 20, one_more: Duration::from_secs(1) },
                bad_of_a_pod: Pace { in_a_row: 5, one_more: Duration::from_secs(1) },
                bad_of_all_pods: Pace { in_a_row: 50, one_more: Duration::from_millis(200) },
            },
            entries: 20_000,
        }
    }
}
