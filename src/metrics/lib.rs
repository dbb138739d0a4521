//! What the programs count, within bounds, and how Prometheus is shown it.
//!
//! In go the calls of the `metrics` facade, [`Group`]s of counters that share their labels, and [`Collected`] values that are
//! looked up when somebody asks. Out comes text, in pieces ([`Metrics::exposition`]), and the HTTP answer that carries it
//! ([`http::exposition`]).
//!
//! Whoever counts holds an atomic number: no lock is taken, and nobody who reads is waited for. Series are looked up in tables of
//! many small locks; a reader holds one of them while it copies pointers, and never while it writes text.
//!
//! Memory is bounded. A family has so many series ([`Settings::most_series`]), and what is beyond them is counted together; a
//! series that did not change for a while ([`Settings::idle`]) and that nobody holds is dropped. Deliberately absent: summaries,
//! exemplars, creation times, native histograms, and pushing to anybody.

mod collected;
mod exposition;
mod group;
pub mod http;
mod labels;
pub mod process;
mod recorder;
mod registry;
mod series;
mod table;

use std::sync::Arc;
use std::time::Duration;

pub use collected::Collected;
pub use exposition::{Exposition, Format};
pub use group::{Counters, Group, One};

use registry::Registry;

/// How much is kept, and for how long.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How many series a family may have of its own. What is beyond is counted in one series all of whose labels say
    /// `overflow`, those in [`Self::closed`] excepted.
    pub most_series: usize,
    /// How long a series stays that does not change and that nobody holds. `None`: for ever.
    pub idle: Option<Duration>,
    /// Labels with few values, all of which are in the programs' text. Series that have no others are never dropped, gauges
    /// neither: a gauge says what is, whether it changes or not.
    pub closed: &'static [&'static str],
    /// The upper bounds of histograms, by name.
    pub buckets: Vec<(&'static str, &'static [f64])>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            most_series: 10_000,
            idle: Some(Duration::from_secs(15 * 60)),
            closed: CLOSED,
            buckets: Vec::new(),
        }
    }
}

/// The labels of ours whose values are few.
pub const CLOSED: &[&str] = &[
    "command",
    "component",
    "connection_security_policy",
    "direction",
    "family",
    "kind",
    "reason",
    "reporter",
    "request_protocol",
    "request_query_type",
    "resource",
    "response_flags",
    "result",
    "service",
    "state",
    "tag",
    "url",
    "verb",
    "wish",
    "worker",
];

/// Why nothing can be recorded.
#[derive(Debug, thiserror::Error)]
#[error("metrics are recorded by somebody else already")]
pub struct Error(#[source] metrics::SetRecorderError<Metrics>);

/// All that is counted. Clones are the same.
#[derive(Debug, Clone)]
pub struct Metrics(Arc<Registry>);

/// Starts to record what the process counts. Once in a process.
///
/// # Errors
/// The second time.
pub fn install(settings: Settings) -> Result<Metrics, Error> {
    let metrics = Metrics::new(settings);
    metrics::set_global_recorder(metrics.clone()).map_err(Error)?;
    Ok(metrics)
}

impl Metrics {
    /// Makes a recorder of one's own, for `metrics::with_local_recorder`.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self(Arc::new(Registry::new(settings)))
    }

    /// Shows the counters of a group, too.
    pub fn include(&self, group: &Group) {
        self.0.include(group);
    }

    /// Has values looked up whenever somebody asks.
    pub fn collect(&self, look: impl Fn() -> Vec<Collected> + Send + Sync + 'static) {
        self.0.collect(Box::new(look));
    }

    /// Writes everything that is known at the moment, in pieces.
    #[must_use]
    pub fn exposition(&self, format: Format) -> Exposition {
        Exposition::of(&self.0, format)
    }

    /// Writes everything in the classic format, in one piece. For tests.
    #[must_use]
    pub fn text(&self) -> String {
        self.exposition(Format::Classic).collect()
    }
}

#[cfg(test)]
mod tests;
