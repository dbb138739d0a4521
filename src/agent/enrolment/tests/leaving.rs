//! Pods that leave, move, are replaced or come back.

use super::*;

#[tokio::test(start_paused = true)]
async fn new_connections_pass_before_a_node_hears_that_a_pod_leaves_and_the_rules_go_when_it_had_time() {
    let (a, b) = (netns(), netns());
    let mut lab = Lab::start(&[pod("a", &a), pod("b", &b)]);
    lab.told("serve a, serve b").await;
    let held: Weak<Netns> = Arc::downgrade(&lab.entry("a").netns);
    lab.file(&[pod("b", &b)]);
    lab.told("serve b").await;
    let told = Instant::now();
    assert!(lab.rules.log().contains(&"release shop/a, told".to_owned()));
    assert!(lab.rules.are_in(a.id()) && lab.rules.count("remove") == 0);
    lab.rules.called("remove", 1).await;
    assert!(lab.rules.log().contains(&"remove shop/a, untold".to_owned()));
    assert!(told.elapsed() >= PARTING, "{:?}", told.elapsed());
    // With the last word about the pod its namespace is let go.
    let gone = async {
        while held.strong_count() > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(Duration::from_secs(600), gone).await.expect("the namespace is released");
    assert!(!lab.rules.are_in(a.id()) && lab.rules.are_in(b.id()));
}

#[tokio::test(start_paused = true)]
async fn a_pod_whose_new_connections_cannot_be_let_pass_stays_served_until_they_are() {
    let a = netns();
    let mut lab = Lab::start(&[pod("a", &a)]);
    lab.told("serve a").await;
    lab.rules.fail(a.id());
    lab.file(&[]);
    lab.rules.called("release", 2).await;
    assert_eq!(words(&lab.table.borrow()), "serve a");
    lab.rules.mend(a.id());
    lab.told("").await;
}

#[tokio::test(start_paused = true)]
async fn rules_that_cannot_be_removed_are_tried_again_until_they_are() {
    let a = netns();
    let lab = Lab::with_released(&a).await;
    lab.rules.fail(a.id());
    lab.rules.called("remove", 3).await;
    assert!(lab.rules.are_in(a.id()));
    lab.rules.mend(a.id());
    let gone = async {
        while lab.rules.are_in(a.id()) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(Duration::from_secs(600), gone).await.expect("the rules are out");
}

#[tokio::test(start_paused = true)]
async fn rules_stay_for_as_long_as_connections_depend_on_them() {
    let (a, b) = (netns(), netns());
    let mut lab = Lab::start(&[pod("a", &a), pod("b", &b)]);
    lab.told("serve a, serve b").await;
    lab.rules.carry(a.id(), true);
    lab.file(&[]);
    lab.rules.called("remove", 1).await;
    tokio::time::sleep(100 * PARTING).await;
    assert!(lab.rules.are_in(a.id()) && !lab.rules.are_in(b.id()));
    lab.rules.carry(a.id(), false);
    lab.rules.called("remove", 2).await;
    lab.end(Exit::LeaveRules).await.1.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_moves_while_connections_depend_on_its_rules_leaves_them_behind() {
    let (old, new) = (netns(), netns());
    let mut lab = Lab::start(&[pod("a", &old)]);
    lab.told("serve a").await;
    lab.rules.carry(old.id(), true);
    lab.file(&[pod("a", &new)]);
    lab.rules.called("apply", 2).await;
    lab.told("serve a").await;
    assert!(lab.rules.are_in(old.id()) && lab.rules.count("remove") == 0);
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_comes_back_while_it_leaves_is_enrolled_anew() {
    let a = netns();
    let mut lab = Lab::start(&[pod("a", &a)]);
    lab.told("serve a").await;
    let before = lab.entry("a");
    lab.file(&[]);
    lab.told("").await;
    lab.file(&[pod("a", &a)]);
    lab.told("serve a").await;
    assert!(!Arc::ptr_eq(&before, &lab.entry("a")), "nodes have let go of it");
    assert_eq!((lab.rules.count("apply"), lab.rules.count("remove")), (2, 0));
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_comes_back_is_nobodys_to_keep_until_it_is_enrolled_anew() {
    let a = netns();
    let mut lab = Lab::with_released(&a).await;
    lab.rules.hold_back(a.id());
    lab.file(&[pod("a", &a)]);
    while_held(lab.rules.called("apply", 2)).await;
    let told = words(&lab.table.borrow());
    lab.rules.let_go();
    assert_eq!(told, "");
    lab.told("serve a").await;
}

#[tokio::test(start_paused = true)]
async fn a_replaced_namespace_is_enrolled_and_the_old_one_stays_captured() {
    let (old, new) = (netns(), netns());
    let link = Link::new("replaced", &old);
    let mut lab = Lab::start(&[pod_at("a", link.0.clone())]);
    lab.told("serve a").await;
    let before = lab.entry("a");
    link.lead_to(&new);
    let other = |table: &Option<Arc<Table>>| matches!(table.as_ref().unwrap().get("a"), Some(Entry::Serve(pod)) if pod.netns.id() == new.id());
    timeout(Duration::from_secs(600), lab.table.wait_for(other)).await.unwrap().unwrap();
    assert_eq!(before.netns.id(), old.id());
    assert!(lab.rules.are_in(old.id()) && lab.rules.are_in(new.id()));
}

#[tokio::test(start_paused = true)]
async fn a_pod_whose_namespace_is_gone_is_withdrawn_until_it_is_back() {
    let a = netns();
    let link = Link::new("gone", &a);
    let mut lab = Lab::start(&[pod_at("a", link.0.clone())]);
    lab.told("serve a").await;
    std::fs::remove_file(&link.0).unwrap();
    lab.told("").await;
    link.lead_to(&a);
    lab.told("serve a").await;
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_moves_leaves_no_rules_behind() {
    let (old, new) = (netns(), netns());
    let mut lab = Lab::start(&[pod("a", &old)]);
    lab.told("serve a").await;
    lab.file(&[pod("a", &new)]);
    // Nor is a node that comes just then to keep it.
    lab.told("").await;
    let told = Instant::now();
    assert!(lab.rules.are_in(old.id()) && lab.rules.count("remove") == 0);
    lab.rules.called("remove", 1).await;
    assert!(told.elapsed() >= PARTING, "{:?}", told.elapsed());
    lab.told("serve a").await;
    assert_eq!(lab.entry("a").netns.id(), new.id());
    assert!(!lab.rules.are_in(old.id()) && lab.rules.are_in(new.id()));
    let order = ["release shop/a, told", "remove shop/a, untold", "apply shop/a, untold"];
    assert_eq!(lab.rules.log()[2..5], order);
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_moves_does_not_wait_for_what_cannot_be_taken_out_and_that_keeps_track_of_its_connections()
{
    let (old, new) = (netns(), netns());
    let mut lab = Lab::start(&[pod("a", &old)]);
    lab.told("serve a").await;
    lab.rules.fail(old.id());
    lab.file(&[pod("a", &new)]);
    lab.rules.called("apply", 2).await;
    lab.told("serve a").await;
    assert_eq!(lab.entry("a").netns.id(), new.id());
    assert!(lab.rules.are_in(old.id()));
    assert_eq!((lab.rules.count("release"), lab.rules.count("remove")), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_quarantined_pod_that_leaves_is_released_too_for_a_node_may_serve_it_from_before() {
    let a = netns();
    let mut lab = Lab::start_with(&[pod("a", &a)], |rules| rules.drift(a.id(), 1000));
    lab.told("keep a").await;
    lab.file(&[]);
    lab.rules.called("release", 1).await;
    let released = Instant::now();
    lab.rules.called("remove", 1).await;
    assert!(released.elapsed() >= PARTING, "{:?}", released.elapsed());
    assert_eq!(words(&lab.table.borrow()), "");
}

#[tokio::test(start_paused = true)]
async fn rules_do_not_go_before_nodes_have_been_told_anything() {
    let (a, b) = (netns(), netns());
    let lab = Lab::start_with(&[pod("a", &a), pod("b", &b)], |rules| rules.hold_back(b.id()));
    lab.rules.called("verify", 1).await;
    lab.file(&[pod("b", &b)]);
    while_held(lab.rules.called("remove", 1)).await;
    assert_eq!(lab.rules.count("release"), 1);
    lab.rules.let_go();
    let removed = lab.rules.log().into_iter().find(|line| line.starts_with("remove"));
    assert_eq!(removed.unwrap(), "remove shop/a, untold");
}
