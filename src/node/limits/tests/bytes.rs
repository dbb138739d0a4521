//! Memory for what applications do not take.

use super::*;

/// A process with so much memory for what applications do not take.
fn with_bytes(most: u64) -> OfNode {
    OfNode::new(Config { most_bytes: Some(most), ..Config::default() })
}

/// Takes as much as somebody can get, a little at a time.
fn greedy_for_bytes(account: &Arc<Account>) -> (Vec<Buffered>, Exceeded) {
    let mut all = Vec::new();
    loop {
        let mut some = account.nothing();
        match some.needs(1024) {
            Ok(()) => all.push(some),
            Err(exceeded) => return (all, exceeded),
        }
    }
}

#[test]
fn a_pod_whose_applications_do_not_read_leaves_the_others_their_memory() {
    let node = with_bytes(1 << 20);
    let (stuck, honest) = (node.begin(pod()), node.begin(pod()));
    let (taken, why) = greedy_for_bytes(&stuck.account(By::Pod));
    assert_eq!((taken.len(), why), (512, Exceeded(Limit::BufferedBytesOfPod)));
    assert_eq!(standing(&node, Limit::BufferedBytesOfPod).most, Some(512 << 10));
    let mut slow = honest.account(By::Peer(&honest.peer(address(1)))).nothing();
    slow.needs(200 << 10).unwrap();
    slow.needs(100 << 10).unwrap();
    assert_eq!(
        standing(&node, Limit::BufferedBytes).in_use,
        Some(712 << 10),
        "what it has it need not take again"
    );
    assert!(stuck.account(By::Pod).nothing().needs(1).is_err(), "who has most gets nothing of what is left");
    slow.keeps(50 << 10);
    assert_eq!(in_use(&honest, Limit::BufferedBytesOfPeer), 50 << 10);
    drop((taken, slow));
    for limit in [Limit::BufferedBytes, Limit::BufferedBytesOfPod, Limit::BufferedBytesOfPeer] {
        let shown = standing(&node, limit);
        assert_eq!(shown.in_use, Some(0), "{}", limit.name());
        assert!(shown.highest >= 200 << 10, "{}: {}", limit.name(), shown.highest);
    }
    assert!(standing(&node, Limit::BufferedBytesOfPod).hits >= 2);
}

#[test]
fn a_peer_whose_connections_nobody_reads_leaves_others_of_the_pods_memory() {
    let node = with_bytes(1 << 20);
    let pod = node.begin(pod());
    let (attacker, victim) = (pod.peer(address(1)), pod.peer(address(2)));
    let (taken, why) = greedy_for_bytes(&pod.account(By::Peer(&attacker)));
    let most = (512 * 4_usize).div_ceil(5);
    assert_eq!((taken.len(), why), (most, Exceeded(Limit::BufferedBytesOfPeer)));
    let mut slow = pod.account(By::Peer(&victim)).nothing();
    slow.needs(50 << 10).unwrap();
    pod.account(By::Pod).nothing().needs(20 << 10).unwrap();
    assert_eq!(in_use(&pod, Limit::BufferedBytesOfPeer), (most as u64) << 10);
}

#[test]
fn whoever_wants_all_memory_there_is_gets_none() {
    let node = with_bytes(1 << 20);
    let pod = node.begin(pod());
    let why = pod.account(By::Pod).nothing().needs((1 << 20) + 1).unwrap_err();
    assert_eq!(
        (why, standing(&node, Limit::BufferedBytes).in_use),
        (Exceeded(Limit::BufferedBytes), Some(0))
    );
}

#[test]
fn connections_that_hoard_leave_something_to_those_that_stop_for_a_moment() {
    let pod = with_bytes(8 << 20).begin(pod());
    let account = pod.account(By::Pod);
    let mut hoards = Vec::new();
    let why = loop {
        let mut some = account.nothing();
        match some.needs(256 << 10) {
            Ok(()) => hoards.push(some),
            Err(why) => break why,
        }
    };
    assert_eq!((hoards.len(), why), (11, Exceeded(Limit::BufferedBytesOfPod)), "a third, not half");
    let mut moments: Vec<_> = (0..16).map(|_| account.nothing()).collect();
    assert!(moments.iter_mut().all(|some| some.needs(64 << 10).is_ok()));
}
