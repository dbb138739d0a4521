//! Faults that are rare, one at a time: what each must lead to, beyond what holds whatever happens.

use std::io::{Read as _, Write as _};
use std::time::Duration;

use culvert_lab::wait_until;

use crate::harness::kernel::limit_open_files;
use crate::harness::talk::{Ending, SOON, read_to_end};
use crate::harness::traffic::callers::Callers;
use crate::harness::traffic::checks::{STARTING, works};
use crate::harness::traffic::dialogue::Outcome;
use crate::harness::traffic::town::{Aim, OURS, Part, Town};
use crate::harness::traffic::words::{Header, LINE};

use super::chance::Fault;
use super::clock;
use super::faults::{Broken, settings};
use super::run::{PACE, RECOVERY};

#[track_caller]
fn all_works(town: &Town, callers: &Callers<'_>, within: Duration) {
    works(town, callers, within).unwrap_or_else(|left| panic!("{left}{}", town.lab.evidence()));
}

/// By how much the clock of each is wrong: ahead, so that what it signs is not valid yet, and behind.
fn wrong(part: Part) -> i32 {
    match part {
        Part::Control => 30,
        Part::Agent(0) | Part::Node(0) => 50,
        Part::Agent(_) | Part::Node(_) | Part::Waypoint => -60,
    }
}

#[test]
fn programs_that_start_with_a_wrong_clock_go_by_it_and_recover_when_it_is_right() {
    let town = Town::without_programs("clocks", settings);
    // The root is made by a clock that is right.
    town.run(Part::Control);
    wait_until(SOON, "there is a root", || town.lab.root_certificate().exists()).unwrap();
    town.run(Part::Waypoint);
    town.program(Part::Control).kill_hard().unwrap();
    for part in OURS {
        clock::put(&town, part, wrong(part));
        town.run(part);
        let line = town.program(part).wait_for_log("Z\tinfo\t", SOON).unwrap();
        assert!(clock::is_off(&line, wrong(part)), "{part:?} goes by another clock: {line}");
    }
    OURS.into_iter().for_each(|part| clock::put(&town, part, 0));
    all_works(&town, &Callers::new(&town, PACE), STARTING);
    for part in [Part::Node(0), Part::Node(1)] {
        let log = town.program(part).log_text();
        let last = log.lines().last().unwrap();
        assert!(clock::is_off(last, 0), "the clock of {part:?} is not right again: {last}");
    }
}

#[test]
fn a_program_without_room_for_its_files_goes_on_says_so_and_writes_them_when_there_is_room() {
    let town = Town::start("no-room", settings);
    let callers = Callers::new(&town, PACE);
    all_works(&town, &callers, STARTING);
    // An agent last: a node that starts needs one that can be connected to.
    let full: Vec<_> = [Part::Control, Part::Node(0), Part::Agent(1)]
        .map(|part| {
            let broken = Broken::new(&town, Fault::NoRoom(part));
            town.program(part).wait_for_log("No space left on device", SOON).unwrap();
            (part, broken)
        })
        .into();
    all_works(&town, &callers, RECOVERY);
    for (part, broken) in full {
        assert!(town.program(part).is_running() && !town.written_by(part).exists(), "{part:?}");
        broken.mend(&town);
        wait_until(RECOVERY, "it is written", || town.written_by(part).exists())
            .unwrap_or_else(|error| panic!("{part:?}: {error}{}", town.lab.evidence()));
    }
    all_works(&town, &callers, RECOVERY);
    assert_eq!(town.journal.violations(), Vec::<String>::new());
}

/// So many files a program has always open.
const FEW: usize = 8;
/// Live tunnels end at once: a file is looked at a few times in a second.
const AT_ONCE: Duration = Duration::from_secs(3);

#[test]
fn a_waypoint_whose_certificate_is_revoked_is_cut_off_also_by_a_node_that_could_not_read_it_at_first() {
    let town = Town::start("revoked-gate", settings);
    let callers = Callers::new(&town, PACE);
    all_works(&town, &callers, STARTING);
    let mill = town.addresses(Aim::Mill)[0];
    let mut open = town.resident("alice").connect(mill, SOON).unwrap();
    let (privacy, client) = (Town::privacy("alice", Aim::Mill), "alice".to_owned());
    let header = Header { privacy, nonce: u64::MAX, client, up: 1, down: 0, reset_after: None };
    open.write_all(&header.line()).unwrap();
    open.read_exact(&mut [0; LINE]).unwrap();
    open.set_read_timeout(Some(AT_ONCE)).unwrap();
    let is_served = || matches!(callers.try_once("alice", Aim::Mill, 0, SOON), Outcome::AsPlanned(_));
    town.revoke(true);
    assert_eq!(read_to_end(&mut open), Ending::Reset);
    wait_until(AT_ONCE, "it is in force", || town.is_revoked()).unwrap();
    assert!(!is_served());
    town.revoke(false);
    wait_until(RECOVERY, "it is let in again", is_served).unwrap();

    // While the list is replaced, the nodes can open nothing.
    let nodes = [Part::Node(0), Part::Node(1)].map(|part| town.program(part));
    nodes.iter().for_each(|node| limit_open_files(node, FEW));
    town.revoke(true);
    for node in &nodes {
        node.wait_for_log("revocation lists cannot be used", SOON).unwrap();
        limit_open_files(node, 20_000);
    }
    wait_until(SOON, "it is in force", || town.is_revoked()).unwrap();
    assert!(!is_served());
    assert_eq!(town.journal.violations(), Vec::<String>::new());
}
