use culvert_sys::netns::{Netns, NetnsId};
use culvert_zds::Probes;

use super::*;
use crate::pod::Workload;
use crate::zds::window::WIDTH;

/// A node's books, and what others are told of them.
struct Node {
    ledger: Ledger,
    served: Served,
    now: Instant,
}

impl Node {
    fn new() -> Self {
        let (served, now) = (Served::default(), Instant::now());
        Self { ledger: Ledger::new(served.clone(), now), served, now }
    }

    /// One that has taken an empty snapshot.
    fn live() -> Self {
        let mut node = Self::new();
        assert_eq!(node.step(&Table::new(), Ok(())), "end of snapshot");
        node
    }

    /// Sends the next request, in words.
    fn send(&mut self, table: &Table, rank: Rank) -> String {
        let Some(request) = self.ledger.next(table, rank, self.now) else { return "nothing".into() };
        self.ledger.sent(request.clone(), self.now);
        words(&request)
    }

    /// Sends all there is to send at once.
    fn send_all(&mut self, table: &Table) -> Vec<String> {
        let mut sent = Vec::new();
        while let Some(request) = self.ledger.next(table, Rank::Newest, self.now) {
            sent.push(words(&request));
            self.ledger.sent(request, self.now);
        }
        sent
    }

    fn answer(&mut self, answer: Result<(), &str>) -> Answered {
        self.ledger.answered(answer.map_err(str::to_owned), self.now).expect("it was asked")
    }

    /// Sends the next request and answers it.
    fn step(&mut self, table: &Table, answer: Result<(), &str>) -> String {
        let words = self.send(table, Rank::Newest);
        if words != "nothing" {
            self.answer(answer);
        }
        words
    }

    fn retry_at(&self) -> Option<Instant> {
        self.ledger.wake_at(Rank::Newest, self.now)
    }
}

fn words(request: &Request) -> String {
    match request {
        Request::Add(uid, _) => format!("add {uid}"),
        Request::Keep(_) | Request::Delete(_) | Request::SnapshotSent => request.to_string(),
    }
}

fn netns() -> NetnsId {
    Netns::current().unwrap().id()
}

fn pod() -> Entry {
    let text = || "x".to_owned();
    let workload = Workload { name: text(), namespace: text(), service_account: text() };
    let netns = Arc::new(Netns::current().unwrap());
    Entry::Serve(Arc::new(Enrolled::new(workload, netns, Probes::default())))
}

/// The same enrolment of the pod, probed at a port.
fn probed(entry: &Entry, port: u16) -> Entry {
    let Entry::Serve(pod) = entry else { panic!("not served") };
    let probes = Probes { ports: [port].into(), from: vec![[10, 0, 0, 1].into()] };
    Entry::Serve(Arc::new(pod.with_probes(probes)))
}

fn only(uid: &str, entry: Entry) -> Table {
    Table::from([(uid.into(), entry)])
}

#[test]
fn a_refused_pod_is_offered_again_at_growing_distances() {
    let (mut node, table) = (Node::live(), only("a", pod()));
    for wait in [1, 2, 4, 8] {
        assert_eq!(node.step(&table, Err("no")), "add a");
        assert_eq!(node.step(&table, Ok(())), "nothing");
        let retry_at = node.retry_at().unwrap();
        assert_eq!((retry_at - node.now).as_secs(), wait);
        node.now = retry_at;
    }
    assert_eq!(node.step(&table, Ok(())), "add a");
    assert_eq!(node.retry_at(), None);
}

#[test]
fn a_refused_pod_that_is_being_offered_again_is_not_waited_for() {
    let (mut node, table) = (Node::live(), only("a", pod()));
    assert_eq!(node.step(&table, Err("no")), "add a");
    node.now = node.retry_at().unwrap();
    assert_eq!(node.send(&table, Rank::Newest), "add a");
    assert_eq!(node.retry_at(), None, "the next attempt follows from the answer");
}

#[test]
fn what_was_refused_in_the_snapshot_waits_for_its_end() {
    let (mut node, table) = (Node::new(), only("a", pod()));
    assert_eq!(node.step(&table, Err("no")), "add a");
    assert_eq!(node.send(&table, Rank::Newest), "end of snapshot");
    assert_eq!((node.send(&table, Rank::Newest), node.retry_at()), ("nothing".into(), None));
    node.answer(Ok(()));
    assert!(node.retry_at().is_some());
}

