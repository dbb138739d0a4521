//! A pod goes from one node to another: whoever calls it finds it there, and its identity goes with it. The node it has left can have
//! no certificate of it any more.

use std::net::{IpAddr, Ipv4Addr};

use culvert_lab::api_server::pod;
use culvert_lab::{Container, http};
use serde_json::{Value, json};
use tonic::Code;

use crate::harness::cluster::{ECHO, WHO};
use crate::harness::command::run_in;
use crate::harness::one_node::OneNode;
use crate::harness::pair::{Pair, SHOP};
use crate::harness::signer;
use crate::harness::talk::{Ending, SOON, exchange, who};

const ADMIN: ([u8; 4], u16) = ([127, 0, 0, 1], 15000);
/// In front of the pod that moves.
const SERVICE: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 200);
const WEB: &str = "spiffe://cluster.local/ns/shop/sa/web";

/// Runs the pod that moves.
#[track_caller]
fn run_web(node: &OneNode) -> Container {
    node.run_as(pod(SHOP, "web").service_account("web").label("app", "web"))
}

/// Takes the pod from its node, as kubelet does.
#[track_caller]
fn end_web(node: &OneNode, web: &Container) {
    let api = &node.kubernetes.api;
    api.terminate("pods", SHOP, "web").unwrap();
    node.end(web);
    api.remove("pods", SHOP, "web").unwrap();
}

/// Two nodes, and the pod that moves on the first, behind a service.
#[track_caller]
fn start(name: &str) -> (Pair, Container) {
    let pair = Pair::start(name);
    let ports: Vec<_> = [ECHO, WHO].map(|port| json!({ "name": format!("p{port}"), "port": port })).to_vec();
    pair.cluster.apply(json!({ "apiVersion": "v1", "kind": "Service",
        "metadata": { "name": "web", "namespace": SHOP },
        "spec": { "clusterIP": SERVICE.to_string(), "selector": { "app": "web" }, "ports": ports } }));
    let web = run_web(pair.one());
    pair.cluster.wait_until_in(&[web.pod()]);
    (pair, web)
}

/// Whether the pod is asked for its certificate by a node.
#[track_caller]
fn signed_for(node: &OneNode) -> Result<(), Code> {
    let signed = signer::ask(node, node.lab.control_address(), WEB);
    signed.map(drop).map_err(|status| status.code())
}

/// Whether a node's program holds a certificate of the pod.
fn holds(node: &OneNode) -> bool {
    let dump = http::get(node.node.netns(), ADMIN, "/config_dump").unwrap();
    let dump: Value = serde_json::from_slice(&dump.body).unwrap();
    dump["certificates"].as_array().unwrap().iter().any(|one| one["identity"] == WEB)
}

/// Waits until both other pods reach the pod at an address, in private.
#[track_caller]
fn wait_until_found(pair: &Pair, at: impl Into<IpAddr>) {
    let at = at.into();
    for from in [&pair.client, pair.server.pod()] {
        let found = || exchange(from, (at, ECHO), b"found?") == Ending::Complete(b"found?".to_vec());
        pair.one().wait(&format!("{} finds it at {at}", from.name()), found);
        let (name, seen, own) = who(from.connect((at, WHO), SOON).unwrap());
        assert_eq!((name.as_str(), seen.ip()), ("web", own.ip()));
        let node = if from.name() == "client" { pair.one() } else { &pair.two };
        assert!(!node.is_read(from, (at, ECHO)), "{} talks to {at} in clear", from.name());
    }
}

#[test]
fn it_is_called_on_its_new_node_which_alone_has_its_certificate() {
    let (pair, before) = start("moved");
    wait_until_found(&pair, SERVICE);
    pair.one().wait("its node holds its certificate", || holds(pair.one()));
    assert_eq!((signed_for(pair.one()), signed_for(&pair.two)), (Ok(()), Err(Code::PermissionDenied)));
    end_web(pair.one(), &before);
    let after = run_web(&pair.two);
    assert_ne!(after.pod().ips(), before.pod().ips());
    pair.cluster.wait_until_in(&[after.pod()]);
    wait_until_found(&pair, SERVICE);
    wait_until_found(&pair, after.pod().ip4());
    assert_eq!(signed_for(&pair.two), Ok(()));
    pair.one().wait("its old node has lost it", || signed_for(pair.one()) == Err(Code::PermissionDenied));
    pair.one().wait("its old node forgets its certificate", || !holds(pair.one()));
    assert!(holds(&pair.two));
}

/// Some networks let pods keep their addresses.
#[test]
fn it_is_called_at_the_address_it_has_taken_along() {
    let (pair, before) = start("moved-address");
    let address = before.pod().ip4();
    wait_until_found(&pair, address);
    end_web(pair.one(), &before);
    let after = run_web(&pair.two);
    take_along(&pair, address, &after);
    pair.cluster.wait_until_in(&[after.pod()]);
    wait_until_found(&pair, address);
    wait_until_found(&pair, SERVICE);
    assert_eq!((signed_for(pair.one()), signed_for(&pair.two)), (Err(Code::PermissionDenied), Ok(())));
}

/// Gives a pod of the second node an address out of the network of the first, as far as everybody knows.
#[track_caller]
fn take_along(pair: &Pair, address: Ipv4Addr, web: &Container) {
    let (one, two) = (&pair.one().node, &pair.two.node);
    let (own, via) = (format!("{address}/32"), two.ip4().to_string());
    let inside = web.pod().netns();
    run_in(inside, &["ip", "addr", "add", &own, "dev", "eth0"]).unwrap();
    run_in(two.netns(), &["ip", "route", "replace", &own, "dev", "cni0"]).unwrap();
    run_in(one.netns(), &["ip", "route", "replace", &own, "via", &via]).unwrap();
    // Those it has left behind look for it where they are.
    run_in(one.netns(), &["sysctl", "-qw", "net.ipv4.conf.cni0.proxy_arp=1"]).unwrap();
    run_in(pair.client.netns(), &["ip", "neigh", "flush", "all"]).unwrap();
    let status = json!({ "podIP": address.to_string(), "podIPs": [{ "ip": address.to_string() }] });
    pair.two.kubernetes.api.patch("pods", SHOP, "web", json!({ "status": status })).unwrap();
}
