//! What was found, as figures.

use std::collections::BTreeMap;

use super::reader::{Answer, Look};
use super::windows::Taken;
use crate::figures::Figures;
use crate::mesh;
use crate::path::statistics::{median, percentile};
use crate::path::turns::steady::{Heard, Tally};
use crate::path::turns::times::{SHARES, Times};
use crate::path::turns::windows::{Kinds, Usage, Window};

/// The figure with a goal: of requests on connections that stay.
pub(in crate::path) const RATIO: &str = "requests: p99, looked at / quiet";
/// The same of new connections.
pub(in crate::path) const RATIO_NEW: &str = "new connections: p99, looked at / quiet";

/// All of a run.
#[derive(Debug)]
pub(super) struct Found {
    /// Of the metrics.
    pub(super) samples: usize,
    pub(super) idle: usize,
    /// What each answer is, and how long it takes when one alone is asked for.
    pub(super) alone: BTreeMap<Look, Answer>,
    pub(super) taken: Taken,
    pub(super) heard: Heard,
    /// MB of the node that is looked at, before and after.
    pub(super) resident: [f64; 2],
}

impl Found {
    pub(super) fn figures(&self, size: &mesh::Size) -> Figures {
        let mut figures = Figures::default();
        figures.add("workloads", size.workloads as f64, "");
        figures.add("services", size.services as f64, "");
        figures.add("samples in /metrics", self.samples as f64, "");
        figures.add("open connections that do nothing", self.idle as f64, "");
        self.add_times("requests", (RATIO, &self.heard.staying), &mut figures);
        self.add_times("new connections", (RATIO_NEW, &self.heard.new), &mut figures);
        self.add_looks(&mut figures);
        self.add_usage(&mut figures);
        figures
    }

    fn add_times(&self, what: &str, (ratio, tally): (&'static str, &Tally), figures: &mut Figures) {
        let times = Times::of(&tally.samples, self.taken.pairs.iter().map(Kinds::as_ref));
        for (kind, all) in [("quiet", &times.all.quiet), ("looked at", &times.all.disturbed)] {
            figures.add(format!("{what}: counted, {kind}"), all.len() as f64, "");
            for (name, share) in SHARES {
                let time = percentile(all, share).unwrap_or_default();
                figures.add(format!("{what}: {name}, {kind}"), time, "us");
            }
        }
        // Of no requests at all there is none, and a goal is not met by it.
        figures.add(ratio, times.ratio(0.99).unwrap_or(f64::NAN), "times");
        let usual = times.usual_ratio(0.99).unwrap_or(f64::NAN);
        figures.add(format!("{what}: p99, looked at / quiet, median of pairs"), usual, "times");
        figures.add(format!("{what}: failed"), tally.failures as f64, "");
        if let Some(why) = &tally.first_failure {
            eprintln!("{} {what} failed, the first one with: {why}", tally.failures);
        }
    }

    fn add_looks(&self, figures: &mut Figures) {
        let Taken { seen, looked, .. } = &self.taken;
        for (look, answer) in &self.alone {
            let path = look.path;
            figures.add(format!("{path}: size"), answer.bytes as f64 / 1e6, "MB");
            figures.add(format!("{path}: time, one alone"), answer.took.as_secs_f64(), "s");
            let answers = seen.answers.get(look).map_or(&[][..], Vec::as_slice);
            let times: Vec<_> = answers.iter().map(|answer| answer.took.as_secs_f64()).collect();
            figures.add(format!("{path}: read to the end in the windows"), answers.len() as f64, "");
            if let Some(time) = median(&times) {
                figures.add(format!("{path}: time in the windows"), time, "s");
            }
        }
        figures.add("read a second while looked at", seen.bytes as f64 / 1e6 / looked.as_secs_f64(), "MB");
        figures.add("answers: failed", seen.failures as f64, "");
        if let Some(why) = &seen.first_failure {
            eprintln!("{} answers failed, the first one with: {why}", seen.failures);
        }
    }

    fn add_usage(&self, figures: &mut Figures) {
        let pairs = &self.taken.pairs;
        let cpu = |one: fn(&Kinds<Window>) -> &Window| {
            let all: Vec<_> = pairs.iter().flat_map(|pair| &one(pair).usage).map(|usage| usage.cpu).collect();
            median(&all).unwrap_or_default()
        };
        figures.add("processor time of the node, quiet", cpu(|pair| &pair.quiet), "s/s");
        figures.add("processor time of the node, looked at", cpu(|pair| &pair.disturbed), "s/s");
        let most = pairs.iter().flat_map(|pair| [&pair.quiet, &pair.disturbed]).flat_map(|one| &one.usage);
        let most = most.map(|usage: &Usage| usage.resident);
        let [before, after] = self.resident;
        figures.add("resident memory of the node, before", before, "MB");
        figures.add("resident memory of the node, at most", most.fold(0.0, f64::max), "MB");
        figures.add("resident memory of the node, after", after, "MB");
    }
}
