//! What was measured: for each load, part and subject, and each kind of value, one value a round.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};

use super::load::PartName;
use super::statistics::median;

/// A kind of value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Measure {
    /// Gbit a second for bulk, operations a second for the rest.
    Rate,
    /// Microseconds.
    P50,
    P99,
    /// CPU seconds for each GB, or for each 1,000 operations, of the proxy at the client and the one at the server.
    CpuClient,
    CpuServer,
    /// MB of resident memory after the load.
    ResidentClient,
    ResidentServer,
    /// Operations that did not do what they should.
    Failures,
    /// How many connections were in TIME_WAIT at the beginning.
    TimeWaitClient,
    TimeWaitServer,
    /// MB of resident memory of a new process.
    NewClient,
    NewServer,
    /// kB of resident memory for each idle connection.
    IdleClient,
    IdleServer,
    /// Microseconds from connect to the first byte of the answer; as many values as connections.
    FirstByte,
}

/// What was measured, on whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Series {
    pub(super) load: &'static str,
    pub(super) part: PartName,
    pub(super) subject: &'static str,
}

/// Everything that was measured.
#[derive(Debug, Default)]
pub(super) struct Results {
    values: BTreeMap<(Series, Measure), Vec<f64>>,
    failed: BTreeMap<Series, String>,
    notes: Vec<String>,
}

impl Results {
    pub(super) fn add(&mut self, series: Series, measure: Measure, value: f64) {
        self.values.entry((series, measure)).or_default().push(value);
    }

    /// Adds what failed, and remembers why the first of them did.
    pub(super) fn failed(&mut self, series: Series, failures: u64, why: Option<&str>) {
        self.add(series, Measure::Failures, failures as f64);
        if let Some(why) = why {
            self.failed.entry(series).or_insert_with(|| why.to_owned());
        }
    }

    /// Adds what else there is to say.
    pub(super) fn note(&mut self, note: String) {
        self.notes.push(note);
    }

    /// What went wrong, in words.
    pub(super) fn notes(&self) -> impl Iterator<Item = String> {
        let failed = self.failed.iter().map(|(series, why)| {
            let failures = self.sum(*series, Measure::Failures).unwrap_or_default();
            format!("{} on {}: {failures} failed, the first one with: {why}", series.load, series.subject)
        });
        self.notes.iter().cloned().chain(failed)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Whether anything was measured of a series.
    pub(super) fn has(&self, series: Series) -> bool {
        self.values.keys().any(|(other, _)| *other == series)
    }

    /// The median over the rounds.
    pub(super) fn median(&self, series: Series, measure: Measure) -> Option<f64> {
        median(self.values.get(&(series, measure))?)
    }

    /// The sum over the rounds.
    pub(super) fn sum(&self, series: Series, measure: Measure) -> Option<f64> {
        Some(self.values.get(&(series, measure))?.iter().sum())
    }
}

/// One series of values, as JSON has it.
#[derive(Serialize)]
struct Row<'r> {
    load: &'r str,
    part: PartName,
    subject: &'r str,
    measure: Measure,
    median: Option<f64>,
    rounds: &'r [f64],
}

impl Serialize for Results {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.values.iter().map(|((series, measure), rounds)| Row {
            load: series.load,
            part: series.part,
            subject: series.subject,
            measure: *measure,
            median: median(rounds),
            rounds,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_are_over_rounds() {
        let mut results = Results::default();
        let series = Series { load: "up-1", part: PartName::Bulk, subject: "relay" };
        for value in [3.0, 9.0, 1.0] {
            results.add(series, Measure::Rate, value);
        }
        assert_eq!(results.median(series, Measure::Rate), Some(3.0));
        assert_eq!(results.median(series, Measure::P50), None);
        assert_eq!(results.sum(series, Measure::Rate), Some(13.0));
        let json = serde_json::to_value(&results).unwrap();
        assert_eq!(json[0]["rounds"][1], 9.0);
        assert_eq!(json[0]["measure"], "rate");
    }

    #[test]
    fn failures_are_told_once_with_their_number() {
        let mut results = Results::default();
        let series = Series { load: "echo-1", part: PartName::Echo, subject: "relay" };
        results.failed(series, 2, Some("reset"));
        results.failed(series, 0, None);
        results.failed(series, 1, Some("refused"));
        let notes: Vec<_> = results.notes().collect();
        assert_eq!(notes, ["echo-1 on relay: 3 failed, the first one with: reset"]);
    }
}
