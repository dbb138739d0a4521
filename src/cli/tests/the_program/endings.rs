//! However the program ends: no child runs on, and the terminal is as it was.

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::PROGRAM;
use crate::node::{self, well};

const PATIENCE: Duration = Duration::from_secs(20);

/// A kubectl that forwards to a node which never answers, and leaves its number in a file.
fn kubectl(name: &str) -> PathBuf {
    let directory = std::env::temp_dir().join(format!("culvert-program-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let silent = node::start(|_| None).port();
    let pods = r#"{"items":[{"metadata":{"name":"z","namespace":"n"},"status":{"phase":"Running"}}]}"#;
    let script = format!(
        "#!/bin/sh\ncase \" $* \" in\n*' get pods '*) echo '{pods}' ;;\n*) echo $$ > {0}/tmp; mv {0}/tmp {0}/running; \
         echo 'Forwarding from 127.0.0.1:{silent} -> 15000'; exec sleep 600 ;;\nesac\n",
        directory.display()
    );
    std::fs::write(directory.join("kubectl"), script).unwrap();
    std::fs::set_permissions(directory.join("kubectl"), std::fs::Permissions::from_mode(0o755)).unwrap();
    directory
}

fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "{what} did not happen in time");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn send(signal: &str, pid: &str) {
    assert!(Command::new("kill").args([signal, pid]).status().unwrap().success());
}

#[test]
fn kubectl_ends_with_the_program_however_that_ends() {
    for name in ["-INT", "-KILL"] {
        let directory = kubectl(name);
        let mut program = Command::new(PROGRAM);
        program.args(["get", "pods", "--kube-node", "a", "--kubectl"]).arg(directory.join("kubectl"));
        let mut program = program.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let running = || std::fs::read_to_string(directory.join("running")).ok();
        let process = Path::new("/proc").join(until("the port-forward", running).trim());
        assert!(process.exists());
        send(name, &program.id().to_string());
        program.wait().unwrap();
        until("the end of kubectl", || (!process.exists()).then_some(()));
        std::fs::remove_dir_all(directory).unwrap();
    }
}

/// A child that does not outlive a test that has failed; what runs in its terminal is hung up on.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs `culvert top` in a terminal of script(1)'s, has it ended by a key or a signal, and returns what the terminal was told.
fn in_a_terminal(end: impl Fn(&mut Child)) -> String {
    let command = format!("stty rows 24 cols 80; exec {PROGRAM} top --node {}", node::start(well));
    let log = std::env::temp_dir().join(format!(
        "culvert-terminal-{}-{:?}",
        std::process::id(),
        std::thread::current().id()
    ));
    let mut script = Command::new("script");
    script.args(["--quiet", "--flush", "--return", "--command", &command]).arg(&log).env("TERM", "xterm");
    let mut script = Ended(script.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap());
    let told = || String::from_utf8_lossy(&std::fs::read(&log).unwrap_or_default()).into_owned();
    until("the first picture", || told().contains("node-a").then_some(()));
    end(&mut script.0);
    let status = until("the end of top", || script.0.try_wait().unwrap());
    assert!(status.success(), "{status}");
    let told = told();
    std::fs::remove_file(log).unwrap();
    told
}

/// Whether the last thing said of the alternate screen is that it is left.
fn is_restored(told: &str) -> bool {
    told.rfind("\u{1b}[?1049l") > told.rfind("\u{1b}[?1049h")
        && told.rfind("\u{1b}[?25h") > told.rfind("\u{1b}[?25l")
}

#[test]
fn the_terminal_is_given_back_as_it_was() {
    for key in [b"q", b"\x03"] {
        let told = in_a_terminal(|script| script.stdin.as_mut().unwrap().write_all(key).unwrap());
        assert!(told.contains("\u{1b}[?1049h") && is_restored(&told), "{told:?}");
    }
    for name in ["-TERM", "-HUP"] {
        let told = in_a_terminal(|script| {
            let children = format!("/proc/{0}/task/{0}/children", script.id());
            send(name, std::fs::read_to_string(children).unwrap().trim());
        });
        assert!(is_restored(&told), "{name}: {told:?}");
    }
}
