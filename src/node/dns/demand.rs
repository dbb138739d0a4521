//! Names the snapshot lacks, where the control plane tells only what it is asked for: one pod's queries have it asked, and wait a
//! little for what it says.
//!
//! ```text
//! names ─▶ asked before? ─▶ is the control plane worth waiting for? ─▶ ask: once for all who ask, within the pod's budget
//!              │                     │ no: DNS must not hang on it        │
//!              └─ that still holds ──┴──────────────▶ go on ◀─────────────┴─ answered, or DEADLINE
//! ```
//! In go names of resources; when this returns, the snapshot has what there is, or others are asked as if there were nothing. What
//! is found stays subscribed to, as whatever connections ask for; the next query finds it in the snapshot. What comes of a question
//! late is not lost either. It does not know names of DNS, and answers nothing.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, timeout};

mod asked;
mod patience;

use asked::{Asked, Holds};
pub(super) use patience::Patience;
use patience::Turn;

use super::account::{self, Demanded};
use super::flights::Flights;
use crate::mesh::{Heard, Mesh};

/// How long a query waits for what the control plane says.
pub(super) const DEADLINE: Duration = Duration::from_millis(500);
/// Names of one pod the control plane is asked for at the same time: with as many pods as a node has, there is room for the names
/// connections ask for.
const AT_ONCE: usize = 64;
/// Queries of one pod that wait at the same time.
const WAITING: usize = 1024;

/// What one pod has the control plane asked.
#[derive(Debug)]
pub(super) struct Demands {
    mesh: Mesh,
    /// That of the node: its pods have one control plane.
    patience: Patience,
    asked: Asked,
    flights: Flights<Arc<str>, ()>,
    places: Arc<Semaphore>,
    waiting: Semaphore,
}

/// Resolves to something when a name is settled.
type Settling = watch::Receiver<Option<()>>;

impl Demands {
    pub(super) fn new(mesh: Mesh, patience: Patience) -> Self {
        Self {
            mesh,
            patience,
            asked: Asked::default(),
            flights: Flights::default(),
            places: Arc::new(Semaphore::new(AT_ONCE)),
            waiting: Semaphore::new(WAITING),
        }
    }

    /// Leaves out the names that were asked for lately.
    pub(super) fn of_use(&self, mut names: Vec<Arc<str>>) -> Vec<Arc<str>> {
        names.retain(|name| !self.asked.is_held(name));
        names
    }

    /// Has the control plane asked, and returns when the snapshot has what it says, or when it is not worth waiting any longer.
    pub(super) async fn learn(&self, names: &[Arc<str>]) {
        if !names.is_empty() {
            account::demanded(self.ask_for(names).await);
        }
    }

    async fn ask_for(&self, names: &[Arc<str>]) -> Demanded {
        let Ok(_waiting) = self.waiting.try_acquire() else { return Demanded::TooMany };
        let turn = self.patience.turn();
        if turn == Turn::Pass {
            return Demanded::NotWaited;
        }
        let settling: Vec<_> = names.iter().filter_map(|name| self.begin(name)).collect();
        if settling.is_empty() {
            return Demanded::TooMany;
        }
        if turn == Turn::Try {
            return Demanded::NotWaited;
        }
        if timeout(DEADLINE, all(settling)).await.is_ok() {
            return Demanded::Answered;
        }
        self.patience.timed_out();
        names.iter().for_each(|name| self.asked.hold(name, Holds::Shortly));
        Demanded::TimedOut
    }

    /// Asks for a name, unless that is being done; `None` when the pod has asked for too many.
    fn begin(&self, name: &Arc<str>) -> Option<Settling> {
        if let Some(settling) = self.flights.find(name) {
            return Some(settling);
        }
        let place = Arc::clone(&self.places).try_acquire_owned().ok().filter(|_| self.asked.pay())?;
        let (mesh, asked, patience) = (self.mesh.clone(), self.asked.clone(), self.patience.clone());
        let wanted = Arc::clone(name);
        Some(self.flights.begin(Arc::clone(name), async move {
            let _place = place;
            let began = Instant::now();
            match mesh.ask(Arc::clone(&wanted)).await {
                Ok(heard) => {
                    asked.hold(&wanted, Holds::Usual);
                    // Later ones are nothing to wait for, however many come.
                    if heard == Heard::Now && began.elapsed() <= DEADLINE {
                        patience.answered();
                    }
                }
                Err(error) => {
                    tracing::debug!(%error, "what a name is was not said");
                    asked.hold(&wanted, Holds::Shortly);
                }
            }
        }))
    }
}

async fn all(settling: Vec<Settling>) {
    for mut one in settling {
        // Fails when asking was given up: that is no reason to wait either.
        let _ = one.wait_for(Option::is_some).await;
    }
}
