//! Tells Kubernetes what has become of the node's pods: an annotation others believe, and events people read.
//!
//! In go views, boards and occurrences; out come patches and events. What is told is what was verified: a pod is called protected
//! while it is, and not because somebody asked for it.

use std::sync::Arc;

use kube::Client;

pub(crate) use self::clear::clear_claims;
use super::pause::Pace;
use super::settings::Settings;
use crate::board::{Boards, Told};
use crate::cluster::Views;

mod claims;
mod clear;
mod events;
mod patch;
mod writer;

#[cfg(test)]
mod tests;

/// Who tells.
#[derive(Clone)]
pub(crate) struct Reporter {
    client: Client,
    node: Arc<str>,
    pace: Pace,
}

impl Reporter {
    pub(crate) fn new(client: Client, settings: &Settings, pace: Pace) -> Self {
        Self { client, node: settings.node().into(), pace }
    }

    /// Runs until nobody publishes views or boards, and nobody tells of anything.
    pub(crate) async fn run(self, views: Views, boards: Boards, occurrences: Told) {
        let annotations = writer::run(&self.client, &self.pace, views, boards);
        let events = events::run(&self.client, &self.node, &self.pace, occurrences);
        tokio::join!(annotations, events);
    }
}
