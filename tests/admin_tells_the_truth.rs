//! Readiness, metrics and the dump say what is.

use std::io::{Read as _, Write as _};

use culvert_lab::{Node, PodSpec, Section, http};
use serde_json::{Value, json};

use crate::harness::cluster::{Cluster, ECHO, launch_in, shared};
use crate::harness::metrics::{counter, doubling};
use crate::harness::talk::{Ending, SOON, assert_alive, assert_echo, assert_reset, exchange};

const READINESS: ([u8; 4], u16) = ([127, 0, 0, 1], 15021);
const ADMIN: ([u8; 4], u16) = ([127, 0, 0, 1], 15000);

#[test]
fn a_node_is_not_ready_before_it_knows_its_pods() {
    let cluster = Cluster::without_mesh("readiness").unwrap();
    let lab = &cluster.lab;
    lab.enrol_all(&[&cluster.client]).unwrap();
    lab.start_control().unwrap();
    let proxy = lab.start(lab.node_launch(&cluster.one).unwrap()).unwrap();
    let ready = || http::get(cluster.one.netns(), READINESS, "/healthz/ready").ok();
    let waits = || ready().is_some_and(|answer| answer.text().contains("workload proxy manager"));
    lab.wait_until(SOON, "the node waits for its pods", waits).unwrap();
    assert_eq!(ready().unwrap().status, 500);
    lab.start_agent(&cluster.one).unwrap();
    lab.wait_until(SOON * 2, "the node is ready", || ready().is_some_and(|answer| answer.status == 200))
        .unwrap();
    assert_echo(&cluster.client, (cluster.outsider.ip4(), ECHO), b"ready means ready");
    assert!(proxy.is_running());
}

#[test]
fn one_connection_is_counted_once_and_to_the_byte() {
    let cluster = Cluster::start("metrics").unwrap();
    let server = cluster.lab.serve(&cluster.server, 0, doubling()).unwrap();
    let answer = exchange(&cluster.client, (cluster.server.ip4(), server.port()), b"hello world");
    assert_eq!(answer, Ending::Complete(b"hello worldhello world".to_vec()));
    for (node, reporter) in [(&cluster.one, "source"), (&cluster.two, "destination")] {
        let labels = [
            &format!("reporter=\"{reporter}\""),
            "connection_security_policy=\"mutual_tls\"",
            "response_flags=\"-\"",
            "source_principal=\"spiffe://cluster.local/ns/default/sa/client\"",
            "destination_principal=\"spiffe://cluster.local/ns/default/sa/server\"",
        ];
        let count = |name: &str| counter(node, &format!("istio_tcp_{name}_total"), &labels);
        cluster
            .lab
            .wait_until(SOON, "the connection is counted as closed", || count("connections_closed") == 1)
            .unwrap();
        assert_eq!(count("connections_opened"), 1, "{reporter}");
        assert_eq!(count("received_bytes"), 11, "{reporter}");
        assert_eq!(count("sent_bytes"), 22, "{reporter}");
        assert_eq!(opened_in_all(node), 1, "{reporter}");
    }
}

#[test]
fn an_open_connection_is_counted_as_open_and_so_are_its_bytes() {
    let cluster = Cluster::start("metrics-open").unwrap();
    let mut open = cluster.client.connect((cluster.server.ip4(), ECHO), SOON).unwrap();
    for _ in 0..3 {
        assert_alive(&mut open, b"ten bytes!");
    }
    for node in [&cluster.one, &cluster.two] {
        let count = |name: &str| counter(node, &format!("istio_tcp_{name}_total"), &[]);
        let bytes = || count("received_bytes") == 30 && count("sent_bytes") == 30;
        cluster.lab.wait_until(SOON, "the bytes are counted", bytes).unwrap();
        assert_eq!((count("connections_opened"), count("connections_closed")), (1, 0));
    }
    drop(open);
    let closed = || counter(&cluster.two, "istio_tcp_connections_closed_total", &[]) == 1;
    cluster.lab.wait_until(SOON, "the connection is counted as closed", closed).unwrap();
}

/// Nobody has proven anything, at either end.
#[test]
fn a_connection_in_plaintext_is_counted_without_identities() {
    let cluster = Cluster::start("metrics-plain").unwrap();
    assert_echo(&cluster.client, (cluster.outsider.ip4(), ECHO), b"out in the open");
    assert_echo(&cluster.outsider, (cluster.client.ip4(), ECHO), b"in from the open");
    for (reporter, from, to) in [("source", "client", "outsider"), ("destination", "outsider", "client")] {
        let labels = [
            &format!("reporter=\"{reporter}\""),
            "connection_security_policy=\"unknown\"",
            "source_principal=\"unknown\"",
            "destination_principal=\"unknown\"",
        ];
        let count = || counter(&cluster.one, "istio_tcp_connections_closed_total", &labels);
        let what = format!("{from} -> {to} is counted");
        cluster.lab.wait_until(SOON, &what, || count() == 1).unwrap();
    }
    assert_eq!(opened_in_all(&cluster.one), 2);
}

