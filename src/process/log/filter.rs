//! Which events become lines: directives as `RUST_LOG` has them, changed while the program runs.
//!
//! What is said later about a target, or about all others, replaces what was said before, so the directives are as many as there
//! are targets that were named; their text is bounded.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use tracing_subscriber::{EnvFilter, Registry, reload};

/// What is filtered, and what it stands on.
pub(super) type Directives = EnvFilter;
pub(super) type Below = Registry;

/// Anybody who sends packets to port 53 of a pod could fill the log through the library that parses them.
const QUIET: &str = "hickory_proto=off";
const DEFAULT: &str = "info";
const MAX_LENGTH: usize = 4096;

/// Crates of ours; lines name their targets without the prefix.
const OURS: [&str; 11] =
    ["agent", "control", "core", "kubernetes", "lab", "node", "process", "serving", "sys", "tls", "wire"];

/// The filter in force.
#[derive(Clone)]
pub struct Filter {
    handle: reload::Handle<Directives, Below>,
    /// What it was at the start.
    first: Arc<str>,
    /// One change at a time.
    changing: Arc<Mutex<()>>,
}

/// A change that makes no sense; nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Invalid {
    /// Neither a level nor a target with one.
    Level(String),
    /// Too many targets were named.
    TooLong,
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Level(text) => write!(f, "Invalid level provided: {text}"),
            Self::TooLong => write!(
                f,
                "Invalid level provided: with it the filter would be longer than {MAX_LENGTH} characters; reset it first"
            ),
        }
    }
}

impl std::error::Error for Invalid {}

impl Filter {
    /// A filter of its own, with the layer it acts through: what is asked for (nothing: `info`), without the lines nobody wants.
    ///
    /// # Errors
    /// A sentence when what is asked for makes no sense.
    pub fn for_layer(asked: &str) -> Result<(reload::Layer<Directives, Below>, Self), String> {
        let asked = if asked.trim().is_empty() { DEFAULT } else { asked };
        let filter =
            EnvFilter::try_new(format!("{QUIET},{asked}")).map_err(|error| format!("`{asked}`: {error}"))?;
        let first = filter.to_string().into();
        let (layer, handle) = reload::Layer::new(filter);
        Ok((layer, Self { handle, first, changing: Arc::default() }))
    }

    /// The directives in force, separated by commas.
    #[must_use]
    pub fn current(&self) -> String {
        // It is gone only when nothing is logged any more.
        self.handle.with_current(ToString::to_string).unwrap_or_default()
    }

    /// Adds directives, separated by commas: `LEVEL`, `TARGET=LEVEL` or `TARGET:LEVEL`.
    ///
    /// # Errors
    /// When one of them is none of these; then none has an effect.
    pub fn append(&self, directives: &str) -> Result<(), Invalid> {
        let _one = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        self.change(&self.current(), directives)
    }

    /// Goes back to what it was at the start.
    pub fn reset(&self) {
        // What has been in force is valid.
        let _ = self.reset_and_append("");
    }

    /// Goes back to what it was at the start, and adds directives to that.
    ///
    /// # Errors
    /// As [`append`](Self::append); then nothing is reset either.
    pub fn reset_and_append(&self, directives: &str) -> Result<(), Invalid> {
        let _one = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        self.change(&self.first, directives)
    }

    fn change(&self, from: &str, directives: &str) -> Result<(), Invalid> {
        let invalid = || Invalid::Level(directives.to_owned());
        let mut text = from.to_owned();
        for directive in directives.split(',').map(str::trim).filter(|one| !one.is_empty()) {
            text.push(',');
            text.push_str(&canonical(directive).ok_or_else(invalid)?);
        }
        let filter = EnvFilter::try_new(&text).map_err(|_| invalid())?;
        if filter.to_string().len() > MAX_LENGTH.max(self.first.len()) {
            return Err(Invalid::TooLong);
        }
        let _ = self.handle.reload(filter);
        Ok(())
    }
}

impl fmt::Debug for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Filter").field(&self.current()).finish()
    }
}

/// A directive as the library reads it.
fn canonical(directive: &str) -> Option<String> {
    if let Some(level) = level(directive) {
        return Some(level.to_owned());
    }
    let (target, said) = directive.rsplit_once(['=', ':'])?;
    let level = level(said)?;
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | ':');
    // Of `a::debug` the last part is a module.
    let named = !target.is_empty() && !target.ends_with(':') && target.chars().all(plain);
    let prefix = if OURS.contains(&target.split("::").next()?) { "culvert_" } else { "" };
    named.then(|| format!("{prefix}{target}={level}"))
}

fn level(text: &str) -> Option<&'static str> {
    let names = ["off", "error", "warn", "info", "debug", "trace"];
    match text.to_ascii_lowercase().as_str() {
        "warning" => Some("warn"),
        "critical" => Some("error"),
        lower => names.into_iter().find(|name| *name == lower),
    }
}

#[cfg(test)]
mod tests;
