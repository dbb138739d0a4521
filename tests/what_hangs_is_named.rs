//! A program of tests that hangs is ended, and what hung is the last thing that is said: `within.py`, by which `make test` runs them.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

/// A program that says what libtest would say.
fn within(seconds: u32, program: &str) -> Command {
    let mut command = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("within.py"));
    command.args([&*seconds.to_string(), "sh", "-c", program]).stdin(Stdio::null());
    command
}

fn said(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn the_tests_that_have_not_ended_are_the_last_that_is_said() {
    let libtest = "test a::quick ... ok
test b::slow has been running for over 60 seconds
test c::hangs has been running for over 60 seconds
test d::panics has been running for over 60 seconds
test b::slow ... ok
test d::panics - should panic ... ok
";
    let begun = Instant::now();
    let (status, stdout, stderr) =
        said(&within(2, &format!("echo '{libtest}'; echo trouble >&2; sleep 60")).output().unwrap());
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
    assert_eq!((status, stdout), (Some(124), format!("{libtest}\n")));
    let lines: Vec<_> = stderr.lines().collect();
    assert_eq!(lines[0], "trouble");
    assert!(lines[1..].iter().all(|line| line.starts_with("within: ")), "{stderr}");
    let named: Vec<_> =
        lines.iter().filter_map(|line| line.strip_prefix("within: had not ended: ")).collect();
    assert_eq!(named, ["test c::hangs"]);
    assert!(lines.iter().any(|line| line.starts_with("within: thread sh: ")), "{stderr}");
    assert!(
        lines.iter().any(|line| line.starts_with("within: process ") && line.ends_with("sleep 60")),
        "{stderr}"
    );
}

#[test]
fn a_test_that_runs_alone_is_named_by_how_its_line_begins() {
    let (status, _, stderr) =
        said(&within(1, "printf 'test a ... ok\\ntest b::alone ... '; sleep 60").output().unwrap());
    assert_eq!(status, Some(124));
    assert!(stderr.contains("had not ended: test b::alone\n") && !stderr.contains("test a"), "{stderr}");
}

#[test]
fn a_program_that_ends_is_passed_on_as_it_is() {
    let ended = |program: &str| said(&within(60, program).output().unwrap());
    let failed = ended("printf 'out\\0\\nno newline'; printf err >&2; exit 3");
    assert_eq!(failed, (Some(3), "out\0\nno newline".into(), "err".into()));
    assert_eq!(ended("kill -SEGV $$"), (Some(128 + 11), String::new(), String::new()));
    // Who has been left behind, and has the outputs still, is not waited for.
    let begun = Instant::now();
    assert_eq!(ended("sleep 50 & echo done"), (Some(0), "done\n".into(), String::new()));
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
}

#[test]
fn what_is_said_is_heard_at_once_and_a_signal_ends_the_program() {
    let mut running = within(60, "echo up; exec sleep 50").stdout(Stdio::piped()).spawn().unwrap();
    let begun = Instant::now();
    let mut stdout = BufReader::new(running.stdout.take().unwrap());
    let mut line = String::new();
    stdout.read_line(&mut line).unwrap();
    assert_eq!(line, "up\n");
    let killed = Command::new("kill").args(["-TERM", &running.id().to_string()]).status().unwrap();
    assert!(killed.success());
    assert_eq!(running.wait().unwrap().code(), Some(128 + 15));
    stdout.read_to_string(&mut line).unwrap();
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
}

#[test]
fn make_test_runs_its_programs_by_it() {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let planned = Command::new("make").args(["-n", "test"]).current_dir(repository).output().unwrap();
    let (status, commands, _) = said(&planned);
    let tests: Vec<_> = commands.lines().filter(|line| line.starts_with("cargo test")).collect();
    let runner = repository.join("tests/within.py").display().to_string();
    assert!(status == Some(0) && tests.len() == 2, "{commands}");
    assert!(tests.iter().all(|line| line.contains(&runner)), "{tests:?}");
}
