//! One series: its labels, and the numbers that are counted in it. The facade's handles are pointers to these.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use metrics::{CounterFn, GaugeFn, HistogramFn};

/// What a family counts in.
#[derive(Debug, Clone)]
pub(crate) enum Shape {
    /// So many counters side by side.
    Counters(usize),
    Gauge,
    /// The upper bounds of the buckets, rising.
    Histogram(Arc<[f64]>),
}

/// Among which ones a series counts when there are too many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Own,
    Guest,
    /// It stands for all there is no room for.
    Overflow,
}

#[derive(Debug)]
pub(crate) struct Series {
    pub(crate) labels: Box<str>,
    pub(crate) numbers: Numbers,
    pub(crate) place: Place,
    /// Whether it stays however long nothing happens.
    pub(crate) lasts: bool,
    /// What the sum of its numbers was when somebody last looked for idle series.
    seen: u64,
    /// Since when it is.
    since: Instant,
}

#[derive(Debug)]
pub(crate) enum Numbers {
    Counters(Box<[Counted]>),
    /// The bits of a floating-point number.
    Gauge(AtomicU64),
    Histogram(Observed),
}

/// One counter of a series. It is shown once somebody was given it.
#[derive(Debug, Default)]
pub(crate) struct Counted {
    value: AtomicU64,
    given: AtomicBool,
}

/// The numbers of a histogram. How many values there were is the sum of the buckets, so that the two cannot disagree.
#[derive(Debug)]
pub(crate) struct Observed {
    pub(crate) bounds: Arc<[f64]>,
    /// One more than there are bounds. Not cumulative.
    buckets: Box<[AtomicU64]>,
    /// The bits of a floating-point number.
    sum: AtomicU64,
}

impl Series {
    pub(crate) fn new(labels: Box<str>, shape: &Shape, place: Place, lasts: bool, now: Instant) -> Self {
        let numbers = match shape {
            Shape::Counters(count) => Numbers::Counters((0..*count).map(|_| Counted::default()).collect()),
            Shape::Gauge => Numbers::Gauge(AtomicU64::new(0)),
            Shape::Histogram(bounds) => Numbers::Histogram(Observed {
                bounds: Arc::clone(bounds),
                buckets: (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect(),
                sum: AtomicU64::new(0),
            }),
        };
        Self { labels, numbers, place, lasts, seen: 0, since: now }
    }

    /// Gives one of its counters out: it is shown from now on.
    pub(crate) fn counter(&self, column: usize) -> Option<&Counted> {
        let Numbers::Counters(counters) = &self.numbers else { return None };
        let counted = counters.get(column)?;
        if !counted.given.load(Ordering::Relaxed) {
            counted.given.store(true, Ordering::Relaxed);
        }
        Some(counted)
    }

    /// The value of one of its counters, if it is shown.
    pub(crate) fn count(&self, column: usize) -> Option<u64> {
        let Numbers::Counters(counters) = &self.numbers else { return None };
        let counted = counters.get(column)?;
        counted.given.load(Ordering::Relaxed).then(|| counted.value.load(Ordering::Relaxed))
    }

    /// Whether nobody holds it, and nothing has changed in it for so long. To be asked under the lock of the table, so that
    /// nobody is given it meanwhile: what was counted by those who held it is seen.
    pub(crate) fn is_idle(this: &mut Arc<Self>, now: Instant, idle: Duration) -> bool {
        let Some(series) = Arc::get_mut(this) else { return false };
        if series.lasts {
            return false;
        }
        let sum = series.numbers.sum();
        if sum != series.seen {
            (series.seen, series.since) = (sum, now);
            return false;
        }
        now.saturating_duration_since(series.since) >= idle
    }
}

impl Numbers {
    /// A number that is another one after each change.
    fn sum(&self) -> u64 {
        let of = |all: &mut dyn Iterator<Item = &AtomicU64>| {
            all.fold(0_u64, |sum, one| sum.wrapping_add(one.load(Ordering::Relaxed)))
        };
        match self {
            Self::Counters(counters) => of(&mut counters.iter().map(|counted| &counted.value)),
            Self::Gauge(value) => value.load(Ordering::Relaxed),
            Self::Histogram(observed) => of(&mut observed.buckets.iter()),
        }
    }
}

impl Counted {
    pub(crate) fn add(&self, number: u64) {
        self.value.fetch_add(number, Ordering::Relaxed);
    }

    pub(crate) fn at_least(&self, number: u64) {
        self.value.fetch_max(number, Ordering::Relaxed);
    }
}

impl Observed {
    /// The sum of the values, and how many there are in each bucket.
    pub(crate) fn read(&self) -> (f64, impl Iterator<Item = u64>) {
        let sum = f64::from_bits(self.sum.load(Ordering::Relaxed));
        (sum, self.buckets.iter().map(|bucket| bucket.load(Ordering::Relaxed)))
    }

    fn record(&self, value: f64) {
        let at = self.bounds.partition_point(|bound| *bound < value);
        // What is not a number is in the last bucket alone, as it is below no bound.
        let at = if value.is_nan() { self.bounds.len() } else { at };
        self.buckets[at].fetch_add(1, Ordering::Relaxed);
        change(&self.sum, |sum| sum + value);
    }
}

fn change(number: &AtomicU64, by: impl Fn(f64) -> f64) {
    let next = |bits| Some(by(f64::from_bits(bits)).to_bits());
    let _ = number.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
}

impl CounterFn for Series {
    fn increment(&self, value: u64) {
        if let Some(counted) = self.counter(0) {
            counted.add(value);
        }
    }

    fn absolute(&self, value: u64) {
        if let Some(counted) = self.counter(0) {
            counted.at_least(value);
        }
    }
}

impl GaugeFn for Series {
    fn increment(&self, value: f64) {
        if let Numbers::Gauge(number) = &self.numbers {
            change(number, |before| before + value);
        }
    }

    fn decrement(&self, value: f64) {
        GaugeFn::increment(self, -value);
    }

    fn set(&self, value: f64) {
        if let Numbers::Gauge(number) = &self.numbers {
            number.store(value.to_bits(), Ordering::Relaxed);
        }
    }
}

impl HistogramFn for Series {
    fn record(&self, value: f64) {
        if let Numbers::Histogram(observed) = &self.numbers {
            observed.record(value);
        }
    }
}
