//! The same where Kubernetes says what is probed, in both ways there are: probes the node recognises, and probes that come from an
//! address of their own.

use std::fs;
use std::net::IpAddr;

use culvert_lab::api_server::pod;
use culvert_lab::{Launch, Pod, Section, socket};
use serde_json::json;

use crate::harness::cluster::{ECHO, SINK, WHO};
use crate::harness::command::run_in;
use crate::harness::kubernetes::Kubernetes;
use crate::harness::one_node::OneNode;
use crate::harness::talk::{Ending, SOON, assert_echo, assert_reset, who};

use super::{STRICT, ending_of, well};

/// Where probes come from that have an address of their own.
const DISGUISE: [&str; 2] = ["169.254.7.127", "fd16:9254:7127:1337:ffff:ffff:ffff:ffff"];

/// A node with a shop that is probed and a client, both in the mesh, which takes tunnels only; and an outsider.
struct Town {
    node: OneNode,
    shop: Pod,
    client: Pod,
    outsider: Pod,
    /// The node's namespace before any agent was there.
    before: Vec<String>,
}

fn snat(kubernetes: &Kubernetes) -> Launch {
    kubernetes.agent().arg("--probes").arg("snat")
}

impl Town {
    fn start(name: &str, prepare: impl FnOnce(&OneNode), agent: fn(&Kubernetes) -> Launch) -> Self {
        let node = OneNode::without_programs(name, &["mesh", "street"]);
        let before = node.look();
        prepare(&node);
        node.lab.set(Section::Policies, STRICT).unwrap();
        let probe = json!({"tcpSocket": {"port": ECHO}});
        let shop = pod("mesh", "shop");
        let shop = shop.merge(json!({"spec": {"containers": [{"name": "app", "readinessProbe": probe}]}}));
        let shop = node.run_as(shop).pod().clone();
        let [client, outsider] =
            [("mesh", "client"), ("street", "outsider")].map(|(ns, name)| node.run(ns, name).pod().clone());
        node.start_programs(agent(&node.kubernetes));
        node.kubernetes.label_namespace("mesh", Some("ambient"));
        node.wait_until_in(&[&shop, &client]);
        Self { node, shop, client, outsider, before }
    }

    /// What comes of a call from the node.
    fn called(&self, ip: IpAddr, port: u16) -> Ending {
        ending_of(socket::connect(self.node.node.netns(), (ip, port), SOON))
    }

    #[track_caller]
    fn wait_until_probed(&self) {
        for ip in self.shop.ips() {
            self.node.wait("the host reaches the probed port", || self.called(ip, ECHO) == well());
        }
    }

    /// Whom the shop sees when the node calls.
    #[track_caller]
    fn seen(&self, ip: IpAddr) -> String {
        let stream = socket::connect(self.node.node.netns(), (ip, WHO), SOON).unwrap();
        who(stream).1.ip().to_string()
    }
}

#[test]
fn the_ports_a_pod_declares_are_probed_under_strict() {
    let town = Town::start("declared", |_| {}, Kubernetes::agent);
    town.wait_until_probed();
    for ip in town.shop.ips() {
        assert_eq!(town.called(ip, SINK), Ending::Reset, "a port nobody declares: {ip}");
        assert_reset(&town.outsider, (ip, ECHO));
        assert_echo(&town.client, (ip, ECHO), b"in a tunnel");
    }
    for ip in town.client.ips() {
        assert_eq!(town.called(ip, ECHO), Ending::Reset, "a pod that is not probed: {ip}");
    }
    let listed = town.node.listed(town.shop.uid()).unwrap();
    assert_eq!(listed["capture"]["probePorts"], json!([ECHO]), "{listed}");
    assert_eq!(town.node.look(), town.before, "this way needs nothing of the node");
}

#[test]
fn probes_with_an_address_of_their_own_come_in_under_strict() {
    let town = Town::start("disguised", |_| {}, snat);
    town.wait_until_probed();
    for (ip, disguise) in town.shop.ips().into_iter().zip(DISGUISE) {
        assert_eq!(town.seen(ip), disguise);
        assert_reset(&town.outsider, (ip, ECHO));
        assert_echo(&town.client, (ip, ECHO), b"in a tunnel");
    }
    // Who is not in the mesh is called from where the node is.
    let [outsider, _] = town.outsider.ips();
    assert!(!DISGUISE.contains(&town.seen(outsider).as_str()));
    town.node.kubernetes.label_pod(("mesh", "shop"), Some("none"));
    town.node.wait_until_out(&[&town.shop]);
    for ip in town.shop.ips() {
        town.node.wait("the shop is called as it was before", || !DISGUISE.contains(&town.seen(ip).as_str()));
    }

    // The next agent does it the other way.
    assert_ne!(town.node.look(), town.before);
    town.node.kubernetes.label_pod(("mesh", "shop"), None);
    town.node.agent().stop().unwrap();
    town.node.start_agent(town.node.kubernetes.agent());
    town.node.wait("nothing is left of the rules for probes", || town.node.look() == town.before);
    town.node.wait_until_in(&[&town.shop]);
    town.wait_until_probed();
    assert_eq!(town.called(town.shop.ip4().into(), SINK), Ending::Reset);
}

/// Others on the host have no more right to come in than those elsewhere.
#[test]
fn where_kubelet_is_known_only_its_user_has_that_address() {
    let kubelet = |node: &OneNode| {
        let program = node.node.directory().join("kubelet");
        fs::copy("/bin/sleep", &program).unwrap();
        node.lab.start(Launch::new("kubelet", program, node.node.netns()).arg(1_000_000)).unwrap();
    };
    let town = Town::start("kubelet", kubelet, snat);
    town.wait_until_probed();
    let script = format!("exec 3<>/dev/tcp/{}/{ECHO}; echo let me in >&3; head -n 1 <&3", town.shop.ip4());
    let ask = |user: &str| {
        let words = ["setpriv", "--reuid", user, "--clear-groups", "bash", "-c", &script];
        run_in(town.node.node.netns(), &words)
    };
    assert_eq!(ask("0").as_deref(), Ok("let me in\n"));
    assert!(!ask("12345").is_ok_and(|said| said.contains("let me in")), "anybody is taken for kubelet");
}
