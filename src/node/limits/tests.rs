use std::collections::BTreeSet;

use super::*;

/// A pod that no other is beside.
pub(crate) fn alone() -> Arc<OfPod> {
    OfNode::default().begin(pod())
}

/// Takes all places there are.
pub(crate) fn all(of: &Arc<OfPod>, limit: Limit) -> Vec<Held> {
    (0..limit.facts().most.unwrap()).map(|_| of.take(limit).unwrap()).collect()
}

fn pod() -> PodInfo {
    PodInfo { name: "web-1".into(), namespace: "shop".into(), service_account: "web".into() }
}

fn standing(node: &OfNode, limit: Limit) -> Standing {
    node.look().into_iter().find(|standing| standing.facts.name == limit.name()).unwrap()
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
