//! What people are told.

use super::*;
use crate::board::{State, What};
use crate::handed::Sandbox;

fn expected(uid: &str, netns: &Netns) -> PodSpec {
    PodSpec { expected: true, ..pod(uid, netns) }
}

impl Lab {
    /// Waits until this has happened to the pod `a`.
    async fn happened(&mut self, expected: &What) {
        let happens = async { while self.occurred.recv().await.unwrap().what != *expected {} };
        timeout(Duration::from_secs(600), happens).await.unwrap_or_else(|_| panic!("{expected:?} is told"));
    }

    async fn shown(&mut self, expected: impl Fn(&State) -> bool) {
        let a = |board: &Arc<Board>| board.get("a").is_some_and(|status| expected(&status.state));
        timeout(Duration::from_secs(600), self.boards.wait_for(a)).await.expect("it is shown").unwrap();
    }
}

fn told(lab: &mut Lab) -> Vec<What> {
    std::iter::from_fn(|| lab.occurred.try_recv().ok()).map(|occurrence| occurrence.what).collect()
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_was_believed_to_be_captured_and_was_not_is_named() {
    let (a, b) = (netns(), netns());
    let mut lab = Lab::start(&[pod("b", &b)]);
    lab.told("serve b").await;
    told(&mut lab);
    lab.file(&[pod("b", &b), expected("a", &a)]);
    lab.told("serve a, serve b").await;
    assert_eq!(told(&mut lab), [What::FoundInPlaintext, What::Enrolled]);
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_ran_before_the_agent_did_is_named() {
    let a = netns();
    let mut lab = Lab::start(&[pod("a", &a)]);
    lab.told("serve a").await;
    assert_eq!(told(&mut lab), [What::FoundInPlaintext, What::Enrolled]);
}

#[tokio::test(start_paused = true)]
async fn a_pod_whose_rules_are_in_already_and_one_that_is_only_just_labelled_are_not() {
    let (a, b) = (netns(), netns());
    let mut lab = Lab::start_with(&[expected("a", &a)], |rules| rules.put_in(a.id()));
    lab.told("serve a").await;
    lab.file(&[expected("a", &a), pod("b", &b)]);
    lab.told("serve a, serve b").await;
    assert_eq!(told(&mut lab), [What::Enrolled, What::Enrolled]);
}

#[tokio::test(start_paused = true)]
async fn a_pod_the_runtime_is_only_just_starting_is_not() {
    let a = netns();
    let mut lab = Lab::start(&[]);
    lab.told("").await;
    let sandbox = Sandbox { container: "c".into(), netns: Arc::new(a.try_clone().unwrap()) };
    lab.handed.put("a".into(), sandbox);
    lab.file(&[expected("a", &a)]);
    lab.told("serve a").await;
    assert_eq!(told(&mut lab), [What::Enrolled]);
}

#[tokio::test(start_paused = true)]
async fn drift_is_told_and_counted() {
    let a = netns();
    let mut lab = Lab::start(&[pod("a", &a)]);
    lab.told("serve a").await;
    lab.rules.drift(a.id(), 1);
    lab.happened(&What::Drifted { differences: "a rule is missing".into() }).await;
    timeout(Duration::from_secs(600), lab.boards.wait_for(|board| board["a"].repairs == 1))
        .await
        .unwrap()
        .unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_board_follows_a_pod_through_its_life() {
    let a = netns();
    let mut lab = Lab::start_with(&[pod("a", &a)], |rules| rules.fail(a.id()));
    lab.shown(|state| matches!(state, State::Quarantined { reason } if reason.contains("it is broken")))
        .await;
    lab.rules.mend(a.id());
    lab.shown(|state| *state == State::Enrolled).await;
    let since = lab.boards.borrow()["a"].since;
    lab.rules.fail(a.id());
    lab.shown(|state| matches!(state, State::Impaired { .. })).await;
    assert!(lab.boards.borrow()["a"].since > since);
    lab.rules.mend(a.id());
    lab.shown(|state| *state == State::Enrolled).await;
    lab.file(&[]);
    lab.shown(|state| *state == State::Leaving).await;
    let gone = |board: &Arc<Board>| board.is_empty();
    timeout(Duration::from_secs(600), lab.boards.wait_for(gone)).await.unwrap().unwrap();
    assert!(told(&mut lab).contains(&What::Left));
}

#[tokio::test(start_paused = true)]
async fn what_is_adopted_and_not_wished_for_is_taken_out() {
    let a = netns();
    let (spec, held) = (pod("a", &a), Arc::new(a.try_clone().unwrap()));
    let mut lab = Lab::prepared(&[], |rules| rules.put_in(a.id()), vec![(spec, held)]);
    lab.shown(|state| *state == State::Leaving).await;
    lab.happened(&What::Left).await;
    assert!(!lab.rules.are_in(a.id()));
}

#[tokio::test(start_paused = true)]
async fn what_is_adopted_and_wished_for_is_enrolled() {
    let a = netns();
    let (spec, held) = (pod("a", &a), Arc::new(a.try_clone().unwrap()));
    let mut lab = Lab::prepared(&[pod("a", &a)], |rules| rules.put_in(a.id()), vec![(spec, held)]);
    lab.told("serve a").await;
    lab.shown(|state| *state == State::Enrolled).await;
}

#[tokio::test(start_paused = true)]
async fn what_is_adopted_to_be_taken_out_is_kept_by_nodes_until_it_is_released() {
    let a = netns();
    let (spec, held) = (pod("a", &a), Arc::new(a.try_clone().unwrap()));
    let prepare = |rules: &Fake| {
        rules.put_in(a.id());
        rules.hold_back(a.id());
    };
    let mut lab = Lab::prepared(&[], prepare, vec![(spec, held)]);
    lab.told("keep a").await;
    lab.rules.let_go();
    lab.told("").await;
}
