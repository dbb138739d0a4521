//! The access log: one line for each connection at its end, failures before the first byte included.
//!
//! What is known of a connection goes in; lines come out, with the same fields in the same order whenever they are known. Those that
//! ended well may be sampled ([`Config`]); those that did not are there, but for most of those that were over a limit: whoever reaches it
//! has one line as often as he likes. How lines look is the business of the log.

mod periodic;

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use culvert_core::identity::SpiffeId;
use culvert_core::workload::Workload;
use tracing::Level;

use super::Failure;
use super::sampling::Sampling;
use crate::ledger::{Direction, Ended, Facts, Party, Record};
use crate::limits;
use crate::stream::{Closer, Ends};

pub(crate) use periodic::tell_of_long_ones;

const SAMPLED_OUT: &str = "culvert_access_log_sampled_out_total";

/// What is logged. Of the process, like the log itself.
static CONFIG: OnceLock<Config> = OnceLock::new();

/// What is logged of connections.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Config {
    /// Of those that ended well.
    pub(crate) sampling: Sampling,
    /// How often a line is written of connections that are open; never when there is none.
    pub(crate) interval: Option<Duration>,
}

/// Says what is to be logged, once at start.
pub(crate) fn configure(config: Config) {
    // A process has one configuration.
    let _ = CONFIG.set(config);
}

/// Describes the metrics, once at start.
pub(super) fn describe() {
    metrics::describe_counter!(
        SAMPLED_OUT,
        "Connections that ended well and are not in the access log, because of CULVERT_ACCESS_LOG_SAMPLING (unstable)."
    );
}

/// Says that a connection was made.
pub(super) fn opened(record: &Record) {
    Line::of(record, &record.facts()).say(Level::DEBUG, "connection opened");
}

/// Says that a connection is still open, and what has become of it so far.
fn is_open(record: &Record, now: Instant) {
    let facts = record.facts();
    if facts.ended.is_none() {
        Line { duration: Some(now.saturating_duration_since(record.began)), ..Line::of(record, &facts) }
            .say(Level::INFO, "connection open");
    }
}

/// Says how a connection ended. Tells whether it is one of those that are logged.
pub(super) fn ended(record: &Record, ended: &Ended) -> bool {
    let facts = record.facts();
    let failure = ended.result.as_ref().err();
    if failure.is_none() && !facts.probe && !is_sampled(&facts) {
        metrics::counter!(SAMPLED_OUT).increment(1);
        return false;
    }
    if failure.is_some_and(|failure| failure.exceeded().is_some()) && !limits::may_be_logged() {
        return false;
    }
    let duration = ended.at.saturating_duration_since(record.began);
    let line = Line { duration: Some(duration), failure, ends: facts.ends(), ..Line::of(record, &facts) };
    match level(&facts, failure) {
        Level::WARN => line.say_early(),
        level => line.say(level, COMPLETE),
    }
    true
}

/// How much it matters that a connection ended as it did.
pub(crate) fn level(facts: &Facts, failure: Option<&Failure>) -> Level {
    match (failure, facts.probe) {
        // Kubelet asks each pod every few seconds, and reports what it finds itself.
        (None, true) => Level::DEBUG,
        (None, false) | (Some(_), true) => Level::INFO,
        (Some(_), false) if is_stranger(facts) => Level::WARN,
        (Some(_), false) => Level::ERROR,
    }
}

const COMPLETE: &str = "connection complete";

fn is_sampled(facts: &Facts) -> bool {
    let Some(config) = CONFIG.get() else { return true };
    config.sampling.keeps(|| [&facts.from, &facts.to].map(whose), facts.trace.id)
}

/// Whose a connection is, whether or not that was proven: nothing is decided by it.
fn whose(party: &Party) -> Option<SpiffeId> {
    party.identity.clone().or_else(|| party.workload.as_ref()?.identity().ok())
}

/// Whether a connection ended before anything was known of its ends but addresses.
fn is_stranger(facts: &Facts) -> bool {
    let unknown = |party: &Party| party.workload.is_none() && party.identity.is_none();
    unknown(&facts.from) && unknown(&facts.to) && facts.authority.is_none() && facts.service.is_none()
}

