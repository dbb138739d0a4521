//! The agent.

use std::fs;
use std::path::PathBuf;

use culvert_lab::{Lab, Launch, Node, Pod, PodSpec, Program};

use super::{as_nobody, assert_fails, lab_with_node};
use crate::harness::cluster::{ECHO, lab, programs, serve_all};
use crate::harness::kernel::traces_of_capture;
use crate::harness::talk::{SOON, assert_echo};

/// An agent that reads a pods file of the test's own.
fn agent(lab: &Lab, node: &Node, pods: &str) -> Launch {
    let file = own_file(lab);
    fs::write(&file, pods).unwrap();
    plain(node).path_arg("--pods", &file).path_arg("--socket", &node.agent_socket())
}

fn plain(node: &Node) -> Launch {
    Launch::new("agent", programs().unwrap().agent, node.netns())
}

fn own_file(lab: &Lab) -> PathBuf {
    lab.directory().join("my-pods.yaml")
}

/// An item of a pods file.
fn item(uid: &str, pod: &Pod, place: &str) -> String {
    format!(
        "- uid: {uid}\n  name: {}\n  namespace: {}\n  serviceAccount: {}\n  {place}\n",
        pod.name(),
        pod.namespace(),
        pod.service_account()
    )
}

fn netns(pod: &Pod) -> String {
    format!("netns: {}", pod.netns().path().display())
}

#[test]
fn an_unknown_flag_is_named() {
    let (lab, node) = lab_with_node("agent-flag");
    assert_fails(&lab, plain(&node).arg("--bogus"), 2, &["--bogus"]);
    assert_fails(&lab, plain(&node).arg("--pods"), 2, &["--pods"]);
    assert!(!node.agent_socket().exists());
}

#[test]
fn a_pods_file_that_is_not_there_is_named() {
    let (lab, node) = lab_with_node("agent-file");
    let launch =
        plain(&node).arg("--pods").arg("/nowhere/pods.yaml").path_arg("--socket", &node.agent_socket());
    assert_fails(&lab, launch, 1, &["/nowhere/pods.yaml", "No such file"]);
    assert!(!node.agent_socket().exists());
}

#[test]
fn a_mistake_in_the_pods_file_is_named_with_its_line() {
    let (lab, node) = lab_with_node("agent-yaml");
    let file = own_file(&lab).display().to_string();
    let good = "- uid: a\n  name: a\n  namespace: default\n  serviceAccount: default\n  ";
    for (pods, line, part) in [
        ("pods: []\npodz: []\n".to_owned(), 2, "podz"),
        (format!("pods:\n{good}nets: /run/netns/a\n"), 6, "nets"),
        (format!("pods:\n{good}netns: run/netns/a\n"), 2, "run/netns/a"),
        (format!("pods:\n{good}netns: /a\n  pid: 7\n"), 2, "both"),
        (format!("pods:\n{good}pid: x\n"), 6, "x"),
        (format!("pods:\n{good}pid: 1\n{good}pid: 1\n"), 7, "uid `a`"),
        ("pods: [".to_owned(), 1, ""),
    ] {
        let place = format!("{file}:{line}");
        assert_fails(&lab, agent(&lab, &node, &pods), 1, &[&place, part]);
        assert!(!node.agent_socket().exists());
    }
}

#[test]
fn a_socket_that_cannot_be_made_is_named() {
    let (lab, node) = lab_with_node("agent-socket");
    fs::write(own_file(&lab), "pods: []\n").unwrap();
    let launch = plain(&node).path_arg("--pods", &own_file(&lab)).arg("--socket").arg("/dev/null/agent.sock");
    assert_fails(&lab, launch, 1, &["/dev/null"]);
}

#[test]
fn a_second_agent_on_the_same_socket_is_turned_away() {
    let lab = lab("agent-second").unwrap();
    let node = lab.node("one").unwrap();
    let pod = lab.pod(&node, PodSpec::new("pod")).unwrap();
    let other = lab.pod(&node, PodSpec::new("other")).unwrap();
    serve_all(&lab, &pod).unwrap();
    lab.enrol(&pod).unwrap();
    lab.start_control().unwrap();
    let first = lab.start_agent(&node).unwrap();
    let proxy = lab.start_node(&node).unwrap();
    assert_fails(&lab, agent(&lab, &node, "pods: []\n"), 1, &[&node.agent_socket().display().to_string()]);
    assert!(first.is_running() && proxy.is_running());
    // The first one still does what it is for.
    lab.enrol(&other).unwrap();
    assert_echo(&other, (pod.ip4(), ECHO), b"undisturbed");
}

#[test]
fn not_being_root_is_explained() {
    let (lab, node) = lab_with_node("agent-nobody");
    let launch = as_nobody(&lab, &node, &programs().unwrap().agent);
    let launch = launch.arg("--pods").arg("/dev/null").path_arg("--socket", &node.agent_socket());
    assert_fails(&lab, launch, 1, &["as root"]);
    assert!(!node.agent_socket().exists());
}

