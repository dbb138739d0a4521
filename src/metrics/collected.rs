//! Values nobody counts: they are looked up when somebody asks.

use crate::labels;

/// One family, as it is at the moment.
#[derive(Debug, Clone)]
pub struct Collected {
    pub(crate) name: &'static str,
    pub(crate) help: &'static str,
    pub(crate) is_counter: bool,
    /// Labels, as text, and values.
    pub(crate) samples: Vec<(String, f64)>,
}

impl Collected {
    /// Begins a gauge.
    #[must_use]
    pub fn gauge(name: &'static str, help: &'static str) -> Self {
        Self { name, help, is_counter: false, samples: Vec::new() }
    }

    /// Begins a counter, which may be counted in fractions.
    #[must_use]
    pub fn counter(name: &'static str, help: &'static str) -> Self {
        Self { is_counter: true, ..Self::gauge(name, help) }
    }

    /// Adds a value. A family without any is not shown.
    #[must_use]
    pub fn with(mut self, labels: &[(&str, &str)], value: f64) -> Self {
        self.samples.push((labels::text(labels.iter().copied()), value));
        self
    }

    /// Adds the one value of a family without labels, if it is known.
    #[must_use]
    pub fn of(self, value: Option<f64>) -> Self {
        match value {
            Some(value) => self.with(&[], value),
            None => self,
        }
    }
}