/// What is said of one connection.
struct Line<'c> {
    record: &'c Record,
    facts: &'c Facts,
    /// How long it took, or has taken so far; bytes are said with it.
    duration: Option<Duration>,
    failure: Option<&'c Failure>,
    ends: Ends,
}

impl<'c> Line<'c> {
    /// What is known of any connection.
    fn of(record: &'c Record, facts: &'c Facts) -> Self {
        Self { record, facts, duration: None, failure: None, ends: Ends::default() }
    }

    /// A line with all that is known. Whatever is not known is left out.
    fn say(&self, level: Level, what: &str) {
        let Self { record, facts, failure, ends, .. } = self;
        let [sent, received] = self.bytes();
        macro_rules! line {
            ($level:ident) => {
                tracing::$level!(target: "access", {
                    src.addr = %record.client,
                    src.workload = source_name(&facts.from),
                    src.namespace = facts.from.namespace(),
                    src.identity = text(facts.from.identity.as_ref()).as_deref(),
                    src.cluster = cluster(&facts.from),
                    dst.addr = %facts.destination,
                    dst.hbone_addr = facts.authority.as_deref().map(tracing::field::display),
                    dst.service = facts.service.as_ref().map(|service| service.hostname.as_ref()),
                    dst.workload = facts.to.name(),
                    dst.namespace = facts.to.namespace(),
                    dst.identity = text(facts.to.identity.as_ref()).as_deref(),
                    dst.cluster = cluster(&facts.to),
                    direction = record.direction.as_str(),
                    bytes_sent = sent,
                    bytes_recv = received,
                    duration = self.duration.map(whole_milliseconds),
                    error = failure.map(Failure::in_words),
                    closed_by = ends.closed_by.map(Closer::as_str),
                    reason = failure.map(Failure::reason),
                    policy = facts.policy.as_deref(),
                    rtt = ends.round_trip().map(milliseconds),
                    retransmits = ends.retransmits(),
                    tls.group = facts.tunnel.and_then(|on| on.tls.group()),
                    socks = facts.asked.as_deref(),
                    probe = facts.probe.then_some(true),
                    id = %record.id,
                    trace = %format_args!("{:032x}", facts.trace.id),
                }, "{what}")
            };
        }
        match level {
            Level::ERROR => line!(error),
            Level::INFO => line!(info),
            _ => line!(debug),
        }
    }

    /// The line of a connection nothing is known of.
    fn say_early(&self) {
        let Self { record, facts, failure, ends, .. } = self;
        tracing::warn!(target: "access", {
            src.addr = %record.client,
            dst.addr = %facts.destination,
            direction = record.direction.as_str(),
            error = failure.map(Failure::in_words),
            closed_by = ends.closed_by.map(Closer::as_str),
            reason = failure.map(Failure::reason),
            id = %record.id,
        }, "connection failed");
    }

    /// What the pod of this node has sent and received.
    fn bytes(&self) -> [Option<u64>; 2] {
        let moved = &self.facts.moved;
        let (forth, back) = (moved.forth.bytes(), moved.back.bytes());
        let own = match self.record.direction {
            Direction::Outbound => [forth, back],
            Direction::Inbound => [back, forth],
        };
        own.map(|bytes| self.duration.map(|_| bytes))
    }
}

/// A client of which only its node has told has no name of its own, but that of what it is part of.
fn source_name(party: &Party) -> Option<&str> {
    let told = |workload: &'_ Workload| workload.name().is_empty() && !workload.canonical_name.is_empty();
    match &party.workload {
        Some(workload) if told(workload) => Some(&workload.canonical_name),
        _ => party.name(),
    }
}

fn cluster(party: &Party) -> Option<&str> {
    party.workload.as_ref().map(|workload| &*workload.cluster_id).filter(|cluster| !cluster.is_empty())
}

fn text(id: Option<&SpiffeId>) -> Option<String> {
    id.map(ToString::to_string)
}

fn whole_milliseconds(time: Duration) -> String {
    format!("{}ms", time.as_millis())
}

fn milliseconds(time: Duration) -> String {
    format!("{}.{:03}ms", time.as_millis(), time.as_micros() % 1000)
}
