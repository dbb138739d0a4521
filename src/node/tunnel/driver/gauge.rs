//! What others may know of a tunnel without asking its task. It holds nothing but numbers: who looks keeps nothing up.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// What others may know of a tunnel without asking its task.
#[derive(Debug)]
pub(crate) struct Gauge {
    /// Streams there may be at a time.
    capacity: AtomicU32,
    /// Streams there are.
    streams: AtomicUsize,
    /// It takes no new ones any more.
    leaving: AtomicBool,
    /// Until when it counts as busy with bulk, in ms since `began`.
    bulk_until: AtomicU64,
    /// From when on it counts as doubtful, if nothing comes before, in ms since `began`; 0 when it does not.
    doubtful_from: AtomicU64,
    began: Instant,
}

/// Whether a tunnel takes streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TunnelState {
    Open,
    /// It is busy with bulk: others are opened for new streams.
    Bulk,
    /// Its peer says nothing, and others are asked rather.
    Doubtful,
    /// It takes no new ones, and ends when the last is over.
    Leaving,
}

/// How long a peer that was asked for a stream may be quiet before others are asked rather: twice as long as until it is asked whether
/// it is there, which takes a round trip.
const DOUBT: Duration = Duration::from_secs(1);

/// How long a stream is remembered as bulk after it was seen to be.
const BULK_FOR: Duration = Duration::from_secs(2);

impl Gauge {
    pub(super) fn new() -> Self {
        Self {
            capacity: AtomicU32::new(0),
            streams: AtomicUsize::new(0),
            leaving: AtomicBool::new(false),
            bulk_until: AtomicU64::new(0),
            doubtful_from: AtomicU64::new(0),
            began: Instant::now(),
        }
    }

    /// Whether it takes streams.
    pub(crate) fn state(&self) -> TunnelState {
        if self.is_leaving() {
            TunnelState::Leaving
        } else if self.is_doubtful() {
            TunnelState::Doubtful
        } else if self.is_bulk() {
            TunnelState::Bulk
        } else {
            TunnelState::Open
        }
    }

    /// Streams there are.
    pub(crate) fn streams(&self) -> usize {
        self.streams.load(Ordering::Relaxed)
    }

    pub(super) fn has(&self, streams: usize) {
        self.streams.store(streams, Ordering::Relaxed);
    }

    pub(super) fn takes(&self, capacity: u32, leaving: bool) {
        self.capacity.store(capacity, Ordering::Release);
        self.leaving.store(leaving, Ordering::Release);
    }

    /// Streams there may be at a time.
    pub(crate) fn capacity(&self) -> u32 {
        self.capacity.load(Ordering::Acquire)
    }

    /// Whether the peer takes no new streams.
    pub(in crate::tunnel) fn is_leaving(&self) -> bool {
        self.leaving.load(Ordering::Acquire)
    }

    /// Whether a stream of the tunnel moves so much that others had better take another one.
    pub(in crate::tunnel) fn is_bulk(&self) -> bool {
        let until = self.bulk_until.load(Ordering::Relaxed);
        until > 0 && self.milliseconds(Instant::now()) < until
    }

    /// Whether the peer may have gone: it was asked for something a while ago, then whether it is there, and nothing has come.
    pub(in crate::tunnel) fn is_doubtful(&self) -> bool {
        let from = self.doubtful_from.load(Ordering::Relaxed);
        from > 0 && self.milliseconds(Instant::now()) >= from
    }

    pub(super) fn owes_since(&self, since: Option<Instant>) {
        let from = since.map_or(0, |since| self.milliseconds(since + DOUBT));
        if self.doubtful_from.load(Ordering::Relaxed) != from {
            self.doubtful_from.store(from, Ordering::Relaxed);
        }
    }

    pub(super) fn bulk(&self, now: Instant) {
        self.bulk_until.store(self.milliseconds(now + BULK_FOR), Ordering::Relaxed);
    }

    fn milliseconds(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.began).as_millis()).unwrap_or(u64::MAX)
    }
}
