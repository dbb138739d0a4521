//! Lines for people: `time<TAB>level<TAB>target<TAB>message<TAB>key=value key=value`.
//!
//! Time is RFC 3339 UTC with microseconds; targets lack the prefix of our crates, and are followed by the spans the event is in
//! as `:name{key=value}`; strings are quoted, numbers and addresses are bare. What would break a line is escaped.

use std::fmt::{self, Debug, Write as _};

use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime as _, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields};
use tracing_subscriber::registry::LookupSpan;

use super::target;

/// Events as text.
pub(super) struct Plain;

/// The fields of spans, as text.
pub(super) struct Fields;

impl<S> FormatEvent<S, Fields> for Plain
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
        if target::has_spans(&target) {
            for span in context.event_scope().into_iter().flat_map(|scope| scope.from_root()) {
                write!(writer, ":{}", span.name())?;
                let extensions = span.extensions();
                match extensions.get::<FormattedFields<Fields>>() {
                    Some(fields) if !fields.is_empty() => write!(writer, "{{{fields}}}")?,
                    _ => {}
                }
            }
        }
        writer.write_char('\t')?;
        let mut message = Message { line: Escaped(&mut writer), result: Ok(()) };
        event.record(&mut message);
        message.result?;
        let mut fields = Line { writer: &mut writer, before: "\t", result: Ok(()) };
        event.record(&mut fields);
        fields.result?;
        writer.write_char('\n')
    }
}

impl<'w> FormatFields<'w> for Fields {
    fn format_fields<R: RecordFields>(&self, mut writer: Writer<'w>, fields: R) -> fmt::Result {
        let mut line = Line { writer: &mut writer, before: "", result: Ok(()) };
        fields.record(&mut line);
        line.result
    }
}

/// The line that tells how many were lost.
pub(super) fn lost(lines: u64) -> String {
    let mut line = String::new();
    // Writing to a String cannot fail.
    let _ = head(&mut Writer::new(&mut line), "warn", module_path!());
    let _ = writeln!(line, "\t{}\tlines={lines}", super::LOST);
    line
}

fn head(writer: &mut Writer<'_>, level: &str, target: &str) -> fmt::Result {
    SystemTime.format_time(writer)?;
    let target = target.strip_prefix("culvert_").unwrap_or(target);
    write!(writer, "\t{}\t{target}", level.to_ascii_lowercase())
}

struct Message<'w, 'l> {
    line: Escaped<'w, 'l>,
    result: fmt::Result,
}

impl Visit for Message<'_, '_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() == target::MESSAGE {
            self.result = write!(self.line, "{value:?}");
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }
}

struct Line<'w, 'l> {
    writer: &'w mut Writer<'l>,
    /// What goes before the next field.
    before: &'static str,
    result: fmt::Result,
}

impl Line<'_, '_> {
    fn field(&mut self, name: &str, value: &dyn Debug) -> fmt::Result {
        write!(self.writer, "{}{name}=", self.before)?;
        self.before = " ";
        write!(Escaped(self.writer), "{value:?}")
    }
}

impl Visit for Line<'_, '_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if self.result.is_ok() && target::is_shown(field) {
            self.result = self.field(field.name(), value);
        }
    }
}

/// Writes what must stay on one line, and in its column.
struct Escaped<'w, 'l>(&'w mut Writer<'l>);

impl fmt::Write for Escaped<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut rest = text;
        while let Some(at) = rest.find(breaks) {
            let (clean, from) = rest.split_at(at);
            self.0.write_str(clean)?;
            let mut characters = from.chars();
            for escaped in characters.next().into_iter().flat_map(char::escape_default) {
                self.0.write_char(escaped)?;
            }
            rest = characters.as_str();
        }
        self.0.write_str(rest)
    }
}

fn breaks(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}')
}

#[cfg(test)]
mod tests;
