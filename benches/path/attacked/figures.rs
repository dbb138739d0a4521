//! What was found, as figures: of each attack, and of the worst of all.

use super::attack::Attack;
use super::windows::{Passed, Taken};
use crate::figures::Figures;
use crate::path::statistics::{median, percentile};
use crate::path::turns::steady::{Heard, Tally};
use crate::path::turns::times::{SHARES, Times};
use crate::path::turns::windows::{Kinds, Usage};

/// The figures with goals: the worst of all attacks, of requests on connections that stay,
pub(in crate::path) const RATIO: &str = "worst attack: requests: p99, attacked / solo";
/// of requests on new connections,
pub(in crate::path) const RATIO_NEW: &str = "worst attack: new connections: p99, attacked / solo";
/// of the rate of streams,
pub(in crate::path) const RATE: &str = "worst attack: streams: rate, attacked / solo";
/// and of all that failed.
pub(in crate::path) const FAILED: &str = "all attacks: failures of the victim";

const KINDS: [&str; 2] = ["solo", "attacked"];
const NODES: [&str; 2] = ["client's node", "server's node"];

/// All of an attack.
pub(super) struct Found {
    pub(super) attack: Attack,
    pub(super) taken: Taken,
    pub(super) heard: Heard,
    /// MB and descriptors of the nodes afterwards.
    pub(super) after: [(f64, u64); 2],
}

/// The worst of the attacks so far.
#[derive(Debug, Default)]
pub(super) struct Worst {
    requests: Vec<f64>,
    new: Vec<f64>,
    rates: Vec<f64>,
    failures: u64,
}

impl Found {
    pub(super) fn add_to(&self, figures: &mut Figures, worst: &mut Worst) {
        let requests = self.add_times("requests", &self.heard.staying, figures);
        let new = self.add_times("new connections", &self.heard.new, figures);
        let rate = self.add_rates(figures);
        // What the machine does to itself is nobody's goal.
        if self.attack != Attack::Bypass {
            worst.requests.push(requests);
            worst.new.push(new);
            worst.rates.push(rate);
        }
        let mut failures = self.heard.staying.failures + self.heard.new.failures;
        failures +=
            self.taken.pairs.iter().map(|pair| pair.quiet.failures + pair.disturbed.failures).sum::<u64>();
        worst.failures += failures;
        self.add(figures, "failures of the victim", failures as f64, "");
        for (what, count) in [
            ("opened, in all", self.taken.toll.opened),
            ("refused, in all", self.taken.toll.refused),
            ("open at once", self.taken.toll.most),
        ] {
            self.add(figures, &format!("attacker: {what}"), count as f64, "");
        }
        self.add_usage(figures);
    }

    fn add(&self, figures: &mut Figures, name: &str, value: f64, unit: &'static str) {
        figures.add(format!("{}: {name}", self.attack.name()), value, unit);
    }

    /// Gives back the ratio that has a goal.
    fn add_times(&self, what: &str, tally: &Tally, figures: &mut Figures) -> f64 {
        let pairs = self.taken.pairs.iter();
        let windows =
            pairs.map(|pair| Kinds { quiet: &pair.quiet.window, disturbed: &pair.disturbed.window });
        let times = Times::of(&tally.samples, windows);
        for (kind, all) in KINDS.iter().zip([&times.all.quiet, &times.all.disturbed]) {
            self.add(figures, &format!("{what}: counted, {kind}"), all.len() as f64, "");
            for (name, share) in SHARES {
                let time = percentile(all, share).unwrap_or_default();
                self.add(figures, &format!("{what}: {name}, {kind}"), time, "us");
            }
        }
        // Of no requests at all there is none, and a goal is not met by it.
        let ratio = times.ratio(0.99).unwrap_or(f64::NAN);
        self.add(figures, &format!("{what}: p99, attacked / solo"), ratio, "times");
        let usual = times.usual_ratio(0.99).unwrap_or(f64::NAN);
        self.add(figures, &format!("{what}: p99, attacked / solo, median of pairs"), usual, "times");
        if let Some(why) = &tally.first_failure {
            eprintln!("{} {what} failed, the first one with: {why}", tally.failures);
        }
        ratio
    }

    /// Gives back the ratio that has a goal.
    fn add_rates(&self, figures: &mut Figures) -> f64 {
        let rate = |one: fn(&Kinds<Passed>) -> &Passed| {
            let rates: Vec<_> = self.taken.pairs.iter().map(|pair| one(pair).rate).collect();
            median(&rates).unwrap_or_default()
        };
        let rates = [rate(|pair| &pair.quiet), rate(|pair| &pair.disturbed)];
        for (kind, rate) in KINDS.iter().zip(rates) {
            self.add(figures, &format!("streams: rate, {kind}"), rate * 8.0 / 1e9, "Gbit/s");
        }
        let [solo, attacked] = rates;
        let ratio = if solo > 0.0 { attacked / solo } else { 0.0 };
        self.add(figures, "streams: rate, attacked / solo", ratio, "times");
        ratio
    }

    fn add_usage(&self, figures: &mut Figures) {
        for (node, name) in NODES.iter().enumerate() {
            let of = |passed: fn(&Kinds<Passed>) -> &Passed| -> Vec<Usage> {
                self.taken.pairs.iter().map(|pair| passed(pair).window.usage[node]).collect()
            };
            let all = [of(|pair| &pair.quiet), of(|pair| &pair.disturbed)];
            for (kind, usage) in KINDS.iter().zip(&all) {
                let cpu: Vec<_> = usage.iter().map(|usage| usage.cpu).collect();
                let cpu = median(&cpu).unwrap_or_default();
                self.add(figures, &format!("{name}: processor time, {kind}"), cpu, "s/s");
                let most = usage.iter().map(|usage| usage.resident).fold(0.0, f64::max);
                self.add(figures, &format!("{name}: memory at most, {kind}"), most, "MB");
                let most = usage.iter().map(|usage| usage.descriptors).max().unwrap_or_default();
                self.add(figures, &format!("{name}: descriptors at most, {kind}"), most as f64, "");
            }
            let (resident, descriptors) = self.after[node];
            self.add(figures, &format!("{name}: memory afterwards"), resident, "MB");
            self.add(figures, &format!("{name}: descriptors afterwards"), descriptors as f64, "");
        }
        let recovery = self.taken.recovery.as_secs_f64();
        self.add(figures, "until the nodes have let go, at most", recovery, "s");
    }
}

impl Worst {
    pub(super) fn add_to(&self, figures: &mut Figures) {
        // A ratio there is not counts as the largest of all.
        let most = |ratios: &[f64]| ratios.iter().copied().max_by(f64::total_cmp).unwrap_or(f64::NAN);
        figures.add(RATIO, most(&self.requests), "times");
        figures.add(RATIO_NEW, most(&self.new), "times");
        let least = self.rates.iter().copied().min_by(f64::total_cmp).unwrap_or(f64::NAN);
        figures.add(RATE, least, "times");
        figures.add(FAILED, self.failures as f64, "");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_counts() {
        let worst = Worst {
            requests: vec![1.1, 3.0, 0.9],
            new: vec![1.0, f64::NAN],
            rates: vec![0.9, 0.4],
            failures: 7,
        };
        let mut figures = Figures::default();
        worst.add_to(&mut figures);
        assert_eq!(figures.value(RATIO), Some(3.0));
        assert!(figures.value(RATIO_NEW).unwrap().is_nan());
        assert_eq!((figures.value(RATE), figures.value(FAILED)), (Some(0.4), Some(7.0)));
    }
}
