use super::super::tests::{address, pod};
use super::super::{By, OfNode};
use super::*;

/// Takes as many as somebody can get.
pub(in crate::limits) fn all_of(account: &Arc<Account>) -> Vec<Output> {
    let taken = |_| {
        let mut output = account.output();
        output.takes_large().then_some(output)
    };
    (0..MOST).map_while(taken).collect()
}

fn taken(node: &OfNode) -> u64 {
    node.0.outputs.0.load(Ordering::Relaxed)
}

#[test]
fn a_pod_whose_peers_do_not_read_leaves_the_others_as_many() {
    let node = OfNode::default();
    let (stuck, honest) = (node.begin(pod()), node.begin(pod()));
    let held = all_of(&stuck.account(By::Pod));
    assert_eq!((held.len() as u64, stuck.large_outputs()), (MOST / 2, MOST / 2));
    let others = all_of(&honest.account(By::Pod));
    assert_eq!((others.len() as u64, taken(&node)), (MOST / 4, MOST / 4 * 3));
    drop((held, others));
    assert_eq!((stuck.large_outputs(), honest.large_outputs(), taken(&node)), (0, 0, 0));
}

#[test]
fn a_peer_that_does_not_read_leaves_a_fifth_to_the_others_of_the_pod() {
    let node = OfNode::default();
    let pod = node.begin(pod());
    let (attacker, victim) = (pod.peer(address(1)), pod.peer(address(2)));
    let held = all_of(&pod.account(By::Peer(&attacker)));
    assert_eq!(held.len() as u64, (MOST / 2 * 4).div_ceil(5));
    assert!(!all_of(&pod.account(By::Peer(&victim))).is_empty());
    assert!(!all_of(&pod.account(By::Pod)).is_empty());
    drop(held);
    assert_eq!((attacker.outputs.0.load(Ordering::Relaxed), taken(&node)), (0, 0));
}

#[test]
fn there_are_no_more_than_so_many_however_many_want_them() {
    let node = OfNode::default();
    let held: Vec<_> = (0..MOST).map(|_| all_of(&node.begin(pod()).account(By::Pod))).collect();
    assert!(held[0].len() > held[1].len() && held[1].len() > held[2].len());
    assert!(taken(&node) <= MOST, "{}", taken(&node));
    drop(held);
    assert_eq!(taken(&node), 0);
}

#[test]
fn what_is_done_with_is_given_back_once() {
    let node = OfNode::default();
    let pod = node.begin(pod());
    let mut output = pod.account(By::Pod).output();
    assert!(output.takes_large());
    output.is_over();
    output.is_over();
    assert_eq!((pod.large_outputs(), taken(&node)), (0, 0));
    assert!(output.takes_large());
    drop(output);
    assert_eq!((pod.large_outputs(), taken(&node)), (0, 0));
}
