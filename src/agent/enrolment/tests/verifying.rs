//! Enrolled pods are looked at for as long as they live.

use super::*;
use crate::board::State;

#[tokio::test(start_paused = true)]
async fn what_looks_as_it_did_when_all_was_well_is_not_compared_again() {
    let a = netns();
    let mut lab = Lab::start(&[pod("a", &a)]);
    lab.told("serve a").await;
    lab.rules.called("look after", 10).await;
    // Once with the programming, and once in the first round.
    assert_eq!(lab.rules.count("verify"), 2);
    lab.rules.drift(a.id(), 1);
    lab.rules.called("apply", 2).await;
}

#[tokio::test(start_paused = true)]
async fn drift_the_kernel_tells_of_does_not_wait_for_the_next_round() {
    let a = netns();
    let mut lab = Lab::start(&[pod("a", &a)]);
    lab.told("serve a").await;
    lab.rules.called("look after", 1).await;
    lab.rules.drift(a.id(), 1);
    let drifted = Instant::now();
    assert!(lab.rules.notify(a.id()), "somebody listens");
    lab.rules.called("apply", 2).await;
    assert!(drifted.elapsed() < VERIFY_EVERY / 10, "{:?}", drifted.elapsed());
}

#[tokio::test(start_paused = true)]
async fn nobody_listens_for_changes_in_a_pod_that_has_left() {
    let a = netns();
    let mut lab = Lab::start(&[pod("a", &a)]);
    lab.told("serve a").await;
    lab.file(&[]);
    lab.told("").await;
    let deaf = async {
        while lab.rules.notify(a.id()) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(Duration::from_secs(600), deaf).await.expect("the watch ends");
}

#[tokio::test(start_paused = true)]
async fn a_node_that_says_it_serves_a_pod_and_does_not_listen_is_told_anew() {
    let a = netns();
    let mut lab = Lab::start(&[pod("a", &a)]);
    lab.told("serve a").await;
    let before = lab.entry("a");
    lab.rules.leave_untaken(a.id());
    lab.rules.called("look after", 5).await;
    assert!(Arc::ptr_eq(&before, &lab.entry("a")), "no node has said so yet");
    let _says_so = lab.served.serves(&"a".into(), a.id());
    let anew = |table: &Option<Arc<Table>>| {
        let entry = table.as_ref().and_then(|table| table.get("a"));
        matches!(entry, Some(Entry::Serve(pod)) if !Arc::ptr_eq(pod, &before) && pod.netns.id() == a.id())
    };
    timeout(Duration::from_secs(600), lab.table.wait_for(anew)).await.expect("it is told anew").unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_change_during_a_look_is_looked_into_afterwards() {
    let a = netns();
    let mut lab = Lab::start(&[pod("a", &a)]);
    lab.told("serve a").await;
    lab.rules.called("look after", 1).await;
    lab.rules.hold_back(a.id());
    while_held(lab.rules.called("look after", 2)).await;
    // The look has passed by what changes from here on.
    assert!(lab.rules.notify(a.id()));
    let noticed = async {
        while lab.rules.unheard(a.id()) {
            tokio::time::advance(Duration::from_millis(10)).await;
            tokio::task::yield_now().await;
        }
        tokio::time::advance(Duration::from_millis(200)).await;
        tokio::task::yield_now().await;
    };
    timeout(Duration::from_secs(600), noticed).await.expect("somebody listens");
    let noticed = Instant::now();
    lab.rules.let_go();
    lab.rules.called("look after", 3).await;
    assert!(noticed.elapsed() < VERIFY_EVERY / 10, "{:?}", noticed.elapsed());
}

#[tokio::test(start_paused = true)]
async fn pods_that_need_long_to_be_looked_at_do_not_keep_others_out() {
    let slow: Vec<_> = (0..WIDTH).map(|_| netns()).collect();
    let mut pods: Vec<_> =
        slow.iter().enumerate().map(|(n, netns)| pod(&format!("slow-{n}"), netns)).collect();
    let mut lab = Lab::start(&pods);
    let all = (0..WIDTH).map(|n| format!("serve slow-{n}")).collect::<Vec<_>>().join(", ");
    lab.told(&all).await;
    slow.iter().for_each(|netns| lab.rules.hold_back(netns.id()));
    while_held(lab.rules.called("verify", WIDTH + 2)).await;
    let a = netns();
    pods.push(pod("a", &a));
    lab.file(&pods);
    while_held(lab.rules.called("apply", WIDTH + 1)).await;
    lab.rules.let_go();
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_leaves_during_a_look_leaves_when_the_look_is_over() {
    let a = netns();
    let mut lab = Lab::start(&[pod("a", &a)]);
    lab.told("serve a").await;
    lab.rules.called("look after", 1).await;
    lab.rules.hold_back(a.id());
    while_held(lab.rules.called("look after", 2)).await;
    lab.file(&[]);
    // The enrolment hears of it while the look goes on.
    while_held(lab.boards.wait_for(|board| board["a"].state == State::Leaving)).await.unwrap();
    let over = Instant::now();
    lab.rules.let_go();
    lab.rules.called("release", 1).await;
    assert!(over.elapsed() < VERIFY_EVERY / 10, "{:?}", over.elapsed());
}
