//! An agent that lets go of its pods when it ends says so first: peers that believe otherwise would send tunnels nobody takes.

use std::time::Duration;

use culvert_lab::api_server::{ApiServer, Trouble, namespace, pod};
use culvert_lab::{Launch, PodSpec, new_uid, wait_until};
use serde_json::json;

use crate::harness::cluster::{lab, programs};
use crate::harness::kernel::traces_of_capture;
use crate::harness::talk::SOON;

/// What control planes read.
const CLAIM: &str = "ambient.istio.io/redirection";
const API: u16 = 6443;

#[test]
fn the_annotation_goes_before_the_rules() {
    let lab = lab("released").unwrap();
    let node = lab.node("one").unwrap();
    let containers = lab.containers(&node).unwrap();
    let api = ApiServer::start_in(lab.control_netns(), (lab.control_address().ip(), API)).unwrap();
    api.create(namespace("shop").label("istio.io/dataplane-mode", "ambient")).unwrap();
    let uid = new_uid().unwrap();
    let made = containers.sandbox(PodSpec::new("web").namespace("shop"), &uid).unwrap();
    let ips = made.pod().ips().map(|ip| json!({"ip": ip.to_string()}));
    let status = json!({"phase": "Running", "podIP": made.pod().ip4().to_string(), "podIPs": ips});
    let object = pod("shop", "web").uid(&uid).node(node.name()).annotation(CLAIM, "pending");
    api.create(object.merge(json!({"status": status}))).unwrap();

    let kubeconfig = node.directory().join("kubeconfig");
    api.write_kubeconfig(&kubeconfig).unwrap();
    let launch = Launch::new("agent-one", programs().unwrap().agent, node.netns())
        .path_arg("--socket", &node.agent_socket())
        .path_arg("--kubeconfig", &kubeconfig)
        .arg("--node-name")
        .arg(node.name())
        .path_arg("--cni-socket", &node.directory().join("cni.sock"))
        .path_arg("--state-dir", &node.directory().join("state"))
        .arg("--release-on-exit");
    let agent = lab.start_agent_as(&node, launch).unwrap();
    let is_captured = || !traces_of_capture(made.pod()).is_empty();
    wait_until(SOON, "the pod is captured", is_captured).unwrap();
    assert_eq!(api.object("pods", "shop", "web").unwrap()["metadata"]["annotations"][CLAIM], "pending");

    api.trouble(Trouble::late(Duration::from_secs(2)).on("patch", "pods/status"));
    agent.terminate().unwrap();
    let asked = || !api.requests_of("patch", "pods/status").is_empty();
    wait_until(SOON, "the annotation is taken back", asked).unwrap();
    assert!(is_captured(), "before that the pod is not let go of");
    wait_until(SOON, "the agent has ended", || !agent.is_running()).unwrap();
    assert_eq!(api.object("pods", "shop", "web").unwrap()["metadata"]["annotations"].get(CLAIM), None);
    assert_eq!(traces_of_capture(made.pod()), Vec::<String>::new());
}
