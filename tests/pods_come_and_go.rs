//! Pods join and leave the mesh while it runs; nobody else notices, and those that leave are as if never touched.

use std::fs;
use std::io::Write as _;

use culvert_lab::{Node, Pod, PodSpec, Program, wait_until};

use crate::harness::cluster::{Cluster, ECHO, serve_all};
use crate::harness::kernel::{limit_open_files, traces_of_capture};
use crate::harness::talk::{Ending, SOON, assert_alive, assert_echo, exchange_on, read_to_end};

/// A cluster, and all programs of its nodes.
fn start(name: &str) -> (Cluster, Vec<Program>) {
    start_with(name, "")
}

/// One whose agents use this kind of iptables.
fn start_with(name: &str, backend: &str) -> (Cluster, Vec<Program>) {
    let cluster = Cluster::without_mesh(name).unwrap();
    let lab = &cluster.lab;
    lab.enrol_all(&[&cluster.client, &cluster.server]).unwrap();
    let mut programs = vec![lab.start_control().unwrap()];
    for node in [&cluster.one, &cluster.two] {
        let launch = lab.agent_launch(node).unwrap().env("FORCE_IPTABLES_BINARY", backend);
        programs.push(lab.start_agent_as(node, launch).unwrap());
        programs.push(lab.start_node(node).unwrap());
    }
    (cluster, programs)
}

#[track_caller]
fn assert_untouched(programs: &[Program]) {
    for program in programs {
        assert!(program.is_running(), "{} ended\n{}", program.name(), program.log_tail());
    }
}

/// Waits until there is no trace of capture in a pod: what keeps track of its last connections goes last.
#[track_caller]
fn wait_until_untouched(pod: &Pod) {
    wait_until(SOON, "nothing of capture is left", || traces_of_capture(pod).is_empty()).unwrap();
}

#[test]
fn a_pod_that_joins_is_captured_and_served() {
    let (cluster, programs) = start("joins");
    let mut before = cluster.client.connect((cluster.server.ip4(), ECHO), SOON).unwrap();
    assert_alive(&mut before, b"before");
    let newcomer = cluster.lab.pod(&cluster.two, PodSpec::new("newcomer")).unwrap();
    serve_all(&cluster.lab, &newcomer).unwrap();
    cluster.lab.enrol(&newcomer).unwrap();
    let wire = cluster.lab.wire(&cluster.one, &cluster.two).unwrap();
    assert_echo(&cluster.client, (newcomer.ip4(), ECHO), b"welcome, newcomer");
    assert_echo(&newcomer, (cluster.client.ip4(), ECHO), b"thanks, says the newcomer");
    let capture = wire.stop().unwrap();
    assert!(!capture.contains(b"newcomer"));
    assert_eq!(capture.tcp_ports(), [15008]);
    assert_alive(&mut before, b"after");
    assert_untouched(&programs);
}

#[test]
fn a_pod_that_leaves_keeps_its_connectivity_and_no_trace() {
    let (cluster, programs) = start("leaves");
    assert_ne!(
        traces_of_capture(&cluster.server),
        Vec::<String>::new(),
        "the test sees no rules where there are some"
    );
    assert_eq!(traces_of_capture(&cluster.outsider), Vec::<String>::new());
    cluster.lab.unenrol(&cluster.server).unwrap();
    wait_until_untouched(&cluster.server);
    for (from, to) in [
        (&cluster.client, &cluster.server),
        (&cluster.server, &cluster.client),
        (&cluster.server, &cluster.outsider),
        (&cluster.outsider, &cluster.server),
    ] {
        for ip in to.ips() {
            assert_echo(from, (ip, ECHO), b"still here");
        }
    }
    assert_untouched(&programs);
}

#[test]
fn connections_to_a_pod_that_leaves_break_and_others_go_on() {
    let (cluster, programs) = start("leaves-open");
    let connect = |to: &Pod| {
        let mut stream = cluster.client.connect((to.ip4(), ECHO), SOON).unwrap();
        assert_alive(&mut stream, b"before");
        stream
    };
    let (mut one, mut other) = (connect(&cluster.server), connect(&cluster.outsider));
    cluster.lab.unenrol(&cluster.server).unwrap();
    assert_eq!(read_to_end(&mut one), Ending::Reset);
    assert_alive(&mut other, b"undisturbed");
    assert_untouched(&programs);
}

