//! A node program is replaced by another one without anybody noticing: both serve for a while, then the old one drains.

use std::time::{Duration, Instant};

use culvert_lab::{Node, Program};

use crate::harness::calls::{assert_all_served, call_meanwhile};
use crate::harness::cluster::{Cluster, ECHO, start_next};
use crate::harness::talk::{Ending, SOON, assert_alive, assert_echo, exchange_on, read_to_end};

/// How long connections may go on in an old proxy.
const GRACE: Duration = Duration::from_secs(8);

struct Rig {
    cluster: Cluster,
    old_one: Program,
    old_two: Program,
}

fn start(name: &str, grace: Duration) -> Rig {
    let cluster = Cluster::without_mesh(name).unwrap();
    let lab = &cluster.lab;
    lab.enrol_all(&[&cluster.client, &cluster.server]).unwrap();
    lab.start_control().unwrap();
    let node = |node: &Node| {
        lab.start_agent(node).unwrap();
        let launch = lab.node_launch(node).unwrap();
        lab.start_node_as(node, launch.env("CONNECTION_TERMINATION_DEADLINE", seconds(grace))).unwrap()
    };
    let (old_one, old_two) = (node(&cluster.one), node(&cluster.two));
    assert_echo(&cluster.client, (cluster.server.ip4(), ECHO), b"all is well");
    Rig { cluster, old_one, old_two }
}

fn seconds(duration: Duration) -> String {
    format!("{}s", duration.as_secs())
}

#[test]
fn no_connection_fails_while_the_clients_proxy_is_replaced() {
    let Rig { cluster, old_one, .. } = start("roll-client", GRACE);
    let calls = call_meanwhile(&cluster.client, &cluster.server, || {
        start_next(&cluster.lab, &cluster.one);
        assert!(old_one.stop().unwrap().success());
    });
    assert_all_served(&calls);
    assert_echo(&cluster.server, (cluster.client.ip4(), ECHO), b"the other way");
}

#[test]
fn no_connection_fails_while_the_servers_proxy_is_replaced() {
    let Rig { cluster, old_two, .. } = start("roll-server", GRACE);
    let calls = call_meanwhile(&cluster.client, &cluster.server, || {
        start_next(&cluster.lab, &cluster.two);
        assert!(old_two.stop().unwrap().success());
    });
    assert_all_served(&calls);
    assert_echo(&cluster.outsider, (cluster.server.ip4(), ECHO), b"from outside");
}

/// The kernel completes connections before the program takes them. Those that wait for a program which is asked to end
/// at that moment are its own: nobody else can take them.
#[test]
fn connections_that_wait_to_be_taken_are_served_by_the_program_that_ends() {
    const WAITING: usize = 150;
    let Rig { cluster, old_one, old_two } = start("roll-queue", GRACE);
    // Through a tunnel and in plaintext, out of the pods of the first node and into those of the second.
    let ways = [
        (&old_one, &cluster.client, &cluster.server),
        (&old_one, &cluster.client, &cluster.outsider),
        (&old_two, &cluster.outsider, &cluster.server),
    ];
    let mut waiting = Vec::new();
    for old in [&old_one, &old_two] {
        old.pause().unwrap();
    }
    for (old, from, to) in ways {
        let connect = |_| (old.name(), from.connect((to.ip4(), ECHO), SOON).unwrap());
        waiting.extend((0..WAITING).map(connect));
    }
    start_next(&cluster.lab, &cluster.one);
    start_next(&cluster.lab, &cluster.two);
    for old in [&old_one, &old_two] {
        old.terminate().unwrap();
        old.resume().unwrap();
    }
    for (old, stream) in waiting {
        assert_eq!(exchange_on(stream, b"my turn?"), Ending::Complete(b"my turn?".to_vec()), "{old}");
    }
    for old in [&old_one, &old_two] {
        assert!(old.wait_for_exit(SOON).unwrap().success());
    }
}

#[test]
fn a_long_connection_may_finish_in_the_old_proxy() {
    let Rig { cluster, old_one, old_two } = start("roll-long", GRACE);
    let mut long = cluster.client.connect((cluster.server.ip4(), ECHO), SOON).unwrap();
    assert_alive(&mut long, b"before");
    start_next(&cluster.lab, &cluster.one);
    start_next(&cluster.lab, &cluster.two);
    let asked = Instant::now();
    for old in [&old_one, &old_two] {
        let position = old.log_position();
        old.terminate().unwrap();
        old.wait_for_log_since(position, "draining", SOON).unwrap();
    }
    assert_alive(&mut long, b"while they drain");
    assert_echo(&cluster.client, (cluster.server.ip4(), ECHO), b"a new one meanwhile");
    assert!(old_one.is_running() && old_two.is_running());
    drop(long);
    for old in [&old_one, &old_two] {
        assert!(old.wait_for_exit(SOON).unwrap().success());
    }
    assert!(asked.elapsed() < GRACE, "a proxy without connections waited for its deadline");
}

#[test]
fn a_connection_that_does_not_finish_is_cut_at_the_deadline_as_a_reset() {
    const SHORT: Duration = Duration::from_secs(2);
    let Rig { cluster, old_one, .. } = start("roll-cut", SHORT);
    let mut long = cluster.client.connect((cluster.server.ip4(), ECHO), SOON).unwrap();
    assert_alive(&mut long, b"before");
    let asked = Instant::now();
    old_one.terminate().unwrap();
    assert_eq!(read_to_end(&mut long), Ending::Reset);
    let took = asked.elapsed();
    assert!(took >= SHORT - Duration::from_millis(100) && took < SHORT * 3, "{took:?}");
    assert!(old_one.wait_for_exit(SOON).unwrap().success());
}
