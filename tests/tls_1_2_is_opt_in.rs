//! Peers that speak TLS 1.2 at most are told so, and operators are told what to do; with `TLS12_ENABLED=true` they are peers like
//! any other, and prove no less.
//!
//! They are `openssl s_client` and libcurl as clients, and Node as a server.

use std::net::SocketAddr;
use std::sync::Arc;

use culvert_lab::{Error, Launch, Program};
use serde_json::json;

use crate::harness::certificates::{Authority, Certificate};
use crate::harness::cluster::{BULK, Cluster, ECHO, SINK, SOURCE};
use crate::harness::metrics::counter;
use crate::harness::node_http2;
use crate::harness::shared::Shared;
use crate::harness::talk::{
    SOON, assert_both_ways, assert_download, assert_echo, assert_reset, assert_upload,
};
use crate::nghttp2_servers_are_peers::Rig as WithServer;
use crate::other_hbone_clients_are_served::Rig;

const ALLOWED: &[(&str, &str)] = &[("TLS12_ENABLED", "true")];
/// What an operator can do.
const REMEDY: &str = "TLS12_ENABLED=true";

/// A cluster whose nodes take TLS 1.2, for tests that change nothing.
fn allowing() -> Arc<Rig> {
    static RIG: Shared<Rig> = Shared::new();
    RIG.take(|| Rig::within(Cluster::start_with("tls12-allowed", ALLOWED)?))
}

/// What `openssl s_client` has to say about the server's tunnels.
#[track_caller]
fn s_client(rig: &Rig, certificate: &Certificate, options: &str) -> String {
    let Certificate { chain, key } = certificate;
    let launch = Launch::new("s_client", "/usr/bin/openssl", rig.cluster.outsider.netns());
    let launch = launch.arg("s_client").arg("-connect").arg(rig.tunnel());
    let launch = launch.path_arg("-cert", chain).path_arg("-key", key);
    let program = rig.cluster.lab.start(options.split_whitespace().fold(launch, Launch::arg)).unwrap();
    program.wait_for_exit(SOON).unwrap();
    program.log_text()
}

#[test]
fn a_client_is_told_and_the_log_names_it_and_says_what_to_do() {
    let rig = Rig::start("tls12-client").unwrap();
    let Cluster { lab, two, outsider, .. } = &rig.cluster;
    let proxy = lab.proxy(two).unwrap();
    let position = proxy.log_position();
    let said = s_client(&rig, &rig.good_certificate(), "-tls1_2");
    assert!(said.contains("alert protocol version"), "{said}");
    let line = proxy.wait_for_log_since(position, "connection failed", SOON).unwrap();
    for part in [&format!("src.addr={}:", outsider.ip4()), "reason=\"peer_not_accepted\"", REMEDY] {
        assert!(line.contains(part), "`{part}` is not in: {line}");
    }
    let labels = ["reporter=\"destination\"", "response_flags=\"TLS_FAILURE\""];
    assert_eq!(counter(two, "istio_tcp_connections_failed_total", &labels), 1);
    let report =
        rig.ask(rig.tunnel(), Some(&rig.good_certificate()), &format!("--tls12 {}", rig.application()));
    report.assert(&[("connect", "none"), ("tls", "none"), ("intact", "no")]);
}

#[test]
fn a_client_is_served_where_it_is_allowed() {
    let rig = allowing();
    let report =
        rig.ask(rig.tunnel(), Some(&rig.good_certificate()), &format!("--tls12 {}", rig.application()));
    report.assert(&[
        ("connect", "200"),
        ("tls", "TLSv1.2"),
        ("http", "2"),
        ("intact", "yes"),
        ("error", "none"),
    ]);
}

#[test]
fn whoever_can_speaks_1_3_where_1_2_is_allowed() {
    let rig = allowing();
    let report = rig.ask(rig.tunnel(), Some(&rig.good_certificate()), &rig.application().to_string());
    report.assert(&[("connect", "200"), ("tls", "TLSv1.3"), ("intact", "yes")]);
    let said = s_client(&rig, &rig.good_certificate(), "-tls1_2 -cipher ECDHE-ECDSA-AES128-SHA");
    assert!(said.contains("alert handshake failure"), "a cipher from before AEAD: {said}");
}

#[test]
fn a_client_proves_no_less_over_1_2() {
    let rig = allowing();
    let directory = rig.cluster.lab.directory();
    let ask = |certificate: Option<&Certificate>| {
        rig.ask(rig.tunnel(), certificate, &format!("--tls12 {}", rig.application()))
    };
    let turned_away = [("connect", "none"), ("tls", "none"), ("intact", "no")];
    ask(None).assert(&turned_away);
    let identity = "spiffe://cluster.local/ns/default/sa/curl";
    ask(Some(&Authority::create(directory).issue(directory, identity))).assert(&turned_away);
    ask(Some(&rig.mesh.issue_expired(directory, identity))).assert(&turned_away);
    ask(Some(&rig.certificate("spiffe://elsewhere.org/ns/default/sa/curl"))).assert(&turned_away);
    ask(Some(&rig.certificate("spiffe://cluster.local/ns/default/sa/unwelcome")))
        .assert(&[("connect", "401")]);
}

/// A cluster with a captured client, and a server of tunnels that speaks nothing but TLS 1.2.
fn with_server(name: &str, account: &str, settings: &[(&str, &str)]) -> Result<WithServer, Error> {
    let serve = |cluster: &Cluster, pod: &_, certificate: &_| -> Program {
        node_http2::serve_tunnels(&cluster.lab, pod, certificate, json!({ "tls": "TLSv1.2" }))
    };
    WithServer::within(Cluster::start_with(name, settings)?, account, serve)
}

#[test]
fn a_server_is_not_spoken_to_and_the_log_names_it_and_says_what_to_do() {
    let rig = with_server("tls12-server", "stranger", &[]).unwrap();
    let Cluster { lab, one, client, .. } = &rig.cluster;
    let proxy = lab.proxy(one).unwrap();
    let position = proxy.log_position();
    assert_reset(client, (rig.pod.ip4(), ECHO));
    let line = proxy.wait_for_log_since(position, "connection complete", SOON).unwrap();
    for part in [&format!("handshake with {}:15008", rig.pod.ip4()), "reason=\"tls_failure\"", REMEDY] {
        assert!(line.contains(part), "`{part}` is not in: {line}");
    }
    let labels = ["reporter=\"source\"", "response_flags=\"TLS_FAILURE\""];
    assert_eq!(counter(one, "istio_tcp_connections_failed_total", &labels), 1);
}

#[test]
fn a_server_is_a_peer_like_any_other_where_it_is_allowed() {
    let rig = with_server("tls12-server-allowed", "stranger", ALLOWED).unwrap();
    let Cluster { client, server, .. } = &rig.cluster;
    let at = |port| SocketAddr::from((rig.pod.ip4(), port));
    for _ in 0..3 {
        assert_echo(client, at(ECHO), b"over 1.2");
    }
    assert_upload(client, at(SINK), BULK);
    assert_download(client, at(SOURCE), BULK);
    assert_both_ways(client, at(ECHO), BULK);
    // Those who have both still use the newer one.
    assert_echo(client, (server.ip4(), ECHO), b"over 1.3");
}

#[test]
fn a_server_proves_no_less_over_1_2() {
    let rig = with_server("tls12-impostor", "somebody-else", ALLOWED).unwrap();
    assert_reset(&rig.cluster.client, (rig.pod.ip4(), ECHO));
}
