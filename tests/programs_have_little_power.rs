//! A program that was taken over has little to go on with: what it does not need to do its work it has given up, for good.
//!
//! What the kernel refuses to whom is tried by the tests of `culvert-confine`; here is what the kernel says of programs at work.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use culvert_lab::{Lab, Launch, Program};

use crate::harness::cluster::{Cluster, ECHO, lab, programs, shared};
use crate::harness::talk::{SOON, assert_echo};

const NET_ADMIN: u64 = 1 << 12;
const NET_RAW: u64 = 1 << 13;
const SYS_PTRACE: u64 = 1 << 19;
const SYS_ADMIN: u64 = 1 << 21;
/// For files that belong to others, and for more namespaces on their way than files.
const CHOWN_DAC_OVERRIDE_FOWNER: u64 = 1 | 1 << 1 | 1 << 3;
const SYS_RESOURCE: u64 = 1 << 24;

const NODE: u64 = NET_ADMIN | SYS_ADMIN;
const AGENT: u64 = NODE | NET_RAW | SYS_PTRACE | CHOWN_DAC_OVERRIDE_FOWNER | SYS_RESOURCE;

/// Of each thread: power is a thread's, and one that was forgotten has all of it.
fn threads(program: &Program) -> Vec<String> {
    let tasks = fs::read_dir(format!("/proc/{}/task", program.pid())).unwrap();
    tasks.map(|task| fs::read_to_string(task.unwrap().path().join("status")).unwrap()).collect()
}

fn field<'s>(status: &'s str, name: &str) -> &'s str {
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.unwrap_or_else(|| panic!("{name} in {status}")).trim()
}

/// Asserts that a program has these capabilities at most, and what else is the same for all.
#[track_caller]
fn assert_confined(program: &Program, needed: u64) {
    let own = fs::read_to_string("/proc/self/status").unwrap();
    let there = u64::from_str_radix(field(&own, "CapEff"), 16).unwrap();
    let threads = threads(program);
    assert!(!threads.is_empty());
    for status in threads {
        let set = |name| u64::from_str_radix(field(&status, name), 16).unwrap();
        let said = format!("{} {}", program.name(), field(&status, "Name"));
        for name in ["CapEff", "CapPrm", "CapBnd"] {
            assert_eq!(set(name), needed & there, "{said}: {name}");
        }
        for name in ["CapInh", "CapAmb"] {
            assert_eq!(set(name), 0, "{said}: {name}");
        }
        assert_eq!(field(&status, "NoNewPrivs"), "1", "{said}");
        assert_eq!(field(&status, "Seccomp"), "2", "{said}: filtered");
    }
    let limits = fs::read_to_string(format!("/proc/{}/limits", program.pid())).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().skip(4).take(2).collect::<Vec<_>>(), ["0", "0"], "{core}");
    assert!(program.log_text().contains("what is not needed has been given up"), "{}", program.log_tail());
    assert!(program.log_text().contains("lacks=\"nothing\""), "{}", program.log_tail());
}

#[test]
fn each_thread_of_each_program_keeps_what_it_needs() {
    let cluster = shared();
    // At work, with all threads there are.
    assert_echo(&cluster.client, (cluster.server.ip4(), ECHO), b"at work");
    assert_confined(&cluster.lab.proxy(&cluster.one).unwrap(), NODE);
    assert_confined(&cluster.lab.control().unwrap(), 0);
}

#[test]
fn an_agent_keeps_what_it_and_its_tools_need() {
    let cluster = Cluster::without_mesh("power-agent").unwrap();
    cluster.lab.enrol_all(&[&cluster.client]).unwrap();
    let agent = cluster.lab.start_agent(&cluster.one).unwrap();
    cluster.lab.wait_until(SOON, "the client is captured", || cluster.client.is_captured().unwrap()).unwrap();
    assert_confined(&agent, AGENT);
}

#[test]
fn a_proxy_of_one_pod_keeps_no_more() {
    let cluster = Cluster::without_mesh("power-dedicated").unwrap();
    cluster.lab.enrol_all(&[&cluster.client]).unwrap();
    cluster.lab.start_control().unwrap();
    let proxy = cluster.lab.start_dedicated(&cluster.client).unwrap();
    assert_confined(&proxy, NODE);
}

/// Starts a node that nobody serves, by a program that comes before it.
fn start_by(lab: &Lab, before: &[&str], settings: &[(&str, &str)]) -> Program {
    let node = lab.node("one").unwrap();
    let launch = lab.node_launch(&node).unwrap();
    let mesh = lab.directory().join("mesh.yaml");
    fs::write(&mesh, "workloads: []\n").unwrap();
    let launch = launch.env("LOCAL_XDS_PATH", mesh.display()).env("XDS_ADDRESS", "");
    let launch = settings.iter().fold(launch, |launch, (name, value)| launch.env(name, value));
    let Some((first, others)) = before.split_first() else { return lab.start(launch).unwrap() };
    let node = programs().unwrap().node.display().to_string();
    let script = lab.directory().join("before");
    fs::write(&script, format!("#!/bin/sh\nexec {first} {} '{node}' \"$@\"\n", others.join(" "))).unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    lab.start(launch.binary(script)).unwrap()
}

const GIVEN_UP: &str = "what is not needed has been given up";

/// As in a container: nothing in the bounding set but what it has, and no right to take that out.
#[test]
fn what_a_runtime_gives_is_enough_to_give_the_rest_up() {
    let lab = lab("power-runtime").unwrap();
    let before = ["setpriv", "--bounding-set=-all,+net_admin,+sys_admin", "--inh-caps=-all"];
    let proxy = start_by(&lab, &before, &[]);
    let line = proxy.wait_for_log(GIVEN_UP, SOON).unwrap();
    assert!(line.contains("lacks=\"nothing\""), "{line}");
    assert_confined(&proxy, NODE);
}

