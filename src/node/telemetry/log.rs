//! Log records: those of connections that are over, and what the program says of trouble.

use std::time::SystemTime;

use culvert_proto::otlp::common::{AnyValue, KeyValue, any_value::Value};
use culvert_proto::otlp::logs::LogRecord;
use tracing::Level;

use super::Ended;
use super::attributes::{self, Clock, since_1970};
use super::span::SAMPLED;
use crate::outcome::access;

/// What waits to become a log record.
#[derive(Debug)]
pub(super) enum Entry {
    /// A connection that is over.
    Connection(Ended),
    /// Something the program has said, which is gone when it was said.
    Said(Box<Said>),
}

/// What the program has said.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Said {
    pub(super) at: SystemTime,
    pub(super) severity: Severity,
    pub(super) message: String,
    pub(super) fields: Vec<KeyValue>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Severity {
    Info,
    Warn,
    Error,
}

impl Severity {
    fn number(self) -> u32 {
        match self {
            Self::Info => 9,
            Self::Warn => 13,
            Self::Error => 17,
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Info => "INFO",
            Self::Warn => "WARN",
            Self::Error => "ERROR",
        }
    }
}

/// Makes the log record.
pub(super) fn of(entry: Entry, clock: Clock) -> LogRecord {
    match entry {
        Entry::Connection(ended) => of_connection(&ended, clock),
        Entry::Said(said) => {
            let Said { at, severity, message, fields } = *said;
            let record = record(severity, since_1970(at), clock);
            LogRecord { body: text(message), attributes: fields, ..record }
        }
    }
}

/// What the access log says, by the names of the span it belongs to.
fn of_connection(ended: &Ended, clock: Clock) -> LogRecord {
    let facts = ended.record.facts();
    let over = facts.ended.as_ref().map_or(clock.now, |ended| ended.at);
    let failure = attributes::failure(&facts);
    let severity = match access::level(&facts, failure) {
        Level::ERROR => Severity::Error,
        Level::WARN => Severity::Warn,
        _ => Severity::Info,
    };
    let mut all = attributes::of(ended, &facts);
    all.text("error.message", failure.map(|failure| failure.in_words()));
    LogRecord {
        body: text("connection complete".to_owned()),
        attributes: all.done(),
        flags: if facts.trace.sampled { SAMPLED } else { 0 },
        trace_id: facts.trace.id.to_be_bytes().to_vec(),
        span_id: ended.record.id.number().to_be_bytes().to_vec(),
        event_name: "culvert.connection".to_owned(),
        ..record(severity, clock.nanos(over), clock)
    }
}

fn record(severity: Severity, at: u64, clock: Clock) -> LogRecord {
    LogRecord {
        time_unix_nano: at,
        observed_time_unix_nano: since_1970(clock.time),
        severity_number: severity.number(),
        severity_text: severity.as_str().to_owned(),
        ..LogRecord::default()
    }
}

fn text(text: String) -> Option<AnyValue> {
    Some(AnyValue { value: Some(Value::StringValue(text)) })
}
