//! A wire that is long and bad: every frame takes its time, and some are lost.
//!
//! In go two ends and a [`Quality`]; out comes a wire between them, and how many frames it has carried and lost. It neither
//! reorders nor damages frames, and its bandwidth is what one thread for each direction can move.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use culvert_sys::ethernet::Ethernet;

use crate::Error;
use crate::error::Doing as _;
use crate::host::End;

/// How bad a wire is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quality {
    /// How long there and back again takes.
    pub round_trip: Duration,
    /// How likely a frame is lost, in each direction.
    pub loss_percent: u8,
}

/// A slow wire. Cheap to clone; it carries frames until its lab is dropped.
#[derive(Debug, Clone)]
pub struct SlowWire(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    cut: AtomicBool,
    carried: AtomicU64,
    lost: AtomicU64,
}

/// One direction.
struct Lane {
    from: Arc<Ethernet>,
    to: Arc<Ethernet>,
    delay: Duration,
    loss_percent: u8,
    chance: Chance,
    /// Frames on their way, and when each arrives. All take the same time, so the first is the next.
    travelling: VecDeque<(Instant, Vec<u8>)>,
    shared: Arc<Shared>,
}

/// How long one look for a frame lasts, and how late a wire may notice that it was cut.
const LOOK: Duration = Duration::from_millis(20);
/// Frames on their way in one direction: what does not fit is lost, as in the queue of a router.
const ROOM: usize = 20_000;

impl SlowWire {
    /// Makes the interfaces at both ends, without addresses, and begins to carry.
    pub(crate) fn open(left: &End<'_>, right: &End<'_>, quality: Quality) -> Result<Self, Error> {
        let plug = |end: &End<'_>| {
            let plug = Ethernet::create(end.netns, end.interface);
            plug.map(Arc::new).doing(|| format!("make interface {} on /dev/net/tun", end.interface))
        };
        let (left, right) = (plug(left)?, plug(right)?);
        let shared = Arc::new(Shared::default());
        for (seed, from, to) in [(1, &left, &right), (2, &right, &left)] {
            let lane = Lane {
                from: Arc::clone(from),
                to: Arc::clone(to),
                delay: quality.round_trip / 2,
                loss_percent: quality.loss_percent,
                chance: Chance(seed),
                travelling: VecDeque::new(),
                shared: Arc::clone(&shared),
            };
            let carry = thread::Builder::new().name("lab-slow-wire".into()).spawn(move || lane.carry());
            carry.doing(|| "start a thread for a slow wire".into())?;
        }
        Ok(Self(shared))
    }

    /// How many frames were carried so far.
    #[must_use]
    pub fn carried(&self) -> u64 {
        self.0.carried.load(Ordering::Relaxed)
    }

    /// How many frames were lost so far.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.0.lost.load(Ordering::Relaxed)
    }

    pub(crate) fn cut(&self) {
        self.0.cut.store(true, Ordering::Relaxed);
    }
}

impl Lane {
    fn carry(mut self) {
        while !self.shared.cut.load(Ordering::Relaxed) {
            let now = Instant::now();
            self.deliver(now);
            let next = self.travelling.front().map(|(due, _)| due.saturating_duration_since(now));
            match self.from.next(next.map_or(LOOK, |next| next.min(LOOK))) {
                Ok(Some(frame)) => self.take(frame),
                Ok(None) => {}
                Err(error) if is_down(&error) => thread::sleep(LOOK),
                // The interface went away, and the wire with it.
                Err(_) => return,
            }
        }
    }

    fn take(&mut self, frame: Vec<u8>) {
        if self.chance.percent() < self.loss_percent || self.travelling.len() >= ROOM {
            self.shared.lost.fetch_add(1, Ordering::Relaxed);
        } else {
            self.travelling.push_back((Instant::now() + self.delay, frame));
        }
    }

    fn deliver(&mut self, now: Instant) {
        while self.travelling.front().is_some_and(|(due, _)| *due <= now) {
            let Some((_, frame)) = self.travelling.pop_front() else { return };
            // An end that is down receives nothing.
            let counter = if self.to.send(&frame).is_ok() { &self.shared.carried } else { &self.shared.lost };
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// An interface that has not been set up yet.
fn is_down(error: &io::Error) -> bool {
    const EIO: i32 = 5;
    error.raw_os_error() == Some(EIO)
}

/// Chance that is the same each time (xorshift64).
struct Chance(u64);

impl Chance {
    fn percent(&mut self) -> u8 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        u8::try_from((self.0 >> 32) % 100).expect("a remainder of a hundred is small")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chance_keeps_to_its_percentage() {
        for seed in [1, 2] {
            let mut chance = Chance(seed);
            let hits = (0..10_000).filter(|_| chance.percent() < 5).count();
            assert!((400..600).contains(&hits), "{hits}");
        }
    }
}
