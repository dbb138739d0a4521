//! An agent can be taken off a node without a trace: with everything it can install installed, at any moment, and after any death.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::thread;
use std::time::Duration;

use culvert_lab::{Launch, Pod, Program, Snapshot};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use crate::harness::cluster::ECHO;
use crate::harness::kubernetes::Kubernetes;
use crate::harness::one_node::{OneNode, PATIENCE};
use crate::harness::seed::seed;
use crate::harness::talk::{Ending, SOON, assert_alive, assert_echo, read_to_end};

const AMBIENT: Option<&str> = Some("ambient");
/// How often cleanup is killed.
const TIMES: u32 = 10;

/// What happens follows from a seed.
fn random() -> StdRng {
    StdRng::seed_from_u64(seed())
}

/// With all it can put anywhere.
fn everything(kubernetes: &Kubernetes) -> Launch {
    kubernetes.agent().arg("--probes").arg("snat")
}

/// All that an agent could leave something in, and that has two pods.
#[derive(Debug, PartialEq)]
struct Place {
    pods: Vec<Vec<String>>,
    node: Vec<String>,
    files: BTreeMap<String, String>,
    claims: Vec<Option<String>>,
}

impl Place {
    #[track_caller]
    fn look(node: &OneNode, pods: &[Pod; 2]) -> Self {
        let mut files = BTreeMap::new();
        // The plugins of others have their files elsewhere.
        for directory in [node.containers.configuration_directory(), node.containers.plugin_directory()] {
            list(directory, &mut files);
        }
        let (state, run) = (node.kubernetes.state_directory(), node.kubernetes.cni_socket());
        list(&state, &mut files);
        list(run.parent().unwrap(), &mut files);
        let socket = node.node.agent_socket();
        if socket.exists() {
            files.insert(socket.display().to_string(), String::new());
        }
        Self {
            pods: pods.iter().map(lines).collect(),
            node: node.look(),
            files,
            claims: pods.iter().map(|pod| node.kubernetes.claim(pod)).collect(),
        }
    }

    #[track_caller]
    fn assert_same(&self, later: &Self) {
        let text = |place: &Self| format!("{place:#?}");
        let (before, after) = (text(self), text(later));
        let only = |one: &str, other: &str| {
            one.lines().filter(|line| !other.contains(*line)).map(str::to_owned).collect::<Vec<_>>()
        };
        assert!(self == later, "gone: {:#?}, new: {:#?}", only(&before, &after), only(&after, &before));
    }
}

fn lines(pod: &Pod) -> Vec<String> {
    Snapshot::of_pod(pod).unwrap().to_string().lines().map(str::to_owned).collect()
}

/// What there is in a directory, itself included.
fn list(directory: &Path, files: &mut BTreeMap<String, String>) {
    let Ok(entries) = fs::read_dir(directory) else { return };
    files.insert(directory.display().to_string(), String::new());
    for entry in entries.map(Result::unwrap) {
        let path = entry.path();
        // Sockets cannot be read, and programs are no text.
        files.insert(path.display().to_string(), fs::read_to_string(&path).unwrap_or_default());
    }
}

/// A node nobody has touched, and two pods in a namespace that says nothing of the mesh.
fn prepare(name: &str) -> (OneNode, [Pod; 2], Place) {
    let node = OneNode::without_programs(name, &["shop"]);
    let pods = ["client", "server"].map(|name| node.run("shop", name).pod().clone());
    node.follow();
    let before = Place::look(&node, &pods);
    (node, pods, before)
}

fn clean(node: &OneNode) -> Program {
    node.lab.start(everything(&node.kubernetes).arg("--cleanup")).unwrap()
}

/// Cleans to the end, and fails unless all is gone.
#[track_caller]
fn assert_clean(node: &OneNode, pods: &[Pod; 2], before: &Place) {
    let cleanup = clean(node);
    let status = cleanup.wait_for_exit(PATIENCE).unwrap();
    assert!(status.success(), "{status}\n{}", cleanup.log_text());
    // The node lets go of what it is not told of any more in its own time.
    let same = || Place::look(node, pods) == *before;
    let _ = node.lab.wait_until(PATIENCE, "all is as it was", same);
    before.assert_same(&Place::look(node, pods));
}

/// Puts both pods into the mesh, and waits until everything is in its place.
#[track_caller]
fn join(node: &OneNode, [client, server]: &[Pod; 2], before: &Place) {
    node.kubernetes.label_namespace("shop", AMBIENT);
    node.wait("the agent is ready", || node.is_ready());
    node.wait_until_in(&[client, server]);
    node.wait("the node's rules for probes are there", || node.look() != before.node);
}

