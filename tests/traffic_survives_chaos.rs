//! Whatever breaks, and in whatever order: nobody on the wire can read what was said in confidence, no connection gets another one's
//! bytes or another one's server, what ends in order is whole, what is denied is not answered, nothing hangs, and when it is quiet
//! again everything works as before and nothing is left.
//!
//! What happens follows from a seed alone, which is printed; `CULVERT_CHAOS_SEED` has the same happen again, and
//! `CULVERT_CHAOS_SECONDS` makes it longer. `CULVERT_CHAOS_SEEDS` has so many different ones happen, one after the other, and writes
//! what became of each to `target/chaos.md` and `target/chaos.json`.

mod chance;
mod clock;
mod faults;
mod mutants;
mod report;
mod run;
mod single;

use std::time::Duration;

use crate::harness::seed::{seed, setting};

/// How many seeds there are, and for how long each has things happen, in seconds.
const SEEDS: u64 = 2;
const SECONDS: u64 = 8;

#[test]
fn whatever_breaks_nothing_is_read_mixed_up_cut_short_or_left_hanging() {
    let (first, seeds) = (seed(), setting("CULVERT_CHAOS_SEEDS", SEEDS));
    let length = Duration::from_secs(setting("CULVERT_CHAOS_SECONDS", SECONDS));
    let mut reports = Vec::new();
    for seed in (0..seeds).map(|number| first.wrapping_add(number)) {
        reports.push(run::of_seed(seed, length));
        report::write(&reports);
    }
    println!("{}", report::table(&reports));
    let violations: Vec<_> = reports.iter().flat_map(report::Report::told).collect();
    assert!(violations.is_empty(), "{}", violations.join("\n"));
}
