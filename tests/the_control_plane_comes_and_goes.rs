//! The control plane is killed, restarted, changed and given a new root, and traffic does not notice.

use std::process::Command;

use culvert_lab::{Node, Section, http};
use culvert_sys::child::die_with_parent;
use serde_json::Value;

use crate::harness::calls::{assert_all_served, call_meanwhile};
use crate::harness::cluster::{Cluster, ECHO, programs};
use crate::harness::talk::{SOON, assert_alive, assert_echo, assert_reset};

const ADMIN: ([u8; 4], u16) = ([127, 0, 0, 1], 15000);
const READINESS: ([u8; 4], u16) = ([127, 0, 0, 1], 15021);

/// Refuses everybody.
const CLOSED: &str =
    "- {name: closed, namespace: istio-system, scope: Global, action: Allow, rules: [], dryRun: false}";

fn dump(node: &Node) -> Value {
    let answer = http::get(node.netns(), ADMIN, "/config_dump");
    answer.ok().and_then(|answer| serde_json::from_slice(&answer.body).ok()).unwrap_or_default()
}

/// Whether a service of the control plane is in this state, as a node sees it.
fn sees(node: &Node, service: &str, state: &str) -> bool {
    dump(node)["controlPlane"][service]["state"] == state
}

#[test]
fn no_connection_fails_while_it_is_killed_and_started_twenty_times() {
    let cluster = Cluster::without_mesh("control-killed").unwrap();
    let lab = &cluster.lab;
    lab.enrol_all(&[&cluster.client, &cluster.server]).unwrap();
    let mut control = lab.start_control().unwrap();
    for node in [&cluster.one, &cluster.two] {
        lab.start_agent(node).unwrap();
        lab.start_node(node).unwrap();
    }
    assert_echo(&cluster.client, (cluster.server.ip4(), ECHO), b"all is well");
    let mut long = cluster.client.connect((cluster.server.ip4(), ECHO), SOON).unwrap();
    let calls = call_meanwhile(&cluster.client, &cluster.server, || {
        for _ in 0..20 {
            control.kill_hard().unwrap();
            control = lab.start_control().unwrap();
        }
    });
    assert_all_served(&calls);
    assert!(calls.good > 50, "{calls:?}");
    assert_alive(&mut long, b"as if nothing had happened");
    // And what is said after all that is heard.
    lab.set(Section::Policies, CLOSED).unwrap();
    assert_reset(&cluster.client, (cluster.server.ip4(), ECHO));
}

#[test]
fn what_changed_while_it_was_away_counts_when_it_is_back() {
    let cluster = Cluster::start("control-away").unwrap();
    let lab = &cluster.lab;
    lab.set(Section::Policies, CLOSED).unwrap();
    assert_reset(&cluster.client, (cluster.server.ip4(), ECHO));
    lab.control().unwrap().stop().unwrap();
    for node in [&cluster.one, &cluster.two] {
        lab.wait_until(SOON, "the node notices", || sees(node, "xds", "Down")).unwrap();
    }
    // Gone is gone, even if nobody was there to be told.
    lab.set(Section::Policies, "").unwrap();
    assert_reset(&cluster.client, (cluster.server.ip4(), ECHO));
    lab.start_control().unwrap();
    for node in [&cluster.one, &cluster.two] {
        lab.wait_until(SOON * 2, "the node notices", || sees(node, "xds", "Up")).unwrap();
    }
    assert_echo(&cluster.client, (cluster.server.ip4(), ECHO), b"open again");
}

#[test]
fn a_node_that_starts_without_it_says_what_it_waits_for_and_becomes_ready_when_it_comes() {
    let cluster = Cluster::without_mesh("control-late").unwrap();
    let lab = &cluster.lab;
    lab.enrol_all(&[&cluster.client]).unwrap();
    // Its root must be there to be waited for; so it was there once.
    lab.start_control().unwrap();
    lab.control().unwrap().stop().unwrap();
    lab.start_agent(&cluster.one).unwrap();
    let proxy = lab.start(lab.node_launch(&cluster.one).unwrap()).unwrap();
    let ready = || http::get(cluster.one.netns(), READINESS, "/healthz/ready").ok();
    let address = lab.control_address().to_string();
    let explains =
        |text: &str| ["state manager", "xds", "refused", &address].iter().all(|part| text.contains(part));
    lab.wait_until(SOON, "it says what it waits for", || ready().is_some_and(|it| explains(&it.text())))
        .unwrap();
    assert_eq!(ready().unwrap().status, 500);
    let live = http::get(cluster.one.netns(), READINESS, "/healthz/live").unwrap();
    assert_eq!((live.status, live.text().as_str()), (200, "alive\n"), "a restart would not help");
    assert!(!cluster.client.listens(15001).unwrap(), "nobody is served by guesses");
    lab.start_control().unwrap();
    lab.wait_until(SOON * 3, "the node is ready", || ready().is_some_and(|it| it.status == 200)).unwrap();
    assert_echo(&cluster.client, (cluster.outsider.ip4(), ECHO), b"better late");
    assert!(proxy.is_running());
}

/// Runs one stage of a rotation.
#[track_caller]
fn rotate(cluster: &Cluster, stage: &[&str]) {
    let mut command = Command::new(programs().unwrap().control);
    command.args(["root", "--ca-dir"]).arg(cluster.lab.directory().join("ca")).args(stage);
    die_with_parent(&mut command);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// The serial numbers of a certificate's roots and of its chain, leaf first, as a node shows them.
fn chains(node: &Node) -> Vec<(Vec<String>, Vec<String>)> {
    let serials = |list: &Value| {
        let list = list.as_array().map_or(&[][..], Vec::as_slice);
        list.iter().map(|it| it["serialNumber"].as_str().unwrap_or_default().to_owned()).collect::<Vec<_>>()
    };
    let dump = dump(node);
    let certificates = dump["certificates"].as_array().map_or(&[][..], Vec::as_slice);
    certificates.iter().map(|it| (serials(&it["rootCerts"]), serials(&it["certChain"]))).collect()
}

#[test]
fn no_connection_fails_while_the_root_is_rotated() {
    let cluster = Cluster::start("control-root").unwrap();
    let lab = &cluster.lab;
    let old = chains(&cluster.one)[0].0.clone();
    let reaches = |what: &str, roots: usize, chain: usize| {
        for node in [&cluster.one, &cluster.two] {
            let there = || {
                let all = chains(node);
                !all.is_empty() && all.iter().all(|(r, c)| (r.len(), c.len()) == (roots, chain))
            };
            lab.wait_until(SOON * 3, what, there).unwrap();
        }
    };
    reaches("it starts with one root", 1, 1);
    let mut long = cluster.client.connect((cluster.server.ip4(), ECHO), SOON).unwrap();
    let calls = call_meanwhile(&cluster.client, &cluster.server, || {
        rotate(&cluster, &["prepare"]);
        reaches("all trust both", 2, 1);
        rotate(&cluster, &["activate"]);
        reaches("all are signed by the new one, and vouched for by the old one", 2, 2);
        rotate(&cluster, &["finish", "--insist"]);
        reaches("all trust the new one only", 1, 1);
    });
    assert_all_served(&calls);
    assert_alive(&mut long, b"through all of it");
    assert_ne!(chains(&cluster.one)[0].0, old);
    assert_echo(&cluster.server, (cluster.client.ip4(), ECHO), b"the other way");
}
