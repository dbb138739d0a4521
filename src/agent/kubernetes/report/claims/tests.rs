use std::sync::Arc;
use std::time::SystemTime;

use super::*;
use crate::cluster::Why;

/// One pod, and a clock.
struct Rig {
    claims: Claims,
    view: View,
    board: Board,
    now: Instant,
}

fn workload() -> Workload {
    Workload { name: "web-0".into(), namespace: "ns".into(), service_account: "sa".into() }
}

impl Rig {
    fn new(wish: Wish, claim: Claim) -> Self {
        let mut rig = Self {
            claims: Claims::default(),
            view: View::default(),
            board: Board::new(),
            now: Instant::now(),
        };
        rig.shows("u1", wish, claim);
        rig
    }

    fn enrolled(claim: Claim) -> Self {
        Self::new(Wish::Enrol(Arc::default()), claim)
    }

    fn passed(claim: Claim) -> Self {
        Self::new(Wish::Pass(Why::NotLabelled), claim)
    }

    fn shows(&mut self, uid: &str, wish: Wish, claim: Claim) {
        let pod = PodView { workload: workload(), addresses: [].into(), wish, claim, complaints: Vec::new() };
        self.view.pods = [(Uid::from(uid), Arc::new(pod))].into();
    }

    fn shows_claim(&mut self, claim: Claim) {
        let wish = self.view.pods["u1"].wish.clone();
        self.shows("u1", wish, claim);
    }

    fn is(&mut self, state: State, nodes: usize) -> &mut Self {
        let status = Status {
            refusal: None,
            workload: workload(),
            addresses: [].into(),
            capture: Arc::default(),
            state,
            since: SystemTime::UNIX_EPOCH,
            netns: None,
            nodes,
            repairs: 0,
        };
        self.board.insert(Uid::from("u1"), Arc::new(status));
        self
    }

    fn after(&mut self, wait: Duration) -> Option<Write> {
        self.now += wait;
        self.claims.observe(&self.view, Some(&self.board), self.now);
        self.claims.next(self.now)
    }

    fn at_once(&mut self) -> Option<Write> {
        self.after(Duration::ZERO)
    }

    fn done(&mut self, write: &Write, fate: Fate) {
        self.claims.done(write, fate, self.now);
    }
}

fn claim(write: Option<Write>) -> Option<Claim> {
    write.map(|write| write.claim)
}

const SECOND: Duration = Duration::from_secs(1);

fn impaired() -> State {
    State::Impaired { reason: "x".into() }
}

fn quarantined() -> State {
    State::Quarantined { reason: "x".into() }
}

#[test]
fn only_what_is_protected_is_called_so() {
    let check = |state: State, nodes, expected| {
        let mut rig = Rig::enrolled(Claim::Absent);
        assert_eq!(claim(rig.is(state.clone(), nodes).at_once()), expected, "{state:?}, {nodes} nodes");
    };
    check(State::Enrolled, 1, Some(Claim::Enabled));
    check(State::Enrolled, 2, Some(Claim::Enabled));
    check(State::Enrolled, 0, None);
    check(State::Awaited, 1, None);
    check(State::Programming, 1, None);
    check(impaired(), 1, None);
    check(quarantined(), 1, None);
    check(State::Leaving, 1, None);
}

#[test]
fn doubt_is_told_at_once() {
    for state in [impaired(), quarantined()] {
        for before in [Claim::Enabled, Claim::Other] {
            let mut rig = Rig::enrolled(before);
            assert_eq!(claim(rig.is(state.clone(), 1).at_once()), Some(Claim::Pending), "{state:?}");
        }
        let mut rig = Rig::enrolled(Claim::Pending);
        assert_eq!(rig.is(state, 0).at_once(), None);
    }
}

