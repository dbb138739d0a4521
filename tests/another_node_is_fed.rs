//! An agent feeds nodes that are not ours: strict ones, that do one thing at a time and end at what they do not understand.

mod node;

use std::time::Duration;

use culvert_lab::{Lab, Node, Pod, PodSpec, Program, wait_until};

use node::Foreign;

use crate::harness::cluster::lab;
use crate::harness::kernel::traces_of_capture;
use crate::harness::talk::SOON;

/// One node with some pods in the mesh, and its agent.
struct Rig {
    lab: Lab,
    node: Node,
    pods: Vec<Pod>,
    agent: Program,
}

fn start(name: &str, pods: usize) -> Rig {
    let lab = lab(name).unwrap();
    let node = lab.node("one").unwrap();
    let pod = |n: usize| lab.pod(&node, PodSpec::new(&format!("pod-{n}")).service_account("web")).unwrap();
    let pods: Vec<_> = (0..pods).map(pod).collect();
    lab.enrol_all(&pods.iter().collect::<Vec<_>>()).unwrap();
    let agent = lab.start_agent(&node).unwrap();
    Rig { lab, node, pods, agent }
}

impl Rig {
    fn all(&self) -> Vec<&Pod> {
        self.pods.iter().collect()
    }

    fn newcomer(&self) -> Pod {
        self.lab.pod(&self.node, PodSpec::new("newcomer")).unwrap()
    }
}

#[test]
fn it_is_given_all_pods_with_their_namespaces_and_then_told_that_these_are_all() {
    let rig = start("fed", 20);
    let node = Foreign::start(&rig.node);
    node.wait_to_hear("end of snapshot");
    node.wait_for(&rig.all());
    assert!(rig.pods.iter().all(|pod| pod.listens(15008).unwrap() && pod.is_captured().unwrap()));
    assert_eq!((node.started(), node.heard("end of snapshot")), (20, 1));
}

#[test]
fn it_hears_of_pods_that_come_go_and_come_back() {
    let rig = start("fed-pods", 2);
    let node = Foreign::start(&rig.node);
    node.wait_for(&rig.all());
    let newcomer = rig.newcomer();
    rig.lab.enrol(&newcomer).unwrap();
    node.wait_for(&[&rig.pods[0], &rig.pods[1], &newcomer]);
    rig.lab.unenrol(&newcomer).unwrap();
    node.wait_for(&rig.all());
    wait_until(SOON, "nothing of capture is left", || traces_of_capture(&newcomer).is_empty()).unwrap();
    rig.lab.enrol(&newcomer).unwrap();
    node.wait_for(&[&rig.pods[0], &rig.pods[1], &newcomer]);
    assert_eq!(node.heard("add newcomer"), 2);
    assert_eq!(node.heard("end of snapshot"), 1, "all on one connection");
}

#[test]
fn agents_come_and_go_and_pods_stay_served_as_they_are() {
    let rig = start("fed-restart", 3);
    let node = Foreign::start(&rig.node);
    node.wait_for(&rig.all());
    assert!(rig.agent.stop().unwrap().success());
    let second = rig.lab.start_agent(&rig.node).unwrap();
    node.wait_for_sessions(2);
    node.wait_for(&rig.all());
    second.kill_hard().unwrap();
    // One leaves while nobody can tell.
    rig.lab.delete(&rig.pods[2]).unwrap();
    rig.lab.start_agent(&rig.node).unwrap();
    node.wait_for_sessions(3);
    node.wait_for(&rig.all()[..2]);
    assert_eq!(node.started(), 3, "none was served anew");
}

#[test]
fn while_a_node_is_replaced_the_newest_is_given_new_pods_and_all_hear_of_those_that_go() {
    let rig = start("fed-upgrade", 2);
    let old = Foreign::start(&rig.node);
    old.wait_for(&rig.all());
    let new = Foreign::start(&rig.node);
    new.wait_for(&rig.all());
    let newcomer = rig.newcomer();
    rig.lab.enrol(&newcomer).unwrap();
    new.wait_for(&[&rig.pods[0], &rig.pods[1], &newcomer]);
    old.wait_for(&rig.all());
    rig.lab.unenrol(&rig.pods[1]).unwrap();
    new.wait_for(&[&rig.pods[0], &newcomer]);
    old.wait_for(&[&rig.pods[0]]);
    // The upgrade fails: the old one is the newest again.
    drop(new);
    old.wait_for(&[&rig.pods[0], &newcomer]);
    assert_eq!(old.heard("end of snapshot"), 1);
}

#[test]
fn one_that_takes_its_time_for_each_pod_is_not_cut_off() {
    const EACH: Duration = Duration::from_secs(1);
    // Together they take longer than any answer may.
    let rig = start("fed-slow", 7);
    let node = Foreign::start_slow(&rig.node, EACH);
    node.wait_for(&rig.all());
    node.wait_to_hear("end of snapshot");
    node.wait_for_sessions(1);
    assert_eq!((node.started(), node.heard("end of snapshot")), (7, 1), "on one connection");
    assert!(!rig.agent.log_text().contains("session closed"), "{}", rig.agent.log_text());
}

#[test]
fn a_pod_it_refuses_is_offered_again_and_keeps_nobody_waiting() {
    let rig = start("fed-refuses", 2);
    let node = Foreign::start(&rig.node);
    node.wait_for(&rig.all());
    let newcomer = rig.newcomer();
    node.can_serve(&newcomer, false);
    rig.lab.enrol(&newcomer).unwrap();
    let refusal = rig.agent.wait_for_log("node refused", SOON).unwrap();
    assert!(refusal.contains("it is impossible") && refusal.contains("newcomer"), "{refusal}");
    rig.lab.unenrol(&rig.pods[1]).unwrap();
    node.wait_for(&rig.all()[..1]);
    node.can_serve(&newcomer, true);
    node.wait_for(&[&rig.pods[0], &newcomer]);
    assert!(node.heard("add newcomer") > 1);
}

#[test]
fn one_that_dies_in_the_middle_is_told_all_again() {
    let rig = start("fed-dies", 12);
    let node = Foreign::start_slow(&rig.node, Duration::from_millis(100));
    node.wait_to_hear("add pod-1");
    drop(node);
    let next = Foreign::start(&rig.node);
    next.wait_for(&rig.all());
    next.wait_to_hear("end of snapshot");
    assert!(rig.agent.is_running());
}
