mod bytes;

use std::collections::BTreeSet;
use std::net::IpAddr;

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use super::*;

/// A pod that no other is beside.
pub(crate) fn alone() -> Arc<OfPod> {
    OfNode::default().begin(pod())
}

/// How much a pod has of something that all pods share.
pub(crate) fn in_use(of: &Arc<OfPod>, limit: Limit) -> u64 {
    of.standing(limit).1
}

/// Takes all memory a pod can get for what its applications do not take, but for so much.
pub(crate) fn fill(of: &Arc<OfPod>, but: u64) -> Buffered {
    let mut taken = of.account(By::Pod).nothing();
    let most = of.standing(Limit::BufferedBytesOfPod).0.unwrap();
    taken.needs(most - but).unwrap();
    taken
}

/// Takes all large buffers a pod can get for what its tunnels send.
pub(crate) fn all_outputs(of: &Arc<OfPod>) -> Vec<Output> {
    outputs::tests::all_of(&of.account(By::Pod))
}

/// Takes all places there are.
pub(crate) fn all(of: &Arc<OfPod>, limit: Limit) -> Vec<Held> {
    (0..limit.facts().most.unwrap()).map(|_| of.take(limit).unwrap()).collect()
}

pub(super) fn pod() -> PodInfo {
    PodInfo { name: "web-1".into(), namespace: "shop".into(), service_account: "web".into() }
}

#[test]
fn a_peer_has_so_many_tunnels_and_strangers_are_noted() {
    let node = OfNode::default();
    let pod = node.begin(pod());
    let (peer, other) = (pod.peer(address(1)), pod.peer(address(2)));
    let most = Limit::TunnelsOfPeer.facts().most.unwrap();
    let tunnels: Vec<_> = (0..most).map(|_| peer.take(Limit::TunnelsOfPeer).unwrap()).collect();
    assert_eq!(peer.take(Limit::TunnelsOfPeer).unwrap_err(), Exceeded(Limit::TunnelsOfPeer));
    assert_eq!(standing(&node, Limit::TunnelsOfPeer).in_use, Some(most), "who was refused has none");
    drop(other.take(Limit::TunnelsOfPeer).unwrap());
    let unproven = (pod.note(Limit::HandshakesOfPod), other.note(Limit::HandshakesOfSource));
    for limit in [Limit::HandshakesOfPod, Limit::HandshakesOfSource] {
        assert_eq!(standing(&node, limit).in_use, Some(1), "{}", limit.name());
    }
    drop((tunnels, unproven, peer, other));
    for limit in [Limit::TunnelsOfPeer, Limit::HandshakesOfPod, Limit::HandshakesOfSource] {
        assert_eq!(standing(&node, limit).in_use, Some(0), "{}", limit.name());
    }
}

fn standing(node: &OfNode, limit: Limit) -> Standing {
    node.look().into_iter().find(|standing| standing.facts.name == limit.name()).unwrap()
}

#[test]
fn a_pod_is_in_company_while_another_has_connections_or_two_connect_to_it() {
    let node = OfNode::default();
    let several = || node.0.company.is_several();
    let (one, other) = (node.begin(pod()), node.begin(pod()));
    let own = [one.connect(By::Pod).unwrap(), one.connect(By::Pod).unwrap()];
    assert!(!several());
    let others = other.connect(By::Pod).unwrap();
    assert!(several());
    drop(own);
    assert!(!several());
    let peer = one.peer(address(1));
    let same = one.peer(address(1));
    assert!(!several());
    let second = one.peer(address(2));
    assert!(several());
    drop((peer, same));
    assert!(!several());
    drop((second, others));
    let refuses = OfNode::new(Config { most_connections: Some(0), ..Config::default() });
    let pods = [refuses.begin(pod()), refuses.begin(pod())];
    assert!(pods.iter().all(|pod| pod.connect(By::Pod).is_err()));
    assert!(!refuses.0.company.is_several(), "who is refused is not there");
}

#[test]
fn every_limit_has_a_name_of_its_own_and_says_what_to_do() {
    let names: BTreeSet<_> = Limit::ALL.into_iter().map(Limit::name).collect();
    assert_eq!(names.len(), Limit::ALL.len());
    for (place, limit) in Limit::ALL.into_iter().enumerate() {
        assert_eq!(limit as usize, place, "{}", limit.name());
        let Facts { name, about, remedy, .. } = limit.facts();
        assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{name}");
        let plain = |text: &str| !text.is_empty() && !text.ends_with('.');
        assert!(plain(about) && plain(remedy), "{name}");
        assert!(!remedy.contains(';') && Exceeded(limit).to_string().ends_with(remedy), "{name}");
    }
}

