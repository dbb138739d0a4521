//! The control plane.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use culvert_lab::{Lab, Launch, PodSpec};

use super::{assert_fails, lab_with_node};
use crate::harness::cluster::{ECHO, lab, programs, serve_all};
use crate::harness::talk::{SOON, assert_echo};

/// Writes a file that only its owner can read, as a token file has to be.
fn write_private(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

/// A control plane with everything right, about to be spoilt.
fn good(lab: &Lab) -> Launch {
    lab.control_launch().unwrap()
}

#[test]
fn a_wrong_command_line_is_explained() {
    let (lab, _node) = lab_with_node("control-flag");
    assert_fails(&lab, good(&lab).arg("--bogus"), 2, &["--bogus"]);
    assert_fails(&lab, good(&lab).arg("--name").arg("not a name!"), 2, &["not a name!"]);
    let bare = || Launch::new("control", programs().unwrap().control, lab.control_netns());
    assert_fails(&lab, bare().arg("--listen").arg("nowhere:http"), 2, &["nowhere:http"]);
    assert_fails(&lab, bare(), 2, &["required"]);
}

#[test]
fn an_address_that_cannot_be_listened_on_is_named() {
    let (lab, _node) = lab_with_node("control-address");
    let first = lab.start_control().unwrap();
    assert_fails(&lab, good(&lab), 1, &[&lab.control_address().to_string(), "in use"]);
    assert!(first.is_running());
}

#[test]
fn files_that_are_not_there_are_named() {
    let (lab, _node) = lab_with_node("control-files");
    let mesh = lab.mesh_file().parent().unwrap().to_owned();
    for missing in [mesh, lab.directory().join("tokens.yaml")] {
        let launch = good(&lab);
        let away = missing.with_extension("away");
        fs::rename(&missing, &away).unwrap();
        assert_fails(&lab, launch, 1, &[&missing.display().to_string(), "No such file"]);
        fs::rename(&away, &missing).unwrap();
    }
}

#[test]
fn a_mistake_in_a_file_is_named_with_its_line() {
    let (lab, _node) = lab_with_node("control-yaml");
    let (mesh, tokens) = (lab.mesh_file(), lab.directory().join("tokens.yaml"));
    for (file, text, line, part) in [
        (&mesh, "workloads: []\nworkload: []\n", 2, "workload"),
        (&mesh, "workloads:\n- name: a\n  namespace: b\n  workloadIps: [x]\n", 4, "x"),
        (&tokens, "tokens: []\ntoken: []\n", 2, "key"),
        (&tokens, "tokens:\n- {token: hush-hush, identity: nobody}\n", 2, "nobody"),
    ] {
        let launch = good(&lab);
        write_private(file, text);
        let program =
            assert_fails(&lab, launch, 1, &[&file.display().to_string(), &format!("line {line}"), part]);
        assert!(!program.log_text().contains("hush-hush"), "{}", program.log_text());
    }
}

#[test]
fn tokens_that_everybody_can_read_are_refused() {
    let (lab, _node) = lab_with_node("control-tokens");
    let (launch, tokens) = (good(&lab), lab.directory().join("tokens.yaml"));
    fs::set_permissions(&tokens, fs::Permissions::from_mode(0o644)).unwrap();
    assert_fails(&lab, launch, 1, &[&tokens.display().to_string(), "chmod 600"]);
}

#[test]
fn half_a_root_is_not_replaced_by_a_new_one() {
    let (lab, _node) = lab_with_node("control-root");
    lab.start_control().unwrap().stop().unwrap();
    let key = lab.directory().join("ca/root-key.pem");
    let (kept, certificate) = (fs::read(&key).unwrap(), fs::read(lab.root_certificate()).unwrap());
    fs::remove_file(&key).unwrap();
    assert_fails(&lab, good(&lab), 1, &["root-key.pem", "restore"]);
    write_private(&key, "not a key");
    assert_fails(&lab, good(&lab), 1, &["root-key.pem", "private key"]);
    assert_eq!(fs::read(lab.root_certificate()).unwrap(), certificate);
    fs::write(&key, kept).unwrap();
    let again = lab.start_control().unwrap();
    assert!(again.is_running());
}

#[test]
fn a_bad_edit_changes_nothing() {
    let lab = lab("control-edit").unwrap();
    let node = lab.node("one").unwrap();
    let (one, other) =
        (lab.pod(&node, PodSpec::new("one")).unwrap(), lab.pod(&node, PodSpec::new("other")).unwrap());
    serve_all(&lab, &other).unwrap();
    lab.enrol_all(&[&one, &other]).unwrap();
    let control = lab.start_control().unwrap();
    lab.start_agent(&node).unwrap();
    let launch = lab.node_launch(&node).unwrap();
    let position = control.log_position();
    write_private(&lab.directory().join("tokens.yaml"), "tokens: [");
    control.wait_for_log_since(position, "tokens.yaml", SOON).unwrap();
    // Nobody has a certificate yet, and the file knows no token that could get one.
    lab.start_node_as(&node, launch).unwrap();
    assert_echo(&one, (other.ip4(), ECHO), b"certified");
    assert!(control.is_running());
}
