//! The life of one identity: fetch, publish, wait, fetch again, until dropped.
//!
//! ```text
//! Initializing ──▶ Available ◀──▶ Unavailable
//!       └───────────────────────────────▲
//! ```
//!
//! A certificate stays available while a renewal runs or fails, until it expires. When to come back is decided by
//! [`culvert_core::renewal`]; a connection that waits ([`Renewer::demand`]) cuts a pause short, and so do a reason to renew
//! everything ([`Source::renew_all`]), a revocation list with our own certificate, and an issuer that has something newer. Whose turn it is to ask is decided by [`super::queue`].

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use culvert_core::identity::SpiffeId;
use culvert_core::renewal;
use culvert_process::exit::Chain;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::certificate::Certificate;
use super::issuer::{self, Issuance, Issuer};
use super::queue::{Place, Priority, Queue};
use super::revocation::Lists;
use super::trust::Trust;

/// The shortest time between two attempts that connections caused.
const DEMAND_GAP: Duration = Duration::from_secs(1);

/// How often the wall clock is looked at while waiting: the monotonic clock does not count the time a machine sleeps.
const LOOK: Duration = Duration::from_secs(30);

/// Over how long the renewals are spread when everything is renewed.
const SPREAD: Duration = Duration::from_secs(2);

/// What is known of one identity.
#[derive(Debug)]
pub(super) enum State {
    /// The first fetch has not ended.
    Initializing,
    /// A certificate, valid unless it has expired since.
    Available(Arc<Certificate>),
    /// The last fetch failed and no valid certificate is held.
    Unavailable(issuer::Error),
}

/// What all renewers share.
pub(super) struct Source {
    issuer: Arc<dyn Issuer>,
    trust: Trust,
    queue: Queue,
    clock: Box<dyn Fn() -> SystemTime + Send + Sync>,
    all: watch::Sender<()>,
}

/// What may come while a renewer waits, besides what its issuer has to say.
struct News {
    /// Everything is to be renewed.
    all: watch::Receiver<()>,
    lists: watch::Receiver<Arc<Lists>>,
}

/// Keeps one identity.
pub(super) struct Renewer {
    pub(super) id: SpiffeId,
    pub(super) source: Arc<Source>,
    pub(super) publish: watch::Sender<State>,
    /// A connection waits for a certificate.
    pub(super) demand: Arc<Notify>,
    /// Why it was not renewed the last time; whoever uses the certificate need not know.
    pub(super) trouble: Trouble,
}

/// What the last attempt failed by, in words.
pub(super) type Trouble = Arc<Mutex<Option<String>>>;

impl Source {
    pub(super) fn new(
        issuer: Arc<dyn Issuer>,
        trust: Trust,
        clock: Box<dyn Fn() -> SystemTime + Send + Sync>,
    ) -> Self {
        Self { issuer, trust, queue: Queue::new(), clock, all: watch::Sender::new(()) }
    }

    /// The wall clock.
    pub(super) fn now(&self) -> SystemTime {
        (self.clock)()
    }

    /// Has every renewer ask anew within [`SPREAD`].
    pub(super) fn renew_all(&self) {
        self.all.send_replace(());
    }
}
impl Renewer {
    /// Runs for ever; the first certificate matters as much as `priority` says.
    pub(super) async fn run(self, mut priority: Priority) {
        let mut failures = 0;
        let mut issuance = Arc::clone(&self.source.issuer).issuance(&self.id);
        let mut news = News { all: self.source.all.subscribe(), lists: self.source.trust.lists() };
        loop {
            let call = self.turn(priority).await;
            news.all.mark_unchanged();
            news.lists.mark_unchanged();
            let started = Instant::now();
            let result = issuance.issue().await;
            drop(call);
            let (pause, earliest) = match result {
                Ok(certificate) => {
                    failures = 0;
                    (self.available(certificate), started + DEMAND_GAP)
                }
                Err(error) => {
                    failures += 1;
                    // No connection is in such a hurry that an issuer who wants to be left alone is not.
                    let quiet = Instant::now() + renewal::quiet(error.pushback(), rand::random());
                    (self.failed(error, failures), quiet.max(started + DEMAND_GAP))
                }
            };
            priority = self.wait(pause, earliest, &mut *issuance, &mut news).await;
        }
    }

