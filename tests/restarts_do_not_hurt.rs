//! The node can go and come back while the agent stays, and the agent while the node stays.

use culvert_lab::Program;

use crate::harness::cluster::{Cluster, ECHO};
use crate::harness::kernel::{Rules, rules};
use crate::harness::talk::{SOON, assert_alive, assert_echo};

/// A cluster, and the programs of its first node.
struct Rig {
    cluster: Cluster,
    agent: Program,
    proxy: Program,
}

fn start(name: &str) -> Rig {
    let cluster = Cluster::without_mesh(name).unwrap();
    let lab = &cluster.lab;
    lab.enrol_all(&[&cluster.client, &cluster.neighbour, &cluster.server]).unwrap();
    lab.start_control().unwrap();
    let agent = lab.start_agent(&cluster.one).unwrap();
    let proxy = lab.start_node(&cluster.one).unwrap();
    lab.start_agent(&cluster.two).unwrap();
    lab.start_node(&cluster.two).unwrap();
    assert_echo(&cluster.client, (cluster.server.ip4(), ECHO), b"all is well");
    assert_echo(&cluster.client, (cluster.server.ip6(), ECHO), b"all is well");
    Rig { cluster, agent, proxy }
}

/// Fails when a rule was replaced, even by the same: its counters would have begun anew.
#[track_caller]
fn assert_untouched(before: &Rules, after: &Rules) {
    assert!(before.values().any(|packets| *packets > 0), "no rule has seen a packet");
    assert_eq!(before.keys().collect::<Vec<_>>(), after.keys().collect::<Vec<_>>());
    for (rule, packets) in before {
        assert!(after[rule] >= *packets, "{rule}: {packets} packets before, {} after", after[rule]);
    }
}

#[test]
fn a_node_restart_touches_no_rule() {
    let Rig { cluster, agent, proxy } = start("node-restart");
    let before = rules(&cluster.client);
    proxy.stop().unwrap();
    let proxy = cluster.lab.start_node(&cluster.one).unwrap();
    assert_echo(&cluster.client, (cluster.server.ip4(), ECHO), b"after the restart");
    proxy.kill_hard().unwrap();
    cluster.lab.start_node(&cluster.one).unwrap();
    assert_echo(&cluster.client, (cluster.server.ip4(), ECHO), b"after the crash");
    assert_echo(&cluster.server, (cluster.client.ip4(), ECHO), b"after the crash");
    assert_untouched(&before, &rules(&cluster.client));
    assert!(agent.is_running());
}

#[test]
fn connections_survive_a_crash_of_the_agent() {
    let Rig { cluster, agent, proxy } = start("agent-crash");
    let before = rules(&cluster.client);
    let mut out = cluster.client.connect((cluster.server.ip4(), ECHO), SOON).unwrap();
    let mut inwards = cluster.outsider.connect((cluster.client.ip4(), ECHO), SOON).unwrap();
    assert_alive(&mut out, b"before");
    assert_alive(&mut inwards, b"before");
    agent.kill_hard().unwrap();
    assert_alive(&mut out, b"without an agent");
    assert_echo(&cluster.client, (cluster.server.ip4(), ECHO), b"a new one without an agent");

    let position = proxy.log_position();
    let agent = cluster.lab.start_agent(&cluster.one).unwrap();
    proxy.wait_for_log_since(position, "snapshot of the node agent complete", SOON * 2).unwrap();
    assert_alive(&mut out, b"with the next agent");
    assert_alive(&mut inwards, b"with the next agent");
    for pod in [&cluster.client, &cluster.neighbour] {
        assert_echo(pod, (cluster.server.ip4(), ECHO), b"new, with the next agent");
    }
    assert_untouched(&before, &rules(&cluster.client));
    assert!(agent.is_running() && proxy.is_running());
}

#[test]
fn an_agent_that_ends_in_order_leaves_pods_captured() {
    let Rig { cluster, agent, proxy } = start("agent-stop");
    let before = rules(&cluster.client);
    let status = agent.stop().unwrap();
    assert!(status.success(), "{status}");
    assert_untouched(&before, &rules(&cluster.client));
    assert_echo(&cluster.client, (cluster.server.ip4(), ECHO), b"without an agent");
    assert!(proxy.is_running());
}

#[test]
fn pods_that_join_while_the_node_is_away_are_served_when_it_is_back() {
    let Rig { cluster, proxy, .. } = start("joined-meanwhile");
    proxy.stop().unwrap();
    let newcomer = cluster.lab.pod(&cluster.one, culvert_lab::PodSpec::new("newcomer")).unwrap();
    cluster.lab.enrol(&newcomer).unwrap();
    cluster.lab.wait_until(SOON, "the newcomer is captured", || newcomer.is_captured().unwrap()).unwrap();
    cluster.lab.start_node(&cluster.one).unwrap();
    assert_echo(&newcomer, (cluster.server.ip4(), ECHO), b"hello from the newcomer");
}

#[test]
fn nothing_needs_the_control_plane_once_it_runs() {
    let cluster = Cluster::without_mesh("no-control").unwrap();
    let lab = &cluster.lab;
    lab.enrol_all(&[&cluster.client, &cluster.server]).unwrap();
    let control = lab.start_control().unwrap();
    for node in [&cluster.one, &cluster.two] {
        lab.start_agent(node).unwrap();
        lab.start_node(node).unwrap();
    }
    let mut long = cluster.client.connect((cluster.server.ip4(), ECHO), SOON).unwrap();
    assert_alive(&mut long, b"before");
    control.kill_hard().unwrap();
    assert_alive(&mut long, b"without a control plane");
    assert_echo(&cluster.client, (cluster.server.ip4(), ECHO), b"a new one without a control plane");
}
