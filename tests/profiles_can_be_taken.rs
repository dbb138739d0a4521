//! What a node spends its CPU time with, and who holds its memory, can be had from it while it works; and that it is asked for harms nobody.

use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

use culvert_lab::{Node, http};

use crate::harness::calls::{assert_all_served, call_meanwhile};
use crate::harness::cluster::{Cluster, ECHO, SINK, shared};
use crate::harness::pprof::Profile;
use crate::harness::talk::{SOON, assert_alive, assert_upload};

const ADMIN: ([u8; 4], u16) = ([127, 0, 0, 1], 15000);

fn ask(node: &Node, path: &str) -> (u16, String) {
    let answer = http::get(node.netns(), ADMIN, path).unwrap();
    (answer.status, answer.text())
}

/// Begins to take a profile that is longer than any test, and comes back when it is being taken.
fn begin_long_profile(cluster: &Cluster, node: &Node) -> TcpStream {
    let mut taken = None;
    // Whoever comes first has its profile taken: when that is the second one here, both have to come again.
    let is_taken = || {
        let mut stream = node.netns().run(|| TcpStream::connect(SocketAddr::from(ADMIN))).unwrap().unwrap();
        stream
            .write_all(b"GET /debug/pprof/profile?seconds=300 HTTP/1.1\r\nHost: localhost\r\n\r\n")
            .unwrap();
        taken = Some(stream);
        ask(node, "/debug/pprof/profile?seconds=1").0 == 500
    };
    cluster.lab.wait_until(SOON * 2, "the profile is being taken", is_taken).unwrap();
    taken.unwrap()
}

#[test]
fn a_cpu_profile_names_functions_and_traffic_goes_on() {
    let cluster = Cluster::start("profile-cpu").unwrap();
    let mut answer = None;
    let mut open = cluster.client.connect((cluster.server.ip4(), ECHO), SOON).unwrap();
    let calls = call_meanwhile(&cluster.client, &cluster.server, || {
        let path = "/debug/pprof/profile?seconds=3&frequency=1000";
        answer = Some(http::get(cluster.one.netns(), ADMIN, path).unwrap());
        assert_alive(&mut open, b"still there");
    });
    assert_all_served(&calls);
    let answer = answer.unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
    let profile = Profile::read(&answer.body);
    assert_eq!(profile.kinds(), ["samples/count", "cpu/nanoseconds"]);
    assert!((3_000_000_000..6_000_000_000).contains(&profile.nanoseconds), "{}", profile.nanoseconds);
    assert!(profile.sum(0) >= 20, "{} samples of a busy node", profile.sum(0));
    assert_eq!(profile.sum(1), profile.sum(0) * 1_000_000);
    let stacks = profile.stacks();
    let ours = |stack: &&Vec<&str>| stack.iter().any(|name| name.starts_with("culvert_node::"));
    assert!(stacks.iter().any(|stack| ours(&stack)), "{stacks:?}");
    // They are followed to where the thread begins.
    let whole = stacks.iter().filter(|stack| stack.iter().any(|name| name.contains("std::sys::backtrace")));
    assert!(whole.count() * 2 > stacks.len(), "{stacks:?}");
}

#[test]
fn one_cpu_profile_is_taken_at_a_time() {
    let cluster = Cluster::start("profile-two").unwrap();
    let take = || ask(&cluster.two, "/debug/pprof/profile?seconds=3");
    let (first, second) = thread::scope(|scope| {
        let first = scope.spawn(take);
        (take(), first.join().unwrap())
    });
    let (taken, refused) = if first.0 == 200 { (first, second) } else { (second, first) };
    assert_eq!((taken.0, refused.0), (200, 500));
    assert!(refused.1.contains("another CPU profile is being taken"), "{}", refused.1);
}

#[test]
fn what_cannot_be_asked_for_is_said() {
    let cluster = shared();
    for (query, answer) in [
        ("profile?seconds=0", "invalid seconds value; expected 1-300\n"),
        ("profile?seconds=301", "invalid seconds value; expected 1-300\n"),
        ("profile?seconds=long", "invalid seconds value; expected 1-300\n"),
        ("profile?frequency=0", "invalid frequency value; expected 1-1000\n"),
        ("profile?frequency=1001", "invalid frequency value; expected 1-1000\n"),
        ("heap/profiling?activate=perhaps", "invalid activate value; expected true or false\n"),
    ] {
        assert_eq!(ask(&cluster.one, &format!("/debug/pprof/{query}")), (400, answer.to_owned()), "{query}");
    }
}

#[test]
fn a_profile_ends_with_its_client() {
    let cluster = Cluster::start("profile-gone").unwrap();
    drop(begin_long_profile(&cluster, &cluster.one));
    let can_be_taken = || ask(&cluster.one, "/debug/pprof/profile?seconds=1").0 == 200;
    cluster.lab.wait_until(SOON, "another profile can be taken", can_be_taken).unwrap();
}

#[test]
fn a_profile_does_not_keep_a_node_from_ending() {
    let cluster = Cluster::without_mesh("profile-end").unwrap();
    cluster.lab.start_control().unwrap();
    cluster.lab.start_agent(&cluster.one).unwrap();
    let proxy = cluster.lab.start_node(&cluster.one).unwrap();
    let profile = begin_long_profile(&cluster, &cluster.one);
    proxy.terminate().unwrap();
    assert!(proxy.wait_for_exit(Duration::from_secs(5)).unwrap().success());
    drop(profile);
}

#[test]
fn who_holds_memory_is_told_of_what_is_allocated_from_when_it_is_asked_for() {
    let cluster = Cluster::start("profile-heap").unwrap();
    let node = &cluster.two;
    let (status, why) = ask(node, "/debug/pprof/heap");
    assert!(status == 500 && why.contains("not active"), "{status} {why}");
    let active = |is: bool| (200, format!("heap profiling active: {is}\n"));
    assert_eq!(ask(node, "/debug/pprof/heap/profiling"), active(false));
    assert_eq!(ask(node, "/debug/pprof/heap/profiling?activate=true"), active(true));
    let mut open = Vec::new();
    let calls = call_meanwhile(&cluster.client, &cluster.server, || {
        let appears = || {
            // More and more memory that is in use, a sample of which is told.
            for _ in 0..20 {
                let mut stream = cluster.client.connect((cluster.server.ip4(), ECHO), SOON).unwrap();
                assert_alive(&mut stream, b"held open");
                open.push(stream);
            }
            let answer = http::get(node.netns(), ADMIN, "/debug/pprof/heap").unwrap();
            assert_eq!(answer.status, 200, "{}", answer.text());
            let profile = Profile::read_compressed(&answer.body);
            assert_eq!(profile.kinds(), ["inuse_objects/count", "inuse_space/bytes"]);
            let is_ours = |stack: Vec<&str>| stack.iter().any(|name| name.starts_with("culvert_node::"));
            profile.sum(0) > 0 && profile.sum(1) >= 128 << 10 && profile.stacks().into_iter().any(is_ours)
        };
        cluster.lab.wait_until(SOON * 3, "allocations of the node's own are told", appears).unwrap();
        assert_upload(&cluster.client, (cluster.server.ip4(), SINK).into(), 10 << 20);
    });
    assert_all_served(&calls);
    for stream in &mut open {
        assert_alive(stream, b"still there");
    }
    assert_eq!(ask(node, "/debug/pprof/heap/profiling?activate=false"), active(false));
    assert_eq!(ask(node, "/debug/pprof/heap").0, 500);
}
