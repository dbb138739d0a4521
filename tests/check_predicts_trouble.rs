//! `culvert check` finds trouble before it hurts, says what to do about it, and changes nothing.

mod control;
mod host;
mod pod;

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use culvert_lab::{Lab, Node, PodSpec, Snapshot};
use serde_json::Value;

use crate::harness::cluster::{lab, programs};
use crate::harness::command::{output_in, run_in};

/// A preflight of a node: what it is told, and what came of it.
pub(crate) struct Preflight {
    words: Vec<String>,
}

pub(crate) struct Answer {
    code: Option<i32>,
    findings: Vec<Value>,
    complaint: String,
}

/// The program that people type. It is built with the others.
fn culvert() -> PathBuf {
    programs().unwrap().agent.with_file_name("culvert")
}

impl Preflight {
    /// Of a host that has no files of this machine: all that are looked at are the lab's.
    fn new(lab: &Lab) -> Self {
        let file = |name: &str| lab.directory().join(name).display().to_string();
        let mut preflight = Self { words: vec![culvert().display().to_string(), "check".into()] };
        preflight.say(&["--output", "json", "--cni-conf-dir", &file("cni")]);
        preflight.say(&["--agent-socket", &file("no-agent.sock"), "--node-socket", &file("no-node.sock")]);
        preflight
    }

    fn say(&mut self, words: &[&str]) -> &mut Self {
        self.words.extend(words.iter().map(|word| (*word).to_owned()));
        self
    }

    #[track_caller]
    fn run(&self, node: &Node) -> Answer {
        let words: Vec<&str> = self.words.iter().map(String::as_str).collect();
        let output = output_in(node.netns(), &words);
        let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
        let document: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        let findings = document["findings"].as_array().cloned().unwrap_or_default();
        Answer { code: output.status.code(), findings, complaint }
    }
}

impl Answer {
    fn with_state(&self, state: &str) -> Vec<&Value> {
        self.findings.iter().filter(|finding| finding["state"] == state).collect()
    }

    fn all(&self, name: &str) -> impl Iterator<Item = &Value> {
        self.findings.iter().filter(move |finding| finding["name"] == name)
    }

    /// The finding of that name that says this; gives its remedy.
    #[track_caller]
    fn assert_found(&self, name: &str, state: &str, part: &str) -> String {
        let found = self.all(name).find(|finding| finding["found"].as_str().unwrap().contains(part));
        let found = found.unwrap_or_else(|| panic!("{name} does not say {part:?}: {:#?}", self.findings));
        assert_eq!(found["state"], state, "{found:#}");
        assert!(!found["why"].as_str().unwrap().is_empty(), "{found:#}");
        let remedy = found["remedy"].as_str().unwrap_or_default().to_owned();
        assert_eq!(remedy.is_empty(), state == "ok", "{found:#}");
        assert!(state != "problem" || self.code == Some(1), "exit code {:?}", self.code);
        remedy
    }
}

#[test]
fn a_healthy_node_has_no_problem_and_stays_as_it_was() {
    let lab = lab("check-healthy").unwrap();
    let node = lab.node("one").unwrap();
    let web = lab.pod(&node, PodSpec::new("web")).unwrap();
    lab.enrol_all(&[&web]).unwrap();
    lab.start_mesh().unwrap();
    let look = || [Snapshot::of_node(&node).unwrap(), Snapshot::of_pod(&web).unwrap()];
    let before = look();
    let (control, root) = (lab.control_address().to_string(), lab.root_certificate().display().to_string());
    let mut preflight = Preflight::new(&lab);
    preflight.say(&["--xds", &control, "--ca", &control, "--root", &root, "--pod-rules"]);
    let answer = preflight.say(&["--netns", &web.netns().path().display().to_string()]).run(&node);
    assert_eq!(answer.with_state("problem"), Vec::<&Value>::new());
    assert_eq!(answer.code, Some(0), "{}", answer.complaint);
    for (name, part) in [
        ("node-ports", "culvert-node (pid"),
        ("rules-ipv4", "verified and removed"),
        ("rules-ipv6", "verified and removed"),
        ("tunnel-port", "nothing drops"),
        ("xds", "TLSv1_3"),
        ("xds-certificate", "signed by"),
        ("clock-skew", " s ahead of the control plane's"),
        ("node", "it is ready, version"),
        ("pod-ports", "15008: culvert-node (pid"),
        ("pod-capture", "has been captured"),
        ("pod-rules", "the rules are"),
    ] {
        answer.assert_found(name, "ok", part);
    }
    let after = look();
    for (before, after) in before.iter().zip(&after) {
        assert_eq!(before.differences(after), Vec::<String>::new());
    }
}