#[test]
fn every_limit_is_in_the_documentation() {
    let documented = include_str!("../../../docs/limits.md");
    for limit in Limit::ALL {
        let Facts { name, setting, .. } = limit.facts();
        let row = documented.lines().find(|line| line.starts_with(&format!("| `{name}` |")));
        let row = row.unwrap_or_else(|| panic!("{name} is not in docs/limits.md"));
        assert!(setting.is_none_or(|setting| row.contains(&format!("`{setting}`"))), "{row}");
    }
}

#[test]
fn a_pod_has_so_many_places_and_another_has_its_own() {
    let (node, limit) = (OfNode::default(), Limit::DnsConnections);
    let most = limit.facts().most.unwrap();
    let (one, other) = (node.begin(pod()), node.begin(pod()));
    let held = all(&one, limit);
    let before = standing(&node, limit);
    assert_eq!((before.in_use, before.highest), (Some(most), most));
    assert_eq!(one.take(limit).unwrap_err(), Exceeded(limit));
    assert!(standing(&node, limit).hits > before.hits);
    drop(other.take(limit).unwrap());
    drop(held);
    assert_eq!(standing(&node, limit).in_use, Some(0), "what is over counts no more");
    drop(one.take(limit).unwrap());
    assert_eq!(standing(&node, limit).highest, most, "what was is remembered");
}

/// A process that may have so few files that tests come to it.
fn small(config: Config) -> OfNode {
    OfNode::within(config, || 400)
}

/// What there is for connections of that, beside so many pods.
fn for_connections(pods: u64) -> u64 {
    400 - 100 - pods * room::OF_EACH_POD
}

pub(super) fn address(last: u8) -> IpAddr {
    [10, 0, 0, last].into()
}

/// Takes all that somebody can get.
fn greedy(mut take: impl FnMut() -> Result<Place, Exceeded>) -> (Vec<Place>, Exceeded) {
    let mut places = Vec::new();
    loop {
        match take() {
            Ok(place) => places.push(place),
            Err(exceeded) => return (places, exceeded),
        }
    }
}

#[test]
fn a_greedy_pod_gets_half_and_leaves_the_others_theirs() {
    let node = small(Config::default());
    let (attacker, victim) = (node.begin(pod()), node.begin(pod()));
    let (taken, why) = greedy(|| attacker.connect(By::Pod));
    assert_eq!((taken.len() as u64, why), (for_connections(2) / 2, Exceeded(Limit::DescriptorsOfPod)));
    let honest: Vec<_> = (0..50).map(|_| victim.connect(By::Pod).unwrap()).collect();
    assert!(attacker.connect(By::Pod).is_err(), "who has most gets nothing of what is left");
    drop((taken, honest));
    assert_eq!(standing(&node, Limit::Descriptors).in_use, Some(2 * room::OF_EACH_POD));
    drop((attacker, victim));
    assert_eq!(standing(&node, Limit::Descriptors).in_use, Some(0), "listeners are given back, too");
}

#[test]
fn a_greedy_peer_leaves_its_pod_to_others() {
    let node = small(Config::default());
    let pod = node.begin(pod());
    let (attacker, victim) = (pod.peer(address(1)), pod.peer(address(2)));
    let (taken, why) = greedy(|| pod.connect(By::Peer(&attacker)));
    let most = (for_connections(1) / 2 * 4).div_ceil(5);
    assert_eq!((taken.len() as u64, why), (most, Exceeded(Limit::DescriptorsOfPeer)));
    assert_eq!(standing(&node, Limit::DescriptorsOfPeer).most, Some(most));
    let honest: Vec<_> = (0..10).map(|_| pod.connect(By::Peer(&victim)).unwrap()).collect();
    let own: Vec<_> = (0..10).map(|_| pod.connect(By::Pod).unwrap()).collect();
    assert_eq!(standing(&node, Limit::DescriptorsOfPeer).in_use, Some(most));
    drop((taken, honest, own, attacker, victim));
    assert!(pod.peers().is_empty(), "who has nothing is not remembered");
}

#[test]
fn strangers_of_one_network_are_one() {
    let pod = small(Config::default()).begin(pod());
    let [one, same, other] =
        ["fd00::1", "fd00::ffff:0:1", "fd00:0:0:1::1"].map(|address| pod.stranger(address.parse().unwrap()));
    assert!(Arc::ptr_eq(&one, &same) && !Arc::ptr_eq(&one, &other));
    assert!(Arc::ptr_eq(&pod.stranger(address(1)), &pod.peer(address(1))));
    let proven = ["fd00::1", "fd00::2"].map(|address| pod.peer(address.parse().unwrap()));
    assert!(!Arc::ptr_eq(&proven[0], &proven[1]), "who has proven who he is counts by himself");
}