#[test]
fn a_restart_of_the_node_changes_no_annotation() {
    let mut rig = Rig::enrolled(Claim::Enabled);
    assert_eq!(rig.is(State::Enrolled, 1).at_once(), None);
    assert_eq!(rig.is(State::Enrolled, 0).after(SECOND), None);
    assert_eq!(rig.is(State::Enrolled, 0).after(UNSERVED - SECOND), None);
    assert_eq!(rig.is(State::Enrolled, 1).after(SECOND / 2), None);
    assert_eq!(rig.is(State::Enrolled, 0).after(UNSERVED), None, "counted anew");
    assert_eq!(claim(rig.after(UNSERVED)), Some(Claim::Pending));
}

#[test]
fn a_restart_of_the_agent_changes_no_annotation() {
    let mut rig = Rig::enrolled(Claim::Enabled);
    assert_eq!(rig.at_once(), None, "not on the board yet");
    assert_eq!(rig.is(State::Awaited, 0).after(SECOND), None);
    assert_eq!(rig.is(State::Programming, 0).after(SECOND), None);
    assert_eq!(rig.is(State::Enrolled, 1).after(SECOND), None);

    let mut stale = Rig::enrolled(Claim::Enabled);
    assert_eq!(stale.is(State::Awaited, 0).at_once(), None);
    assert_eq!(stale.claims.wake_at(stale.now), Some(stale.now + UNSERVED));
    assert_eq!(claim(stale.after(UNSERVED)), Some(Claim::Pending), "it never came back after a reboot");
}

#[test]
fn a_pod_that_shall_be_in_and_never_gets_on_the_board_is_pending() {
    let mut rig = Rig::enrolled(Claim::Enabled);
    assert_eq!(rig.at_once(), None);
    assert_eq!(rig.after(OUTSIDE), None);
    assert_eq!(claim(rig.after(UNSERVED)), Some(Claim::Pending));
}

#[test]
fn the_annotation_goes_when_nothing_of_ours_is_left() {
    let mut rig = Rig::passed(Claim::Enabled);
    assert_eq!(rig.is(State::Leaving, 1).at_once(), None);
    assert_eq!(rig.after(SECOND), None);
    rig.board.clear();
    assert_eq!(rig.at_once(), None);
    assert_eq!(claim(rig.after(OUTSIDE)), Some(Claim::Absent));
}

#[test]
fn a_pod_that_cannot_be_taken_out_is_pending() {
    let mut rig = Rig::passed(Claim::Enabled);
    assert_eq!(claim(rig.is(quarantined(), 1).at_once()), Some(Claim::Pending));
}

#[test]
fn what_others_wrote_by_hand_is_removed() {
    for by_hand in [Claim::Enabled, Claim::Pending, Claim::Other] {
        let mut rig = Rig::passed(by_hand);
        assert_eq!(rig.at_once(), None);
        assert_eq!(claim(rig.after(OUTSIDE)), Some(Claim::Absent), "{by_hand:?}");
    }
    let mut in_the_mesh = Rig::enrolled(Claim::Other);
    assert_eq!(claim(in_the_mesh.is(State::Enrolled, 1).at_once()), Some(Claim::Enabled));
}

#[test]
fn without_a_board_nothing_is_known() {
    let mut rig = Rig::passed(Claim::Enabled);
    rig.claims.observe(&rig.view, None, rig.now);
    assert_eq!(rig.claims.next(rig.now + 60 * SECOND), None);
}

#[test]
fn what_was_written_counts_until_the_api_server_shows_it() {
    let mut rig = Rig::enrolled(Claim::Absent);
    let write = rig.is(State::Enrolled, 1).at_once().unwrap();
    assert_eq!(rig.at_once(), None, "one write at a time");
    rig.done(&write, Fate::Written);
    assert_eq!(rig.after(SECOND), None, "the view is late");
    assert_eq!(
        claim(rig.is(impaired(), 1).at_once()),
        Some(Claim::Pending),
        "what was written is taken back"
    );

    let mut lost = Rig::enrolled(Claim::Absent);
    let write = lost.is(State::Enrolled, 1).at_once().unwrap();
    lost.done(&write, Fate::Written);
    assert_eq!(claim(lost.after(BELIEVED)), Some(Claim::Enabled), "it never showed");
}

