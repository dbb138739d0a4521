//! `COMPLIANCE_POLICY=pqc`: peers that offer no hybrid post-quantum key exchange are refused; ours offer it unasked.

use culvert_lab::{Launch, Pod, Program};

use crate::harness::cluster::{Cluster, ECHO};
use crate::harness::talk::{SOON, assert_echo};

fn start(name: &str, policy: &str) -> Cluster {
    let cluster = Cluster::without_mesh(name).unwrap();
    let lab = &cluster.lab;
    lab.enrol_all(&[&cluster.client, &cluster.server]).unwrap();
    lab.start_control().unwrap();
    lab.start_agent(&cluster.one).unwrap();
    lab.start_agent(&cluster.two).unwrap();
    lab.start_node(&cluster.two).unwrap();
    let launch = lab.node_launch(&cluster.one).unwrap();
    let launch = if policy.is_empty() { launch } else { launch.env("COMPLIANCE_POLICY", policy) };
    lab.start_node_as(&cluster.one, launch).unwrap();
    cluster
}

/// A client that knows classic key exchanges only, at the tunnel port of a pod.
fn classic_client(cluster: &Cluster, to: &Pod) -> Program {
    openssl_client(cluster, to, &["-groups", "X25519:P-256"])
}

fn openssl_client(cluster: &Cluster, to: &Pod, options: &[&str]) -> Program {
    let launch = Launch::new("s_client", "/usr/bin/openssl", cluster.outsider.netns())
        .arg("s_client")
        .arg("-connect")
        .arg(format!("{}:15008", to.ip4()))
        .arg("-msg");
    let client = cluster.lab.start(options.iter().fold(launch, Launch::arg)).unwrap();
    client.wait_for_exit(SOON).unwrap();
    client
}

#[test]
fn a_node_that_requires_it_meets_one_that_offers_it_and_refuses_who_does_not() {
    let cluster = start("pqc", "pqc");
    assert_echo(&cluster.client, (cluster.server.ip4(), ECHO), b"there");
    assert_echo(&cluster.server, (cluster.client.ip4(), ECHO), b"and back");
    let refused = classic_client(&cluster, &cluster.client).log_text();
    assert!(refused.contains("handshake_failure") && !refused.contains("Certificate"), "{refused}");
}

#[test]
fn a_node_that_only_prefers_it_meets_classic_peers() {
    let cluster = start("classic", "");
    let met = classic_client(&cluster, &cluster.client).log_text();
    assert!(met.contains("CertificateVerify"), "{met}");
}

/// There is no such key exchange in TLS 1.2.
#[test]
fn to_allow_tls_1_2_does_not_allow_what_is_classic() {
    let settings = [("COMPLIANCE_POLICY", "pqc"), ("TLS12_ENABLED", "true")];
    let cluster = Cluster::start_with("pqc-tls12", &settings).unwrap();
    let refused = openssl_client(&cluster, &cluster.server, &["-tls1_2"]).log_text();
    assert!(refused.contains("fatal handshake_failure") && !refused.contains("ServerHello"), "{refused}");
    assert_echo(&cluster.client, (cluster.server.ip4(), ECHO), b"there");
}