#[test]
fn what_is_left_open_is_said() {
    let lab = lab("power-open").unwrap();
    let proxy = start_by(&lab, &[], &[("CULVERT_SECCOMP", "off"), ("CULVERT_LANDLOCK", "off")]);
    let line = proxy.wait_for_log(GIVEN_UP, SOON).unwrap();
    assert!(line.contains("capabilities=NET_ADMIN,SYS_ADMIN"), "{line}");
    assert!(line.contains("system_calls=\"all (CULVERT_SECCOMP)\""), "{line}");
    assert!(line.contains("files=\"all (CULVERT_LANDLOCK)\""), "{line}");
    assert_eq!(field(&threads(&proxy)[0], "Seccomp"), "0");
}

#[test]
fn a_switch_that_is_none_is_refused() {
    let lab = lab("power-typo").unwrap();
    let proxy = start_by(&lab, &[], &[("CULVERT_SECCOMP", "permissive")]);
    assert_eq!(proxy.wait_for_exit(SOON).unwrap().code(), Some(2));
    let said = "CULVERT_SECCOMP=`permissive`: use `enforce`, `log` or `off`";
    assert!(proxy.log_text().contains(said), "{}", proxy.log_text());
}

/// Whoever may open them may give pods to a node, have pods captured, or end a node.
#[test]
fn sockets_are_roots_alone() {
    let cluster = Cluster::without_mesh("power-sockets").unwrap();
    let (lab, node) = (&cluster.lab, &cluster.two);
    lab.enrol_all(&[&cluster.server]).unwrap();
    let socket = lab.directory().join("admin").join("admin.sock");
    lab.start_control().unwrap();
    lab.start_agent(node).unwrap();
    let launch = lab.node_launch(node).unwrap().env("CULVERT_ADMIN_SOCKET", socket.display());
    lab.start_node_as(node, launch).unwrap();
    for socket in [&socket, &node.agent_socket()] {
        lab.wait_until(SOON, "the socket is there", || socket.exists()).unwrap();
        let file = fs::metadata(socket).unwrap();
        assert_eq!((file.mode() & 0o777, file.uid()), (0o600, 0), "{}", socket.display());
    }
}

/// The file's mode may be somebody's mistake; whoever calls is asked who he is.
#[test]
fn an_agent_serves_root_alone() {
    let cluster = Cluster::without_mesh("power-stranger").unwrap();
    cluster.lab.enrol_all(&[&cluster.client]).unwrap();
    let agent = cluster.lab.start_agent(&cluster.one).unwrap();
    let socket = cluster.one.agent_socket();
    for place in [cluster.lab.directory(), cluster.one.directory(), socket.parent().unwrap()] {
        open_to_all(place, 0o755);
    }
    open_to_all(&socket, 0o777);
    let stranger = call(&cluster.lab, NOBODY, (STREAM_OF_PODS, &socket));
    assert_eq!(stranger.wait_for_exit(SOON).unwrap().code(), Some(UNTOLD), "{}", stranger.log_text());
    agent.wait_for_log(STRANGER, SOON).unwrap();
}

#[test]
fn a_node_answers_root_alone_at_its_socket() {
    let lab = lab("power-admin").unwrap();
    let socket = lab.directory().join("admin").join("admin.sock");
    let node = start_by(&lab, &[], &[("CULVERT_ADMIN_SOCKET", &socket.display().to_string())]);
    lab.wait_until(SOON, "the socket is there", || socket.exists()).unwrap();
    for place in [lab.directory(), socket.parent().unwrap()] {
        open_to_all(place, 0o755);
    }
    open_to_all(&socket, 0o777);
    for (who, expected) in [(ROOT, TOLD), (NOBODY, UNTOLD)] {
        let caller = call(&lab, who, (DUMP, &socket));
        assert_eq!(caller.wait_for_exit(SOON).unwrap().code(), Some(expected), "{}", caller.log_text());
    }
    node.wait_for_log(STRANGER, SOON).unwrap();
}

const STRANGER: &str = "somebody who is not root has called";
const ROOT: u32 = 0;
const NOBODY: u32 = 65534;

/// How a caller ends.
const TOLD: i32 = 3;
const UNTOLD: i32 = 4;

/// Has somebody ask at a socket.
fn call(lab: &Lab, who: u32, (asks, socket): (&str, &Path)) -> Program {
    let launch = Launch::new("caller", "setpriv", lab.control_netns())
        .arg(format!("--reuid={who}"))
        .arg(format!("--regid={who}"))
        .arg("--clear-groups")
        .arg("/usr/bin/python3")
        .arg("-c")
        .arg(format!("{asks}{ASKS}"))
        .arg(socket.display());
    lab.start(launch).unwrap()
}

fn open_to_all(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// Says hello as a node does.
const STREAM_OF_PODS: &str = r"
import socket, sys
kind, word = socket.SOCK_SEQPACKET, b'\x08\x01'
";

const DUMP: &str = r"
import socket, sys
kind, word = socket.SOCK_STREAM, b'GET /config_dump HTTP/1.0\r\n\r\n'
";

const ASKS: &str = "
other = socket.socket(socket.AF_UNIX, kind)
other.settimeout(10)
other.connect(sys.argv[1])
try:
    other.send(word)
    told = other.recv(4096)
except (BrokenPipeError, ConnectionResetError):
    told = b''
sys.exit(3 if told else 4)
";
