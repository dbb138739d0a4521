//! `culvert` shows what a node knows, however the node is reached, and says why connections fail.

use std::path::PathBuf;
use std::process::Output;

use culvert_lab::{Node, Section, http};
use serde_json::Value;

use crate::harness::cluster::{Cluster, ECHO, programs};
use crate::harness::command::output_in;
use crate::harness::talk::{SOON, assert_alive, assert_echo, assert_reset};

/// The program that people type. It is built with the others.
fn culvert() -> PathBuf {
    programs().unwrap().agent.with_file_name("culvert")
}

fn said(node: &Node, words: &[&str]) -> Output {
    let program = culvert().display().to_string();
    let mut all = vec![program.as_str()];
    all.extend(words);
    output_in(node.netns(), &all)
}

#[track_caller]
fn shown(node: &Node, words: &[&str]) -> String {
    let output = said(node, words);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{words:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// The items of a list.
#[track_caller]
fn items(node: &Node, what: &str) -> Vec<Value> {
    let document: Value = serde_json::from_str(&shown(node, &["get", what, "-o", "json"])).unwrap();
    document["items"].as_array().unwrap_or_else(|| panic!("{what}: {document}")).clone()
}

#[test]
fn everything_a_node_knows_is_listed() {
    let cluster = Cluster::start("cli-get").unwrap();
    let (one, client) = (&cluster.one, cluster.client.name());
    let mut open = cluster.client.connect((cluster.server.ip4(), ECHO), SOON).unwrap();
    assert_alive(&mut open, b"hello");
    let closed = cluster.server.listen(0).unwrap().local_addr().unwrap().port();
    assert_reset(&cluster.client, (cluster.server.ip4(), closed));
    cluster.lab.wait_until(SOON, "the refusal is listed", || !items(one, "refusals").is_empty()).unwrap();
    for (what, name) in [
        ("pods", client),
        ("workloads", cluster.server.name()),
        ("services", "web.default.svc"),
        ("certificates", &cluster.client.identity()),
        ("connections", cluster.server.name()),
        ("tunnels", &cluster.server.identity()),
        ("refusals", cluster.server.name()),
        ("traffic", client),
        ("node", ":15012"),
    ] {
        for format in ["wide", "json", "yaml"] {
            let text = shown(one, &["get", what, "-o", format]);
            assert!(text.contains(name), "{what} as {format} has no {name}: {text}");
        }
    }
    assert!(items(one, "policies").is_empty() && items(one, "ejected").is_empty());
}

#[test]
fn a_node_is_reached_by_its_socket_and_from_another_namespace() {
    let cluster = Cluster::without_mesh("cli-ways").unwrap();
    let lab = &cluster.lab;
    let socket = lab.directory().join("admin.sock");
    lab.enrol_all(&[&cluster.client]).unwrap();
    lab.start_control().unwrap();
    lab.start_agent(&cluster.one).unwrap();
    let launch = lab.node_launch(&cluster.one).unwrap().env("CULVERT_ADMIN_SOCKET", socket.display());
    let proxy = lab.start_node_as(&cluster.one, launch).unwrap();
    for node in [format!("unix:{}", socket.display()), format!("pid:{}", proxy.pid())] {
        // From where the node's loopback is not.
        let text = shown(&cluster.two, &["get", "pods", "--node", &node]);
        assert!(text.contains(cluster.client.name()), "{node}: {text}");
    }
    let nobody = said(&cluster.two, &["get", "pods"]);
    let complaint = String::from_utf8_lossy(&nobody.stderr).into_owned();
    assert_eq!(nobody.status.code(), Some(1));
    assert!(complaint.contains("127.0.0.1:15000") && complaint.contains("--node"), "{complaint}");
}

#[test]
fn why_names_the_policy_before_and_after_it_has_denied() {
    let cluster = Cluster::start("cli-why").unwrap();
    let (client, server) = (&cluster.client, &cluster.server);
    let [from, to] = [client.name().to_owned(), format!("{}:{ECHO}", server.ip4())];
    let allowed = said(&cluster.one, &["why", &from, &to]);
    let text = String::from_utf8_lossy(&allowed.stdout).into_owned();
    assert_eq!(allowed.status.code(), Some(0), "{text}");
    let deny = format!(
        "- {{name: no-clients, namespace: default, scope: Namespace, action: Deny, rules: [[[{{\
         principals: [!Exact cluster.local/ns/default/sa/client], destinationPorts: [{ECHO}]}}]]]}}\n"
    );
    cluster.lab.set(Section::Policies, &deny).unwrap();
    let denied = || said(&cluster.one, &["why", &from, &to]).status.code() == Some(3);
    cluster.lab.wait_until(SOON, "the policy has come", denied).unwrap();
    let text = String::from_utf8(said(&cluster.one, &["why", &from, &to]).stdout).unwrap();
    assert!(text.contains("no-clients") && text.contains("policy"), "{text}");
    let there = || http::get(cluster.two.netns(), ([127, 0, 0, 1], 15000), "/v1/policies").unwrap().text();
    cluster.lab.wait_until(SOON, "the server's node has it", || there().contains("no-clients")).unwrap();
    assert_reset(client, (server.ip4(), ECHO));
    cluster
        .lab
        .wait_until(SOON, "the refusal is listed", || !items(&cluster.two, "refusals").is_empty())
        .unwrap();
    for node in [&cluster.one, &cluster.two] {
        let id = items(node, "refusals")[0]["id"].as_str().unwrap().to_owned();
        let why = said(node, &["why", "--connection", &id, "-o", "json"]);
        let document: Value = serde_json::from_slice(&why.stdout).unwrap();
        assert_eq!(why.status.code(), Some(3), "{document}");
        assert_eq!(document["verdict"]["culprit"], "policy", "{document}");
    }
    let other = said(&cluster.one, &["why", "--connection", "0123456789abcdef"]);
    assert_eq!(other.status.code(), Some(1));
    assert_echo(&cluster.outsider, (cluster.outsider.ip4(), ECHO), b"others are not concerned");
}
