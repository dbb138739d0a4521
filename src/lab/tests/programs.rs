//! Programs started by a lab: their logs, their ends, and that nothing outlives the lab.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use culvert_lab::{Error, Lab, Launch, Node, PodSpec, Program, Section, ServiceSpec, wait_until};

const SOON: Duration = Duration::from_secs(10);

fn lab(name: &str) -> (Lab, Node) {
    let lab = Lab::new(name).expect("a lab can be made on this machine");
    let node = lab.node("a").expect("a node can be added");
    (lab, node)
}

fn shell(lab: &Lab, node: &Node, script: &str) -> Program {
    lab.start(Launch::new("shell", "sh", node.netns()).arg("-c").arg(script)).expect("a shell starts")
}

fn exists(pid: u32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

#[test]
fn a_program_runs_in_the_namespace_it_was_given() {
    let (lab, node) = lab("inside");
    let program = shell(&lab, &node, "readlink /proc/self/ns/net; exec sleep 600");
    let line = program.wait_for_log("net:", SOON).unwrap();
    assert_eq!(line, node.netns().id().to_string());
    assert!(program.is_running());
}

#[test]
fn both_outputs_are_logged_and_searched_from_a_position() {
    let (lab, node) = lab("logs");
    let program =
        shell(&lab, &node, "mkfifo go; echo one; echo two >&2; read x < go; echo three; exec sleep 600");
    program.wait_for_log("two", SOON).unwrap();
    assert_eq!(program.log_text(), "one\ntwo\n");
    let position = program.log_position();
    let error = program.wait_for_log_since(position, "one", Duration::from_millis(50)).unwrap_err();
    assert!(matches!(&error, Error::Timeout { evidence, .. } if evidence.contains("two")), "{error:?}");
    std::fs::write(lab.directory().join("go"), "\n").unwrap();
    assert_eq!(program.wait_for_log_since(position, "three", SOON).unwrap(), "three");
    assert_eq!(program.log_since(position), "three\n");
}

#[test]
fn waiting_for_the_log_of_a_program_that_ends_fails_at_once() {
    let (lab, node) = lab("ended");
    let program = shell(&lab, &node, "echo last words; exit 3");
    let error = program.wait_for_log("never", Duration::from_secs(600)).unwrap_err();
    assert!(error.to_string().contains("exit status: 3"), "{error}");
    assert!(error.to_string().contains("last words"), "{error}");
}

#[test]
fn programs_stop_crash_pause_and_go_on() {
    let (lab, node) = lab("ends");
    let polite = shell(&lab, &node, "trap 'exit 7' TERM; echo up; while :; do sleep 0.05; done");
    polite.wait_for_log("up", SOON).unwrap();
    polite.pause().unwrap();
    wait_until(SOON, "it is stopped", || process_state(polite.pid()) == Some('T')).unwrap();
    assert!(polite.is_running());
    polite.resume().unwrap();
    assert_eq!(polite.stop().unwrap().code(), Some(7));
    assert!(!polite.is_running());
    polite.stop().unwrap();

    let crashed = shell(&lab, &node, "exec sleep 600");
    let status = crashed.kill_hard().unwrap();
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(9));
    assert_ne!(polite.log_file(), crashed.log_file());
}

fn process_state(pid: u32) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}

#[test]
fn a_dropped_lab_leaves_no_process_and_no_file() {
    let (lab, node) = lab("dropped");
    let stubborn = shell(&lab, &node, "trap '' TERM; echo up; while :; do sleep 0.05; done");
    stubborn.wait_for_log("up", SOON).unwrap();
    let (pid, directory) = (stubborn.pid(), lab.directory().to_owned());
    assert!(exists(pid) && directory.exists());
    let started = Instant::now();
    drop(lab);
    assert!(!exists(pid), "pid {pid}");
    assert!(!directory.exists(), "{}", directory.display());
    assert!(started.elapsed() < SOON);
}

#[test]
fn a_program_outlives_the_thread_that_asked_for_it() {
    let (lab, node) = lab("threads");
    let program =
        std::thread::scope(|scope| scope.spawn(|| shell(&lab, &node, "exec sleep 600")).join().unwrap());
    let gone = program.wait_for_exit(Duration::from_millis(300));
    assert!(gone.is_err(), "{gone:?}");
}

/// What `a_killed_test_leaves_nothing` kills.
#[test]
#[ignore = "runs only as the victim of another test"]
fn victim() {
    let (lab, node) = lab("victim");
    let program =
        std::thread::scope(|scope| scope.spawn(|| shell(&lab, &node, "exec sleep 600")).join().unwrap());
    println!("\nvictim {} {} {}", program.pid(), node.netns().id(), lab.directory().display());
    std::thread::sleep(Duration::from_secs(60));
}

