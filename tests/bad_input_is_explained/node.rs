//! The node program.

use std::fs;
use std::os::unix::net::UnixListener;

use culvert_lab::{Lab, Launch, Node, PodSpec};

use super::{as_nobody, assert_fails, lab_with_node};
use crate::harness::cluster::{ECHO, lab, programs, serve_all};
use crate::harness::talk::{Ending, SOON, assert_echo, exchange};

/// A lab with a control plane and one node.
fn lab_with_control(name: &str) -> (Lab, Node) {
    let (lab, node) = lab_with_node(name);
    lab.start_control().unwrap();
    (lab, node)
}

/// A node program with everything right, about to be spoilt.
fn good(lab: &Lab, node: &Node) -> Launch {
    lab.node_launch(node).unwrap()
}

#[test]
fn an_unknown_argument_is_named() {
    let (lab, node) = lab_with_node("node-argument");
    let program = programs().unwrap().node;
    assert_fails(&lab, Launch::new("node", program, node.netns()).arg("--bogus"), 2, &["--bogus"]);
}

#[test]
fn a_setting_that_makes_no_sense_is_named() {
    let (lab, node) = lab_with_control("node-setting");
    for (name, value) in [
        ("PROXY_MODE", "both"),
        ("PACKET_MARK", "blue"),
        ("CONNECTION_TERMINATION_DEADLINE", "soon"),
        ("HTTP2_STREAM_WINDOW_SIZE", "7"),
        ("IPV6_ENABLED", "perhaps"),
        ("LOG_FORMAT", "morse"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4317"),
    ] {
        assert_fails(&lab, good(&lab, &node).env(name, value), 2, &[name, value]);
    }
    let told = good(&lab, &node).env("OTEL_EXPORTER_OTLP_ENDPOINT", "https://collector:4317");
    let roots = ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/nowhere.pem");
    assert_fails(&lab, told.env(roots.0, roots.1), 1, &[roots.0, roots.1]);
    let dedicated = good(&lab, &node).env("PROXY_MODE", "dedicated");
    assert_fails(&lab, dedicated, 2, &["PROXY_WORKLOAD_INFO"]);
    assert_fails(&lab, good(&lab, &node).env("XDS_ADDRESS", ""), 2, &["XDS_ADDRESS", "LOCAL_XDS_PATH"]);
}

#[test]
fn an_authority_that_is_no_address_is_named() {
    let (lab, node) = lab_with_control("node-authority");
    for value in ["https://[::bad", "not an address", "https://authority:99999"] {
        let program = lab.start(good(&lab, &node).env("CA_ADDRESS", value).env("RUST_LOG", "off")).unwrap();
        let status = program.wait_for_exit(SOON).unwrap();
        let said = program.log_text();
        assert!(matches!(status.code(), Some(1 | 2)), "{status}: {said}");
        assert!(said.contains(value) && said.lines().count() == 1, "{said}");
    }
}

#[test]
fn a_mesh_file_that_is_not_there_is_named() {
    let (lab, node) = lab_with_control("node-files");
    let launch = good(&lab, &node).env("LOCAL_XDS_PATH", "/nowhere/file");
    assert_fails(&lab, launch, 1, &["/nowhere/file", "No such file"]);
}

/// Roots and tokens may come after the program that needs them.
#[test]
fn a_root_or_token_that_is_not_there_yet_is_named_and_waited_for() {
    for name in ["CA_ROOT_CA", "XDS_ROOT_CA", "AUTH_TOKEN"] {
        let (lab, node) = lab_with_control("node-late");
        let (pod, other) =
            (lab.pod(&node, PodSpec::new("pod")).unwrap(), lab.pod(&node, PodSpec::new("other")).unwrap());
        serve_all(&lab, &other).unwrap();
        lab.enrol_all(&[&pod, &other]).unwrap();
        lab.start_agent(&node).unwrap();
        let late = lab.directory().join("late");
        let program = lab.start(good(&lab, &node).env(name, late.display())).unwrap();
        let line = program.wait_for_log("/late", SOON).unwrap();
        assert!(line.contains("read"), "{line}");
        lab.wait_until(SOON, "the pod is captured", || pod.is_captured().unwrap()).unwrap();
        let early = exchange(&pod, (other.ip4(), ECHO), b"too early");
        assert!(matches!(early, Ending::Refused | Ending::Reset), "{early:?}");
        let real = if name == "AUTH_TOKEN" { node.token_file() } else { lab.root_certificate() };
        fs::copy(real, &late).unwrap();
        let served = || {
            exchange(&pod, (other.ip4(), ECHO), b"better late") == Ending::Complete(b"better late".to_vec())
        };
        lab.wait_until(SOON * 2, "the pod is served", served).unwrap();
        assert!(program.is_running());
    }
}

#[test]
fn a_mistake_in_the_mesh_file_is_named_with_its_line() {
    let (lab, node) = lab_with_control("node-mesh");
    let file = lab.directory().join("my-mesh.yaml");
    let name = file.display().to_string();
    let start = "workloads:\n- name: a\n  namespace: default\n";
    for (text, line, part) in [
        ("workloadz: []\n".to_owned(), 1, "workloadz"),
        (format!("{start}  workloadIps: [10.0.0.1]\n  protocl: HBONE\n"), 5, "protocl"),
        (format!("{start}  workloadIps: [10.0.0.999]\n"), 4, "10.0.0.999"),
        (format!("{start}  workloadIps: [10.0.0.1]\n  protocol: CARRIER-PIGEON\n"), 5, "CARRIER-PIGEON"),
        ("workloads: [".to_owned(), 1, ""),
        (String::new(), 1, "empty"),
    ] {
        fs::write(&file, text).unwrap();
        let launch = good(&lab, &node).env("LOCAL_XDS_PATH", &name);
        assert_fails(&lab, launch, 1, &[&name, &format!("line {line}"), part]);
    }
}

#[test]
fn not_being_root_is_explained() {
    let (lab, node) = lab_with_control("node-nobody");
    let launch = as_nobody(&lab, &node, &programs().unwrap().node);
    let root = fs::read_to_string(lab.root_certificate()).unwrap();
    let launch =
        launch.env("LOCAL_XDS", "{}").env("CA_ADDRESS", "https://localhost:15012").env("CA_ROOT_CA", root);
    assert_fails(&lab, launch, 1, &["as root"]);
}

#[test]
fn an_admin_socket_somebody_else_has_is_named() {
    let (lab, node) = lab_with_control("node-socket");
    let path = lab.directory().join("taken.sock");
    let _somebody = UnixListener::bind(&path).unwrap();
    let launch = good(&lab, &node).env("CULVERT_ADMIN_SOCKET", path.display());
    assert_fails(&lab, launch, 1, &["CULVERT_ADMIN_SOCKET", "another program is listening on", "taken.sock"]);
}

#[test]
fn a_second_node_program_in_one_place_is_turned_away() {
    let lab = lab("node-second").unwrap();
    let node = lab.node("one").unwrap();
    let (one, other) =
        (lab.pod(&node, PodSpec::new("one")).unwrap(), lab.pod(&node, PodSpec::new("other")).unwrap());
    serve_all(&lab, &other).unwrap();
    lab.enrol_all(&[&one, &other]).unwrap();
    lab.start_control().unwrap();
    lab.start_agent(&node).unwrap();
    let first = lab.start_node(&node).unwrap();
    assert_fails(&lab, lab.node_launch(&node).unwrap(), 1, &["150"]);
    assert!(first.is_running());
    assert_echo(&one, (other.ip4(), ECHO), b"undisturbed");
}
