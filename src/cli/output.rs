//! What every command prints: tables for people, JSON and YAML for programs.
//!
//! In go values and the person's wishes; out comes text. It decides about colours and widths, once and for all commands. It
//! deliberately knows nothing of what the values mean.

use std::fmt::Write as _;
use std::io::{self, Write as _};

use serde::Serialize;

pub(crate) mod human;
mod screen;
mod table;

pub(crate) use screen::{Paint, Screen, Tone, clean, cut, width_of, wrapped};
pub(crate) use table::{Cell, Heading, Piece, Table};

/// How a result is shown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// Columns, as wide as the terminal.
    #[default]
    Table,
    /// All columns, as wide as they are.
    Wide,
    /// JSON, with stable keys.
    Json,
    /// The same as YAML.
    Yaml,
}

/// How people ask for it.
#[derive(Debug, Clone, Copy, Default, clap::Args)]
pub(crate) struct FormatOptions {
    /// How to show it
    #[arg(short, long = "output", value_enum, value_name = "FORMAT", default_value_t)]
    pub(crate) output: Format,
}

/// A value that could not be written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("cannot write this as JSON")]
    Json(#[source] serde_json::Error),
    #[error("cannot write this as YAML")]
    Yaml(#[source] serde_saphyr::ser::Error),
}

impl Format {
    /// Writes a value for programs; `None` when it is for people, and for the command to draw.
    pub(crate) fn structured(self, value: &impl Serialize) -> Result<Option<String>, Error> {
        let text = match self {
            Self::Table | Self::Wide => return Ok(None),
            Self::Json => json(value)?,
            Self::Yaml => match serde_saphyr::to_string(value).map_err(Error::Yaml)? {
                // What a terminal obeys can be written by number in JSON, which is YAML as well.
                text if text.contains(|c: char| c != '\n' && screen::is_obeyed(c)) => json(value)?,
                text => text,
            },
        };
        Ok(Some(if text.ends_with('\n') { text } else { text + "\n" }))
    }
}

fn json(value: &impl Serialize) -> Result<String, Error> {
    Ok(harmless(&serde_json::to_string_pretty(value).map_err(Error::Json)?))
}

/// JSON leaves some of what a terminal obeys as it is. In JSON all that is not between values is in texts, and may be written by number.
fn harmless(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        if c != '\n' && screen::is_obeyed(c) {
            // Writing to a String cannot fail; none of these takes two code units.
            let _ = write!(out, "\\u{:04x}", u32::from(c));
        } else {
            out.push(c);
        }
    }
    out
}

/// Prints a text at once. Nobody may be reading any more; the exit code still says how it went.
pub(crate) fn print(text: &str) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_programs_read_ends_with_a_line_break_and_keeps_its_keys() {
        let value = serde_json::json!({"items": [{"b": 1, "a": "yes", "c": ["1.0", null]}]});
        assert_eq!(Format::Table.structured(&value).unwrap(), None);
        let json = Format::Json.structured(&value).unwrap().unwrap();
        assert_eq!(serde_json::from_str::<serde_json::Value>(&json).unwrap(), value);
        assert!(json.ends_with("}\n"), "{json:?}");
        let yaml = Format::Yaml.structured(&value).unwrap().unwrap();
        assert_eq!(serde_saphyr::from_str::<serde_json::Value>(&yaml).unwrap(), value);
        assert!(yaml.ends_with('\n') && !yaml.ends_with("\n\n"), "{yaml:?}");
    }

    #[test]
    fn nothing_a_terminal_obeys_is_in_what_programs_read() {
        let value = serde_json::json!({"\u{9b}2J": "\u{7f}\u{85}\u{1b}[2J\n\u{202e}grün 東京"});
        let yaml = Format::Yaml.structured(&value).unwrap().unwrap();
        assert!(!yaml.contains(|c: char| c != '\n' && screen::is_obeyed(c)), "{yaml:?}");
        assert_eq!(serde_saphyr::from_str::<serde_json::Value>(&yaml).unwrap(), value, "{yaml:?}");
        let json = Format::Json.structured(&value).unwrap().unwrap();
        assert!(!json.contains(|c: char| c != '\n' && screen::is_obeyed(c)), "{json:?}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&json).unwrap(), value, "{json:?}");
        assert!(json.contains("grün 東京"));
    }

    #[test]
    fn texts_that_look_like_something_else_stay_texts_in_yaml() {
        let odd = [
            "no",
            "1",
            "1e3",
            "",
            "null",
            "~",
            "a: b",
            "# c",
            "2026-01-01",
            "x\ny",
            "\u{1b}[31m",
            "'\"",
            "- a",
            "0x1f",
        ];
        let value = serde_json::json!({ "items": odd });
        let yaml = Format::Yaml.structured(&value).unwrap().unwrap();
        assert_eq!(serde_saphyr::from_str::<serde_json::Value>(&yaml).unwrap(), value, "{yaml}");
        assert!(!yaml.contains('\u{1b}'), "{yaml:?}");
    }
}