#[test]
fn a_killed_test_leaves_nothing() {
    let mut victim = Command::new(std::env::current_exe().unwrap());
    victim.args(["--exact", "victim", "--ignored", "--nocapture"]).stdout(Stdio::piped());
    let mut victim = victim.spawn().unwrap();
    let lines = BufReader::new(victim.stdout.take().unwrap()).lines();
    let line =
        lines.map_while(Result::ok).find_map(|line| line.strip_prefix("victim ").map(str::to_owned)).unwrap();
    let words: Vec<_> = line.split(' ').collect();
    let (pid, netns, directory): (u32, _, PathBuf) = (words[0].parse().unwrap(), words[1], words[2].into());
    assert!(exists(pid) && processes_in(netns) > 0);
    victim.kill().unwrap();
    victim.wait().unwrap();
    wait_until(SOON, "the program is gone", || !exists(pid)).unwrap();
    wait_until(SOON, "nobody is in its namespace", || processes_in(netns) == 0).unwrap();
    let named = Command::new("ip").args(["netns", "list"]).output().unwrap();
    assert!(!String::from_utf8_lossy(&named.stdout).contains("lab"));
    // The directory is all that nobody was left to remove.
    std::fs::remove_dir_all(directory).unwrap();
}

fn processes_in(netns: &str) -> usize {
    let processes = std::fs::read_dir("/proc").expect("/proc is mounted").flatten();
    let inside =
        |path: PathBuf| std::fs::read_link(path.join("ns/net")).is_ok_and(|link| link == Path::new(netns));
    processes.filter(|process| inside(process.path())).count()
}

#[test]
fn programs_see_only_the_environment_they_are_told() {
    let (lab, node) = lab("environment");
    let launch =
        Launch::new("env", "env", node.netns()).env("SAID", "yes").env("TAKEN", "no").without_env("TAKEN");
    let program = lab.start(launch).unwrap();
    program.wait_for_exit(SOON).unwrap();
    let names: Vec<_> =
        program.log_text().lines().filter_map(|line| Some(line.split_once('=')?.0.to_owned())).collect();
    assert!(names.contains(&"SAID".to_owned()) && names.contains(&"RUST_LOG".to_owned()), "{names:?}");
    assert!(!names.contains(&"TAKEN".to_owned()) && !names.contains(&"HOME".to_owned()), "{names:?}");
}

#[test]
fn a_program_that_is_not_there_is_named() {
    let (lab, node) = lab("missing");
    let error = lab.start(Launch::new("ghost", "/no/such/program", node.netns())).unwrap_err();
    assert!(
        format!("{error:?}").starts_with("cannot start ghost from /no/such/program: No such file"),
        "{error:?}"
    );
    assert!(matches!(lab.start_control(), Err(Error::NoPrograms)));
}

#[test]
fn the_files_say_what_the_lab_is() {
    let (lab, node) = lab("files");
    let pod = lab.pod(&node, PodSpec::new("shop").namespace("web").service_account("till")).unwrap();
    lab.service(ServiceSpec::new("store").namespace("web").port(80, 8080), &[&pod]).unwrap();
    lab.set(Section::Policies, "  - name: nobody\n    namespace: web").unwrap();
    let mesh = || std::fs::read_to_string(lab.mesh_file()).unwrap();
    assert!(mesh().contains("protocol: TCP"), "{}", mesh());
    lab.enrol(&pod).unwrap();
    assert!(mesh().contains("  protocol: HBONE\n"), "{}", mesh());
    assert!(mesh().contains("  services: {\"web/store.web.svc.cluster.local\": {80: 8080}}\n"), "{}", mesh());
    assert!(mesh().ends_with("policies:\n- name: nobody\n  namespace: web\n"), "{}", mesh());

    let pods = std::fs::read_to_string(node.pods_file()).unwrap();
    let netns = format!("  netns: \"{}\"\n", pod.netns().path().display());
    assert!(pods.contains("  serviceAccount: \"till\"\n") && pods.contains(&netns), "{pods}");
    let tokens = lab.directory().join("tokens.yaml");
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&tokens).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    assert!(
        std::fs::read_to_string(tokens)
            .unwrap()
            .contains("identity: \"spiffe://cluster.local/ns/web/sa/till\"")
    );

    lab.unenrol(&pod).unwrap();
    assert_eq!(std::fs::read_to_string(node.pods_file()).unwrap(), "pods: []\n");
    lab.delete(&pod).unwrap();
    assert!(mesh().starts_with("workloads: []\n"), "{}", mesh());
}
