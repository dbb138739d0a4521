//! Lines for programs: one JSON object each, with `level`, `time`, `scope` (the target) and `message`, then the event's fields,
//! then one object of fields for each span the event is in, by the span's name.
//!
//! Numbers and truth values are that; everything else is a string. A field that would hide one of the first four has `field.`
//! before its name.

use std::fmt::{self, Debug};
use std::io;

use serde::Serialize;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime as _, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields};
use tracing_subscriber::registry::LookupSpan;

use super::target;

const FIRST: [&str; 4] = ["level", "time", "scope", target::MESSAGE];

/// Events as JSON.
pub(super) struct Json;

/// The fields of spans, as the members of a JSON object.
pub(super) struct Fields;

impl<S> FormatEvent<S, Fields> for Json
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, Fields>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let target = target::of(event);
        head(&mut writer, event.metadata().level().as_str(), &target)?;
        let mut message = Message(Members::after(&mut writer));
        event.record(&mut message);
        let mut fields = message.0;
        event.record(&mut fields);
        fields.result?;
        if target::has_spans(&target) {
            spans(context, &mut writer)?;
        }
        writer.write_str("}\n")
    }
}

impl<'w> FormatFields<'w> for Fields {
    fn format_fields<R: RecordFields>(&self, mut writer: Writer<'w>, fields: R) -> fmt::Result {
        let mut members = Members { writer: &mut writer, before: "", result: Ok(()) };
        fields.record(&mut members);
        members.result
    }

    fn add_fields(
        &self,
        current: &'w mut FormattedFields<Self>,
        fields: &tracing::span::Record<'_>,
    ) -> fmt::Result {
        let before = if current.is_empty() { "" } else { "," };
        let mut writer = current.as_writer();
        let mut members = Members { writer: &mut writer, before, result: Ok(()) };
        fields.record(&mut members);
        members.result
    }
}

/// The line that tells how many were lost.
pub(super) fn lost(lines: u64) -> String {
    let mut line = String::new();
    let mut writer = Writer::new(&mut line);
    // Writing to a String cannot fail.
    let _ = head(&mut writer, "warn", module_path!());
    let mut members = Members::after(&mut writer);
    members.message(super::LOST);
    members.member("lines", &lines);
    line.push_str("}\n");
    line
}

fn head(writer: &mut Writer<'_>, level: &str, target: &str) -> fmt::Result {
    write!(writer, "{{\"level\":\"{}\",\"time\":\"", level.to_ascii_lowercase())?;
    SystemTime.format_time(writer)?;
    writer.write_str("\",\"scope\":")?;
    value(writer, target)
}

/// Of spans of one name the innermost one counts: an object has one member of a name.
fn spans<S>(context: &FmtContext<'_, S, Fields>, writer: &mut Writer<'_>) -> fmt::Result
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let scope: Vec<_> = context.event_scope().into_iter().flat_map(|scope| scope.from_root()).collect();
    for (depth, span) in scope.iter().enumerate() {
        if scope[depth + 1..].iter().any(|inner| inner.name() == span.name()) {
            continue;
        }
        name(writer, ",", span.name())?;
        let extensions = span.extensions();
        let fields = extensions.get::<FormattedFields<Fields>>().map_or("", |fields| fields.as_str());
        write!(writer, "{{{fields}}}")?;
    }
    Ok(())
}

fn name(writer: &mut Writer<'_>, before: &str, name: &str) -> fmt::Result {
    writer.write_str(before)?;
    if FIRST.contains(&name) {
        value(writer, &format_args!("field.{name}"))?;
    } else {
        value(writer, name)?;
    }
    writer.write_char(':')
}

fn value<T: Serialize + ?Sized>(writer: &mut Writer<'_>, value: &T) -> fmt::Result {
    serde_json::to_writer(Bytes(writer), value).map_err(|_| fmt::Error)
}

/// Members of an object, from the fields of an event or a span.
struct Members<'w, 'l> {
    writer: &'w mut Writer<'l>,
    /// What goes before the next one.
    before: &'static str,
    result: fmt::Result,
}

impl<'w, 'l> Members<'w, 'l> {
    fn after(writer: &'w mut Writer<'l>) -> Self {
        Self { writer, before: ",", result: Ok(()) }
    }

    fn member<T: Serialize + ?Sized>(&mut self, of: &str, is: &T) {
        if self.result.is_ok() {
            self.result = name(self.writer, self.before, of).and_then(|()| value(self.writer, is));
            self.before = ",";
        }
    }

    fn message<T: Serialize + ?Sized>(&mut self, is: &T) {
        self.result = self.writer.write_str(",\"message\":").and_then(|()| value(self.writer, is));
    }

    fn field<T: Serialize + ?Sized>(&mut self, field: &Field, is: &T) {
        if target::is_shown(field) {
            self.member(field.name(), is);
        }
    }
}

impl Visit for Members<'_, '_> {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.field(field, &value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.field(field, &value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.field(field, &value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.field(field, &value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.field(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.field(field, &format_args!("{value:?}"));
    }
}

/// The message alone.
struct Message<'w, 'l>(Members<'w, 'l>);

impl Visit for Message<'_, '_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() == target::MESSAGE {
            self.0.message(&format_args!("{value:?}"));
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == target::MESSAGE {
            self.0.message(value);
        }
    }
}

/// A writer of text, for those who write bytes.
struct Bytes<'w, 'l>(&'w mut Writer<'l>);

impl io::Write for Bytes<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = std::str::from_utf8(bytes).map_err(io::Error::other)?;
        self.0.write_str(text).map_err(io::Error::other)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
