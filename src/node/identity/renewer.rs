//! The life of one identity: fetch, publish, wait, fetch again, until dropped.
//!
//! ```text
//! Initializing ──▶ Available ◀──▶ Unavailable
//!       └───────────────────────────────▲
//! ```
//!
//! A certificate stays available while a renewal runs or fails, until it expires. When to come back is decided by
//! [`culvert_core::renewal`]; a connection that waits ([`Renewer::demand`]) cuts a pause short.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use culvert_core::identity::SpiffeId;
use culvert_core::renewal;
use culvert_process::exit::Chain;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::ca::{self, Authority};
use super::certificate::Certificate;
use super::slots::Slots;

/// The shortest time between two attempts that connections caused.
const DEMAND_GAP: Duration = Duration::from_secs(1);

/// How often the wall clock is looked at while waiting: the monotonic clock does not count the time a machine sleeps.
const LOOK: Duration = Duration::from_secs(30);

/// What is known of one identity.
#[derive(Debug)]
pub(super) enum State {
    /// The first fetch has not ended.
    Initializing,
    /// A certificate, valid unless it has expired since.
    Available(Arc<Certificate>),
    /// The last fetch failed and no valid certificate is held.
    Unavailable(ca::Error),
}

/// What all renewers share.
pub(super) struct Source {
    ca: Box<dyn Authority>,
    slots: Slots,
    clock: Box<dyn Fn() -> SystemTime + Send + Sync>,
}

/// Keeps one identity.
pub(super) struct Renewer {
    pub(super) id: SpiffeId,
    pub(super) source: Arc<Source>,
    pub(super) publish: watch::Sender<State>,
    /// Somebody waits for a certificate.
    pub(super) demand: Arc<Notify>,
}

impl Source {
    pub(super) fn new(ca: Box<dyn Authority>, clock: Box<dyn Fn() -> SystemTime + Send + Sync>) -> Self {
        Self { ca, slots: Slots::new(), clock }
    }

    /// The wall clock.
    pub(super) fn now(&self) -> SystemTime {
        (self.clock)()
    }
}

impl Renewer {
    /// Runs for ever.
    pub(super) async fn run(self) {
        let mut failures = 0;
        loop {
            let slot = self.source.slots.take(&self.demand).await;
            let started = Instant::now();
            let result = self.source.ca.issue(&self.id).await;
            drop(slot);
            let pause = match result {
                Ok(certificate) => {
                    failures = 0;
                    self.available(certificate)
                }
                Err(error) => {
                    failures += 1;
                    self.failed(error, failures)
                }
            };
            self.wait(pause, started + DEMAND_GAP).await;
        }
    }

    /// Publishes a new certificate; says when to renew it.
    fn available(&self, certificate: Certificate) -> Duration {
        let pause = renewal::after_success(certificate.validity(), self.source.now(), rand::random());
        tracing::info!(identity = %self.id, serial = %certificate.serial(), renewal_in = ?pause, "certificate available");
        self.publish.send_replace(State::Available(Arc::new(certificate)));
        pause
    }

    /// Publishes a failure unless a valid certificate is held; says when to try again.
    fn failed(&self, error: ca::Error, failures: u32) -> Duration {
        let held = self.held();
        let pause = renewal::after_failure(failures, held, rand::random());
        let valid_for = held.unwrap_or_default();
        tracing::warn!(
            identity = %self.id, error = %Chain(&error), retry_in = ?pause, ?valid_for, "certificate not renewed"
        );
        if held.is_none() {
            self.publish.send_replace(State::Unavailable(error));
        }
        pause
    }

    /// How long the certificate in use is still valid; `None` when there is none.
    fn held(&self) -> Option<Duration> {
        let State::Available(certificate) = &*self.publish.borrow() else { return None };
        let validity = certificate.validity();
        let now = self.source.now();
        validity.contains(now).then(|| validity.remaining(now))
    }

    /// Waits for the pause to end by either clock, or, after `earliest`, for a connection that has nothing to use.
    async fn wait(&self, pause: Duration, earliest: Instant) {
        let end = Instant::now() + pause;
        let due = self.source.now() + pause;
        while Instant::now() < end && self.source.now() < due {
            tokio::select! {
                () = tokio::time::sleep_until(end.min(Instant::now() + LOOK)) => {}
                () = self.demand.notified() => {
                    if self.held().is_none() {
                        tokio::time::sleep_until(earliest).await;
                        return;
                    }
                }
            }
        }
    }
}