#[test]
fn cleanup_takes_back_all_that_was_ever_put_on_the_node() {
    let (node, pods, before) = prepare("cleanup");
    let [client, server] = &pods;
    node.start_programs(everything(&node.kubernetes));
    join(&node, &pods, &before);
    let mut open: Vec<_> = server.ips().iter().map(|ip| client.connect((*ip, ECHO), SOON).unwrap()).collect();
    for stream in &mut open {
        assert_alive(stream, b"captured");
    }
    let during = Place::look(&node, &pods);
    assert!(during.files.len() > before.files.len() + 4, "{:?}", during.files.keys());
    assert!(during.pods != before.pods && during.claims != before.claims);

    node.agent().stop().unwrap();
    assert_clean(&node, &pods, &before);
    for mut stream in open {
        let ending = read_to_end(&mut stream);
        assert!(matches!(ending, Ending::Complete(_) | Ending::Reset), "it went on: {ending:?}");
    }
    node.follow();
    assert_echo(client, (server.ip4(), ECHO), b"as ever");

    let written = || node.kubernetes.api.lab().requests_of("patch", "pods/status").len();
    let before_again = written();
    assert_clean(&node, &pods, &before);
    assert_eq!(written(), before_again, "there was nothing to change");
}

/// The plugin may never have been installed.
#[test]
fn what_an_agent_without_a_plugin_leaves_is_taken_back() {
    let (node, pods, before) = prepare("no-plugin");
    node.start_programs(node.kubernetes.agent_without_plugin());
    node.kubernetes.label_namespace("shop", AMBIENT);
    node.wait_until_in(&[&pods[0], &pods[1]]);
    node.agent().kill_hard().unwrap();
    let cleanup = node.lab.start(node.kubernetes.agent_without_plugin().arg("--cleanup")).unwrap();
    let status = cleanup.wait_for_exit(PATIENCE).unwrap();
    assert!(status.success(), "{status}\n{}", cleanup.log_text());
    before.assert_same(&Place::look(&node, &pods));
}

#[test]
fn a_cleanup_that_is_killed_at_any_moment_can_be_run_again() {
    let (node, pods, before) = prepare("killed-cleanup");
    let mut random = random();
    let mut agent = Some(everything(&node.kubernetes));
    for time in 0..TIMES {
        match agent.take() {
            Some(first) => node.start_programs(first),
            None => node.start_agent(everything(&node.kubernetes)),
        }
        join(&node, &pods, &before);
        node.agent().kill_hard().unwrap();
        let cleanup = clean(&node);
        let after = random.random_range(0..2500);
        println!("{time}: killed after {after} ms");
        // The moment is what the test is about.
        thread::sleep(Duration::from_millis(after));
        cleanup.kill_hard().unwrap();
        assert_clean(&node, &pods, &before);
        node.kubernetes.label_namespace("shop", None);
    }
}

#[test]
fn an_agent_that_is_killed_at_any_moment_finishes_what_it_began() {
    let (node, pods, before) = prepare("killed-agent");
    let [client, server] = &pods;
    let mut random = random();
    node.start_programs(everything(&node.kubernetes));
    for time in 0..6 {
        let is_in = time % 2 == 0;
        node.kubernetes.label_namespace("shop", is_in.then_some("ambient"));
        let after = random.random_range(0..1500);
        println!("{time}: killed after {after} ms");
        // The moment is what the test is about.
        thread::sleep(Duration::from_millis(after));
        node.agent().kill_hard().unwrap();
        node.start_agent(everything(&node.kubernetes));
        if is_in {
            node.wait_until_in(&[client, server]);
            assert!(!node.is_read(client, (server.ip4(), ECHO)));
        } else {
            node.wait_until_out(&[client, server]);
            node.wait("the pods are as they were", || Place::look(&node, &pods).pods == before.pods);
        }
    }
}

#[test]
fn a_pod_that_leaves_while_the_agent_is_dead_is_swept_when_it_is_back() {
    let (node, pods, before) = prepare("swept");
    let [client, server] = &pods;
    node.start_programs(everything(&node.kubernetes));
    join(&node, &pods, &before);
    node.agent().kill_hard().unwrap();
    node.kubernetes.label_namespace("shop", None);
    assert_ne!(Place::look(&node, &pods).pods, before.pods, "nobody is there who could have done it");
    node.start_agent(everything(&node.kubernetes));
    node.wait_until_out(&[client, server]);
    node.wait("the pods are as they were", || Place::look(&node, &pods).pods == before.pods);
    assert!(node.is_read(client, (server.ip4(), ECHO)));
}

#[test]
fn what_cannot_be_taken_back_is_said() {
    let (node, pods, before) = prepare("said");
    node.start_programs(everything(&node.kubernetes));
    join(&node, &pods, &before);
    node.agent().kill_hard().unwrap();
    node.kubernetes.api.lab().refuse_connections();
    let cleanup = clean(&node);
    let status = cleanup.wait_for_exit(2 * PATIENCE).unwrap();
    let said = cleanup.log_text();
    assert_eq!(status.code(), Some(1), "{said}");
    for what in ["what is in them stays", "what they claim stays", "run it again"] {
        assert!(said.contains(what), "`{what}` is not said: {said}");
    }
    // What needs nobody's answer is gone.
    assert_eq!(node.look(), before.node);
    node.kubernetes.api.lab().accept_connections().unwrap();
    assert_clean(&node, &pods, &before);
}
