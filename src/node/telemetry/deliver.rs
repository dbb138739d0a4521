//! From a queue to the collector: takes what waits, sends it, and tries again when that did not work.
//!
//! One request is under way at a time. What cannot be sent for a minute is dropped, so that what is sent is recent.

use std::time::Duration;

use culvert_process::exit::Chain;
use culvert_proto::otlp::common::Resource;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use super::client::{Client, Error};
use super::queue::Receiver;
use super::signal::Signal;

/// Time between two looks into the queue.
const LOOK: Duration = Duration::from_secs(1);

/// How long the same request is tried.
const GIVE_UP: Duration = Duration::from_secs(60);

const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// How long a collector is left alone when it asks for that.
const LONGEST_WISH: Duration = Duration::from_secs(30);

/// What carries one kind of telemetry.
pub(super) struct Delivery<S: Signal> {
    pub(super) waiting: Receiver<S::Item>,
    pub(super) client: Client,
    pub(super) resource: Resource,
    /// Becomes true at the end.
    pub(super) ending: watch::Receiver<bool>,
    pub(super) health: Health,
}

/// Whether the collector takes what it is sent, as it was told last.
#[derive(Debug, Default)]
pub(super) struct Health {
    fails: bool,
    /// What had been dropped when it began to fail.
    dropped: u64,
}

impl<S: Signal> Delivery<S> {
    /// Sends what is put into the queue, until the end.
    pub(super) async fn run(mut self) {
        while self.wait().await {
            self.empty().await;
        }
        self.empty().await;
    }

    /// Waits until it is time to look; false at the end.
    async fn wait(&mut self) -> bool {
        tokio::select! {
            // A sender that has gone is the end, too.
            _ = self.ending.wait_for(|ending| *ending) => false,
            () = sleep(LOOK) => true,
            () = self.waiting.full() => true,
        }
    }

    async fn empty(&mut self) {
        loop {
            let items = self.waiting.take();
            if items.is_empty() {
                return;
            }
            let count = items.len() as u64;
            let request = S::request(items, &self.resource);
            let sent = self.deliver(&request, count).await;
            self.waiting.settle(sent, count - sent);
        }
    }

    /// Sends a request, again and again if it must be; says how many of what is in it were taken.
    async fn deliver(&mut self, request: &S::Request, count: u64) -> u64 {
        let give_up = Instant::now() + GIVE_UP;
        let mut pause = FIRST_PAUSE;
        loop {
            let error = match self.client.send::<S>(request).await {
                Ok(response) => return self.taken(response, count),
                Err(error) => error,
            };
            self.health.fails::<S>(&error, &self.waiting);
            let asked_for = error.after().map(|after| after.min(LONGEST_WISH));
            let next = asked_for.unwrap_or_else(|| pause.mul_f64(rand::random_range(0.5..=1.0)));
            let ending = *self.ending.borrow();
            if ending || !error.may_pass() || Instant::now() + next > give_up {
                return 0;
            }
            tokio::select! {
                _ = self.ending.wait_for(|ending| *ending) => {}
                () = sleep(next) => {}
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    fn taken(&mut self, response: S::Response, count: u64) -> u64 {
        self.health.works::<S>(&self.waiting);
        let Some((rejected, why)) = S::rejected(response) else { return count };
        let rejected = u64::try_from(rejected).unwrap_or_default().min(count);
        if rejected > 0 {
            tracing::debug!(signal = S::NAME, rejected, why, "the collector has not taken all telemetry");
        }
        count - rejected
    }
}

impl Health {
    fn fails<S: Signal>(&mut self, error: &Error, waiting: &Receiver<S::Item>) {
        let (signal, error) = (S::NAME, Chain(error));
        if self.fails {
            tracing::debug!(signal, %error, "telemetry still cannot be sent");
            return;
        }
        (self.fails, self.dropped) = (true, waiting.dropped());
        tracing::warn!(signal, %error, "telemetry cannot be sent to the collector; it is dropped when too much of it waits");
    }

    fn works<S: Signal>(&mut self, waiting: &Receiver<S::Item>) {
        if std::mem::take(&mut self.fails) {
            let dropped = waiting.dropped().saturating_sub(self.dropped);
            tracing::info!(signal = S::NAME, dropped, "telemetry can be sent to the collector again");
        }
    }
}

#[cfg(test)]
mod tests;
