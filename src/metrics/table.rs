//! The series of a family, or of families that share their labels: found, made within limits, dropped when idle.
//!
//! The text of the labels is the key. There are many locks, each over a few series; what is done under one is a look-up, now
//! and then a look for idle series among those few, or a copy of their pointers.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use hashbrown::HashTable;

use crate::labels;
use crate::series::{Place, Series, Shape};
use crate::{CLOSED, Settings};

/// How many locks there are.
const SHARDS: usize = 32;
/// Idle series are looked for this often before they are old enough.
const LOOKS: u32 = 16;
/// One in so many series may have labels that only a peer vouches for.
const GUESTS: usize = 10;

/// How many series there may be, and for how long.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    most: usize,
    idle: Option<Duration>,
    closed: &'static [&'static str],
}

impl Limits {
    pub(crate) fn of(settings: &Settings) -> Self {
        Self { most: settings.most_series, idle: settings.idle, closed: settings.closed }
    }

    fn is_closed(&self, label: &str) -> bool {
        self.closed.contains(&label)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self { closed: CLOSED, ..Self::of(&Settings::default()) }
    }
}

#[derive(Debug)]
pub(crate) struct Table {
    shape: Shape,
    limits: OnceLock<Limits>,
    /// The series without labels.
    bare: OnceLock<Arc<Series>>,
    /// Those with labels, once there are any.
    shards: OnceLock<Box<[Mutex<Shard>]>>,
    hasher: RandomState,
    own: AtomicUsize,
    guests: AtomicUsize,
    overflowed: AtomicU64,
}

#[derive(Debug)]
struct Shard {
    series: HashTable<Arc<Series>>,
    /// When idle series were last looked for.
    looked: Instant,
}

impl Table {
    pub(crate) fn new(shape: Shape, limits: Option<Limits>) -> Self {
        Self {
            shape,
            limits: limits.map_or_else(OnceLock::new, OnceLock::from),
            bare: OnceLock::new(),
            shards: OnceLock::new(),
            hasher: RandomState::new(),
            own: AtomicUsize::new(0),
            guests: AtomicUsize::new(0),
            overflowed: AtomicU64::new(0),
        }
    }

    /// Sets its limits. The first ones count.
    pub(crate) fn limit(&self, limits: Limits) {
        let _ = self.limits.set(limits);
    }

    pub(crate) fn shape(&self) -> &Shape {
        &self.shape
    }

    /// How often a series was asked for that there was no room for.
    pub(crate) fn overflowed(&self) -> u64 {
        self.overflowed.load(Ordering::Relaxed)
    }

    /// Finds or makes a series of its own, or the one that stands for those there is no room for.
    pub(crate) fn series<'l>(
        &self,
        labels: impl Iterator<Item = (&'l str, &'l str)> + Clone,
        now: impl Fn() -> Instant,
    ) -> Arc<Series> {
        let text = labels::text(labels.clone());
        if text.is_empty() {
            let bare = || Arc::new(Series::new("".into(), &self.shape, Place::Own, true, now()));
            return Arc::clone(self.bare.get_or_init(bare));
        }
        let lasts = self.lasts(labels.clone());
        self.find_or_make(&text, Place::Own, lasts, &now).unwrap_or_else(|| {
            self.overflowed.fetch_add(1, Ordering::Relaxed);
            let limits = self.limits();
            let kept = |(name, value)| (name, if limits.is_closed(name) { value } else { labels::OVERFLOW });
            let text = labels::text(labels.map(kept));
            self.find_or_make(&text, Place::Overflow, true, &now)
                .expect("there is always room for the overflow")
        })
    }

    /// Finds or makes a series whose labels only a peer vouches for, if there is room for one.
    pub(crate) fn guest<'l>(
        &self,
        labels: impl Iterator<Item = (&'l str, &'l str)> + Clone,
        now: impl Fn() -> Instant,
    ) -> Option<Arc<Series>> {
        self.find_or_make(&labels::text(labels), Place::Guest, false, &now)
    }

    /// All series, in no order.
    pub(crate) fn all(&self, now: Instant) -> Vec<Arc<Series>> {
        let mut all: Vec<_> = self.bare.get().cloned().into_iter().collect();
        for shard in self.shards.get().into_iter().flatten() {
            let mut shard = lock(shard);
            self.drop_idle(&mut shard, now);
            all.extend(shard.series.iter().cloned());
        }
        all
    }

    fn find_or_make(
        &self,
        text: &str,
        place: Place,
        lasts: bool,
        now: &impl Fn() -> Instant,
    ) -> Option<Arc<Series>> {
        let hash = self.hasher.hash_one(text);
        let mut shard = lock(self.shard(hash, now));
        if let Some(series) = shard.series.find(hash, |series| *series.labels == *text) {
            return Some(Arc::clone(series));
        }
        let now = now();
        self.drop_idle(&mut shard, now);
        if !self.reserve(place) {
            return None;
        }
        let series = Arc::new(Series::new(text.into(), &self.shape, place, lasts, now));
        let rehash = |series: &Arc<Series>| self.hasher.hash_one(&*series.labels);
        shard.series.insert_unique(hash, Arc::clone(&series), rehash);
        Some(series)
    }

    fn shard(&self, hash: u64, now: &impl Fn() -> Instant) -> &Mutex<Shard> {
        let shards = self.shards.get_or_init(|| {
            let looked = now();
            let shard = |_| Mutex::new(Shard { series: HashTable::new(), looked });
            (0..SHARDS).map(shard).collect()
        });
        // The table goes by the first and the last bits.
        &shards[(hash >> 32) as usize % SHARDS]
    }

    fn drop_idle(&self, shard: &mut Shard, now: Instant) {
        let Some(idle) = self.limits().idle else { return };
        if now.saturating_duration_since(shard.looked) < idle / LOOKS {
            return;
        }
        shard.looked = now;
        shard.series.retain(|series| {
            let idle = Series::is_idle(series, now, idle);
            if idle && let Some(places) = self.places(series.place) {
                places.fetch_sub(1, Ordering::Relaxed);
            }
            !idle
        });
    }

    fn reserve(&self, place: Place) -> bool {
        let limits = self.limits();
        let most = if place == Place::Guest { limits.most.div_ceil(GUESTS) } else { limits.most };
        let Some(places) = self.places(place) else { return true };
        let one_more = |taken| (taken < most).then_some(taken + 1);
        places.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).is_ok()
    }

    fn places(&self, place: Place) -> Option<&AtomicUsize> {
        match place {
            Place::Own => Some(&self.own),
            Place::Guest => Some(&self.guests),
            Place::Overflow => None,
        }
    }

    fn lasts<'l>(&self, mut labels: impl Iterator<Item = (&'l str, &'l str)>) -> bool {
        let limits = self.limits();
        matches!(self.shape, Shape::Gauge) || labels.all(|(name, _)| limits.is_closed(name))
    }

    fn limits(&self) -> Limits {
        self.limits.get().copied().unwrap_or_default()
    }
}

fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
