//! What was measured: names, values, units; as a table or as JSON.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::time::Duration;

use serde::Serialize;

/// One measured value. What has no unit is a number of things.
#[derive(Debug, Serialize)]
struct Figure {
    name: Cow<'static, str>,
    value: f64,
    unit: &'static str,
}

/// All of a run.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Figures(Vec<Figure>);

impl Figures {
    pub(crate) fn add(&mut self, name: impl Into<Cow<'static, str>>, value: f64, unit: &'static str) {
        self.0.push(Figure { name: name.into(), value, unit });
    }

    pub(crate) fn add_time(&mut self, name: &'static str, time: Duration) {
        match time {
            long if long >= Duration::from_secs(1) => self.add(name, long.as_secs_f64(), "s"),
            long if long >= Duration::from_millis(1) => self.add(name, long.as_secs_f64() * 1e3, "ms"),
            short => self.add(name, short.as_secs_f64() * 1e6, "us"),
        }
    }

    /// What was measured under a name.
    pub(crate) fn value(&self, name: &str) -> Option<f64> {
        self.0.iter().find(|figure| figure.name == name).map(|figure| figure.value)
    }

    /// Prints them: as a table, or as JSON if that is wanted.
    pub(crate) fn print(&self, as_json: bool) {
        if as_json {
            println!("{}", self.json());
        } else {
            print!("{}", self.table());
        }
    }

    pub(crate) fn table(&self) -> String {
        let width = self.0.iter().map(|figure| figure.name.len()).max().unwrap_or_default();
        let mut table = String::new();
        for Figure { name, value, unit } in &self.0 {
            // Writing to a String cannot fail.
            let _ = if unit.is_empty() {
                writeln!(table, "{name:width$}  {value:>10.0}")
            } else {
                writeln!(table, "{name:width$}  {value:>10.2} {unit}")
            };
        }
        table
    }

    pub(crate) fn json(&self) -> String {
        serde_json::to_string_pretty(self).expect("names and numbers are JSON")
    }
}