#[test]
fn a_refusal_is_repeated_when_it_is_in_the_same_words() {
    let (mut node, table) = (Node::live(), only("a", pod()));
    for (reason, repeated) in [("one", false), ("one", true), ("two", false), ("two", true)] {
        assert_eq!(node.send(&table, Rank::Newest), "add a");
        let answered = node.answer(Err(reason));
        assert_eq!((answered.refusal.as_deref(), answered.repeated), (Some(reason), repeated));
        assert_eq!(node.served.refusal(&"a".into(), netns()).as_deref(), Some(reason));
        node.now = node.retry_at().unwrap();
    }
}

#[test]
fn a_refused_pod_is_deleted_like_any_other() {
    let (mut node, table) = (Node::live(), only("a", pod()));
    assert_eq!(node.step(&table, Err("no")), "add a");
    assert_eq!(node.step(&Table::new(), Err("no")), "delete a");
    assert_eq!(node.step(&Table::new(), Ok(())), "nothing");
}

#[test]
fn facts_that_change_are_told_and_nothing_is_deleted_for_them() {
    let (mut node, plain) = (Node::live(), pod());
    let (one, two) = (probed(&plain, 1), probed(&plain, 2));
    for entry in [plain, one, two.clone()] {
        let table = only("a", entry);
        assert_eq!(node.step(&table, Ok(())), "add a");
        assert_eq!(node.step(&table, Ok(())), "nothing");
    }
    assert_eq!(node.send(&only("a", probed(&two, 3)), Rank::Older), "nothing");
    assert_eq!(node.step(&only("a", probed(&pod(), 2)), Ok(())), "delete a");
}

#[test]
fn a_pod_that_is_enrolled_anew_is_deleted_first() {
    let mut node = Node::live();
    let (old, new) = (only("a", pod()), only("a", pod()));
    assert_eq!(node.step(&old, Ok(())), "add a");
    assert_eq!(node.step(&new, Ok(())), "delete a");
    assert_eq!(node.step(&new, Ok(())), "add a");
    assert_eq!(node.step(&new, Ok(())), "nothing");
    // It lost its rules together with its namespace.
    assert_eq!(node.step(&only("a", Entry::Keep), Ok(())), "delete a");
}

#[test]
fn an_older_node_is_told_removals_only() {
    let mut node = Node::live();
    assert_eq!(node.step(&only("a", pod()), Ok(())), "add a");
    let other = only("b", pod());
    assert_eq!(node.send(&other, Rank::Older), "delete a");
    node.answer(Ok(()));
    assert_eq!(node.send(&other, Rank::Older), "nothing");
}

#[test]
fn of_each_pod_one_thing_is_told_at_a_time() {
    let mut node = Node::live();
    let (a, b) = (only("a", pod()), only("b", pod()));
    assert_eq!(node.send(&a, Rank::Newest), "add a");
    assert_eq!(node.send(&a, Rank::Newest), "nothing");
    // It left meanwhile: the removal waits for the answer, and nobody waits with it.
    assert_eq!(node.send_all(&b), ["add b"]);
    node.answer(Ok(()));
    assert_eq!(node.send_all(&b), ["delete a"]);
    // It is back: the addition waits for the answer to the removal.
    let both: Table = a.into_iter().chain(b).collect();
    assert_eq!(node.send_all(&both), [""; 0]);
    node.answer(Ok(()));
    assert_eq!(node.send_all(&both), [""; 0], "that was the answer about b");
    node.answer(Ok(()));
    assert_eq!(node.send_all(&both), ["add a"]);
}

#[test]
fn a_removal_does_not_overtake_another_attempt_to_add_the_pod() {
    for first in ["refused", "kept"] {
        let mut node = Node::new();
        let kept = only("a", Entry::Keep);
        let table = only("a", pod());
        node.step(if first == "kept" { &kept } else { &table }, Err("no"));
        assert_eq!(node.step(&table, Ok(())), "end of snapshot");
        node.now = node.retry_at().unwrap_or(node.now);
        assert_eq!(node.send(&table, Rank::Newest), "add a");
        assert_eq!(node.send_all(&Table::new()), [""; 0], "{first}");
        node.answer(Ok(()));
        assert_eq!(node.send_all(&Table::new()), ["delete a"], "{first}");
    }
}

