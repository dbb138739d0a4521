//! `culvert check --manifests`, as CI runs it: files, exit codes, and what is said where.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::PROGRAM;

const GOOD: &str = include_str!("../../check/manifests/testdata/shop.yaml");
const BAD: &str = "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: x\n  labels:\n    istio.io/dataplane-mode: ambiant\n";

/// A directory of this test's own, that goes with it.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str, files: &[(&str, &str)]) -> Self {
        let directory = std::env::temp_dir().join(format!("culvert-manifests-{name}-{}", std::process::id()));
        for (file, text) in files {
            let path = directory.join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        Self(directory)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn check(directory: &Path, words: &[&str], input: &str) -> (Option<i32>, String, String) {
    let mut program = Command::new(PROGRAM);
    program.arg("check").args(words).current_dir(directory);
    let mut child =
        program.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // Who is called wrongly does not read.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
    (status.code(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

#[test]
fn the_exit_code_says_whether_there_is_a_problem() {
    let scratch = Scratch::new(
        "codes",
        &[
            ("good/shop.yaml", GOOD),
            ("bad/deep/x.yml", BAD),
            ("none/a.txt", BAD),
            ("empty/a.yaml", "# nothing\n---\n"),
        ],
    );
    let run = |words: &[&str]| check(&scratch.0, words, "");
    assert_eq!(
        run(&["--manifests", "good", "--quiet"]),
        (Some(0), "\n0 ok, 0 unknown, 0 with a warning, 0 with a problem\n".into(), String::new())
    );
    let (code, told, said) = run(&["--manifests", "bad"]);
    assert_eq!((code, said.as_str()), (Some(1), "culvert: error: 1 problem; what to do is above\n"));
    assert!(
        told.contains("  bad/deep/x.yml:6 Namespace x metadata.labels[istio.io/dataplane-mode]\n"),
        "{told}"
    );
    let (code, told, _) = run(&["--manifests", "good", "bad/deep/x.yml", "--only", "label-place"]);
    assert_eq!((code, told.lines().count()), (Some(0), 2), "{told}");
    for wrong in [
        &["--manifests", "none"][..],
        &["--manifests", "absent"],
        &["--manifests"],
        // What is piped in is nothing.
        &["--manifests", "-"],
        &["--manifests", "empty", "--only", "policy-understood"],
        &["--manifests", "good", "--only", "kernel"],
        &["--manifests", "good", "--kubectl"],
        &["--trust-domain", "x"],
    ] {
        let (code, told, said) = run(wrong);
        assert_eq!((code, told.as_str()), (Some(2), ""), "{wrong:?}");
        assert!(!said.is_empty());
    }
}

#[test]
fn what_is_piped_in_is_looked_at_with_what_is_said_of_the_mesh() {
    let scratch = Scratch::new("input", &[("namespaces.yaml", &BAD.replace("ambiant", "ambient"))]);
    let policy = "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: a}\nspec:\n  rules:\n  - from:\n    - source: {principals: [corp.example/ns/x/sa/y]}\n";
    let words = ["--manifests", "-", "namespaces.yaml", "--namespace", "x", "-o", "json"];
    let (code, told, _) = check(&scratch.0, &words, policy);
    let told: serde_json::Value = serde_json::from_str(&told).unwrap();
    assert_eq!(code, Some(1));
    let place = serde_json::json!({
        "file": "stdin", "line": 7, "object": "AuthorizationPolicy x/a", "path": "spec.rules[0].from[0].source.principals[0]",
    });
    assert_eq!(told["findings"].as_array().unwrap().last().unwrap()["place"], place);
    let (code, ..) = check(&scratch.0, &[&words[..], &["--trust-domain", "corp.example"]].concat(), policy);
    assert_eq!(code, Some(0));
}

#[test]
fn what_cannot_be_read_fails_and_the_rest_is_looked_at() {
    let scratch =
        Scratch::new("unreadable", &[("in/bad.yaml", BAD), ("in/broken.yaml", "a: ["), ("out/x.yaml", BAD)]);
    nix::unistd::mkfifo(&scratch.0.join("in/pipe.yaml"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    for (to, link) in
        [("nowhere", "in/dangling.yaml"), ("../out", "in/linked"), ("loop.yaml", "in/loop.yaml")]
    {
        std::os::unix::fs::symlink(to, scratch.0.join(link)).unwrap();
    }
    let (code, told, _) = check(&scratch.0, &["--manifests", "in", "-o", "json"], "");
    let told: serde_json::Value = serde_json::from_str(&told).unwrap();
    let findings = told["findings"].as_array().unwrap().iter();
    let files: Vec<_> = findings
        .filter_map(|it| Some((it["place"]["file"].as_str()?, it["state"].as_str()?, it["name"].as_str()?)))
        .collect();
    let unread = |file| (file, "problem", "file-readable");
    let expected = [
        ("in/linked", "unknown", "file-readable"),
        ("in/bad.yaml", "problem", "label-value"),
        unread("in/broken.yaml"),
        unread("in/dangling.yaml"),
        unread("in/loop.yaml"),
        unread("in/pipe.yaml"),
    ];
    assert_eq!((code, files), (Some(1), expected.to_vec()));
}

#[test]
fn what_comes_out_of_a_pipe_with_a_name_is_read() {
    let scratch = Scratch::new("pipe", &[]);
    fs::create_dir_all(&scratch.0).unwrap();
    let pipe = scratch.0.join("pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let writer = std::thread::spawn(move || fs::write(pipe, BAD).unwrap());
    let (code, told, _) = check(&scratch.0, &["--manifests", "pipe"], "");
    writer.join().unwrap();
    assert_eq!(code, Some(1), "{told}");
}
