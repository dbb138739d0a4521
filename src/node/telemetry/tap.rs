//! Hears what the program says of trouble, and has it sent.
//!
//! What it says of connections is sent from their records; what is said by the thread that sends is not sent, or it would go on for
//! ever.

use std::cell::Cell;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::SystemTime;

use culvert_process::log::Tap;
use culvert_proto::otlp::common::any_value::Value;
use tracing::field::{Field, Visit};
use tracing::{Event, Level};

use super::Queues;
use super::attributes::Attributes;
use super::log::{Entry, Said, Severity};

/// How much is kept of one text: sentences are shorter.
const MOST_TEXT: usize = 4096;

thread_local! {
    static UNHEARD: Cell<bool> = const { Cell::new(false) };
}

/// Has nothing sent of what this thread says from now on.
pub(super) fn do_not_listen_here() {
    UNHEARD.set(true);
}

/// Takes warnings and errors.
pub(super) struct Trouble(pub(super) Arc<Queues>);

impl Tap for Trouble {
    fn hear(&self, event: &Event<'_>, target: &str) {
        let severity = match *event.metadata().level() {
            Level::ERROR => Severity::Error,
            Level::WARN => Severity::Warn,
            _ => return,
        };
        if target == "access" || UNHEARD.get() {
            return;
        }
        if let Some(logs) = &self.0.logs {
            logs.push(Entry::Said(Box::new(said(event, target, severity))));
        }
    }
}

fn said(event: &Event<'_>, target: &str, severity: Severity) -> Said {
    let mut fields = Fields::default();
    fields.all.text("culvert.target", Some(target));
    event.record(&mut fields);
    Said { at: SystemTime::now(), severity, message: fields.message, fields: fields.all.done() }
}

#[derive(Default)]
struct Fields {
    message: String,
    all: Attributes,
}

impl Fields {
    fn add(&mut self, field: &Field, value: Value) {
        // Those of the older `log` crate say where a line of code is.
        if !field.name().starts_with("log.") {
            self.all.add(field.name(), value);
        }
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.record_str(field, &format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        let value: String = value.chars().take(MOST_TEXT).collect();
        if field.name() == "message" {
            self.message = value;
        } else {
            self.add(field, Value::StringValue(value));
        }
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field, Value::BoolValue(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field, Value::IntValue(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field, Value::IntValue(i64::try_from(value).unwrap_or(i64::MAX)));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.add(field, Value::DoubleValue(value));
    }
}
