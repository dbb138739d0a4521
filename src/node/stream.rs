//! What is known of a byte stream while it is carried and when it is over, whatever carries it.
//!
//! The distinction that matters is between an *end* (FIN, END_STREAM: all bytes arrived) and a *break* (RST, RST_STREAM, a lost
//! connection: some may be missing). It is kept in both directions.

mod broken;
mod ends;
pub(crate) mod quiet;

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use culvert_sys::tcp::Info;

pub(crate) use broken::{Broken, Early, Loss, Reset};
pub(crate) use ends::{Closer, Ends, Side};
use quiet::{Ended, Limits, Moment, Quiet};

/// How long the last bytes of a side that broke may take to reach the other side.
pub(crate) const LAST_BYTES: Duration = Duration::from_secs(1);

/// Bytes moved so far, and how it ended; read by whoever reports on the connection.
#[derive(Debug, Default)]
pub(crate) struct Moved {
    /// From the connecting side to the accepting side.
    pub(crate) forth: Count,
    /// Back.
    pub(crate) back: Count,
    noted: ends::Noted,
    watched: quiet::Watched,
}

impl Moved {
    /// The same numbers, for who looks when all is over: they hold no metric.
    pub(crate) fn settled(&self) -> Self {
        Self {
            forth: self.forth.settled(),
            back: self.back.settled(),
            noted: self.noted.settled(),
            watched: quiet::Watched::default(),
        }
    }
}

/// The bytes of one direction: of this connection, and of the metric it belongs to once that is known.
#[derive(Debug, Default)]
pub(crate) struct Count {
    own: AtomicU64,
    /// How many of them the metric has.
    told: AtomicU64,
    metric: OnceLock<culvert_metrics::One>,
}

impl Moved {
    /// A side has said all it had to say, or broke. The first one counts.
    pub(crate) fn closed(&self, side: Side) {
        self.noted.close(side);
        self.watched.end(side);
    }

    /// Which sides have.
    pub(crate) fn ended(&self) -> Ended {
        self.watched.ended()
    }

    /// Since when one has.
    pub(crate) fn half_closed_since(&self) -> Option<Moment> {
        self.watched.half_closed_since()
    }

    /// Looks whether anything has moved since the last look. What is quiet for too long is told to end.
    pub(crate) fn look(&self, limits: &Limits, now: Moment) {
        self.watched.look(self.forth.bytes() + self.back.bytes(), limits, now);
    }

    /// Resolves when nothing has moved for too long. Whoever carries the connection waits for it. Cancel safe.
    pub(crate) async fn too_quiet(&self) -> Quiet {
        self.watched.told().await
    }

    /// It begins on a tunnel on which so much was sent again already.
    pub(crate) fn begin_after(&self, retransmits: u32) {
        self.noted.begin_after(retransmits);
    }

    /// It begins together with another one that carries it.
    pub(crate) fn begin_as(&self, other: &Self) {
        self.noted.begin_as(&other.noted);
    }

    /// What is known of a tunnel's socket, with what was sent again since this connection is on it.
    pub(crate) fn since_it_began(&self, far: Info) -> Info {
        self.noted.since_it_began(far)
    }

    /// Its sockets are about to be closed: the application's, and the network's.
    pub(crate) fn part(&self, near: Option<Info>, far: Option<Info>) {
        self.noted.part(near, far);
    }

    /// How it ended, as far as that was seen on the way of its bytes.
    pub(crate) fn ends(&self) -> Ends {
        self.noted.ends()
    }
}

impl Count {
    pub(crate) fn bytes(&self) -> u64 {
        self.own.load(Ordering::Relaxed)
    }

    pub(crate) fn add(&self, bytes: usize) {
        self.own.fetch_add(bytes as u64, Ordering::AcqRel);
        self.tell();
    }

    /// Says which metric these bytes belong to, those before included. The first one counts.
    pub(crate) fn belong_to(&self, metric: culvert_metrics::One) {
        let _ = self.metric.set(metric);
        self.tell();
    }

    fn settled(&self) -> Self {
        Self { own: self.bytes().into(), told: self.bytes().into(), metric: OnceLock::new() }
    }

    /// Whoever finds that the metric lacks bytes adds them, once.
    pub(crate) fn tell(&self) {
        let Some(metric) = self.metric.get() else { return };
        let all = self.own.load(Ordering::Acquire);
        let told = self.told.fetch_max(all, Ordering::AcqRel);
        if told < all {
            metric.add(all - told);
        }
    }
}
