//! Exit codes, and who reads what.

use std::process::{Command, Output, Stdio};

use crate::PROGRAM;
use crate::node::{self, well};

fn culvert(words: &[&str]) -> Output {
    Command::new(PROGRAM).args(words).env_remove("CULVERT_NODE").output().unwrap()
}

fn code(output: &Output) -> Option<i32> {
    output.status.code()
}

#[test]
fn the_exit_code_says_who_is_to_blame_and_whether_the_node_could_be_asked() {
    let node = node::start(well).to_string();
    assert_eq!(code(&culvert(&["why", "--connection", "good", "--node", &node])), Some(0));
    assert_eq!(code(&culvert(&["why", "--connection", "bad", "--node", &node])), Some(3));
    assert_eq!(code(&culvert(&["why", "bad", "--node", &node])), Some(2));
    assert_eq!(code(&culvert(&["get", "pods", "--node", &node, "--sort-by", "colour"])), Some(2));
    let nobody = culvert(&["why", "--connection", "a", "--node", "unix:/nowhere"]);
    let said = String::from_utf8_lossy(&nobody.stderr).into_owned();
    assert_eq!((code(&nobody), said.lines().count()), (Some(1), 1), "{said}");
    assert!(
        said.starts_with("culvert: error: no node answers at unix:/nowhere: is culvert-node running here?"),
        "{said}"
    );
}

#[test]
fn the_node_is_taken_from_the_environment_and_an_empty_list_is_told_beside_the_output() {
    let address = node::start(well).to_string();
    let output = Command::new(PROGRAM).args(["get", "pods"]).env("CULVERT_NODE", &address).output().unwrap();
    assert_eq!((code(&output), output.stdout.as_slice()), (Some(0), &b""[..]));
    assert_eq!(String::from_utf8_lossy(&output.stderr), format!("no pods at {address}\n"));
}

#[test]
fn nobody_reads_and_nothing_is_wrong() {
    let mut program = Command::new(PROGRAM);
    program.args(["completions", "bash"]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = program.spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((code(&output), String::from_utf8_lossy(&output.stderr).as_ref()), (Some(0), ""));
}

#[test]
fn without_a_terminal_top_says_what_to_do() {
    let output = Command::new(PROGRAM).arg("top").stdin(Stdio::null()).output().unwrap();
    assert_eq!(code(&output), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("--once"));
    let node = node::start(well).to_string();
    let picture = culvert(&["top", "--once", "--node", &node]);
    assert_eq!(code(&picture), Some(0));
    assert!(String::from_utf8_lossy(&picture.stdout).starts_with("node-a  ready  up "));
}
