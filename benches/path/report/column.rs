//! The columns of the tables: what each shows, from the results of one subject or of two.

use super::{DIRECT, HANDSHAKE, RELAY};
use crate::path::load::{PartName, Work};
use crate::path::plan::{Load, What};
use crate::path::results::{Measure, Results, Series};

/// What is shown of a series.
#[derive(Debug, Clone, Copy)]
pub(super) enum Value {
    Of(Measure),
    /// Compared with another subject.
    Ratio(Measure, &'static str),
    /// Compared with the same subject under another load.
    Solo(Measure, &'static str),
    /// Of both proxies.
    Sum(Measure, Measure),
    /// Of the proxy that has more.
    Most(Measure, Measure),
    /// The sum over all rounds.
    Total(Measure),
}

impl Value {
    pub(super) fn of(self, results: &Results, series: Series) -> Option<f64> {
        let median = |measure| results.median(series, measure);
        match self {
            Self::Of(measure) => median(measure),
            Self::Ratio(measure, subject) => {
                Some(median(measure)? / results.median(Series { subject, ..series }, measure)?)
            }
            Self::Solo(measure, load) => {
                Some(median(measure)? / results.median(Series { load, ..series }, measure)?)
            }
            Self::Sum(one, other) => Some(median(one)? + median(other)?),
            Self::Most(one, other) => Some(median(one)?.max(median(other)?)),
            Self::Total(measure) => results.sum(series, measure),
        }
    }
}

/// A column of a table.
#[derive(Debug)]
pub(super) struct Column {
    pub(super) title: &'static str,
    value: Value,
    decimals: usize,
}

impl Column {
    const fn new(title: &'static str, value: Value, decimals: usize) -> Self {
        Self { title, value, decimals }
    }

    /// What it shows of a series; a dash when that was not measured.
    pub(super) fn cell(&self, results: &Results, series: Series) -> String {
        self.value.of(results, series).map_or("-".to_owned(), |value| format!("{value:.*}", self.decimals))
    }
}

/// The columns for a part of a load.
pub(super) fn columns(load: &Load, part: PartName) -> Vec<&'static Column> {
    match (load.what, part) {
        (What::Cold, _) => COLD.iter().collect(),
        (What::Idle { .. }, _) => IDLE.iter().chain(&FAILED).collect(),
        (What::Pressed { .. }, _) => SPEED.iter().chain(&TIME_WAIT).chain(&COST).chain(&FAILED).collect(),
        // CPU time cannot be told apart here: part of it went into the requests.
        (What::Work(Work::Beside { .. }), PartName::Bulk) => BULK[..3].iter().chain(&FAILED).collect(),
        (What::Work(_), PartName::Bulk) => BULK.iter().chain(&FAILED).collect(),
        (What::Work(Work::Beside { .. }), PartName::Echo) => {
            LATENCY.iter().chain(&BESIDE_ECHO).chain(&FAILED).collect()
        }
        (What::Work(Work::Beside { .. }), _) => {
            LATENCY.iter().chain(&BESIDE_CONNECT).chain(&FAILED).collect()
        }
        (What::Work(_), _) => SPEED.iter().chain(&COST).chain(&FAILED).collect(),
    }
}

const FAILED: [Column; 1] = [Column::new("failed", Value::Total(Measure::Failures), 0)];

const BULK: [Column; 8] = [
    Column::new("Gbit/s", Value::Of(Measure::Rate), 2),
    Column::new("/ relay", Value::Ratio(Measure::Rate, RELAY), 2),
    Column::new("/ direct", Value::Ratio(Measure::Rate, DIRECT), 2),
    Column::new("CPU s/GB", Value::Sum(Measure::CpuClient, Measure::CpuServer), 2),
    Column::new("at client", Value::Of(Measure::CpuClient), 2),
    Column::new("at server", Value::Of(Measure::CpuServer), 2),
    Column::new("MB at client", Value::Of(Measure::ResidentClient), 1),
    Column::new("at server", Value::Of(Measure::ResidentServer), 1),
];

const SPEED: [Column; 7] = [
    Column::new("per second", Value::Of(Measure::Rate), 0),
    Column::new("/ relay", Value::Ratio(Measure::Rate, RELAY), 2),
    Column::new("/ direct", Value::Ratio(Measure::Rate, DIRECT), 2),
    Column::new("p50 us", Value::Of(Measure::P50), 0),
    Column::new("/ relay", Value::Ratio(Measure::P50, RELAY), 2),
    Column::new("p99 us", Value::Of(Measure::P99), 0),
    Column::new("/ relay", Value::Ratio(Measure::P99, RELAY), 2),
];

const COST: [Column; 5] = [
    Column::new("CPU ms each", Value::Sum(Measure::CpuClient, Measure::CpuServer), 3),
    Column::new("at client", Value::Of(Measure::CpuClient), 3),
    Column::new("at server", Value::Of(Measure::CpuServer), 3),
    Column::new("MB at client", Value::Of(Measure::ResidentClient), 1),
    Column::new("at server", Value::Of(Measure::ResidentServer), 1),
];

const TIME_WAIT: [Column; 2] = [
    Column::new("TIME_WAIT at client", Value::Of(Measure::TimeWaitClient), 0),
    Column::new("at server", Value::Of(Measure::TimeWaitServer), 0),
];

const LATENCY: [Column; 3] = [
    Column::new("per second", Value::Of(Measure::Rate), 0),
    Column::new("p50 us", Value::Of(Measure::P50), 0),
    Column::new("p99 us", Value::Of(Measure::P99), 0),
];

const BESIDE_ECHO: [Column; 2] = [
    Column::new("p50 / solo", Value::Solo(Measure::P50, "echo-1"), 2),
    Column::new("p99 / solo", Value::Solo(Measure::P99, "echo-1"), 2),
];

const BESIDE_CONNECT: [Column; 2] = [
    Column::new("p50 / solo", Value::Solo(Measure::P50, "connect-1"), 2),
    Column::new("p99 / solo", Value::Solo(Measure::P99, "connect-1"), 2),
];

const IDLE: [Column; 4] = [
    Column::new("new process MB at client", Value::Of(Measure::NewClient), 1),
    Column::new("at server", Value::Of(Measure::NewServer), 1),
    Column::new("kB per connection at client", Value::Of(Measure::IdleClient), 2),
    Column::new("at server", Value::Of(Measure::IdleServer), 2),
];

const COLD: [Column; 3] = [
    Column::new("median us", Value::Of(Measure::FirstByte), 0),
    Column::new("/ handshake", Value::Ratio(Measure::FirstByte, HANDSHAKE), 2),
    Column::new("/ direct", Value::Ratio(Measure::FirstByte, DIRECT), 2),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn series(load: &'static str, subject: &'static str) -> Series {
        Series { load, part: PartName::Echo, subject }
    }

    #[test]
    fn ratios_need_both_sides() {
        let mut results = Results::default();
        let (ours, relay) = (series("echo-1", "culvert"), series("echo-1", RELAY));
        results.add(ours, Measure::P50, 30.0);
        let ratio = Value::Ratio(Measure::P50, RELAY);
        assert_eq!(ratio.of(&results, ours), None);
        results.add(relay, Measure::P50, 20.0);
        assert_eq!(ratio.of(&results, ours), Some(1.5));
        results.add(series("beside", "culvert"), Measure::P50, 60.0);
        let solo = Value::Solo(Measure::P50, "echo-1");
        assert_eq!(solo.of(&results, series("beside", "culvert")), Some(2.0));
    }

    #[test]
    fn what_was_not_measured_is_a_dash() {
        let results = Results::default();
        assert_eq!(SPEED[0].cell(&results, series("echo-1", RELAY)), "-");
        assert_eq!(FAILED[0].cell(&results, series("echo-1", RELAY)), "-");
    }
}
