//! Who is connected, and who has to go for somebody else.
//!
//! In go connections and when they last asked something. Where a source has too many, one of its own goes; where there are too many in
//! all, one of the source that has most: who has one connection goes last, whatever others do. Of sources that have as many, it is the
//! one of which somebody has asked nothing, or else waited, for longest. First to go of a source is who has asked nothing for the
//! longest time; where all have requests under way, who began last: the others are sooner done. Whoever has proved who he is
//! ([`Pulse::stays`]) has to go for nobody and takes no place of those who have not: how many of them there may be is deliberately not
//! known here.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::{AbortHandle, Id, JoinSet};
use tokio::time::{Instant, timeout};
use tracing::debug;

use super::{Limits, Source};

/// How often it is looked whether requests are over, at the end.
const LOOK: Duration = Duration::from_millis(10);

/// All connections. They end with it.
#[derive(Debug)]
pub struct Guests {
    limits: Limits,
    /// Those that may have to go, oldest first.
    all: Vec<Guest>,
    /// Those that have been let go of and have not gone yet.
    leaving: HashSet<Id>,
    tasks: JoinSet<()>,
}

/// What there was too much of, so that somebody had to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Full {
    /// Connections of this source.
    Source,
    /// Connections.
    All,
}

#[derive(Debug)]
struct Guest {
    source: Option<Source>,
    pulse: Arc<Pulse>,
    task: AbortHandle,
}

/// Whose connections are counted together. Where one comes from that has no source, nobody knows: it counts by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Party {
    Source(Source),
    Alone(Id),
}

/// Those that come first have to go first.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Going {
    Idle(Instant),
    Asking(Reverse<(Instant, usize)>),
    Never,
}

/// What a connection is doing.
#[derive(Debug)]
pub struct Pulse(Mutex<Doing>);

/// Those that come first have been at it for longest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Doing {
    Nothing(Instant),
    Request(Instant),
    /// What it likes.
    Anything,
}

impl Pulse {
    fn new() -> Self {
        Self(Mutex::new(Doing::Nothing(Instant::now())))
    }

    /// A request is under way.
    pub fn asks(&self) {
        self.set(Doing::Request(Instant::now()));
    }

    /// It has been answered.
    pub fn rests(&self) {
        self.set(Doing::Nothing(Instant::now()));
    }

    /// It has proved who it is: it has to go for nobody any more, whatever it does.
    pub fn stays(&self) {
        self.set(Doing::Anything);
    }

    fn is_resting(&self) -> bool {
        matches!(self.doing(), Doing::Nothing(_))
    }

    fn has_to_go_for_nobody(&self) -> bool {
        self.doing() == Doing::Anything
    }

    fn set(&self, next: Doing) {
        let mut doing = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if *doing != Doing::Anything {
            *doing = next;
        }
    }

    fn doing(&self) -> Doing {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Doing {
    /// When it is somebody's turn to go, among those of one source; later places were taken later.
    fn going(self, place: usize) -> Going {
        match self {
            Self::Nothing(since) => Going::Idle(since),
            Self::Request(since) => Going::Asking(Reverse((since, place))),
            Self::Anything => Going::Never,
        }
    }
}

impl Guest {
    fn party(&self) -> Party {
        self.source.map_or_else(|| Party::Alone(self.task.id()), Party::Source)
    }
}

impl Guests {
    /// Nobody is connected.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self { limits, all: Vec::new(), leaving: HashSet::new(), tasks: JoinSet::new() }
    }

    /// Whether one more may come, or others can go for it.
    #[must_use]
    pub fn has_room(&self) -> bool {
        match self.limits {
            Limits::Wait { most } => self.tasks.len() < most,
            // Who has to go does so at once, but not at the same moment.
            Limits::Replace { most, .. } => self.leaving.len() < most,
        }
    }

    /// Serves one more; somebody else may have to go, which is told.
    pub fn admit<F>(&mut self, from: Option<IpAddr>, serve: impl FnOnce(Arc<Pulse>) -> F) -> Option<Full>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let source = from.map(Source::of);
        let full = match self.limits {
            Limits::Wait { .. } => None,
            Limits::Replace { most, per_source } => self.make_room(source, most, per_source),
        };
        let pulse = Arc::new(Pulse::new());
        let task = self.tasks.spawn(serve(Arc::clone(&pulse)));
        self.all.push(Guest { source, pulse, task });
        full
    }

    fn make_room(&mut self, source: Option<Source>, most: usize, per_source: usize) -> Option<Full> {
        self.all.retain(|guest| !guest.pulse.has_to_go_for_nobody());
        let own = source.map(Party::Source);
        if own.is_some_and(|own| self.all.iter().filter(|guest| guest.party() == own).count() >= per_source) {
            self.dismiss_of(own);
            Some(Full::Source)
        } else if self.all.len() >= most {
            self.dismiss_of(self.largest());
            Some(Full::All)
        } else {
            None
        }
    }

    /// Who has most connections.
    fn largest(&self) -> Option<Party> {
        let mut parties = HashMap::new();
        for (place, guest) in self.all.iter().enumerate() {
            let doing = (guest.pulse.doing(), place);
            let (count, first) = parties.entry(guest.party()).or_insert((0_usize, doing));
            *count += 1;
            *first = doing.min(*first);
        }
        let largest = parties.into_iter().max_by_key(|(_, (count, first))| (*count, Reverse(*first)));
        largest.map(|(party, _)| party)
    }

    fn dismiss_of(&mut self, party: Option<Party>) {
        let may_go = self.all.iter().enumerate().filter(|(_, guest)| Some(guest.party()) == party);
        let first = may_go.min_by_key(|(place, guest)| guest.pulse.doing().going(*place));
        let Some((first, _)) = first else { return };
        let guest = self.all.remove(first);
        debug!(source = ?guest.source, "too many connections, this one has been closed");
        guest.task.abort();
        self.leaving.insert(guest.task.id());
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

    /// Waits until all have gone. Cancel safe.
    pub async fn all_gone(&mut self) {
        while !self.tasks.is_empty() {
            self.gone().await;
        }
    }

    /// Waits until somebody has gone. Cancel safe.
    pub async fn gone(&mut self) {
        let gone = match self.tasks.join_next_with_id().await {
            Some(Ok((id, ()))) => id,
            Some(Err(error)) => error.id(),
            None => std::future::pending().await,
        };
        self.all.retain(|guest| guest.task.id() != gone);
        self.leaving.remove(&gone);
    }
}
