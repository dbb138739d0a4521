//! What becomes of node programs while pods of theirs are called.

use std::net::{SocketAddr, TcpStream};

use culvert_lab::{Lab, Node, Pod, PodSpec, Program};

use super::score::{Case, Fault, Score, Which, case, fail, open};
use super::starting;
use crate::harness::cluster::{ECHO, lab, serve_all};
use crate::harness::talk::{Ending, assert_alive, read_to_end};

struct Stage {
    _lab: Lab,
    one: Node,
    client: Pod,
    /// Pods on nodes of their own, and the programs there.
    others: Vec<(Pod, Program)>,
}

impl Stage {
    fn start(names: &[&str]) -> Self {
        let lab = lab("faults-nodes").unwrap();
        let one = lab.node("one").unwrap();
        let client = lab.pod(&one, PodSpec::new("client").service_account("client")).unwrap();
        lab.start_control().unwrap();
        lab.start_agent(&one).unwrap();
        lab.start_node(&one).unwrap();
        let others = names.iter().map(|name| Self::other(&lab, name)).collect::<Vec<_>>();
        let pods: Vec<&Pod> = others.iter().map(|(pod, _)| pod).chain([&client]).collect();
        lab.enrol_all(&pods).unwrap();
        Self { _lab: lab, one, client, others }
    }

    fn other(lab: &Lab, name: &str) -> (Pod, Program) {
        let node = lab.node(name).unwrap();
        let pod = lab.pod(&node, PodSpec::new(&format!("at-{name}")).service_account(name)).unwrap();
        serve_all(lab, &pod).unwrap();
        lab.start_agent(&node).unwrap();
        let launch = lab.node_launch(&node).unwrap().env("CONNECTION_TERMINATION_DEADLINE", "1s");
        (pod, lab.start_node_as(&node, launch).unwrap())
    }

    fn alive(&self, to: &Pod) -> (SocketAddr, TcpStream) {
        let (own, mut stream) = open(&self.client, (to.ip4(), ECHO));
        assert_alive(&mut stream, b"so far so good");
        (own, stream)
    }

    /// Does something to a node program, and asks about a connection that was there.
    fn lost(&self, fault: Fault<'_>, (pod, program): &(Pod, Program), happen: impl Fn(&Program)) {
        let (own, mut stream) = self.alive(pod);
        happen(program);
        assert_eq!(read_to_end(&mut stream), Ending::Reset);
        fault.ended(&self.one, &self.client, &Which::From(own));
    }
}

pub(super) fn judge(score: &Score) {
    let stage = &starting(|| Stage::start(&["frozen", "stuck", "killed", "drained"]));
    let [frozen, stuck, killed, drained] = &stage.others[..] else { unreachable!() };
    let cases: Vec<Case<'_>> = vec![
        case("the server's node program is stopped under a live connection", "nodeMissing", move |fault| {
            stage.lost(fault, frozen, |program| program.pause().unwrap());
            frozen.1.resume().unwrap();
        }),
        case("the server's node program is stopped", "nodeMissing", move |fault| {
            stuck.1.pause().unwrap();
            let own = fail(&stage.client, (stuck.0.ip4(), ECHO));
            fault.ended(&stage.one, &stage.client, &Which::From(own));
            stuck.1.resume().unwrap();
        }),
        case("the server's node program is killed under a live connection", "nodeMissing", move |fault| {
            stage.lost(fault, killed, |program| assert!(!program.kill_hard().unwrap().success()));
        }),
        case("the server's node is drained under a live connection", "nodeMissing", move |fault| {
            stage.lost(fault, drained, |program| program.terminate().unwrap());
        }),
    ];
    score.run(&cases);
    let afterwards: Vec<Case<'_>> =
        vec![case("no node program runs at the server's", "nodeMissing", move |fault| {
            let own = fail(&stage.client, (killed.0.ip4(), ECHO));
            fault.ended(&stage.one, &stage.client, &Which::From(own));
        })];
    score.run(&afterwards);
}