#[test]
fn connections_of_a_pod_that_leaves_break_at_both_ends_and_nothing_of_them_is_sent_in_clear() {
    for backend in ["nft", "legacy"] {
        let (cluster, _) = start_with(&format!("leaves-{backend}"), backend);
        assert_silent(&cluster, || cluster.lab.unenrol(&cluster.server).unwrap());
        wait_until_untouched(&cluster.server);
    }
}

#[test]
fn connections_of_a_pod_that_moves_break_at_both_ends_and_nothing_of_them_is_sent_in_clear() {
    for backend in ["nft", "legacy"] {
        let (cluster, programs) = start_with(&format!("moves-{backend}"), backend);
        let Cluster { lab, two, server, .. } = &cluster;
        let next = lab.pod(two, PodSpec::new("next")).unwrap();
        let position = programs[4].log_position();
        assert_silent(&cluster, || {
            give_namespace(two, server, &next);
            let served = || [15001, 15006, 15008].iter().any(|port| server.listens(*port).unwrap());
            wait_until(SOON, "the pod has left", || !server.is_captured().unwrap() && !served()).unwrap();
        });
        wait_until_untouched(server);
        programs[4].wait_for_log_since(position, "serving pod", SOON).unwrap();
        assert!(next.is_captured().unwrap() && next.listens(15008).unwrap());
        assert_untouched(&programs);
    }
}

#[test]
fn an_agent_that_dies_while_a_pod_leaves_has_nothing_sent_in_clear_and_the_next_one_takes_the_pod_back() {
    let (cluster, mut programs) = start("dies");
    let Cluster { lab, two, client, server, .. } = &cluster;
    let agent = programs.remove(3);
    assert_silent(&cluster, || {
        lab.unenrol(server).unwrap();
        agent.kill_hard().unwrap();
    });
    lab.start_agent(two).unwrap();
    assert_echo(client, (server.ip4(), ECHO), b"not in the mesh");
    lab.enrol(server).unwrap();
    assert_echo(client, (server.ip4(), ECHO), b"in the mesh again");
    lab.unenrol(server).unwrap();
    wait_until_untouched(server);
    assert_untouched(&programs);
}

#[test]
fn a_pod_keeps_what_tracks_its_connections_while_a_node_that_hangs_carries_them() {
    let (cluster, programs) = start("hangs");
    let Cluster { lab, one, two, client, server, .. } = &cluster;
    let (agent, node) = (&programs[3], &programs[4]);
    let mut stream = server.connect((client.ip4(), ECHO), SOON).unwrap();
    assert_alive(&mut stream, b"before");
    let (position, wire) = (agent.log_position(), lab.wire(one, two).unwrap());
    node.pause().unwrap();
    fs::write(two.pods_file(), "pods: []\n").unwrap();
    agent.wait_for_log_since(position, "are still carried", SOON).unwrap();
    let marker = b"not in clear, please";
    stream.write_all(marker).unwrap();
    assert!(!wire.stop().unwrap().contains(marker), "sent in clear");
    node.resume().unwrap();
    assert_eq!(read_to_end(&mut stream), Ending::Reset);
    wait_until(SOON * 3, "nothing of capture is left", || traces_of_capture(server).is_empty()).unwrap();
    assert_untouched(&programs);
}

/// Has the server part with its namespace in the middle of connections that its applications, and those of others, believe to be
/// with each other. Fails unless they break, and without a word on the wire.
#[track_caller]
fn assert_silent(cluster: &Cluster, part: impl FnOnce()) {
    let marker = b"not in clear, please";
    let Cluster { lab, one, two, client, server, outsider, .. } = cluster;
    let mut open = Vec::new();
    for (from, to) in [(server, client), (server, outsider), (outsider, server)] {
        for ip in to.ips() {
            let mut stream = from.connect((ip, ECHO), SOON).unwrap();
            assert_alive(&mut stream, b"before");
            open.push((from.name(), ip, stream));
        }
    }
    let wire = lab.wire(one, two).unwrap();
    part();
    for (from, to, stream) in open {
        assert_eq!(exchange_on(stream, marker), Ending::Reset, "{}: {from} -> {to}", lab.evidence());
    }
    assert!(!wire.stop().unwrap().contains(marker), "sent in clear");
}

/// Has the agent of a node look for a pod where another one is.
fn give_namespace(node: &Node, pod: &Pod, other: &Pod) {
    let [old, new] = [pod, other].map(|pod| pod.netns().path().display().to_string());
    let text = fs::read_to_string(node.pods_file()).unwrap();
    assert!(text.contains(&old), "{text}");
    let next = node.pods_file().with_extension("next");
    fs::write(&next, text.replace(&old, &new)).unwrap();
    fs::rename(next, node.pods_file()).unwrap();
}

