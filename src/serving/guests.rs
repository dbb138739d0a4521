//! Who is connected, and who has to go for somebody else.
//!
//! In go connections and when they last asked something. First to go is who has asked nothing for the longest time; among those
//! whose requests are under way, who waits longest.

use std::future::Future;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, timeout};
use tracing::debug;

use super::Limits;

/// How often it is looked whether requests are over, at the end.
const LOOK: Duration = Duration::from_millis(10);

/// All connections. They end with it.
pub(super) struct Guests {
    limits: Limits,
    /// Oldest first.
    all: Vec<Guest>,
    /// Those that had to go are in here until they have gone.
    tasks: JoinSet<()>,
}

struct Guest {
    source: Option<Source>,
    pulse: Arc<Pulse>,
    task: AbortHandle,
}

/// What one party can have as many addresses of as it likes counts as one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Source(IpAddr);

impl Source {
    fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V6(address) => {
                Self(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into())
            }
            address @ IpAddr::V4(_) => Self(address),
        }
    }
}

/// What a connection is doing.
#[derive(Debug)]
pub(super) struct Pulse(Mutex<Doing>);

/// Those that come first have to go first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Doing {
    Nothing(Instant),
    Request(Instant),
}

impl Pulse {
    fn new() -> Self {
        Self(Mutex::new(Doing::Nothing(Instant::now())))
    }

    /// A request is under way.
    pub(super) fn asks(&self) {
        self.set(Doing::Request(Instant::now()));
    }

    /// It has been answered.
    pub(super) fn rests(&self) {
        self.set(Doing::Nothing(Instant::now()));
    }

    fn is_resting(&self) -> bool {
        matches!(self.doing(), Doing::Nothing(_))
    }

    fn set(&self, doing: Doing) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = doing;
    }

    fn doing(&self) -> Doing {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Guests {
    pub(super) fn new(limits: Limits) -> Self {
        Self { limits, all: Vec::new(), tasks: JoinSet::new() }
    }

    /// Whether one more may come, or others can go for it.
    pub(super) fn has_room(&self) -> bool {
        match self.limits {
            Limits::Wait { most } => self.tasks.len() < most,
            // Who has to go does so at once, but not at the same moment.
            Limits::Replace { most, .. } => self.tasks.len() < most * 2,
        }
    }

    /// Serves one more; somebody else may have to go.
    pub(super) fn admit<F>(&mut self, from: Option<IpAddr>, serve: impl FnOnce(Arc<Pulse>) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let source = from.map(Source::of);
        if let Limits::Replace { most, per_source } = self.limits {
            self.make_room(source, most, per_source);
        }
        let pulse = Arc::new(Pulse::new());
        let task = self.tasks.spawn(serve(Arc::clone(&pulse)));
        self.all.push(Guest { source, pulse, task });
    }

    fn make_room(&mut self, source: Option<Source>, most: usize, per_source: usize) {
        let alike = |guest: &Guest| source.is_some() && guest.source == source;
        if self.all.iter().filter(|guest| alike(guest)).count() >= per_source {
            self.dismiss(alike);
        } else if self.all.len() >= most {
            self.dismiss(|_| true);
        }
    }

    fn dismiss(&mut self, may_go: impl Fn(&Guest) -> bool) {
        let may_go = self.all.iter().enumerate().filter(|(_, guest)| may_go(guest));
        let Some((first, _)) = may_go.min_by_key(|(_, guest)| guest.pulse.doing()) else { return };
        let guest = self.all.remove(first);
        debug!(source = ?guest.source, "too many connections, this one has been closed");
        guest.task.abort();
    }

    /// Waits until no request is under way.
    pub(super) async fn rest(&mut self) {
        while !self.all.is_empty() {
            for guest in self.all.iter().filter(|guest| guest.pulse.is_resting()) {
                guest.task.abort();
            }
            // Nobody tells when an answer was written: its task waits for the next request.
            let _ = timeout(LOOK, self.gone()).await;
        }
    }

    /// Waits until somebody has gone. Cancel safe.
    pub(super) async fn gone(&mut self) {
        let gone = match self.tasks.join_next_with_id().await {
            Some(Ok((id, ()))) => id,
            Some(Err(error)) => error.id(),
            None => std::future::pending().await,
        };
        self.all.retain(|guest| guest.task.id() != gone);
    }
}