#[test]
fn nothing_is_changed_on_a_host_nobody_has_touched() {
    let lab = lab("check-untouched").unwrap();
    let node = lab.node("one").unwrap();
    // The witness asks all tools, which leave traces of their own; so what the kernel says is looked at inside of that.
    let before = Snapshot::of(node.netns()).unwrap();
    let look = || (settings(&node), std::fs::read_dir(lab.directory()).unwrap().count());
    let kernel_before = look();
    let answer = Preflight::new(&lab).run(&node);
    assert_eq!(look(), kernel_before);
    assert_eq!(answer.with_state("problem"), Vec::<&Value>::new());
    assert_eq!(before.differences(&Snapshot::of(node.netns()).unwrap()), Vec::<String>::new());
}

/// Every setting of the node's network, and which legacy tables there are.
fn settings(node: &Node) -> BTreeMap<String, String> {
    // How many connections are tracked changes by itself.
    let all = "cat /proc/net/ip_tables_names /proc/net/ip6_tables_names; \
               grep -rs . /proc/sys/net --exclude=nf_conntrack_count || [ $? = 2 ]";
    let said = run_in(node.netns(), &["sh", "-c", all]).unwrap();
    let line = |line: &str| {
        line.split_once(':').map_or((line.to_owned(), String::new()), |(a, b)| (a.to_owned(), b.to_owned()))
    };
    let settings: BTreeMap<_, _> = said.lines().map(line).collect();
    assert!(settings.len() > 100, "{settings:#?}");
    settings
}

#[test]
fn whoever_is_not_root_is_told_what_root_would_see() {
    let lab = lab("check-nobody").unwrap();
    let node = lab.node("one").unwrap();
    // The checkout may be where only root can go.
    let copy = lab.directory().join("culvert");
    std::fs::copy(culvert(), &copy).unwrap();
    std::fs::set_permissions(lab.directory(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let mut preflight = Preflight::new(&lab);
    preflight.words[0] = copy.display().to_string();
    for word in ["--clear-groups", "--regid=65534", "--reuid=65534", "setpriv"] {
        preflight.words.insert(0, word.to_owned());
    }
    let answer = preflight.run(&node);
    assert_eq!(answer.with_state("problem"), Vec::<&Value>::new());
    assert_eq!(answer.code, Some(0), "{}", answer.complaint);
    for name in ["network-namespaces", "rules-ipv4", "iptables-mixed", "tunnel-port"] {
        let remedy = answer.assert_found(name, "unknown", "needs root");
        assert!(remedy.contains("sudo"), "{remedy}");
    }
    for name in ["kernel-version", "node-ports", "port-range", "rp-filter"] {
        answer.assert_found(name, "ok", "");
    }
    let _taken = node.netns().run(|| std::net::TcpListener::bind("0.0.0.0:15021")).unwrap().unwrap();
    preflight.run(&node).assert_found("node-ports", "problem", "15021 is taken; needs root to see by whom");
}

#[test]
fn what_is_typed_wrongly_is_wrong_usage() {
    let lab = lab("check-usage").unwrap();
    let node = lab.node("one").unwrap();
    for (words, part) in [
        (&["--only", "kernal"][..], "kernal"),
        (&["--pod-rules"], "--pid or --netns"),
        (&["--pid", "4294967295"], "4294967295"),
        (&["--netns", "/etc/passwd"], "/etc/passwd"),
        (&["--env-of", "4294967295"], "4294967295"),
        (&["--repair"], "--repair"),
    ] {
        let answer = Preflight::new(&lab).say(words).run(&node);
        assert_eq!(answer.code, Some(2), "{words:?}: {}", answer.complaint);
        assert!(
            answer.complaint.contains(part) && answer.findings.is_empty(),
            "{words:?}: {}",
            answer.complaint
        );
    }
}

#[test]
fn only_what_is_asked_for_is_looked_at_and_told() {
    let lab = lab("check-only").unwrap();
    let node = lab.node("one").unwrap();
    let names = |words: &[&str]| {
        let answer = Preflight::new(&lab).say(words).run(&node);
        answer.findings.iter().map(|it| it["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names(&["--only", "clock-synchronised", "time-wait"]).len(), 2);
    assert_eq!(names(&["--only", "kernel,time-wait"]).len(), 5);
    let _taken = node.netns().run(|| std::net::TcpListener::bind("0.0.0.0:15021")).unwrap().unwrap();
    assert_eq!(names(&["--only", "ports", "--quiet"]), ["node-ports"]);
}
