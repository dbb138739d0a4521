//! The program as a person or a script meets it: exit codes, pipes, signals, a terminal.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

const PROGRAM: &str = env!("CARGO_BIN_EXE_culvert");
const PATIENCE: Duration = Duration::from_secs(20);

/// A node that answers each request with what `answer` makes of its path, or not at all.
fn node(answer: fn(&str) -> Option<String>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            std::thread::spawn(move || serve(stream.unwrap(), answer));
        }
    });
    address
}

fn serve(mut stream: TcpStream, answer: fn(&str) -> Option<String>) {
    let mut request = Vec::new();
    let mut piece = [0; 4096];
    while let Ok(length) = stream.read(&mut piece)
        && length > 0
    {
        request.extend_from_slice(&piece[..length]);
        let text = String::from_utf8_lossy(&request).into_owned();
        if !text.contains("\r\n\r\n") {
            continue;
        }
        let path = text.split(' ').nth(1).unwrap_or_default();
        if let Some(body) = answer(path) {
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
            let _ = stream.write_all((head + &body).as_bytes());
        }
        request.clear();
    }
}

fn well(path: &str) -> Option<String> {
    let culprit = if path.contains("good") { "nobody" } else { "policy" };
    let verdict = format!(r#"{{"culprit":"{culprit}","sentence":"so it is","evidence":[]}}"#);
    let why = format!(r#"{{"question":{{"about":"connection","id":"a"}},"steps":[],"verdict":{verdict}}}"#);
    let node = r#"{"name":"node-a","version":"0","network":"","started":"2026-03-01T12:00:00Z","ready":true,"pending":[],
        "xds":{"state":"up"},"ca":{"state":"up"},"workloads":0,"services":0,"policies":0,"logFilter":"info","droppedLogLines":0,
        "pods":0,"open":0,"tunnels":0}"#;
    Some(match path.split('?').next().unwrap_or_default() {
        "/v1/why" => why,
        "/v1/node" => node.to_owned(),
        _ => r#"{"items":[]}"#.to_owned(),
    })
}

fn culvert(words: &[&str]) -> Output {
    Command::new(PROGRAM).args(words).env_remove("CULVERT_NODE").output().unwrap()
}

fn code(output: &Output) -> Option<i32> {
    output.status.code()
}

#[test]
fn the_exit_code_says_who_is_to_blame_and_whether_the_node_could_be_asked() {
    let node = node(well).to_string();
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
    let address = node(well).to_string();
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
    let node = node(well).to_string();
    let picture = culvert(&["top", "--once", "--node", &node]);
    assert_eq!(code(&picture), Some(0));
    assert!(String::from_utf8_lossy(&picture.stdout).starts_with("node-a  ready  up "));
}

/// A kubectl that forwards to a node which never answers, and leaves its number in a file.
fn kubectl(name: &str) -> PathBuf {
    let directory = std::env::temp_dir().join(format!("culvert-program-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let silent = node(|_| None).port();
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

/// Runs `culvert top` in a terminal of script(1)'s, has it ended by a key or a signal, and returns what the terminal was told.
fn in_a_terminal(end: impl Fn(&mut Child)) -> String {
    let command = format!("stty rows 24 cols 80; exec {PROGRAM} top --node {}", node(well));
    let log = std::env::temp_dir().join(format!(
        "culvert-terminal-{}-{:?}",
        std::process::id(),
        std::thread::current().id()
    ));
    let mut script = Command::new("script");
    script.args(["--quiet", "--flush", "--return", "--command", &command]).arg(&log).env("TERM", "xterm");
    let mut script = script.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let told = || String::from_utf8_lossy(&std::fs::read(&log).unwrap_or_default()).into_owned();
    until("the first picture", || told().contains("node-a").then_some(()));
    end(&mut script);
    let status = until("the end of top", || script.try_wait().unwrap());
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
