//! Trouble of a host.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;

use culvert_lab::{Lab, Node};

use super::Preflight;
use crate::harness::cluster::lab;
use crate::harness::command::run_in;

fn lab_with_node(name: &str) -> (Lab, Node) {
    let lab = lab(name).unwrap();
    let node = lab.node("one").unwrap();
    (lab, node)
}

#[track_caller]
fn on(node: &Node, command: &str) {
    run_in(node.netns(), &["sh", "-c", command]).unwrap();
}

#[test]
fn a_port_that_is_taken_is_named_with_who_has_it() {
    let (lab, node) = lab_with_node("check-ports");
    let listener = node.netns().run(|| TcpListener::bind("0.0.0.0:15020")).unwrap().unwrap();
    let answer = Preflight::new(&lab).run(&node);
    let own = std::process::id();
    let remedy = answer.assert_found("node-ports", "problem", &format!("(pid {own})"));
    assert!(remedy.ends_with(&format!("kill {own}")), "{remedy}");
    assert_eq!(answer.with_state("problem").len(), 1, "{:#?}", answer.with_state("problem"));
    drop(listener);
    Preflight::new(&lab).run(&node).assert_found("node-ports", "ok", "free");
}

#[test]
fn strict_interfaces_are_named_and_the_remedy_helps() {
    let (lab, node) = lab_with_node("check-strict");
    let _other = lab.node("two").unwrap();
    on(&node, "sysctl -qw net.ipv4.conf.to-two.rp_filter=1");
    let answer = Preflight::new(&lab).run(&node);
    on(&node, &answer.assert_found("rp-filter", "warning", "strict on to-two"));
    Preflight::new(&lab).run(&node).assert_found("rp-filter", "ok", "");
}

#[test]
fn rules_of_both_backends_are_found() {
    let (lab, node) = lab_with_node("check-mixed");
    on(
        &node,
        "iptables-nft -A INPUT -p tcp --dport 22 -j ACCEPT; ip6tables-legacy -A INPUT -p tcp --dport 22 -j ACCEPT",
    );
    let answer = Preflight::new(&lab).run(&node);
    let remedy =
        answer.assert_found("iptables-mixed", "warning", "1 rules of iptables-nft and 1 of iptables-legacy");
    assert!(remedy.contains("FORCE_IPTABLES_BINARY"), "{remedy}");
}

#[test]
fn rules_that_drop_tunnels_are_found_and_the_remedies_help() {
    let (lab, node) = lab_with_node("check-drop");
    for rules in [
        "iptables-nft -A FORWARD -s 10.0.0.0/8 -p tcp -m multiport --dports 15000:15010 -j DROP",
        "ip6tables-legacy -A FORWARD -p tcp -j REJECT",
        "iptables-nft -P FORWARD DROP",
        "nft add table inet strict; nft 'add chain inet strict forward { type filter hook forward priority 0; policy drop; }'",
    ] {
        on(&node, rules);
        let answer = Preflight::new(&lab).run(&node);
        let remedy = answer.assert_found("tunnel-port", "problem", "TCP port 15008 is dropped by");
        on(&node, &remedy);
        let after = Preflight::new(&lab).run(&node);
        after.assert_found("tunnel-port", "ok", "");
        assert_eq!(after.code, Some(0), "{rules}");
    }
}

#[test]
fn the_plugin_of_another_mesh_is_found() {
    let (lab, node) = lab_with_node("check-cni");
    let directory = lab.directory().join("cni");
    fs::create_dir(&directory).unwrap();
    let chain = r#"{"cniVersion":"1.0.0","name":"net","plugins":[{"type":"bridge"},{"type":"linkerd-cni"},{"type":"culvert-cni"}]}"#;
    fs::write(directory.join("10-net.conflist"), chain).unwrap();
    let answer = Preflight::new(&lab).run(&node);
    answer.assert_found("cni-chain", "ok", "10-net.conflist is in use (bridge, linkerd-cni, culvert-cni)");
    answer.assert_found("cni-other-mesh", "problem", "linkerd-cni of Linkerd");
    fs::write(directory.join("00-half.conflist"), "{").unwrap();
    Preflight::new(&lab).run(&node).assert_found(
        "cni-chain",
        "problem",
        "00-half.conflist is no CNI configuration",
    );
}

#[test]
fn network_policies_that_forget_the_tunnels_are_named() {
    let (lab, node) = lab_with_node("check-policies");
    let answers = r#"{"items":[
        {"kind":"Namespace","metadata":{"name":"shop","labels":{"istio.io/dataplane-mode":"ambient"}}},
        {"kind":"NetworkPolicy","metadata":{"namespace":"shop","name":"web"},
         "spec":{"podSelector":{},"policyTypes":["Ingress"],"ingress":[{"ports":[{"port":8080}]}]}}]}"#;
    let kubectl = lab.directory().join("kubectl");
    let cilium = r#"{"kind":"ConfigMap","data":{"bpf-lb-sock":"true"}}"#;
    let script = format!(
        "#!/bin/sh\ncase $2 in configmap) echo '{cilium}';; networkpolicies*) cat <<'END'\n{answers}\nEND\nesac\n"
    );
    fs::write(&kubectl, script).unwrap();
    fs::set_permissions(&kubectl, fs::Permissions::from_mode(0o755)).unwrap();
    let kubectl = kubectl.display().to_string();
    let ask =
        || Preflight::new(&lab).say(&["--only", "policies", "cilium", "--kubectl", &kubectl]).run(&node);
    let remedy = ask().assert_found("cilium", "problem", "socket load balancing is on in pods");
    assert!(remedy.contains("socketLB.hostNamespaceOnly=true"), "{remedy}");
    let remedy = ask().assert_found("network-policies", "problem", "policy shop/web admits ingress ports");
    assert!(remedy.starts_with("kubectl -n shop patch networkpolicy web"), "{remedy}");
    fs::write(&kubectl, "#!/bin/sh\necho 'error: You must be logged in' >&2; exit 1\n").unwrap();
    ask().assert_found("network-policies", "unknown", "You must be logged in");
}