#[test]
fn removals_come_first() {
    let mut node = Node::live();
    assert_eq!(node.step(&only("z", pod()), Ok(())), "add z");
    assert_eq!(node.send_all(&only("a", pod())), ["delete z", "add a"]);
}

#[test]
fn the_snapshot_names_the_pods_there_are_when_their_turn_comes() {
    let mut node = Node::new();
    let mut table: Table = ["b", "c", "d"].map(|uid| (uid.into(), pod())).into();
    assert_eq!(node.send(&table, Rank::Newest), "add b");
    table.remove("c");
    // Its turn is over.
    table.insert("a".into(), pod());
    table.insert("e".into(), Entry::Keep);
    assert_eq!(node.send_all(&table), ["add d", "keep e", "end of snapshot"]);
    for left in [3, 2, 1] {
        assert_eq!(node.send_all(&table), [""; 0], "{left} answers are missing");
        node.answer(Ok(()));
    }
    node.answer(Ok(()));
    assert_eq!(node.send_all(&table), ["add a"]);
}

#[test]
fn an_older_node_is_given_its_snapshot_all_the_same() {
    let mut node = Node::new();
    assert_eq!(node.send(&only("a", pod()), Rank::Older), "add a");
}

#[test]
fn a_thousand_pods_take_as_many_round_trips_as_the_window_is_smaller() {
    const PODS: usize = 1_000;
    let mut node = Node::new();
    let table: Table = (0..PODS).map(|n| (Uid::from(&*format!("{n:04}")), pod())).collect();
    let (mut trips, mut sent) = (0, 0);
    loop {
        let at_once = node.send_all(&table).len();
        if at_once == 0 {
            break;
        }
        (trips, sent) = (trips + 1, sent + at_once);
        (0..at_once).for_each(|_| drop(node.answer(Ok(()))));
    }
    assert_eq!((sent, trips), (PODS + 1, (PODS + 1).div_ceil(WIDTH)));
    assert_eq!(node.served.of(&"0999".into(), netns()), 1);
}

#[test]
fn who_serves_a_pod_is_known_from_its_answer_until_it_is_told_otherwise() {
    let (mut node, table, uid) = (Node::live(), only("a", pod()), Uid::from("a"));
    node.send(&table, Rank::Newest);
    assert_eq!(node.served.of(&uid, netns()), 0, "it has not answered");
    node.answer(Ok(()));
    assert_eq!(node.served.of(&uid, netns()), 1);
    node.send(&Table::new(), Rank::Newest);
    assert_eq!(node.served.of(&uid, netns()), 0, "it was told to stop");
    node.answer(Ok(()));
    node.step(&table, Ok(()));
    assert_eq!(node.served.of(&uid, netns()), 1);
    let Node { served, ledger, .. } = node;
    drop(ledger);
    assert_eq!(served.of(&uid, netns()), 0, "its session ended");
}

#[test]
fn a_node_that_may_still_serve_a_pod_does_not_count() {
    let (mut node, uid) = (Node::new(), Uid::from("a"));
    assert_eq!(node.step(&only("a", Entry::Keep), Ok(())), "keep a");
    assert_eq!(node.served.of(&uid, netns()), 0);
}

#[test]
fn descriptors_that_are_held_back_hold_nothing_else_back() {
    let mut node = Node::live();
    let a = only("a", pod());
    assert_eq!(node.step(&a, Ok(())), "add a");
    assert!(node.ledger.hold_descriptors(node.now), "the first time");
    let b = only("b", pod());
    assert_eq!(node.send_all(&b), ["delete a"]);
    let wake_at = node.retry_at().unwrap();
    assert!(wake_at > node.now);
    node.now = wake_at;
    assert_eq!(node.send_all(&b), ["add b"]);
    assert_eq!(node.retry_at(), None);
    assert!(!node.ledger.hold_descriptors(node.now));
}

#[test]
fn an_answer_without_a_request_is_none() {
    let mut node = Node::live();
    assert!(node.ledger.answered(Ok(()), node.now).is_none());
}