/// Dashboards are built on the others.
#[test]
fn metrics_that_may_change_say_so() {
    let cluster = shared();
    let closed = cluster.server.listen(0).unwrap().local_addr().unwrap().port();
    assert_echo(&cluster.client, (cluster.server.ip4(), ECHO), b"something to count");
    assert_reset(&cluster.client, (cluster.server.ip4(), closed));
    let metrics = || http::get(cluster.one.netns(), ([127, 0, 0, 1], 15020), "/metrics").unwrap().text();
    let failed = || metrics().contains("istio_tcp_connections_failed_total{");
    cluster.lab.wait_until(SOON, "the failure is counted", failed).unwrap();
    let text = metrics();
    for (family, may_change) in [
        ("istio_tcp_connections_opened_total", false),
        ("istio_tcp_connections_closed_total", false),
        ("istio_tcp_received_bytes_total", false),
        ("istio_tcp_sent_bytes_total", false),
        ("istio_tcp_connections_failed_total", true),
        ("culvert_connections_ended_early_total", true),
    ] {
        let help = text.lines().find(|line| line.starts_with(&format!("# HELP {family} ")));
        let help = help.unwrap_or_else(|| panic!("{family} is not explained: {text}"));
        assert_eq!(help.contains("unstable"), may_change, "{help}");
    }
}

/// All connections a node has counted, whatever their labels.
fn opened_in_all(node: &Node) -> u64 {
    counter(node, "istio_tcp_connections_opened_total", &[])
}

fn dump_of(node: &Node) -> Value {
    let answer = http::get(node.netns(), ADMIN, "/config_dump").unwrap();
    assert_eq!(answer.status, 200);
    serde_json::from_slice(&answer.body).unwrap()
}

#[test]
fn the_dump_names_pods_and_certificates_and_no_secret() {
    let cluster = shared();
    let dump = dump_of(&cluster.one);
    let certificates = dump["certificates"].as_array().unwrap();
    for pod in [&cluster.client, &cluster.neighbour] {
        assert_eq!(dump["workloadState"][pod.uid()]["info"]["name"], pod.name(), "{dump}");
        let own = certificates.iter().find(|it| it["identity"] == pod.identity()).unwrap();
        assert_eq!(own["state"], "Available", "{own}");
    }
    assert_eq!(dump["workloadState"].get(cluster.server.uid()), None, "a pod of another node: {dump}");
    let token = std::fs::read_to_string(cluster.one.token_file()).unwrap();
    let text = dump.to_string();
    assert!(!text.contains("PRIVATE KEY") && !text.contains(token.trim()));
}

/// The columns of `istioctl ztunnel-config`, read as it reads them.
#[test]
fn the_dump_can_be_read_by_tools_of_another_mesh() {
    let cluster = Cluster::start("dump").unwrap();
    let mut open = cluster.client.connect((cluster.server.ip4(), ECHO), SOON).unwrap();
    assert_alive(&mut open, b"hello");
    let [one, two] = [&cluster.one, &cluster.two].map(dump_of);
    let named = |dump: &Value, list: &str, name: &str| {
        let all = dump[list].as_array().unwrap();
        all.iter().find(|it| it["name"] == name).unwrap_or_else(|| panic!("{name}: {dump}")).clone()
    };
    let server = named(&one, "workloads", cluster.server.name());
    assert_eq!(server["workloadIps"][0], cluster.server.ip4().to_string());
    assert_eq!((&server["protocol"], &server["status"]), (&json!("HBONE"), &json!("Healthy")));
    let leaf = &one["certificates"][0]["certChain"][0];
    assert!(leaf["serialNumber"].as_str().unwrap().bytes().all(|digit| digit.is_ascii_digit()), "{leaf}");
    assert!(leaf["expirationTime"].as_str().unwrap().ends_with('Z'), "{leaf}");
    let of = |dump: &Value, uid: &str, way: &str| dump["workloadState"][uid]["connections"][way].clone();
    let peers = (cluster.client.ip4(), cluster.server.ip4());
    let outbound = of(&one, cluster.client.uid(), "outbound");
    let [outbound] = &outbound.as_array().unwrap()[..] else { panic!("{outbound}") };
    assert!(outbound["src"].as_str().unwrap().starts_with(&format!("{}:", peers.0)), "{outbound}");
    assert_eq!(outbound["originalDst"], format!("{}:{ECHO}", peers.1));
    assert_eq!(outbound["actualDst"], format!("{}:15008", peers.1));
    assert_eq!(outbound["protocol"], "HBONE");
    let inbound = of(&two, cluster.server.uid(), "inbound");
    let [inbound] = &inbound.as_array().unwrap()[..] else { panic!("{inbound}") };
    assert_eq!(inbound["actualDst"], format!("{}:{ECHO}", peers.1), "{inbound}");
    assert_eq!(inbound["protocol"], "HBONE");
    drop(open);
    let over = || of(&dump_of(&cluster.two), cluster.server.uid(), "inbound") == json!([]);
    cluster.lab.wait_until(SOON, "the connection is not listed any more", over).unwrap();
}

