//! The log: one line per event on stdout, as text with tabs or as JSON (`LOG_FORMAT`), filtered (`RUST_LOG`).
//!
//! Events go in; lines come out, in order, each whole. Whoever logs never waits for whoever reads: lines wait in a
//! bounded [`queue`] and are written by a thread of their own ([`writer`]). What does not fit is lost and counted
//! ([`dropped`]), and one line says how many there were as soon as lines flow again.
//!
//! It deliberately does not keep lines, rotate files or send anything anywhere: that is the container runtime's, or that of whoever
//! listens in ([`tap()`]).

mod filter;
mod json;
mod queue;
mod tap;
mod target;
mod text;
mod writer;

use std::fs::File;
use std::io;
use std::os::fd::AsFd as _;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{fmt, reload};

pub use filter::{Filter, Invalid};
use queue::Queue;
pub use tap::{Tap, tap};

/// How long a program that ends waits for whoever reads its log.
const PARTING: Duration = Duration::from_secs(1);

/// The message of the line that tells how many were lost.
const LOST: &str =
    "log lines were lost: they were not read as fast as they were made, or could not be written";

static RUNNING: OnceLock<Running> = OnceLock::new();

#[derive(Debug)]
struct Running {
    queue: Arc<Queue>,
    filter: Filter,
}

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

/// Held for as long as the program runs; gives the last lines a second to be written when dropped.
#[derive(Debug)]
#[must_use = "the last lines are written when this is dropped"]
pub struct Guard(Arc<Queue>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.flush(PARTING);
    }
}

/// Starts logging, with format and filter from `LOG_FORMAT` and `RUST_LOG`. Called once, from `main`.
///
/// # Errors
/// A sentence when one of the two is invalid, or stdout or a thread cannot be had.
pub fn start_from_environment() -> Result<Guard, String> {
    let format = match std::env::var("LOG_FORMAT") {
        Ok(text) => Format::parse(&text).map_err(|error| format!("LOG_FORMAT: {error}"))?,
        Err(_) => Format::Plain,
    };
    let (layer, filter) = Filter::for_layer(std::env::var("RUST_LOG").ok().as_deref().unwrap_or_default())
        .map_err(|error| format!("RUST_LOG: {error}"))?;
    start(format, layer, filter).map_err(|error| format!("logging cannot start: {error}"))
}

type Started = Result<Guard, Box<dyn std::error::Error>>;

fn start(format: Format, layer: reload::Layer<filter::Directives, filter::Below>, filter: Filter) -> Started {
    let stdout = File::from(io::stdout().as_fd().try_clone_to_owned()?);
    let queue = Arc::new(Queue::new(match format {
        Format::Plain => text::lost,
        Format::Json => json::lost,
    }));
    writer::spawn(Arc::clone(&queue), stdout)?;
    let filtered = tracing_subscriber::registry().with(layer).with(tap::Tapped);
    let lines = queue::Lines(Arc::clone(&queue));
    match format {
        Format::Plain => filtered
            .with(fmt::layer().fmt_fields(text::Fields).event_format(text::Plain).with_writer(lines))
            .try_init()?,
        Format::Json => filtered
            .with(fmt::layer().fmt_fields(json::Fields).event_format(json::Json).with_writer(lines))
            .try_init()?,
    }
    // A second start fails above.
    let _ = RUNNING.set(Running { queue: Arc::clone(&queue), filter });
    Ok(Guard(queue))
}

/// How many lines were lost so far: the queue was full, or stdout did not take them.
#[must_use]
pub fn dropped() -> u64 {
    RUNNING.get().map_or(0, |running| running.queue.lost())
}

/// How often stdout has refused what was written to it.
#[must_use]
pub fn write_errors() -> u64 {
    RUNNING.get().map_or(0, |running| running.queue.errors())
}

/// The filter in force, once logging has started.
#[must_use]
pub fn filter() -> Option<Filter> {
    RUNNING.get().map(|running| running.filter.clone())
}

#[cfg(test)]
mod tests;
