//! Two replicas of the control plane behind one address: whichever ends, and however, the other serves the nodes, signs with the same
//! root, and writes what one alone writes.

use std::net::{Ipv4Addr, SocketAddr};

use culvert_lab::api_server::{namespace, pod};
use culvert_lab::{Pod, Program};
use serde_json::{Value, json};

use crate::harness::cluster::ECHO;
use crate::harness::command::run_in;
use crate::harness::one_node::{OneNode, PATIENCE};
use crate::harness::signer;
use crate::harness::standalone::{MONITORING, ROOT, Replica, Standalone, bring_up, defined, policy};
use crate::harness::talk::{Ending, SOON, assert_alive, exchange};

const SHOP: &str = "shop";
/// The Service's address and port.
const SERVICE: (Ipv4Addr, u16) = (Ipv4Addr::new(10, 96, 0, 15), 15012);
/// Where the second replica serves, and where it is looked after.
const SECOND: (u16, u16) = (15022, 15024);
const FIRST: &str = "control-1";
const OTHER: &str = "control-2";

/// A cluster of one node with two replicas, and two pods in the mesh. The node's program has its stream with the first one.
struct Rig {
    cluster: Standalone,
    first: Program,
    second: Program,
    pods: [Pod; 2],
}

/// Has what a node sends to the Service go to these endpoints in turn, as kube-proxy does.
#[track_caller]
fn balance(node: &OneNode, endpoints: &[SocketAddr]) {
    let (address, port) = (SERVICE.0.to_string(), SERVICE.1.to_string());
    let run = |words: &[&str]| run_in(node.node.netns(), words).unwrap();
    let nat = |words: &[&str]| run(&[&["iptables", "-w", "5", "-t", "nat"], words].concat());
    nat(&["-F", "OUTPUT"]);
    let count = endpoints.len();
    for (index, endpoint) in endpoints.iter().enumerate() {
        let (every, to) = ((count - index).to_string(), endpoint.to_string());
        let chosen = ["-m", "statistic", "--mode", "nth", "--every", &every, "--packet", "0"];
        let from = ["-A", "OUTPUT", "-p", "tcp", "-d", &address, "--dport", &port];
        nat(&[&from[..], &chosen, &["-j", "DNAT", "--to-destination", &to]].concat());
    }
}

#[track_caller]
fn start(name: &str) -> Rig {
    let node = defined(name, &[SHOP]);
    let [one, two] = endpoints(&node);
    run_in(node.node.netns(), &["ip", "route", "add", &SERVICE.0.to_string(), "dev", "to-control"]).unwrap();
    balance(&node, &[one]);
    let replica = |name, listens, monitoring| {
        let launch = Replica { name, listens, monitoring }.launch(&node).arg("--name").arg(SERVICE.0);
        let control = node.lab.start(launch).unwrap();
        control.wait_for_log("\tready\t", PATIENCE).unwrap();
        control
    };
    let first = replica(FIRST, one, MONITORING);
    node.wait("the first one leads", || leader(&node).as_deref() == Some(FIRST));
    let second = replica(OTHER, two, SECOND.1);
    let cluster = Standalone { node, control: first.clone() };
    bring_up(&cluster.node, SERVICE.into());
    cluster.node.kubernetes.label_namespace(SHOP, Some("ambient"));
    let pods = ["client", "server"].map(|name| cluster.node.run(SHOP, name).pod().clone());
    cluster.wait_until_in(&[&pods[0], &pods[1]]);
    let rig = Rig { cluster, first, second, pods };
    rig.wait_until_reached();
    balance(&rig.cluster.node, &[one, two]);
    rig
}

fn endpoints(node: &OneNode) -> [SocketAddr; 2] {
    let one = node.lab.control_address();
    [one, (one.ip(), SECOND.0).into()]
}

/// Who holds the lease.
fn leader(node: &OneNode) -> Option<String> {
    let lease = node.kubernetes.api.object("leases", ROOT, "culvert-control")?;
    lease["spec"]["holderIdentity"].as_str().map(str::to_owned)
}

impl Rig {
    #[track_caller]
    fn wait_until_reached(&self) {
        let [client, server] = &self.pods;
        let reached =
            || exchange(client, (server.ip4(), ECHO), b"there?") == Ending::Complete(b"there?".to_vec());
        self.cluster.node.wait("the pods reach each other", reached);
    }

    /// The root a replica signs with.
    #[track_caller]
    fn root(&self, control: SocketAddr) -> String {
        let signed = signer::ask(&self.cluster.node, control, &self.pods[0].identity());
        signed.unwrap().pop().unwrap()
    }

    /// What changes from now on is known to the node, and who comes gets a certificate.
    #[track_caller]
    fn assert_controlled(&self) {
        let [client, server] = &self.pods;
        let node = &self.cluster.node;
        let newcomer = pod(SHOP, "newcomer").service_account("newcomer");
        let newcomer = node.run_as(newcomer).pod().clone();
        self.cluster.wait_until_in(&[&newcomer]);
        let is_private = || node.is_answered_in_private(client, (newcomer.ip4(), ECHO));
        node.wait("the newcomer is reached in private", is_private);
        let deny = json!({ "action": "DENY", "rules": [{ "to": [{ "operation": { "ports": [ECHO.to_string()] } }] }] });
        self.cluster.apply(policy(SHOP, "no-echo", &deny));
        node.wait("policies count", || exchange(client, (server.ip4(), ECHO), b"let me in") == Ending::Reset);
    }
}

#[test]
fn the_node_goes_to_the_other_one_when_its_own_is_killed() {
    let rig = start("replicas-killed");
    let [one, two] = endpoints(&rig.cluster.node);
    let root = rig.root(one);
    assert_eq!(rig.root(two), root);
    let [client, server] = &rig.pods;
    let mut open = client.connect((server.ip4(), ECHO), SOON).unwrap();
    // Nobody has noticed: the Service still has both.
    rig.first.kill_hard().unwrap();
    assert_alive(&mut open, b"with one of them");
    rig.assert_controlled();
    assert_eq!(rig.root(two), root);
    assert!(rig.second.is_running());
}

#[test]
fn the_other_one_leads_when_the_leader_has_stopped() {
    let rig = start("replicas-leader");
    let node = &rig.cluster.node;
    assert!(rig.first.stop().unwrap().success());
    rig.assert_controlled();
    node.kubernetes.api.create(namespace("late")).unwrap();
    node.wait("the other one leads", || leader(node).as_deref() == Some(OTHER));
    let published = || node.kubernetes.api.object("configmaps", "late", "istio-ca-root-cert");
    node.wait("the root is published where it was not", || published().is_some());
    let [_, two] = endpoints(node);
    assert_eq!(published().unwrap()["data"]["root-cert.pem"], Value::from(rig.root(two)));
}
