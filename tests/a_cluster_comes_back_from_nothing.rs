//! Everything of the mesh is killed at once and started in any order: it ends in the mesh it was, and nothing has been in clear
//! meanwhile.
//!
//! The order follows from a seed, which is printed; `CULVERT_CHAOS_SEED` has it happen again.

use culvert_lab::{Launch, Program, http};
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;

use crate::harness::calls::call_meanwhile;
use crate::harness::cluster::ECHO;
use crate::harness::kubernetes::Kubernetes;
use crate::harness::one_node::OneNode;
use crate::harness::pair::Pair;
use crate::harness::seed::seed;
use crate::harness::standalone::{MONITORING, NodeProgram, Replica};
use crate::harness::talk::{Ending, assert_echo, exchange};

const READINESS: ([u8; 4], u16) = ([127, 0, 0, 1], 15021);
/// What [`call_meanwhile`] has callers say.
const SAID: &[u8] = b"still there?";

/// All programs of the mesh, with how each was started.
#[track_caller]
fn everything(pair: &Pair) -> Vec<(Program, Launch)> {
    let control = pair.one().lab.control_address();
    let replica = Replica { name: "control-1", listens: control, monitoring: MONITORING };
    let mut all = vec![(pair.cluster.control.clone(), replica.launch(pair.one()))];
    for node in [pair.one(), &pair.two] {
        let proxy = NodeProgram::of(node).launch(node.node.netns(), control);
        all.extend([(node.agent(), Kubernetes::agent(&node.kubernetes)), (node.proxy(), proxy)]);
    }
    all
}

fn is_ready(node: &OneNode) -> bool {
    http::get(node.node.netns(), READINESS, "/healthz/ready").is_ok_and(|answer| answer.status == 200)
}

#[test]
fn in_any_order_it_ends_in_the_mesh_it_was_and_nothing_is_in_clear_meanwhile() {
    let pair = Pair::start("from-nothing");
    let (server, mut random) = (pair.server.pod(), StdRng::seed_from_u64(seed()));
    let wire = pair.record(|| {
        let calls = call_meanwhile(&pair.client, server, || {
            let mut all = everything(&pair);
            all.shuffle(&mut random);
            for (program, _) in &all {
                program.kill_hard().unwrap();
            }
            assert_eq!(exchange(&pair.client, (server.ip4(), ECHO), SAID), Ending::Refused);
            all.shuffle(&mut random);
            for (program, launch) in all {
                println!("{}", program.name());
                pair.one().lab.start(launch).unwrap();
            }
            for node in [pair.one(), &pair.two] {
                node.wait("the agent is ready", || node.is_ready());
                node.wait("the node program is ready", || is_ready(node));
            }
            let reached = |text: &[u8]| {
                exchange(&pair.client, (server.ip4(), ECHO), text) == Ending::Complete(text.to_vec())
            };
            pair.one().wait("the pods reach each other", || reached(SAID));
        });
        assert!(calls.good > 0 && !calls.bad.is_empty(), "{calls:?}");
    });
    assert!(!wire.contains(SAID));
    assert_eq!(wire.tcp_ports(), [15008]);
    for ip in server.ips() {
        assert_echo(&pair.client, (ip, ECHO), b"as before");
    }
    assert_echo(server, (pair.client.ip4(), ECHO), b"the other way");
    pair.welcome();
}