    /// Waits for the turn to call the authority.
    async fn turn(&self, priority: Priority) -> Place {
        let mut place = self.source.queue.join(priority, Instant::now());
        loop {
            tokio::select! {
                biased;
                () = place.turn() => return place,
                () = self.demand.notified() => place.raise(Priority::RealTime),
            }
        }
    }

    /// Publishes a certificate, unless it is the one that is there already; says when to ask for the next.
    fn available(&self, certificate: Certificate) -> Duration {
        let pause = renewal::after_success(certificate.validity(), self.source.now(), rand::random());
        if self.is_held(&certificate) {
            tracing::debug!(identity = %self.id, serial = %certificate.serial(), asked_again_in = ?pause, "still the same certificate");
            self.note(None);
            return pause;
        }
        tracing::info!(identity = %self.id, serial = %certificate.serial(), renewal_in = ?pause, "certificate available");
        let certificate = certificate.trusting(&self.source.trust);
        self.note(None);
        self.publish.send_replace(State::Available(Arc::new(certificate)));
        pause
    }

    /// Publishes a failure unless a valid certificate is held; says when to try again.
    fn failed(&self, error: issuer::Error, failures: u32) -> Duration {
        let held = self.held();
        let pause = renewal::after_failure(failures, held, error.pushback(), rand::random());
        let valid_for = held.unwrap_or_default();
        tracing::warn!(
            identity = %self.id, error = %Chain(&error), retry_in = ?pause, ?valid_for, "certificate not renewed"
        );
        self.note(Some(Chain(&error).to_string()));
        if held.is_none() {
            self.publish.send_replace(State::Unavailable(error));
        }
        pause
    }

    fn note(&self, trouble: Option<String>) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
    }

    /// How long the certificate in use is still valid; `None` when there is none.
    fn held(&self) -> Option<Duration> {
        let State::Available(certificate) = &*self.publish.borrow() else { return None };
        let validity = certificate.validity();
        let now = self.source.now();
        validity.contains(now).then(|| validity.remaining(now))
    }

    /// Whether this is the certificate in use, and its roots are the same.
    fn is_held(&self, certificate: &Certificate) -> bool {
        matches!(&*self.publish.borrow(), State::Available(held) if held.is_same(certificate))
    }

    fn is_revoked(&self) -> bool {
        matches!(&*self.publish.borrow(), State::Available(certificate) if certificate.is_revoked())
    }

    /// Waits for the pause to end by either clock; or, after `earliest`, for a connection that has nothing to use or for what the
    /// issuer has to say; or, a random while after them, for news. Says how much the next attempt matters.
    async fn wait(
        &self,
        pause: Duration,
        earliest: Instant,
        issuance: &mut dyn Issuance,
        news: &mut News,
    ) -> Priority {
        let mut end = Instant::now() + pause;
        let mut told = false;
        let due = self.source.now() + pause;
        let soon = || Instant::now() + SPREAD.mul_f64(rand::random());
        while Instant::now() < end && self.source.now() < due {
            tokio::select! {
                () = tokio::time::sleep_until(end.min(Instant::now() + LOOK)) => {}
                () = issuance.news(), if !told => {
                    told = true;
                    end = end.min(earliest);
                }
                Ok(()) = news.all.changed() => end = end.min(soon()),
                Ok(()) = news.lists.changed() => {
                    if self.is_revoked() {
                        tracing::error!(identity = %self.id, "our own certificate is revoked; it is renewed");
                        end = end.min(soon());
                    }
                }
                () = self.demand.notified() => {
                    if self.held().is_none() {
                        tokio::time::sleep_until(earliest).await;
                        return Priority::RealTime;
                    }
                }
            }
        }
        Priority::Background
    }
}
