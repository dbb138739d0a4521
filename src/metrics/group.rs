//! Counters that are always counted with the same labels: one look-up finds all of them, and the labels are kept once.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use metrics::{Counter, CounterFn};

use crate::series::{Series, Shape};
use crate::table::Table;

/// Families of counters that share their labels. It counts from the start; [`Metrics::include`](crate::Metrics::include) has it
/// shown.
#[derive(Debug)]
pub struct Group {
    pub(crate) names: &'static [&'static str],
    pub(crate) table: Arc<Table>,
}

/// The counters of a group for one set of labels. While it is held, its series stays.
#[derive(Clone)]
pub struct Counters(Arc<Series>);

/// One of them. Connections hold some for as long as they live: it is two words, and nothing is allocated for it.
pub struct One {
    series: Arc<Series>,
    at: usize,
}

impl Group {
    /// Makes a group of counters; where a name is in the list is the number it is counted by.
    #[must_use]
    pub fn new(names: &'static [&'static str]) -> Self {
        Self { names, table: Arc::new(Table::new(Shape::Counters(names.len()), None)) }
    }

    /// Finds the counters for a set of labels.
    #[must_use]
    pub fn counters(&self, labels: &[(&str, &str)]) -> Counters {
        Counters(self.table.series(labels.iter().copied(), Instant::now))
    }

    /// Finds the counters for labels that only a peer vouches for. `None` if there are many of those already.
    #[must_use]
    pub fn hearsay(&self, labels: &[(&str, &str)]) -> Option<Counters> {
        self.table.guest(labels.iter().copied(), Instant::now).map(Counters)
    }
}

impl Counters {
    pub(crate) fn of(series: Arc<Series>) -> Self {
        Self(series)
    }

    /// Counts in one of them.
    pub fn add(&self, at: usize, number: u64) {
        if let Some(counted) = self.0.counter(at) {
            counted.add(number);
        }
    }

    /// Gives one of them away. It is shown from now on, if only as 0.
    #[must_use]
    pub fn one(&self, at: usize) -> One {
        let _ = self.0.counter(at);
        One { series: Arc::clone(&self.0), at }
    }

    /// The same, as a handle of the facade.
    pub(crate) fn counter(&self, at: usize) -> Counter {
        Counter::from_arc(Arc::new(self.one(at)))
    }
}

impl One {
    /// Counts in it.
    pub fn add(&self, number: u64) {
        if let Some(counted) = self.series.counter(self.at) {
            counted.add(number);
        }
    }
}

impl CounterFn for One {
    fn increment(&self, value: u64) {
        self.add(value);
    }

    fn absolute(&self, value: u64) {
        if let Some(counted) = self.series.counter(self.at) {
            counted.at_least(value);
        }
    }
}

impl fmt::Debug for One {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "One({}, {})", self.at, self.series.labels)
    }
}

impl fmt::Debug for Counters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Counters({})", self.0.labels)
    }
}
