//! A real Prometheus takes what nodes and agents show, and knows of a connection what there was.

use culvert_lab::{Node, Server};

use crate::harness::cluster::Cluster;
use crate::harness::command::run_in;
use crate::harness::metrics::doubling;
use crate::harness::prometheus::Prometheus;
use crate::harness::talk::{Ending, assert_reset, exchange};

/// Says something to a server that answers with twice as much.
#[track_caller]
fn say(cluster: &Cluster, server: &Server) {
    let answer = exchange(&cluster.client, (cluster.server.ip4(), server.port()), b"hello world");
    assert_eq!(answer, Ending::Complete(b"hello worldhello world".to_vec()));
}

#[test]
fn it_knows_of_a_connection_what_there_was_at_both_ends() {
    let cluster = Cluster::start("prometheus").unwrap();
    let lab = &cluster.lab;
    let server = lab.serve(&cluster.server, 0, doubling()).unwrap();
    let loopback = |port| ([127, 0, 0, 1], port).into();
    let targets = [
        ("one", loopback(15020), "/metrics"),
        ("two", (cluster.two.ip4(), 15020).into(), "/stats/prometheus"),
        ("agent", loopback(15014), "/metrics"),
    ];
    let prometheus = Prometheus::start(lab, &cluster.one, &targets);
    say(&cluster, &server);
    for (job, reporter) in [("one", "source"), ("two", "destination")] {
        let of = |name: &str| {
            format!(
                "istio_tcp_{name}_total{{job='{job}',reporter='{reporter}',connection_security_policy='mutual_tls',response_flags='-',source_principal='spiffe://cluster.local/ns/default/sa/client'}}"
            )
        };
        prometheus.wait_for(lab, &of("connections_closed"), 1.0);
        prometheus.wait_for(lab, &of("connections_opened"), 1.0);
        prometheus.wait_for(lab, &of("received_bytes"), 11.0);
        prometheus.wait_for(lab, &of("sent_bytes"), 22.0);
        prometheus.wait_for(lab, &format!("istio_tcp_sockets_open{{job='{job}',reporter='source'}}"), 0.0);
        prometheus.wait_for(lab, &format!("culvert_tunnels_open{{job='{job}'}}"), 1.0);
        prometheus.wait_for(lab, &format!("culvert_tunnel_handshakes_total{{job='{job}',result='ok'}}"), 1.0);
        prometheus.wait_for(lab, &format!("culvert_agent_connected{{job='{job}'}}"), 1.0);
        prometheus.wait_for(lab, &format!("istio_build{{job='{job}',component='ztunnel'}}"), 1.0);
    }
    prometheus.wait_for(lab, "culvert_certificates{job='one',state='available'}", 2.0);
    prometheus.wait_for(lab, "culvert_certificate_expiry_timestamp_seconds{job='one'} > bool time()", 1.0);
    prometheus.wait_for(lab, "culvert_ca_requests_total{job='one',result='ok'}", 2.0);
    prometheus.wait_for(lab, "process_open_fds{job='agent'} > bool 5", 1.0);
    prometheus.wait_for(lab, "time() - culvert_xds_last_update_timestamp_seconds{job='one'} < bool 60", 1.0);
    for (job, _, _) in targets {
        assert_eq!(prometheus.health(job), "up", "{job}");
    }
    let [kind, unit, help] = prometheus.family("istio_tcp_received_bytes");
    assert_eq!([kind.as_str(), &unit, &help], ["counter", "bytes", "Bytes from client to server."]);
}

/// What `promtool` says of names that are not ours to choose.
const NAMED_BY_OTHERS: &[&str] = &[
    "workload_manager_active_proxy_count non-histogram and non-summary metrics should not have \"_count\" suffix",
    "workload_manager_pending_proxy_count non-histogram and non-summary metrics should not have \"_count\" suffix",
];

#[test]
fn the_classic_text_has_no_faults_a_linter_knows() {
    let cluster = Cluster::start("promtool").unwrap();
    let server = cluster.lab.serve(&cluster.server, 0, doubling()).unwrap();
    say(&cluster, &server);
    let closed = cluster.server.listen(0).unwrap().local_addr().unwrap().port();
    assert_reset(&cluster.client, (cluster.server.ip4(), closed));
    for (node, port) in [(&cluster.one, 15020), (&cluster.two, 15020), (&cluster.one, 15014)] {
        let faults = faults(node, port);
        let ours: Vec<_> = faults.iter().filter(|fault| !NAMED_BY_OTHERS.contains(&fault.as_str())).collect();
        assert!(ours.is_empty(), "port {port} of {}: {ours:#?}", node.name());
        assert_eq!(faults.is_empty(), port == 15014, "the linter was asked");
    }
}

/// What the linter says of what a port shows.
#[track_caller]
fn faults(node: &Node, port: u16) -> Vec<String> {
    let ask =
        format!("curl -sSf http://127.0.0.1:{port}/metrics >metrics.txt && test -s metrics.txt || exit 9");
    let lint = "promtool check metrics <metrics.txt 2>&1; case $? in 0|3) ;; *) exit 8;; esac";
    let words = format!("cd $(mktemp -d) && {{ {ask}; }} && {{ {lint}; }}");
    let said = run_in(node.netns(), &["sh", "-c", &words]).unwrap();
    said.lines().map(str::to_owned).collect()
}