#[test]
fn a_pod_whose_ports_are_taken_waits_until_they_are_free_and_nobody_waits_with_it() {
    let (cluster, programs) = start("taken");
    for port in [15001, 15006, 15008] {
        let pod = cluster.lab.pod(&cluster.two, PodSpec::new(&format!("taken-{port}"))).unwrap();
        serve_all(&cluster.lab, &pod).unwrap();
        let taken = pod.listen(port).unwrap();
        let position = programs[4].log_position();
        std::thread::scope(|scope| {
            let enrolment = scope.spawn(|| cluster.lab.enrol(&pod));
            let line = programs[4].wait_for_log_since(position, "set aside", SOON).unwrap();
            assert!(line.contains(&format!("cannot listen on port {port}")), "{line}");
            assert_echo(&cluster.client, (cluster.server.ip4(), ECHO), b"undisturbed");
            drop(taken);
            enrolment.join().unwrap().unwrap();
        });
        assert_echo(&cluster.client, (pod.ip4(), ECHO), b"at last");
    }
    assert_untouched(&programs);
}

#[test]
fn a_pod_for_which_a_node_has_no_descriptors_is_served_when_there_are_some_again() {
    let (cluster, programs) = start("descriptors");
    let Cluster { lab, two, client, server, .. } = &cluster;
    let (agent, node) = (&programs[3], &programs[4]);
    let newcomer = lab.pod(two, PodSpec::new("newcomer")).unwrap();
    serve_all(lab, &newcomer).unwrap();
    let mut witness = client.connect((server.ip4(), ECHO), SOON).unwrap();
    assert_alive(&mut witness, b"before");
    let position = agent.log_position();
    limit_open_files(node, 5);
    std::thread::scope(|scope| {
        let enrolment = scope.spawn(|| lab.enrol(&newcomer));
        let line = agent.wait_for_log_since(position, "node refused", SOON).unwrap();
        assert!(line.contains("may have 5 files open") && line.contains("ulimit -n"), "{line}");
        assert_alive(&mut witness, b"undisturbed");
        limit_open_files(node, 4096);
        enrolment.join().unwrap().unwrap();
    });
    assert_echo(client, (newcomer.ip4(), ECHO), b"at last");
    assert!(!agent.log_text().contains("session closed"), "{}", agent.log_text());
    assert_untouched(&programs);
}

#[test]
fn a_pod_can_come_and_go_many_times() {
    let (cluster, programs) = start("again");
    let mut witness = cluster.client.connect((cluster.outsider.ip4(), ECHO), SOON).unwrap();
    for round in 0..5 {
        cluster.lab.unenrol(&cluster.server).unwrap();
        // In the other rounds it is back before it has quite left.
        if round % 2 == 0 {
            wait_until_untouched(&cluster.server);
        }
        assert_echo(&cluster.client, (cluster.server.ip4(), ECHO), b"out");
        cluster.lab.enrol(&cluster.server).unwrap();
        assert_echo(&cluster.client, (cluster.server.ip4(), ECHO), b"in");
        assert_alive(&mut witness, b"undisturbed");
    }
    assert_untouched(&programs);
}

#[test]
fn a_pod_that_is_deleted_harms_nobody() {
    let (cluster, programs) = start("deleted");
    let mut witness = cluster.client.connect((cluster.outsider.ip4(), ECHO), SOON).unwrap();
    assert_echo(&cluster.client, (cluster.server.ip4(), ECHO), b"one last time");
    cluster.lab.delete(&cluster.server).unwrap();
    assert_alive(&mut witness, b"undisturbed");
    let successor = cluster.lab.pod(&cluster.two, PodSpec::new("successor")).unwrap();
    serve_all(&cluster.lab, &successor).unwrap();
    cluster.lab.enrol(&successor).unwrap();
    assert_echo(&cluster.client, (successor.ip4(), ECHO), b"hello, successor");
    assert_untouched(&programs);
}

#[test]
fn rules_that_somebody_removes_come_back() {
    let (cluster, programs) = start("drift");
    let whole = crate::harness::kernel::rules(&cluster.client);
    let position = programs[1].log_position();
    crate::harness::kernel::flush_nat_output(&cluster.client);
    programs[1].wait_for_log_since(position, "drifted", SOON).unwrap();
    let names = |rules: &crate::harness::kernel::Rules| rules.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&crate::harness::kernel::rules(&cluster.client)), names(&whole));
    assert_echo(&cluster.client, (cluster.server.ip4(), ECHO), b"captured again");
}
