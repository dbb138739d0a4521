//! Who knows names of pods, and what that gets him.

use std::time::Duration;

use tokio::time::{advance, timeout};

use super::*;
use crate::cluster::pods::Presence;
use crate::cluster::reviews::Timing;

/// A cluster in which there is every pod anybody names.
struct Full(culvert_membership::Settings);

impl Pods for Full {
    fn presence(&self, _: &str, _: &str, _: &str) -> Presence {
        Presence::Absent
    }

    fn runs(&self, _: &str, _: &str, _: &str) -> bool {
        true
    }

    fn settings(&self) -> &culvert_membership::Settings {
        &self.0
    }
}

fn account(name: &str) -> Account {
    Account { namespace: "mesh".into(), name: name.into() }
}

/// The turn of a token that says it is of this pod of an account; `node` is trusted.
fn turn(name: &str, pod: usize, from: [u8; 4]) -> Turn {
    let claims = Claims { account: account(name), pod: format!("{name}-{pod}") };
    let pods = Full(culvert_membership::Settings::default());
    Turn::of(claims, Some(Source::of(from.into())), &pods, &[account("node")])
}

const HERE: [u8; 4] = [10, 0, 0, 1];
const ELSEWHERE: [u8; 4] = [10, 0, 0, 2];

#[tokio::test(start_paused = true)]
async fn tokens_of_other_pods_take_no_places_of_those_of_nodes() {
    let places = Timing::default().places;
    let turns = Turns::new(&places);
    let tenants: Vec<_> = (0..places.of_pods).map(|pod| turn("web", pod, HERE)).collect();
    let mut taken = Vec::new();
    for tenant in &tenants {
        taken.push(turns.place(tenant).await.unwrap());
    }
    let (one_more, node) = (turn("web", 100, ELSEWHERE), turn("node", 1, HERE));
    assert!(timeout(Duration::from_secs(1), turns.place(&one_more)).await.is_err(), "all are taken");
    timeout(Duration::from_secs(1), turns.place(&node)).await.expect("nodes have their own").unwrap();
}

#[tokio::test(start_paused = true)]
async fn who_knows_many_names_has_no_more_than_a_source_may_have() {
    let places = Timing::default().places;
    for (greedy, other) in [("web", "node"), ("node", "web")] {
        let turns = Turns::new(&places);
        let mut reviewed = 0;
        for number in 0..1000 {
            reviewed += u32::from(turns.place(&turn(greedy, number / 5, HERE)).await.is_ok());
        }
        assert_eq!(reviewed, places.bad_of_all_pods.in_a_row, "{greedy}");
        assert!(turns.place(&turn(greedy, 0, ELSEWHERE)).await.is_ok(), "it is that source's share");
        assert!(turns.place(&turn(other, 0, HERE)).await.is_ok(), "{other} is counted by itself");
        advance(places.bad_of_all_pods.one_more).await;
        let again = turn(greedy, 900, HERE);
        assert!(turns.place(&again).await.is_ok());
        assert!(turns.place(&again).await.is_err());
    }
}

#[tokio::test(start_paused = true)]
async fn good_tokens_cost_nothing_however_many() {
    let turns = Turns::new(&Timing::default().places);
    for number in 0..1000 {
        let turn = turn("node", number % 2, HERE);
        turns.place(&turn).await.unwrap().free_of_charge();
    }
}
