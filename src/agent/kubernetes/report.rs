//! Tells Kubernetes what has become of the node's pods: an annotation others believe, and events people read.
//!
//! In go views, boards and occurrences; out come patches and events. What is told is what was verified: a pod is called protected
//! while it is, and not because somebody asked for it.

use std::sync::Arc;

use culvert_kubernetes::{Client, Pace};

pub(crate) use self::clear::clear_claims;
pub(crate) use self::withdrawal::Withdrawal;
use self::withdrawal::Withdrawing;
use super::settings::Settings;
use crate::board::{Boards, Told};
use crate::cluster::Views;

mod claims;
mod clear;
mod events;
mod patch;
mod withdrawal;
mod writer;

#[cfg(test)]
mod tests;

/// Who tells.
pub(crate) struct Reporter {
    client: Client,
    node: Arc<str>,
    pace: Pace,
    withdrawing: Withdrawing,
}

impl Reporter {
    pub(crate) fn new(client: Client, settings: &Settings, pace: Pace) -> Self {
        Self { client, node: settings.node().into(), pace, withdrawing: Withdrawing::default() }
    }

    /// With which all that was claimed of pods can be taken back while it runs.
    pub(crate) fn withdrawal(&self) -> Withdrawal {
        Withdrawal::new(self.client.clone(), Arc::clone(&self.node), &self.withdrawing)
    }

    /// Runs until nobody publishes views or boards, and nobody tells of anything.
    pub(crate) async fn run(self, views: Views, boards: Boards, occurrences: Told) {
        let annotations = writer::run(&self.client, &self.pace, views, boards, self.withdrawing.asked());
        let events = events::run(&self.client, &self.node, &self.pace, occurrences);
        tokio::join!(annotations, events);
    }
}
