//! What happens while a search is at work, and how far it goes.

use super::super::tests::lab::{Node, Sleeper, ip, later_process, netns, uid};
use super::*;
use crate::pod::Uid;

/// A pod with a process that has been looked at, while its namespace has not been opened yet.
struct Scene {
    process: Sleeper,
    node: Node,
    pod: Uid,
    sandbox: Arc<Netns>,
    /// Has the pod's address, too.
    elsewhere: Arc<Netns>,
}

impl Scene {
    fn new() -> Self {
        let (node, pod) = (Node::new(), uid());
        let (sandbox, elsewhere) = (netns("10.1.0.7/32"), netns("10.1.0.7/32"));
        let process = node.wanderer(&pod, (&sandbox, &elsewhere));
        Self { process, node, pod, sandbox, elsewhere }
    }

    /// Shows another process, which started later, under the number of the first one.
    fn replace(&self, pod: &Uid, netns: &Netns) -> Sleeper {
        let other = later_process(&self.node, pod, netns, &self.process);
        self.node.show(self.process.0.id(), &other);
        other
    }
}

/// Lets something happen between the two, and tells whether the pod is found.
fn finds<T>(happens: impl FnOnce(&mut Scene) -> T) -> bool {
    finds_in(&mut Scene::new(), happens)
}

fn finds_in<T>(scene: &mut Scene, happens: impl FnOnce(&mut Scene) -> T) -> bool {
    let (pod, addresses, proc) = (scene.pod.clone(), [ip("10.1.0.7")], scene.node.proc.clone());
    let sought = Sought::from([(pod.as_str(), &addresses[..])]);
    let mut findings = Findings::default();
    let mut scan = Scan::begin(&proc, &sought).unwrap();
    scan.walk(&mut findings).unwrap();
    let _others = happens(scene);
    scan.settle(&mut findings).unwrap();
    findings.found.contains_key(pod.as_str())
}

#[test]
fn what_was_seen_of_a_process_is_not_believed_of_the_next_one_with_its_number() {
    assert!(finds(|_| ()));
    assert!(!finds(|scene| scene.process.end()));
    assert!(!finds(|scene| scene.replace(&uid(), &scene.sandbox)));
    assert!(!finds(|scene| scene.replace(&scene.pod, &scene.sandbox)));
    assert!(!finds(|scene| scene.replace(&scene.pod, &scene.elsewhere)));
}

#[test]
fn a_process_that_is_no_longer_what_it_was_is_not_believed() {
    assert!(!finds(|scene| scene.node.sort(&uid(), &scene.process)));
    assert!(!finds(|scene| scene.process.go_to(&Arc::clone(&scene.elsewhere))));
}

#[test]
fn a_namespace_is_not_lost_with_the_first_process_in_it() {
    let mut scene = Scene::new();
    let _second = later_process(&scene.node, &scene.pod, &scene.sandbox, &scene.process);
    assert!(finds_in(&mut scene, |scene| scene.process.end()));
}

#[test]
fn a_pod_that_makes_many_namespaces_is_looked_into_a_few_times() {
    let (node, uid) = (Node::new(), uid());
    let made: Vec<_> = (0..=MOST_TRIED).map(|_| netns("10.9.9.9/32")).collect();
    let processes: Vec<_> = made.iter().map(|netns| node.process(&uid, netns)).collect();
    let _own = later_process(&node, &uid, &netns("10.1.0.7/32"), &processes[MOST_TRIED]);
    let addresses = [ip("10.1.0.7")];
    let findings = scan(&node.proc, &Sought::from([(uid.as_str(), &addresses[..])]));
    assert!(findings.found.is_empty());
}

#[test]
fn only_what_the_whole_search_lacks_ends_it() {
    for (code, ends) in [(2, false), (3, false), (13, false), (12, true), (23, true), (24, true)] {
        assert_eq!(essential::<()>(Err(io::Error::from_raw_os_error(code))).is_err(), ends, "{code}");
    }
}
