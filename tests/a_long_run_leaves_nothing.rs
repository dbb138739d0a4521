//! Mixed traffic for long, while pods are replaced, policies change and certificates are renewed: nothing of it goes wrong, and a
//! minute after it has ended the programs and the kernel hold what they held before.
//!
//! `CULVERT_SOAK_SECONDS` makes it longer; what is held is printed every so often.

use std::thread;
use std::time::{Duration, Instant};

use culvert_lab::Launch;

use crate::harness::seed::{seed, setting};
use crate::harness::traffic::callers::{Callers, Pace};
use crate::harness::traffic::checks::{SETTLING, STARTING, settle, works};
use crate::harness::traffic::footprint::Footprint;
use crate::harness::traffic::names;
use crate::harness::traffic::town::{Part, Town, Welcome};

/// How long, unless the environment says otherwise.
const SECONDS: u64 = 100;
/// What everything is compared with comes after so much of the same: programs do not have everything ready that they need.
const WARMING_UP: Duration = Duration::from_secs(15);
/// Between two changes of the town.
const CHANGE: Duration = Duration::from_secs(3);
/// Little of the machine: others run beside it.
const PACE: Pace = Pace { pause: Duration::from_millis(500), most: 2_000_000, rest: Duration::from_secs(20) };

/// Tunnels that are not used and certificates do not live long.
fn settings(_: &Town, part: Part, launch: Launch) -> Launch {
    match part {
        Part::Node(_) => launch.env("POOL_UNUSED_RELEASE_TIMEOUT", "2s").env("SECRET_TTL", "60s"),
        Part::Agent(_) | Part::Control | Part::Waypoint => launch,
    }
}

#[test]
fn what_was_held_for_traffic_is_given_back() {
    let (seed, length) = (seed(), Duration::from_secs(setting("CULVERT_SOAK_SECONDS", SECONDS)));
    let town = Town::start("soak", settings);
    let callers = Callers::new(&town, PACE);
    works(&town, &callers, STARTING)
        .unwrap_or_else(|left| panic!("it does not begin to work: {left}{}", town.lab.evidence()));
    churn(&town, &callers, seed, WARMING_UP);
    let before = settle(&town, None, SETTLING).expect("nothing is asked of the first look");
    println!("before:{before}");
    churn(&town, &Callers::new(&town, PACE), !seed, length);
    let ended = Instant::now();
    let settled = settle(&town, Some(&before), SETTLING);
    println!("after {:.1} s:{}", ended.elapsed().as_secs_f64(), Footprint::of(&town));
    println!("{:?}, the slowest took {:?}", town.journal.counts(), town.journal.slowest());
    if let Err(grown) = settled {
        panic!("more than before: {grown}{}", town.lab.evidence());
    }
    assert_eq!(town.journal.violations(), Vec::<String>::new(), "{}", town.lab.evidence());
    let counts = town.journal.counts();
    // Those who are denied are refused, and so is who talks to a pod that goes.
    assert!(counts.whole * 2 > counts.made, "{counts:?}");
}

/// Traffic for a while, and changes.
fn churn(town: &Town, callers: &Callers<'_>, seed: u64, length: Duration) {
    let begun = Instant::now();
    callers.meanwhile(seed, || {
        for change in 0_u64.. {
            if begun.elapsed() >= length {
                break;
            }
            match change % 4 {
                0 => town.change_tenant(),
                1 => town.decide(Welcome::Denied),
                2 => town.decide(Welcome::Allowed),
                _ => names::ask(town),
            }
            if change % 20 == 0 {
                println!("{:.0} s:{}", begun.elapsed().as_secs_f64(), Footprint::of(town));
            }
            // What makes the pace: nothing is waited for here.
            thread::sleep(CHANGE.min(length.saturating_sub(begun.elapsed())));
        }
    });
}
