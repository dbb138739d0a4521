//! Log set-up: one line per event on stdout, as text with tabs or as JSON (`LOG_FORMAT`), filtered (`RUST_LOG`).
//!
//! A text line is `time<TAB>level<TAB>target<TAB>message<TAB>key=value key=value`: time is RFC 3339 UTC with
//! microseconds, strings are quoted, numbers and addresses are bare.

use std::fmt::{self, Write as _};

use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::filter::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// How lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Text for people.
    Plain,
    /// One JSON object a line.
    Json,
}

impl Format {
    /// Reads `LOG_FORMAT`: `plain` or `json`.
    ///
    /// # Errors
    /// A sentence when it is neither.
    pub fn parse(text: &str) -> Result<Self, String> {
        match text {
            "plain" => Ok(Self::Plain),
            "json" => Ok(Self::Json),
            other => Err(format!("`{other}` is not a log format; use `plain` or `json`")),
        }
    }
}

/// Starts logging, with format and filter from `LOG_FORMAT` and `RUST_LOG`. Called once, from `main`.
///
/// # Errors
/// A sentence when one of the two is invalid.
pub fn start_from_environment() -> Result<(), String> {
    let format = match std::env::var("LOG_FORMAT") {
        Ok(text) => Format::parse(&text).map_err(|error| format!("LOG_FORMAT: {error}"))?,
        Err(_) => Format::Plain,
    };
    start(format, std::env::var("RUST_LOG").ok().as_deref().unwrap_or("info"))
}

fn start(format: Format, filter: &str) -> Result<(), String> {
    let filter = EnvFilter::try_new(filter).map_err(|error| format!("RUST_LOG: `{filter}`: {error}"))?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter);
    let result = match format {
        Format::Plain => builder.event_format(Plain).try_init(),
        Format::Json => builder.json().flatten_event(true).try_init(),
    };
    result.map_err(|error| format!("logging cannot start: {error}"))
}

/// The text format.
struct Plain;

impl<S, N> FormatEvent<S, N> for Plain
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        SystemTime.format_time(&mut writer)?;
        let metadata = event.metadata();
        let level = metadata.level().as_str().to_ascii_lowercase();
        let target = metadata.target().trim_start_matches("culvert_");
        let mut line = Line::default();
        event.record(&mut line);
        write!(writer, "\t{level}\t{target}\t{}", line.message)?;
        if !line.fields.is_empty() {
            write!(writer, "\t{}", line.fields)?;
        }
        writeln!(writer)
    }
}

#[derive(Default)]
struct Line {
    message: String,
    fields: String,
}

impl Line {
    fn field(&mut self, name: &str, value: fmt::Arguments<'_>) {
        let space = if self.fields.is_empty() { "" } else { " " };
        // Writing to a String cannot fail.
        let _ = write!(self.fields, "{space}{name}={value}");
    }
}

impl Visit for Line {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            value.escape_debug().for_each(|c| self.message.push(c));
        } else {
            self.field(field.name(), format_args!("{value:?}"));
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            // A message may quote a peer; a line break in it would forge a line.
            self.message.extend(format!("{value:?}").chars().flat_map(|c| match c {
                c if c.is_control() => c.escape_default().collect::<Vec<_>>(),
                c => vec![c],
            }));
        } else {
            let text = format!("{value:?}");
            if text.chars().any(char::is_control) {
                self.field(field.name(), format_args!("{text:?}"));
            } else {
                self.field(field.name(), format_args!("{text}"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(event: impl FnOnce()) -> String {
        let sink = Sink::default();
        let writer = sink.clone();
        let subscriber =
            tracing_subscriber::fmt().event_format(Plain).with_writer(move || writer.clone()).finish();
        tracing::subscriber::with_default(subscriber, event);
        let bytes = sink.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_line_is_five_columns() {
        let addr: std::net::SocketAddr = "10.0.0.1:80".parse().unwrap();
        let line =
            logged(|| tracing::info!(target: "access", { src.addr = %addr, bytes = 7, who = "a b" }, "done"));
        let columns: Vec<_> = line.trim_end().split('\t').skip(1).collect();
        assert_eq!(columns, ["info", "access", "done", "src.addr=10.0.0.1:80 bytes=7 who=\"a b\""]);
    }

    #[test]
    fn a_line_break_cannot_forge_a_line() {
        let evil = "x\n2026-01-01\tinfo\taccess\tforged";
        let line = logged(|| tracing::info!(error = %evil, "got {evil}"));
        assert_eq!(line.lines().count(), 1, "{line}");
    }
}
