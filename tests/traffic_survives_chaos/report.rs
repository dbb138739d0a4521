//! What became of seeds, as a table and as JSON.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::traffic::journal::Counts;

/// What became of a seed.
#[derive(Debug, Clone)]
pub(super) struct Report {
    pub(super) seed: u64,
    pub(super) steps: usize,
    pub(super) counts: Counts,
    /// How many steps of each kind were taken.
    pub(super) kinds: BTreeMap<&'static str, usize>,
    pub(super) violations: Vec<String>,
    /// How long it took until everything worked, once nothing was broken any more.
    pub(super) recovery: Duration,
    /// The longest any connection took.
    pub(super) slowest: Duration,
}

impl Report {
    /// Its violations, each with the seed.
    pub(super) fn told(&self) -> Vec<String> {
        self.violations.iter().map(|what| format!("seed {}: {what}", self.seed)).collect()
    }

    fn json(&self) -> Value {
        let counts = self.counts;
        json!({
            "seed": self.seed,
            "steps": self.steps,
            "connections": {
                "made": counts.made, "whole": counts.whole, "refused": counts.refused, "broken": counts.broken,
            },
            "bytes": counts.bytes,
            "kinds": self.kinds,
            "violations": self.violations,
            "recoverySeconds": self.recovery.as_secs_f64(),
            "slowestSeconds": self.slowest.as_secs_f64(),
        })
    }
}

/// A line for each seed, then what is true of all of them.
pub(super) fn table(reports: &[Report]) -> String {
    let mut text = String::from(
        "| seed | steps | connections | as planned | refused | broken | MB | violations | recovery, s | slowest, s |\n\
         |---|---|---|---|---|---|---|---|---|---|\n",
    );
    for report in reports {
        line(&mut text, &report.seed.to_string(), report);
    }
    let Some(all) = sum(reports) else { return text };
    line(&mut text, &format!("all {}", reports.len()), &all);
    text.push_str("\n| what happened | times |\n|---|---|\n");
    for (kind, times) in &all.kinds {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "| {kind} | {times} |");
    }
    text
}

fn line(text: &mut String, name: &str, report: &Report) {
    let Report { steps, counts, violations, recovery, slowest, .. } = report;
    let Counts { made, whole, refused, broken, bytes } = counts;
    let _ = writeln!(
        text,
        "| {name} | {steps} | {made} | {whole} | {refused} | {broken} | {} | {} | {:.1} | {:.1} |",
        bytes / 1_000_000,
        violations.len(),
        recovery.as_secs_f64(),
        slowest.as_secs_f64()
    );
}

/// All of them as one: sums, and the longest times.
fn sum(reports: &[Report]) -> Option<Report> {
    let (first, rest) = reports.split_first()?;
    let mut all = first.clone();
    for report in rest {
        all.steps += report.steps;
        let (sum, more) = (&mut all.counts, report.counts);
        sum.made += more.made;
        sum.whole += more.whole;
        sum.refused += more.refused;
        sum.broken += more.broken;
        sum.bytes += more.bytes;
        all.violations.extend(report.violations.iter().cloned());
        all.recovery = all.recovery.max(report.recovery);
        all.slowest = all.slowest.max(report.slowest);
    }
    let kinds: BTreeSet<_> = reports.iter().flat_map(|report| report.kinds.keys().copied()).collect();
    let times = |kind| reports.iter().filter_map(|report| report.kinds.get(kind)).sum();
    all.kinds = kinds.into_iter().map(|kind| (kind, times(kind))).collect();
    Some(all)
}

/// Writes both to the directory of builds.
pub(super) fn write(reports: &[Report]) {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target");
    let all: Vec<_> = reports.iter().map(Report::json).collect();
    fs::write(directory.join("chaos.json"), format!("{:#}\n", Value::Array(all))).unwrap();
    fs::write(directory.join("chaos.md"), table(reports)).unwrap();
}

#[test]
fn seeds_are_added_up() {
    let report = |seed: u64, kind| Report {
        seed,
        steps: 2,
        counts: Counts { made: 3, whole: 1, refused: 1, broken: 1, bytes: 2_000_000 },
        kinds: BTreeMap::from([(kind, 2)]),
        violations: vec!["it broke".to_owned()],
        recovery: Duration::from_secs(seed),
        slowest: Duration::from_secs(1),
    };
    let reports = [report(1, "killed"), report(4, "stopped"), report(2, "killed")];
    let table = table(&reports);
    assert!(table.contains("| all 3 | 6 | 9 | 3 | 3 | 3 | 6 | 3 | 4.0 | 1.0 |"), "{table}");
    assert!(table.contains("| killed | 4 |\n| stopped | 2 |"), "{table}");
}
