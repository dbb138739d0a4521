//! The client works for a while: rates and latencies as it saw them, and what the proxies spent on it.

use super::Measuring;
use crate::memory;
use crate::path::cpu::Cpu;
use crate::path::error::Error;
use crate::path::load::{Outcome, Part, PartName, Work};
use crate::path::results::{Measure, Results, Series};
use crate::path::subject::Subject;

impl Measuring<'_> {
    pub(super) fn worked(
        &self,
        subject: &Subject,
        work: Work,
        results: &mut Results,
    ) -> Result<String, Error> {
        let before = usage(subject);
        let outcome = subject.bed.drive(work, self.pace.warm, self.pace.length(work))?;
        let after = usage(subject);
        for part in &outcome.parts {
            record(results, self.series(subject, part.name), part);
        }
        if let (Some(before), Some(after)) = (before, after) {
            let spent = [after[0].since(&before[0]), after[1].since(&before[1])];
            self.record_usage(results, subject, &outcome, spent);
        }
        Ok(outcome.parts.first().map(show).unwrap_or_default())
    }

    /// Books the proxies' CPU time on the part they worked most for: the bulk streams, or else the first.
    fn record_usage(&self, results: &mut Results, subject: &Subject, outcome: &Outcome, spent: [f64; 2]) {
        let bulk = outcome.parts.iter().find(|part| part.name == PartName::Bulk);
        let (Some(part), Some(proxies)) = (bulk.or(outcome.parts.first()), &subject.proxies) else { return };
        let series = self.series(subject, part.name);
        // Of 10^9 bytes, or of 1,000 operations.
        let units = part.total.max(1) as f64 / if part.name == PartName::Bulk { 1e9 } else { 1e3 };
        let resident = proxies.each_ref().map(|proxy| memory::resident(&proxy.pid().to_string()));
        let values = [
            (Measure::CpuClient, spent[0] / units),
            (Measure::CpuServer, spent[1] / units),
            (Measure::ResidentClient, resident[0]),
            (Measure::ResidentServer, resident[1]),
        ];
        values.into_iter().for_each(|(measure, value)| results.add(series, measure, value));
    }
}

/// CPU time of the two proxies so far.
fn usage(subject: &Subject) -> Option<[Cpu; 2]> {
    subject.proxies.as_ref().map(|proxies| proxies.each_ref().map(|proxy| Cpu::of(proxy.pid())))
}

fn record(results: &mut Results, series: Series, part: &Part) {
    results.add(series, Measure::Rate, rate(part));
    for (measure, value) in [(Measure::P50, part.p50), (Measure::P99, part.p99)] {
        if let Some(value) = value {
            results.add(series, measure, value);
        }
    }
    results.failed(series, part.failures, part.first_failure.as_deref());
}

/// Gbit a second, or operations a second.
fn rate(part: &Part) -> f64 {
    if part.name == PartName::Bulk { part.rate * 8.0 / 1e9 } else { part.rate }
}

fn show(part: &Part) -> String {
    let failed = if part.failures == 0 { String::new() } else { format!(", {} FAILED", part.failures) };
    match (part.name, part.p50) {
        (PartName::Bulk, _) => format!("{:.2} Gbit/s{failed}", rate(part)),
        (_, Some(p50)) => format!("{:.0} a second, p50 {p50:.0} us{failed}", part.rate),
        (_, None) => format!("{:.0} a second{failed}", part.rate),
    }
}
