//! How long requests took in the windows of each kind.

use super::steady::Sample;
use super::windows::{Kinds, Window};
use crate::path::statistics::{median, percentile};

/// The shares of requests that are told of.
pub(in crate::path) const SHARES: [(&str, f64); 3] = [("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999)];

/// Microseconds, sorted: of all windows of a kind, and of each pair.
#[derive(Debug)]
pub(in crate::path) struct Times {
    pub(in crate::path) all: Kinds<Vec<f64>>,
    pairs: Vec<Kinds<Vec<f64>>>,
}

impl Times {
    /// Sorts requests by the windows they began in; those that began in none do not count.
    pub(in crate::path) fn of<'w>(
        samples: &[Sample],
        pairs: impl IntoIterator<Item = Kinds<&'w Window>>,
    ) -> Self {
        let of = |pair: Kinds<&Window>| Kinds {
            quiet: within(samples, pair.quiet),
            disturbed: within(samples, pair.disturbed),
        };
        let pairs: Vec<_> = pairs.into_iter().map(of).collect();
        let all =
            |one: fn(&Kinds<Vec<f64>>) -> &Vec<f64>| sorted(pairs.iter().flat_map(one).copied().collect());
        Self { all: Kinds { quiet: all(|pair| &pair.quiet), disturbed: all(|pair| &pair.disturbed) }, pairs }
    }

    /// The time of a share of all requests, where it was disturbed, in relation to where it was not.
    pub(in crate::path) fn ratio(&self, share: f64) -> Option<f64> {
        ratio(&self.all, share)
    }

    /// The same of each pair of windows, and of these the one in the middle.
    pub(in crate::path) fn usual_ratio(&self, share: f64) -> Option<f64> {
        let ratios: Vec<_> = self.pairs.iter().filter_map(|pair| ratio(pair, share)).collect();
        median(&ratios)
    }
}

fn ratio(times: &Kinds<Vec<f64>>, share: f64) -> Option<f64> {
    Some(percentile(&times.disturbed, share)? / percentile(&times.quiet, share)?)
}

fn within(samples: &[Sample], window: &Window) -> Vec<f64> {
    let counts = |sample: &&Sample| (window.from..window.until).contains(&sample.began);
    sorted(samples.iter().filter(counts).map(|sample| sample.took.as_secs_f64() * 1e6).collect())
}

fn sorted(mut times: Vec<f64>) -> Vec<f64> {
    times.sort_unstable_by(f64::total_cmp);
    times
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    /// One pair of windows, of seconds 1 to 2 and 3 to 4 after a moment.
    fn pair(start: Instant, after: u64) -> Kinds<Window> {
        let window = |second: u64| Window {
            from: start + Duration::from_secs(after + second),
            until: start + Duration::from_secs(after + second + 1),
            usage: Vec::new(),
        };
        Kinds { quiet: window(1), disturbed: window(3) }
    }

    fn sample(start: Instant, at: u64, took: u64) -> Sample {
        Sample { began: start + Duration::from_millis(at), took: Duration::from_millis(took) }
    }

    #[test]
    fn requests_belong_where_they_began() {
        let start = Instant::now();
        let samples = [(999, 5), (1000, 10), (1999, 5000), (2000, 7), (3500, 20)];
        let samples = samples.map(|(at, took)| sample(start, at, took));
        let times = Times::of(&samples, [pair(start, 0).as_ref()]);
        assert_eq!(times.all, Kinds { quiet: vec![10_000.0, 5_000_000.0], disturbed: vec![20_000.0] });
    }

    #[test]
    fn one_bad_pair_is_in_the_ratio_of_all_and_not_in_the_usual_one() {
        let start = Instant::now();
        let samples = [(1, 10), (3, 11), (11, 10), (13, 90), (21, 10), (23, 12)];
        let samples = samples.map(|(second, took)| sample(start, second * 1000, took));
        let pairs = [0, 10, 20].map(|after| pair(start, after));
        let times = Times::of(&samples, pairs.iter().map(Kinds::as_ref));
        assert_eq!((times.ratio(0.99), times.usual_ratio(0.99)), (Some(9.0), Some(1.2)));
        assert_eq!(Times::of(&[], [pair(start, 0).as_ref()]).ratio(0.99), None);
    }
}