/// What a browser on the node's host would ask for some page of the world.
#[test]
fn pages_of_others_may_not_ask_the_admin_port() {
    let cluster = shared();
    let asked = |head: &str| {
        let mut stream = culvert_lab::socket::connect(cluster.one.netns(), ADMIN, SOON).unwrap();
        write!(stream, "{head}\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    for head in [
        "GET /config_dump HTTP/1.1\r\nHost: evil.example",
        "POST /quitquitquit HTTP/1.1\r\nHost: localhost:15000\r\nOrigin: http://evil.example",
    ] {
        let answer = asked(head);
        assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
    }
    assert!(asked("GET /config_dump HTTP/1.1\r\nHost: localhost:15000").starts_with("HTTP/1.1 200"));
}

#[test]
fn the_admin_port_is_for_the_node_only() {
    let cluster = shared();
    for pod in [&cluster.outsider, &cluster.client] {
        let ending = exchange(pod, (cluster.two.ip4(), 15000), b"GET /config_dump HTTP/1.0\r\n\r\n");
        assert!(matches!(ending, Ending::Refused | Ending::Reset), "{}: {ending:?}", pod.name());
    }
}

#[test]
fn a_node_ends_when_asked_over_http() {
    let cluster = Cluster::without_mesh("quit").unwrap();
    cluster.lab.start_control().unwrap();
    cluster.lab.start_agent(&cluster.one).unwrap();
    let proxy = cluster.lab.start_node(&cluster.one).unwrap();
    assert_eq!(http::request(cluster.one.netns(), ADMIN, "GET", "/quitquitquit").unwrap().status, 405);
    assert!(proxy.is_running());
    assert_eq!(http::request(cluster.one.netns(), ADMIN, "POST", "/quitquitquit").unwrap().status, 200);
    assert!(proxy.wait_for_exit(SOON).unwrap().success());
}

#[test]
fn metrics_can_be_had_through_the_mesh_by_whom_policies_let_in() {
    let cluster = Cluster::without_mesh("own-pod").unwrap();
    let lab = &cluster.lab;
    let home = PodSpec::new("proxy").namespace("mesh-system").service_account("proxy").takes_tunnels();
    let home = lab.pod(&cluster.two, home).unwrap();
    let [v4, v6] = home.ips();
    let only_the_client = format!(
        "- {{name: scrapers, namespace: mesh-system, scope: Namespace, action: Deny, rules: [[[{{\
         destinationIps: [\"{v4}\", \"{v6}\"], notPrincipals: [!Exact cluster.local/ns/default/sa/client]}}]]]}}\n"
    );
    lab.set(Section::Policies, &only_the_client).unwrap();
    lab.enrol_all(&[&cluster.client, &cluster.neighbour]).unwrap();
    lab.start_control().unwrap();
    for node in [&cluster.one, &cluster.two] {
        lab.start_agent(node).unwrap();
    }
    lab.start_node(&cluster.one).unwrap();
    let proxy = launch_in(lab, &cluster.two, &home)
        .env("POD_NAME", home.name())
        .env("POD_NAMESPACE", home.namespace())
        .env("SERVICE_ACCOUNT", home.service_account());
    let proxy = lab.start_node_as(&cluster.two, proxy).unwrap();
    proxy.wait_for_log("serving the pod of this process", SOON).unwrap();
    for ip in home.ips() {
        let text = http::get(cluster.client.netns(), (ip, 15020), "/metrics").unwrap().text();
        assert!(text.contains("istio_tcp_connections_opened_total"), "{text}");
        let own = "source_principal=\"spiffe://cluster.local/ns/default/sa/client\"";
        assert!(text.contains(own), "it was the client, through a tunnel: {text}");
        assert_reset(&cluster.neighbour, (ip, 15020));
    }
    // Anything else of the process stays where it is.
    assert_reset(&cluster.client, (home.ip4(), 15000));
}