#[test]
fn what_somebody_changes_back_is_written_again() {
    let mut rig = Rig::enrolled(Claim::Absent);
    let write = rig.is(State::Enrolled, 1).at_once().unwrap();
    rig.done(&write, Fate::Written);
    rig.shows_claim(Claim::Enabled);
    assert_eq!(rig.after(SECOND), None);
    rig.shows_claim(Claim::Absent);
    assert_eq!(claim(rig.after(SECOND)), Some(Claim::Enabled));
}

#[test]
fn the_newest_state_counts_after_a_failure() {
    let mut rig = Rig::enrolled(Claim::Enabled);
    let write = rig.is(impaired(), 1).at_once().unwrap();
    assert_eq!(write.claim, Claim::Pending);
    rig.is(State::Enrolled, 1);
    rig.done(&write, Fate::Failed);
    assert_eq!(rig.after(60 * SECOND), None, "it is protected again, and says so");
}

#[test]
fn failures_are_repeated_at_growing_distances() {
    let mut rig = Rig::enrolled(Claim::Absent);
    rig.is(State::Enrolled, 1);
    for pause in [1, 2, 4, 8, 16, 30, 30] {
        let write = rig.at_once().unwrap();
        rig.done(&write, Fate::Failed);
        assert_eq!(rig.after(pause * SECOND - SECOND / 2), None);
        rig.now += SECOND / 2;
    }
    let write = rig.at_once().unwrap();
    rig.done(&write, Fate::Written);
    assert_eq!(rig.at_once(), None);
}

#[test]
fn a_pod_that_is_gone_is_left_alone() {
    let mut rig = Rig::enrolled(Claim::Absent);
    let write = rig.is(State::Enrolled, 1).at_once().unwrap();
    rig.done(&write, Fate::Gone);
    assert_eq!(rig.after(SECOND), None);
}

#[test]
fn a_pod_of_the_same_name_is_another_pod() {
    let mut rig = Rig::enrolled(Claim::Absent);
    let write = rig.is(State::Enrolled, 1).at_once().unwrap();
    rig.shows("u2", Wish::Enrol(Arc::default()), Claim::Absent);
    assert_eq!(rig.at_once(), None, "the board speaks of the old one");
    rig.done(&write, Fate::Written);
    assert_eq!(rig.after(60 * SECOND), None);
}

#[test]
fn what_others_rely_on_is_taken_back_first() {
    let mut rig = Rig::enrolled(Claim::Absent);
    rig.is(State::Enrolled, 1);
    let status = Arc::clone(&rig.board["u1"]);
    rig.board.insert(Uid::from("u2"), Arc::new(Status { state: impaired(), ..(*status).clone() }));
    let enabled = PodView { claim: Claim::Enabled, ..(*rig.view.pods["u1"]).clone() };
    rig.view.pods.insert(Uid::from("u2"), Arc::new(enabled));
    let first = rig.at_once().unwrap();
    assert_eq!((first.uid.as_str(), first.claim), ("u2", Claim::Pending));
    let second = rig.claims.next(rig.now).unwrap();
    assert_eq!((second.uid.as_str(), second.claim), ("u1", Claim::Enabled));
    assert_eq!(rig.claims.next(rig.now), None);
}

/// A pod whose author writes `enabled` by hand again and again, and how often it is taken off within a time.
fn undone(rig: &mut Rig, hand: Claim, within: Duration) -> usize {
    let until = rig.now + within;
    let mut writes = 0;
    while rig.now < until {
        if let Some(write) = rig.after(SECOND / 20) {
            writes += 1;
            rig.done(&write, Fate::Written);
            rig.shows_claim(write.claim);
            rig.at_once();
        }
        rig.shows_claim(hand);
    }
    writes
}

