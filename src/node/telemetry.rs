//! OpenTelemetry: a span for each connection that is over, and log records, for a collector.
//!
//! In go records of the [ledger](crate::ledger) and events of the log; out come requests of OTLP, by gRPC or by HTTP. The data plane
//! puts a pointer into a bounded queue and goes on; spans are made, encoded and sent on a thread of their own that gives way. What the
//! collector does not take in time is dropped and counted.
//!
//! **Invariant:** when it is off, a connection costs two branches: one when it begins, one when it is over.
//! **Invariant:** nobody waits for the collector, but the end of the process for a second.

mod attributes;
mod client;
mod deliver;
mod export;
mod log;
mod queue;
mod sampler;
mod signal;
mod span;
mod tap;
#[cfg(test)]
mod testing;
mod tls;

use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use culvert_core::hbone::TraceParent;
use culvert_metrics::{Collected, Metrics};
use culvert_process::log as process_log;
use http::{HeaderName, HeaderValue, Uri};
use tracing::Level;

use crate::ledger::{Book, Record, Trace};
use crate::outcome::access;

use log::Entry;
use queue::{Queue, Receiver};

pub(crate) use export::{Error, Exporting};
pub(crate) use sampler::Sampler;

/// Where telemetry goes, and how much of it.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    /// The collector.
    pub(crate) endpoint: Uri,
    pub(crate) protocol: Protocol,
    /// Sent with each request. Their values are secret.
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    /// How long one request may take.
    pub(crate) timeout: Duration,
    /// The roots its certificate must chain to; else the system's.
    pub(crate) roots: Option<PathBuf>,
    /// What this process is.
    pub(crate) resource: BTreeMap<String, String>,
    pub(crate) spans: Option<Spans>,
    /// Log records that may wait; `None` if none are sent.
    pub(crate) logs: Option<usize>,
    /// Of its sockets.
    pub(crate) mark: Option<u32>,
}

/// Which spans are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Spans {
    pub(crate) sampler: Sampler,
    /// Those that may wait.
    pub(crate) queue: usize,
}

/// How a collector is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    Grpc,
    Http,
}

impl Protocol {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Grpc => "grpc",
            Self::Http => "http/protobuf",
        }
    }
}

/// Who is told of connections; all handles tell the same. By default nobody is.
#[derive(Debug, Clone, Default)]
pub(crate) struct Telemetry(Option<Arc<Queues>>);

#[derive(Debug)]
struct Queues {
    spans: Option<(Sampler, Queue<Ended>)>,
    logs: Option<Queue<Entry>>,
}

/// A connection that is over. All about it is looked up later.
#[derive(Debug, Clone)]
struct Ended {
    book: Arc<Book>,
    record: Arc<Record>,
}

/// What waits to be sent.
struct Waiting {
    spans: Option<Receiver<Ended>>,
    logs: Option<Receiver<Entry>>,
}

/// Starts to send, if there is somewhere to send to.
///
/// # Errors
/// When the roots for the collector cannot be used, or the thread cannot be had.
pub(crate) fn start(config: Option<&Config>) -> Result<(Telemetry, Option<Exporting>), Error> {
    let Some(config) = config else { return Ok((Telemetry::default(), None)) };
    let (telemetry, waiting) = Telemetry::new(config);
    let exporting = export::start(config, waiting)?;
    if let Some(queues) = telemetry.0.clone().filter(|queues| queues.logs.is_some()) {
        // A second one there is in no process.
        let _ = process_log::tap(tap::Trouble(queues));
    }
    Ok((telemetry, Some(exporting)))
}

impl Telemetry {
    fn new(config: &Config) -> (Self, Waiting) {
        let spans = config.spans.map(|Spans { sampler, queue }| (sampler, queue::of(queue)));
        let (spans, spans_wait) = spans.map(|(sampler, (queue, wait))| ((sampler, queue), wait)).unzip();
        let (logs, logs_wait) = config.logs.map(queue::of).unzip();
        (Self(Some(Arc::new(Queues { spans, logs }))), Waiting { spans: spans_wait, logs: logs_wait })
    }

    /// Begins a trace.
    pub(crate) fn begin(&self) -> Trace {
        let id = rand::random();
        Trace { id, parent: None, sampled: self.sampler().is_some_and(|sampler| sampler.takes(id, None)) }
    }

    /// Goes on with the trace of whoever called. When it is off, what was said is kept as it is.
    pub(crate) fn follow(&self, said: TraceParent) -> Trace {
        let (id, parent) = (said.trace_id(), said.is_sampled());
        let sampled = self.sampler().map_or(parent, |sampler| sampler.takes(id, Some(parent)));
        Trace { id, parent: NonZeroU64::new(said.parent_id()), sampled }
    }

    fn sampler(&self) -> Option<Sampler> {
        self.0.as_ref()?.spans.as_ref().map(|(sampler, _)| *sampler)
    }

    /// Tells of a connection that is over, and is `logged` or not. Kubelet's probes that went well are no news.
    pub(crate) fn ended(&self, book: &Arc<Book>, record: &Arc<Record>, logged: bool) {
        let Some(queues) = &self.0 else { return };
        let (sampled, news) = {
            let facts = record.facts();
            (facts.trace.sampled, access::level(&facts, attributes::failure(&facts)) != Level::DEBUG)
        };
        if !news {
            return;
        }
        let ended = || Ended { book: Arc::clone(book), record: Arc::clone(record) };
        if let (Some((_, spans)), true) = (&queues.spans, sampled) {
            spans.push(ended());
        }
        if let (Some(logs), true) = (&queues.logs, logged) {
            logs.push(Entry::Connection(ended()));
        }
    }

    /// Has the numbers shown of what was sent and what was dropped.
    pub(crate) fn show(&self, metrics: &Metrics) {
        let Some(queues) = self.0.clone() else { return };
        metrics.collect(move || {
            let counts = queues.counts();
            let counter = |name, help, value: fn(&queue::Counts) -> u64| {
                let family = Collected::counter(name, help);
                counts.iter().fold(family, |family, (signal, counts)| {
                    family.with(&[("signal", signal)], value(counts) as f64)
                })
            };
            vec![
                counter(DROPPED, "Spans and log records the collector did not get (unstable).", |it| {
                    it.dropped
                }),
                counter(SENT, "Spans and log records the collector has taken (unstable).", |it| it.sent),
            ]
        });
    }
}

/// What was not sent: there was no room, the collector refused it, or it could not be reached for too long.
const DROPPED: &str = "culvert_telemetry_dropped_total";
const SENT: &str = "culvert_telemetry_sent_total";

impl Queues {
    fn counts(&self) -> Vec<(&'static str, queue::Counts)> {
        let spans = self.spans.as_ref().map(|(_, spans)| ("traces", spans.counts()));
        let logs = self.logs.as_ref().map(|logs| ("logs", logs.counts()));
        spans.into_iter().chain(logs).collect()
    }
}

#[cfg(test)]
mod tests;