#[test]
fn a_machine_without_iptables_is_explained() {
    let (lab, node) = lab_with_node("agent-iptables");
    fs::write(own_file(&lab), "pods: []\n").unwrap();
    // In a mount namespace where the places of the tools are empty.
    let script = "for place in /usr/local/sbin /usr/sbin /sbin; do mount -t tmpfs none $place || exit 99; done\n\
                  PATH=/nowhere exec \"$@\"";
    let launch = Launch::new("agent", "unshare", node.netns())
        .arg("--mount")
        .arg("sh")
        .arg("-c")
        .arg(script)
        .arg("sh");
    let launch = launch.arg(programs().unwrap().agent.display());
    let launch = launch.path_arg("--pods", &own_file(&lab)).path_arg("--socket", &node.agent_socket());
    assert_fails(&lab, launch, 1, &["iptables"]);
    assert!(!node.agent_socket().exists());
}

/// A node whose agent reads a pods file of the test's own, and a good pod on it.
struct Rig {
    lab: Lab,
    node: Node,
    good: Pod,
    agent: Program,
    proxy: Program,
}

fn start(name: &str, pods: impl Fn(&Lab, &Node, &Pod) -> String) -> Rig {
    let lab = lab(name).unwrap();
    let node = lab.node("one").unwrap();
    let good = lab.pod(&node, PodSpec::new("good")).unwrap();
    serve_all(&lab, &good).unwrap();
    lab.start_control().unwrap();
    let text = pods(&lab, &node, &good);
    let agent = lab.start_agent_as(&node, agent(&lab, &node, &text)).unwrap();
    let proxy = lab.start_node(&node).unwrap();
    lab.enrol(&good).unwrap();
    Rig { lab, node, good, agent, proxy }
}

impl Rig {
    #[track_caller]
    fn assert_good_one_is_served(&self) {
        let outside = self.lab.pod(&self.node, PodSpec::new("outside")).unwrap();
        let server = self.lab.serve(&outside, 0, culvert_lab::Behaviour::Echo).unwrap();
        assert_echo(&self.good, (outside.ip4(), server.port()), b"out of the good pod");
        assert_echo(&outside, (self.good.ip4(), ECHO), b"into the good pod");
        assert!(self.good.is_captured().unwrap());
        assert!(self.agent.is_running() && self.proxy.is_running());
    }
}

#[test]
fn a_pod_without_a_namespace_is_quarantined_alone() {
    let rig = start("agent-vanished", |_, _, good| {
        let missing =
            item("missing", good, "netns: /run/netns/there-is-none").replace("name: good", "name: missing");
        format!("pods:\n{missing}{}", item("good", good, &netns(good)))
    });
    let line = rig.agent.wait_for_log("quarantined", SOON).unwrap();
    assert!(line.contains("missing") && line.contains("/run/netns/there-is-none"), "{line}");
    rig.assert_good_one_is_served();
}

#[test]
fn two_pods_with_one_namespace_are_not_mixed_up() {
    let rig = start("agent-shared", |_, _, good| {
        let twin = item("twin", good, &netns(good)).replace("name: good", "name: twin");
        format!("pods:\n{}{twin}", item("good", good, &netns(good)))
    });
    let line = rig.agent.wait_for_log("quarantined", SOON).unwrap();
    assert!(line.contains("twin") && line.contains("belongs to pod good"), "{line}");
    rig.assert_good_one_is_served();
}

#[test]
fn a_namespace_that_vanishes_takes_only_its_pod_along() {
    let lab_and_victim = std::sync::Mutex::new(None);
    let rig = start("agent-vanishing", |lab, node, good| {
        let victim = lab.pod(node, PodSpec::new("victim")).unwrap();
        let process = lab.start(Launch::new("victim", "sleep", victim.netns()).arg("600")).unwrap();
        let text = item("victim", &victim, &format!("pid: {}", process.pid()));
        *lab_and_victim.lock().unwrap() = Some((victim, process));
        format!("pods:\n{text}{}", item("good", good, &netns(good)))
    });
    let (victim, process) = lab_and_victim.into_inner().unwrap().unwrap();
    rig.lab.wait_until(SOON, "the victim is captured", || victim.is_captured().unwrap()).unwrap();
    let position = rig.agent.log_position();
    process.kill_hard().unwrap();
    let line = rig.agent.wait_for_log_since(position, "quarantined", SOON * 2).unwrap();
    assert!(line.contains("victim"), "{line}");
    rig.assert_good_one_is_served();
}

#[test]
fn the_hosts_own_namespace_is_never_programmed() {
    let rig = start("agent-host", |_, node, good| {
        let host = item("host", good, &format!("netns: {}", node.netns().path().display()));
        format!("pods:\n{}{}", host.replace("name: good", "name: host"), item("good", good, &netns(good)))
    });
    let line = rig.agent.wait_for_log("quarantined", SOON).unwrap();
    assert!(line.contains("host"), "{line}");
    rig.assert_good_one_is_served();
}

#[test]
fn a_bad_edit_of_the_pods_file_changes_nothing() {
    let rig = start("agent-edit", |_, _, good| format!("pods:\n{}", item("good", good, &netns(good))));
    for nonsense in ["pods: [", "", "pods:\n- uid: good\n"] {
        let position = rig.agent.log_position();
        fs::write(own_file(&rig.lab), nonsense).unwrap();
        let line = rig.agent.wait_for_log_since(position, "rejected", SOON).unwrap();
        assert!(line.contains("my-pods.yaml"), "{line}");
    }
    rig.assert_good_one_is_served();
    // And a good one lets it go.
    fs::write(own_file(&rig.lab), "pods: []\n").unwrap();
    rig.lab.wait_until(SOON, "the pod is let go", || traces_of_capture(&rig.good).is_empty()).unwrap();
}
