//! One seed: a town, traffic, and what its plan says, and then whether everything is as before.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use culvert_lab::wait_until;

use crate::harness::traffic::callers::{Callers, Pace};
use crate::harness::traffic::checks::{SETTLING, STARTING, is_as_before, recovers, settle, works};
use crate::harness::traffic::footprint::Footprint;
use crate::harness::traffic::town::{PARTS, Town};
use crate::harness::traffic::witness;

use super::chance::{Plan, Step, plan};
use super::faults::{Broken, settings};
use super::report::Report;

/// How soon after the last fault is mended everything has to work: what has a pause between two attempts has it for 15 s at most.
pub(super) const RECOVERY: Duration = Duration::from_secs(40);
/// How much is said.
pub(super) const PACE: Pace =
    Pace { pause: Duration::from_millis(120), most: 2_000_000, rest: Duration::from_millis(1500) };

/// Has happen what follows from a seed.
pub(super) fn of_seed(seed: u64, length: Duration) -> Report {
    let plan = plan(seed, length);
    println!("--- seed {seed}: {} steps in {} s", plan.len(), length.as_secs());
    let town = Town::start("chaos", settings);
    let callers = Callers::new(&town, PACE);
    if let Err(left) = works(&town, &callers, STARTING) {
        town.lab.keep_directory();
        panic!("the town did not begin to work: {left}{}", town.lab.evidence());
    }
    let before = settle(&town, None, SETTLING).expect("nothing is asked of the first look");
    let (seen, recovery) = witness::watch(&town.nodes, &town.journal, || {
        callers.meanwhile(seed, || {
            happen(&town, &plan);
            recovers(&town, &callers, RECOVERY)
        })
    });
    is_as_before(&town, &before, SETTLING);
    if seen.readable.load(Ordering::Relaxed) == 0 {
        town.journal.violated("the witness has seen nothing of what may be read");
    }
    let report = report(&town, seed, &plan, recovery);
    if !report.violations.is_empty() {
        town.lab.keep_directory();
        println!("logs in {}{}", town.lab.directory().display(), town.lab.evidence());
    }
    println!("{report:?}, the slowest connection took {:?}", town.journal.slowest());
    println!("before:{before}\nafter:{}", Footprint::of(&town));
    report
}

fn report(town: &Town, seed: u64, plan: &Plan, recovery: Duration) -> Report {
    let mut kinds = BTreeMap::new();
    for (_, step) in plan {
        *kinds.entry(step.kind()).or_default() += 1;
    }
    let (counts, violations) = (town.journal.counts(), town.journal.violations());
    Report { seed, steps: plan.len(), counts, kinds, violations, recovery, slowest: town.journal.slowest() }
}

/// Takes the steps of a plan when it is time, mends everything at the end of its time, and all at the end.
fn happen(town: &Town, plan: &Plan) {
    let (begun, over) = (Instant::now(), AtomicBool::new(false));
    let mut broken: Vec<(Duration, Broken)> = Vec::new();
    thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                // Whether it is in force is known only to who looks.
                let _ = wait_until(Duration::from_millis(200), "it is in force", || town.is_decided());
                town.is_revoked();
                thread::sleep(Duration::from_millis(20));
            }
        });
        let _over = Over(&over);
        for (at, step) in plan {
            mend_until(town, &mut broken, *at, begun);
            println!("{:.3} s: {step:?}", begun.elapsed().as_secs_f64());
            match *step {
                Step::Break(fault, duration) => broken.push((*at + duration, Broken::new(town, fault))),
                Step::Decide(welcome) => town.decide(welcome),
                Step::ChangeTenant => town.change_tenant(),
            }
        }
        mend_until(town, &mut broken, Duration::MAX, begun);
    });
    // What was ended by a fault that was not to end it.
    PARTS.into_iter().for_each(|part| town.run(part));
}

/// Mends what is due until a time, each when it is due.
fn mend_until(town: &Town, broken: &mut Vec<(Duration, Broken)>, until: Duration, begun: Instant) {
    broken.sort_by_key(|(due, _)| *due);
    while broken.first().is_some_and(|(due, _)| *due <= until) {
        let (due, fault) = broken.remove(0);
        thread::sleep(due.saturating_sub(begun.elapsed()));
        fault.mend(town);
    }
    if until < Duration::MAX {
        thread::sleep(until.saturating_sub(begun.elapsed()));
    }
}

/// Ends the thread, also when a step fails.
struct Over<'o>(&'o AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