#[test]
fn a_pod_may_have_no_more_connections_than_are_set() {
    let node = small(Config { most_connections: Some(3), ..Config::default() });
    let pod = node.begin(pod());
    let (taken, why) = greedy(|| pod.connect(By::Pod));
    assert_eq!((taken.len(), why), (3, Exceeded(Limit::ConnectionsOfPod)));
    let tunnel = pod.descriptors(1, By::Pod).unwrap();
    drop(taken);
    assert_eq!(standing(&node, Limit::ConnectionsOfPod).in_use, Some(0));
    assert_eq!(standing(&node, Limit::DescriptorsOfPod).in_use, Some(1), "a tunnel is no connection");
    drop(tunnel);
}

/// Whatever is begun, widened, refused and ended, by however many at the same time: what is over counts no more.
#[test]
fn when_all_is_over_nothing_is_in_use() {
    let node = small(Config { most_connections: Some(60), most_bytes: Some(1 << 20), ..Config::default() });
    let pods: Vec<_> = (0..3).map(|_| node.begin(pod())).collect();
    std::thread::scope(|scope| {
        for seed in 0..4 {
            let pods = &pods;
            scope.spawn(move || live(pods, seed));
        }
    });
    for pod in &pods {
        assert!(pod.peers().is_empty());
    }
    for limit in [
        Limit::ConnectionsOfPod,
        Limit::DescriptorsOfPod,
        Limit::DescriptorsOfPeer,
        Limit::DnsSockets,
        Limit::BufferedBytes,
        Limit::BufferedBytesOfPod,
        Limit::BufferedBytesOfPeer,
    ] {
        assert_eq!(standing(&node, limit).in_use, Some(0), "{}", limit.name());
    }
    assert_eq!(standing(&node, Limit::Descriptors).in_use, Some(3 * room::OF_EACH_POD));
}

fn live(pods: &[Arc<OfPod>], seed: u64) {
    let mut dice = SmallRng::seed_from_u64(seed);
    let (mut places, mut held, mut bytes) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..20_000 {
        let pod = &pods[dice.random_range(0..pods.len())];
        match dice.random_range(0..10) {
            0 => places.extend(pod.connect(By::Pod)),
            1 => places.extend(pod.connect(By::Peer(&pod.stranger(address(dice.random_range(0..4)))))),
            2 => places.extend(pod.descriptors(2, By::Peer(&pod.peer(address(dice.random_range(0..4)))))),
            3 => held.extend(pod.take(Limit::DnsSockets)),
            // Whether there is room is not asked: both must be right.
            4 => drop(places.last_mut().map(|place: &mut Place| place.needs(3))),
            6 => bytes.push(pod.account(By::Peer(&pod.peer(address(dice.random_range(0..4))))).nothing()),
            7 => drop(bytes.last_mut().map(|some: &mut Buffered| some.needs(dice.random_range(0..100_000)))),
            8 if !bytes.is_empty() => bytes.swap_remove(dice.random_range(0..bytes.len())).keeps(5),
            5 if !places.is_empty() => drop(places.swap_remove(dice.random_range(0..places.len()))),
            _ => drop(held.pop()),
        }
    }
}

#[test]
fn a_pod_that_is_gone_has_nothing() {
    let (node, limit) = (OfNode::default(), Limit::SocksNegotiations);
    let pod = node.begin(pod());
    let held = pod.take(limit).unwrap();
    drop(pod);
    assert_eq!(standing(&node, limit).in_use, Some(1), "it goes with its last connection");
    drop(held);
    assert_eq!(standing(&node, limit).in_use, Some(0));
    assert_eq!(standing(&node, Limit::AcceptDeadline).in_use, None, "time is not held");
}

#[test]
fn what_is_set_is_shown() {
    let quiet = quiet::Limits { half_closed: Some(Duration::from_secs(60)), open: None };
    let node = OfNode::new(Config { of_stream: 65_536, of_tunnel: 1 << 20, quiet, ..Config::default() });
    let _pod = node.begin(pod());
    let most = |limit| standing(&node, limit).most;
    assert_eq!(most(Limit::BufferedBytesOfStream), Some(65_536));
    assert_eq!(most(Limit::BufferedBytesOfTunnel), Some(1 << 20));
    assert_eq!((most(Limit::HalfClosedIdle), most(Limit::Idle)), (Some(60_000), None));
}
