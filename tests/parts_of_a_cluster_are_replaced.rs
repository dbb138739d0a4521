//! Node programs and agents of a cluster are replaced as the chart has it done, and what is noticed is what `docs/upgrade.md` says:
//! no new connection fails, what outlives a drain is reset, and nothing is in clear at any moment.

use std::time::{Duration, Instant};

use culvert_lab::{PodSpec, Program, new_uid};

use crate::harness::calls::{assert_all_served, call_meanwhile};
use crate::harness::cluster::ECHO;
use crate::harness::kubernetes::Kubernetes;
use crate::harness::one_node::OneNode;
use crate::harness::pair::{Pair, SHOP};
use crate::harness::standalone::{NodeProgram, ROOT};
use crate::harness::talk::{Ending, SOON, assert_alive, assert_echo, read_to_end};

/// What [`call_meanwhile`] has callers say.
const SAID: &[u8] = b"still there?";
/// How long a node program drains that was not told anything.
const DRAIN: Duration = Duration::from_secs(5);

/// Starts the next program of a node beside the last one, which is given back with its pod, until it is ready: `maxSurge: 1`.
#[track_caller]
fn surge(node: &OneNode) -> Program {
    let (last, next) = (node.proxy(), NodeProgram::of(node).next());
    let home = PodSpec::new(&format!("next-{}", node.node.name())).namespace(ROOT);
    let home = node.lab.pod(&node.node, home).unwrap();
    next.create(home.ip4());
    let launch = next.launch(home.netns(), node.lab.control_address());
    node.lab.start_node_as(&node.node, launch).unwrap();
    NodeProgram::of(node).terminate();
    last
}

/// Replaces the program of a node.
#[track_caller]
fn replace(node: &OneNode) {
    let last = surge(node);
    assert!(last.stop().unwrap().success());
    NodeProgram::of(node).remove();
}

#[test]
fn no_connection_fails_and_nothing_is_in_clear_while_node_programs_are_replaced() {
    let pair = Pair::start("replace-nodes");
    let server = pair.server.pod();
    let wire = pair.record(|| {
        let calls = call_meanwhile(&pair.client, server, || {
            replace(pair.one());
            replace(&pair.two);
        });
        assert_all_served(&calls);
        assert!(calls.good > 20, "{calls:?}");
    });
    assert!(!wire.contains(SAID));
    assert_eq!(wire.tcp_ports(), [15008]);
    // Whoever comes later is for the next ones.
    pair.welcome();
}

#[test]
fn what_ends_during_the_drain_ends_well_and_what_outlives_it_is_reset() {
    let pair = Pair::start("replace-drain");
    let server = pair.server.pod();
    let connect = || pair.client.connect((server.ip4(), ECHO), SOON).unwrap();
    let (mut short, mut long) = (connect(), connect());
    for stream in [&mut short, &mut long] {
        assert_alive(stream, b"before");
    }
    let wire = pair.record(|| {
        let last = surge(pair.one());
        let asked = Instant::now();
        last.terminate().unwrap();
        last.wait_for_log("draining", SOON).unwrap();
        assert_alive(&mut short, SAID);
        assert_alive(&mut long, SAID);
        short.shutdown(std::net::Shutdown::Write).unwrap();
        assert_eq!(read_to_end(&mut short), Ending::Complete(Vec::new()));
        assert_echo(&pair.client, (server.ip4(), ECHO), SAID);
        assert_eq!(read_to_end(&mut long), Ending::Reset);
        let took = asked.elapsed();
        assert!(took >= DRAIN - Duration::from_millis(100) && took < DRAIN * 2, "{took:?}");
        assert!(last.wait_for_exit(SOON).unwrap().success());
        NodeProgram::of(pair.one()).remove();
        assert_echo(&pair.client, (server.ip4(), ECHO), SAID);
    });
    assert!(!wire.contains(SAID));
}

#[test]
fn nobody_notices_that_agents_are_replaced_but_pods_that_start_meanwhile() {
    let pair = Pair::start("replace-agents");
    let server = pair.server.pod();
    let mut long = pair.client.connect((server.ip4(), ECHO), SOON).unwrap();
    let wire = pair.record(|| {
        let calls = call_meanwhile(&pair.client, server, || {
            for node in [pair.one(), &pair.two] {
                assert!(node.agent().stop().unwrap().success());
                assert_alive(&mut long, SAID);
                let early = PodSpec::new("early").namespace(SHOP);
                let refused = node.containers.sandbox(early, &new_uid().unwrap());
                assert!(refused.is_err(), "a pod of the mesh has started without an agent");
                node.start_agent(Kubernetes::agent(&node.kubernetes));
                node.wait("the agent is ready", || node.is_ready());
            }
        });
        assert_all_served(&calls);
        assert!(calls.good > 20, "{calls:?}");
    });
    assert!(!wire.contains(SAID));
    assert_alive(&mut long, b"through all of it");
    for pod in [&pair.client, server] {
        assert_eq!(pair.one().kubernetes.claim(pod).as_deref(), Some("enabled"));
    }
    pair.welcome();
}