#[test]
fn who_writes_by_hand_again_and_again_is_answered_at_growing_distances() {
    let mut outside = Rig::passed(Claim::Absent);
    outside.after(SECOND);
    assert_eq!(undone(&mut outside, Claim::Enabled, 60 * SECOND), 3 + 5, "after 1, 2, 4, 8, 16 s");
    assert_eq!(undone(&mut outside, Claim::Enabled, 600 * SECOND), 20, "every 30 s");
    outside.shows_claim(Claim::Absent);
    assert_eq!(outside.after(61 * SECOND), None);
    outside.shows_claim(Claim::Enabled);
    assert_eq!(claim(outside.at_once()), Some(Claim::Absent), "forgotten after a quiet minute");

    let mut inside = Rig::enrolled(Claim::Absent);
    inside.is(State::Enrolled, 1);
    assert!(undone(&mut inside, Claim::Other, 600 * SECOND) < 30);
}

#[test]
fn a_pod_that_comes_and_goes_is_believed_less_and_less_and_doubted_at_once() {
    let mut rig = Rig::enrolled(Claim::Absent);
    let (mut enabled, begun) = (0, rig.now);
    while rig.now < begun + 600 * SECOND {
        if let Some(write) = rig.is(State::Enrolled, 1).after(SECOND / 10) {
            assert_eq!(write.claim, Claim::Enabled);
            enabled += 1;
            rig.done(&write, Fate::Written);
            rig.shows_claim(Claim::Enabled);
            let write =
                rig.is(impaired(), 1).at_once().expect("what we said ourselves is taken back at once");
            assert_eq!(write.claim, Claim::Pending);
            rig.done(&write, Fate::Written);
            rig.shows_claim(Claim::Pending);
        }
    }
    assert!(enabled < 30, "{enabled} times");
}

#[test]
fn failures_do_not_make_a_pod_wait_longer_afterwards() {
    let mut rig = Rig::enrolled(Claim::Absent);
    rig.is(State::Enrolled, 1);
    for _ in 0..10 {
        let write = rig.after(30 * SECOND).unwrap();
        rig.done(&write, Fate::Failed);
    }
    let write = rig.after(30 * SECOND).unwrap();
    rig.done(&write, Fate::Written);
    rig.shows_claim(Claim::Enabled);
    assert_eq!(rig.at_once(), None);
    rig.shows_claim(Claim::Absent);
    assert_eq!(claim(rig.at_once()), Some(Claim::Enabled));
}

/// Pods that are all due, in the order they are written.
fn in_order(rig: &mut Rig) -> Vec<String> {
    rig.claims.observe(&rig.view, Some(&rig.board), rig.now);
    std::iter::from_fn(|| rig.claims.next(rig.now)).map(|write| write.uid.as_str().to_owned()).collect()
}

#[test]
fn who_waits_longest_comes_first_and_pods_outside_the_mesh_last() {
    let mut rig = Rig::enrolled(Claim::Absent);
    rig.view.pods.clear();
    let pod = |wish, claim| {
        Arc::new(PodView { workload: workload(), addresses: [].into(), wish, claim, complaints: Vec::new() })
    };
    let (mesh, none) = (Wish::Enrol(Arc::default()), Wish::Pass(Why::NotLabelled));
    let passing = |claim| pod(none.clone(), claim);
    rig.view.pods.insert("a-by-hand".into(), passing(Claim::Absent));
    rig.view.pods.insert("a-long-there".into(), pod(mesh.clone(), Claim::Enabled));
    rig.is(State::Enrolled, 1);
    let status = rig.board.remove("u1").unwrap();
    rig.board.insert("a-long-there".into(), Arc::clone(&status));
    assert_eq!(rig.at_once(), None);

    rig.now += 60 * SECOND;
    rig.view.pods.insert("z-new".into(), pod(mesh.clone(), Claim::Absent));
    rig.board.insert("z-new".into(), Arc::clone(&status));
    rig.claims.observe(&rig.view, Some(&rig.board), rig.now);
    rig.now += SECOND / 20;
    rig.view.pods.insert("a-by-hand".into(), passing(Claim::Enabled));
    rig.view.pods.insert("a-long-there".into(), pod(mesh.clone(), Claim::Other));
    rig.view.pods.insert("b-new".into(), pod(mesh, Claim::Absent));
    rig.board.insert("b-new".into(), status);
    assert_eq!(in_order(&mut rig), ["z-new", "a-long-there", "b-new", "a-by-hand"]);
}
