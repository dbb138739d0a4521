//! What becomes of the rules when the agent ends.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_pod_that_comes_back_at_exit_keeps_its_rules() {
    let a = netns();
    let lab = Lab::with_released(&a).await;
    lab.rules.hold_back(a.id());
    lab.file(&[pod("a", &a)]);
    while_held(lab.rules.called("apply", 2)).await;
    let rules = Arc::clone(&lab.rules);
    let finish = async {
        // The enrolment hears of the exit first.
        tokio::task::yield_now().await;
        rules.let_go();
    };
    let ((rules, result), ()) = tokio::join!(lab.end(Exit::LeaveRules), finish);
    result.unwrap();
    assert!(rules.are_in(a.id()));
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_is_leaving_at_exit_leaves() {
    let (a, b) = (netns(), netns());
    let mut lab = Lab::start(&[pod("a", &a), pod("b", &b)]);
    lab.told("serve a, serve b").await;
    lab.file(&[pod("b", &b)]);
    lab.told("serve b").await;
    let (rules, result) = lab.end(Exit::LeaveRules).await;
    result.unwrap();
    assert!(!rules.are_in(a.id()) && rules.are_in(b.id()));
}

#[tokio::test(start_paused = true)]
async fn rules_stay_at_exit_unless_told_otherwise() {
    let a = netns();
    let mut lab = Lab::start(&[pod("a", &a)]);
    lab.told("serve a").await;
    let (rules, result) = lab.end(Exit::LeaveRules).await;
    result.unwrap();
    assert!(rules.are_in(a.id()));
}

#[tokio::test(start_paused = true)]
async fn cleanup_goes_through_all_pods_and_collects_the_errors() {
    let spaces = [netns(), netns(), netns()];
    let mut lab = Lab::start(&[pod("a", &spaces[0]), pod("b", &spaces[1]), pod("c", &spaces[2])]);
    lab.told("serve a, serve b, serve c").await;
    lab.rules.fail(spaces[0].id());
    lab.rules.fail(spaces[2].id());
    let table = lab.table.clone();
    let (rules, result) = lab.end(Exit::RemoveRules).await;
    let error = result.unwrap_err().to_string();
    assert!(error.starts_with("packet rules of 2 of 3 pods could not be removed; "), "{error}");
    assert!(error.contains("pod shop/a (a): ") && error.contains("pod shop/c (c): "), "{error}");
    assert!(!error.contains("shop/b"), "{error}");
    assert!(!rules.are_in(spaces[1].id()));
    let order = ["release shop/b, told", "remove shop/b, untold"];
    let of_b: Vec<_> = rules.log().into_iter().filter(|line| order.contains(&line.as_str())).collect();
    assert_eq!(of_b, order);
    assert_eq!(words(&table.borrow()), "serve a, serve c");
}

#[tokio::test(start_paused = true)]
async fn cleanup_takes_back_what_a_quarantined_pod_may_have() {
    let a = netns();
    let mut lab = Lab::start_with(&[pod("a", &a)], |rules| rules.drift(a.id(), 1000));
    lab.told("keep a").await;
    assert!(lab.rules.are_in(a.id()));
    let (rules, result) = lab.end(Exit::RemoveRules).await;
    result.unwrap();
    assert!(!rules.are_in(a.id()));
    assert_eq!((rules.count("release"), rules.count("remove")), (1, 1));
}
