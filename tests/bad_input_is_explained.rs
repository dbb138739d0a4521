//! Wrong settings, wrong files and a wrong environment end in one clear sentence and the right exit code, or harm one pod
//! at most.

mod agent;
mod control;
mod node;

use std::path::Path;

use culvert_lab::{Lab, Launch, Node, Program};

use crate::harness::cluster::lab;
use crate::harness::talk::SOON;

/// A lab with one node, where programs are about to fail.
fn lab_with_node(name: &str) -> (Lab, Node) {
    let lab = lab(name).unwrap();
    let node = lab.node("one").unwrap();
    (lab, node)
}

/// Waits for the end of a program that cannot run; fails unless it explains itself as it should.
#[track_caller]
fn assert_fails(lab: &Lab, launch: Launch, code: i32, parts: &[&str]) -> Program {
    // Without its log, all that is left is what it says on stderr.
    let program = lab.start(launch.env("RUST_LOG", "off")).unwrap();
    let status = program.wait_for_exit(SOON).unwrap();
    let said = program.log_text();
    assert_eq!(status.code(), Some(code), "{said}");
    // What follows the sentence about a wrong command line is how to write it.
    let sentence = said.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    for part in parts {
        assert!(sentence.contains(part), "`{part}` is not in: {said}");
    }
    assert!(code == 2 || said.lines().count() == 1, "more than one sentence: {said}");
    for noise in ["panicked", "RUST_BACKTRACE", "Os {", "Error {"] {
        assert!(!said.contains(noise), "{said}");
    }
    program
}

/// The same program, as a user that is not root.
fn as_nobody(lab: &Lab, node: &Node, program: &Path) -> Launch {
    use std::os::unix::fs::PermissionsExt as _;
    // The checkout may be where only root can go.
    let copy = lab.directory().join("copy");
    std::fs::copy(program, &copy).unwrap();
    std::fs::set_permissions(lab.directory(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let launch = Launch::new("as-nobody", "setpriv", node.netns());
    launch.arg("--reuid=65534").arg("--regid=65534").arg("--clear-groups").arg(copy.display())
}
