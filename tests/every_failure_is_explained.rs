//! Whatever is broken on the way, a node says who has to act: each of these faults is made, a connection fails by it, and the verdicts
//! of the nodes that have a record of it are compared with what was broken. Nobody of the mesh is blamed for what others have done.

use std::sync::{Mutex, PoisonError};
use std::thread;

use score::Score;

mod applications;
mod asked;
mod authority;
mod capacity;
mod decided;
mod nodes;
mod peers;
mod score;
mod stale;
mod wire;

/// Labs are started one after the other: together they would take longer, and each waits for itself only so long.
static STARTING: Mutex<()> = Mutex::new(());

fn starting<T>(start: impl FnOnce() -> T) -> T {
    let _one_at_a_time = STARTING.lock().unwrap_or_else(PoisonError::into_inner);
    start()
}

/// A group of faults, by name.
type Group = (&'static str, fn(&Score));

/// Those that take longest first.
const GROUPS: [Group; 8] = [
    ("wire", wire::judge),
    ("nodes", nodes::judge),
    ("applications", applications::judge),
    ("stale", stale::judge),
    ("decided", decided::judge),
    ("peers", peers::judge),
    ("authority", authority::judge),
    ("capacity", capacity::judge),
];

/// Some of the groups, by name, where that is all one wants to see.
fn wanted(group: &str) -> bool {
    std::env::var("FAULTS").map_or(true, |only| only.split(',').any(|it| it == group))
}

#[test]
fn who_has_to_act_is_named_for_nineteen_faults_of_twenty_and_the_mesh_for_none() {
    let score = Score::default();
    thread::scope(|scope| {
        let groups: Vec<_> = GROUPS
            .iter()
            .filter(|(name, _)| wanted(name))
            .map(|(name, judge)| {
                let judge = || judge(&score);
                (name, scope.spawn(judge))
            })
            .collect();
        for (name, group) in groups {
            assert!(group.join().is_ok(), "the lab of group {name} could not be made");
        }
    });
    let (table, asked, right) = score.table();
    println!("{table}{right} of {asked} are right");
    assert_eq!(score.slander(), [""; 0], "{table}");
    assert!(right * 100 >= asked * 95, "{right} of {asked} are right:\n{table}");
}
