//! A collector of OpenTelemetry is told of each connection, by both nodes as one trace; and whatever becomes of it, connections do
//! not notice.

use std::time::{Duration, Instant};

use culvert_lab::{Lab, Node, Program};

use crate::harness::cluster::{Cluster, ECHO};
use crate::harness::collector::{Collector, Told, settings};
use crate::harness::metrics::{counter, doubling};
use crate::harness::talk::{Ending, SOON, assert_echo, assert_reset, exchange};

const DROPPED: &str = "culvert_telemetry_dropped_total";
const SENT: &str = "culvert_telemetry_sent_total";

/// A cluster whose nodes send to a collector on the first one, which is not there yet.
fn cluster(name: &str, protocol: &'static str, more: &[(&str, &str)]) -> Cluster {
    let cluster = Cluster::without_mesh(name).unwrap();
    let to = settings(&cluster.one, protocol);
    let to = to.iter().map(|(name, value)| (*name, value.as_str()));
    let all: Vec<(&str, &str)> = to.chain(more.iter().copied()).collect();
    cluster.start_programs(&all).unwrap();
    cluster.lab.enrol_all(&[&cluster.client, &cluster.neighbour, &cluster.server]).unwrap();
    cluster
}

/// The two spans of one connection to a port: the caller's, and the callee's.
#[track_caller]
fn pair(lab: &Lab, collector: &Collector, port: u16) -> [Told; 2] {
    let port = port.to_string();
    let spans =
        collector.wait_for(lab, 2, "both spans are there", |it| it.is_span() && it.has("server.port", &port));
    let [one, other] = &spans[..] else { panic!("{spans:#?}") };
    let client_first = one.said("Kind") == "SPAN_KIND_CLIENT";
    let [client, server] = if client_first { [one, other] } else { [other, one] }.map(Clone::clone);
    assert_eq!((client.said("Kind"), server.said("Kind")), ("SPAN_KIND_CLIENT", "SPAN_KIND_SERVER"));
    assert_eq!((client.said("Name"), server.said("Name")), ("CONNECT", "CONNECT"));
    assert_eq!((client.said("Trace ID").len(), client.said("Trace ID")), (32, server.said("Trace ID")));
    assert_eq!((client.said("Parent ID"), client.said("ID")), ("", server.said("Parent ID")));
    [client, server]
}

fn both_nodes_tell_of_one_trace(name: &str, protocol: &'static str) {
    let cluster = cluster(name, protocol, &[("OTEL_RESOURCE_ATTRIBUTES", "team=shop")]);
    let lab = &cluster.lab;
    let collector = Collector::start(lab, &cluster.one, "collector");
    let server = lab.serve(&cluster.server, 0, doubling()).unwrap();
    let answer = exchange(&cluster.client, (cluster.server.ip4(), server.port()), b"hello world");
    assert_eq!(answer, Ending::Complete(b"hello worldhello world".to_vec()));
    let spans = pair(lab, &collector, server.port());
    let identity = |account: &str| format!("spiffe://cluster.local/ns/default/sa/{account}");
    for (span, pod, direction, node) in
        [(&spans[0], "client", "outbound", "one"), (&spans[1], "server", "inbound", "two")]
    {
        for (name, value) in [
            ("client.address", cluster.client.ip4().to_string().as_str()),
            ("network.transport", "tcp"),
            ("k8s.pod.name", pod),
            ("k8s.namespace.name", "default"),
            ("culvert.direction", direction),
            ("culvert.source.identity", &identity("client")),
            ("culvert.destination.identity", &identity("server")),
            ("culvert.bytes.to_server", "11"),
            ("culvert.bytes.to_client", "22"),
            ("culvert.protocol", "hbone"),
        ] {
            assert_eq!(span.attribute(name), value, "{name} of {span:#?}");
        }
        assert!(!span.attributes.contains_key("error.type"), "{span:#?}");
        let resource = ["service.name", "team", "k8s.node.name"].map(|name| span.resource[name].as_str());
        assert_eq!(resource, ["culvert-node", "shop", node]);
    }
    let closed = cluster.server.listen(0).unwrap().local_addr().unwrap().port();
    assert_reset(&cluster.client, (cluster.server.ip4(), closed));
    let spans = pair(lab, &collector, closed);
    for span in &spans {
        assert_eq!(span.said("Status code"), "STATUS_CODE_ERROR");
        assert!(!span.said("Status message").is_empty());
    }
    assert_eq!(spans[1].attribute("error.type"), "workload_refused");
    assert!(spans[1].said("Status message").contains(&closed.to_string()), "{:#?}", spans[1]);
}

#[test]
fn both_nodes_tell_of_one_trace_by_grpc() {
    both_nodes_tell_of_one_trace("otlp-grpc", "grpc");
}

#[test]
fn both_nodes_tell_of_one_trace_by_http() {
    both_nodes_tell_of_one_trace("otlp-http", "http/protobuf");
}

#[test]
fn log_records_belong_to_their_spans_and_trouble_is_told() {
    let cluster = cluster("otlp-logs", "http/protobuf", &[("RUST_LOG", "info,access=off")]);
    let lab = &cluster.lab;
    let collector = Collector::start(lab, &cluster.one, "collector");
    let server = lab.serve(&cluster.server, 0, doubling()).unwrap();
    exchange(&cluster.client, (cluster.server.ip4(), server.port()), b"hello world");
    let [client, _] = pair(lab, &collector, server.port());
    let of_it = |it: &Told| !it.is_span() && it.said.get("Span ID") == client.said.get("ID");
    let record = &collector.wait_for(lab, 1, "the record is there", of_it)[0];
    assert_eq!(record.said("Trace ID"), client.said("Trace ID"));
    assert_eq!((record.said("Body"), record.said("SeverityText")), ("connection complete", "INFO"));
    assert_eq!(record.attribute("culvert.bytes.to_server"), "11");
    lab.control().unwrap().kill_hard().unwrap();
    let trouble = |it: &Told| !it.is_span() && matches!(it.said("SeverityText"), "WARN" | "ERROR");
    let told = collector.wait_for(lab, 1, "that the control plane has gone is told", trouble);
    assert!(told[0].attribute("culvert.target").starts_with("culvert_node"), "{told:#?}");
}

#[test]
fn what_is_told_when_a_node_ends_is_sent_before() {
    let cluster = cluster("otlp-end", "grpc", &[]);
    let lab = &cluster.lab;
    let collector = Collector::start(lab, &cluster.one, "collector");
    let _open = cluster.client.connect((cluster.server.ip4(), ECHO), SOON).unwrap();
    lab.proxy(&cluster.one).unwrap().stop().unwrap();
    let cut = |it: &Told| it.is_span() && it.has("culvert.reason", "drained");
    collector.wait_for(lab, 1, "the connection that was cut is told", cut);
}

/// Makes connections that must go well, and none of them slowly.
#[track_caller]
fn connect(cluster: &Cluster, times: usize) {
    for _ in 0..times {
        let begun = Instant::now();
        assert_echo(&cluster.client, (cluster.server.ip4(), ECHO), b"not held up");
        assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    }
}

fn count(node: &Node, name: &str) -> u64 {
    counter(node, name, &["signal=\"traces\""])
}

#[test]
fn a_collector_that_is_gone_or_stuck_costs_nothing_but_spans() {
    let room = [("OTEL_BSP_MAX_QUEUE_SIZE", "8"), ("OTEL_EXPORTER_OTLP_TIMEOUT", "1000")];
    let cluster = cluster("otlp-outage", "http/protobuf", &room);
    let (lab, one) = (&cluster.lab, &cluster.one);
    connect(&cluster, 40);
    let dropped = || count(one, DROPPED);
    lab.wait_until(SOON, "spans were dropped", || dropped() > 0).unwrap();
    assert_eq!(count(one, SENT), 0);
    let proxy = lab.proxy(one).unwrap();
    proxy.wait_for_log("telemetry cannot be sent to the collector", SOON).unwrap();
    let collector = Collector::start(lab, one, "collector");
    proxy.wait_for_log("telemetry can be sent to the collector again", SOON * 2).unwrap();
    lab.wait_until(SOON, "what waited was sent", || count(one, SENT) > 0).unwrap();
    let (sent, lost) = (count(one, SENT), dropped());
    assert!(sent + lost <= 40, "{sent} {lost}");
    collector.program.pause().unwrap();
    connect(&cluster, 40);
    lab.wait_until(SOON, "spans were dropped again", || dropped() > lost).unwrap();
    collector.program.resume().unwrap();
    connect(&cluster, 1);
    lab.wait_until(SOON * 2, "it goes on", || count(one, SENT) > sent).unwrap();
    collector.program.pause().unwrap();
    connect(&cluster, 1);
    let begun = Instant::now();
    proxy.stop().unwrap();
    assert!(begun.elapsed() < Duration::from_secs(8), "a stuck collector held it up: {:?}", begun.elapsed());
}

/// The threads of a program, by name.
fn threads(program: &Program) -> Vec<String> {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", program.pid())).unwrap();
    let name = |task: std::fs::DirEntry| std::fs::read_to_string(task.path().join("comm")).ok();
    tasks.filter_map(|task| name(task.ok()?)).map(|name| name.trim().to_owned()).collect()
}

#[test]
fn nothing_is_sent_when_it_is_off() {
    let cluster = Cluster::without_mesh("otlp-off").unwrap();
    let lab = &cluster.lab;
    lab.start_control().unwrap();
    let nothing = [("OTEL_TRACES_EXPORTER", "none".to_owned()), ("OTEL_LOGS_EXPORTER", "none".to_owned())];
    let to = settings(&cluster.one, "grpc");
    for (node, settings) in [(&cluster.one, &[][..]), (&cluster.two, &[&to[..], &nothing].concat())] {
        lab.start_agent(node).unwrap();
        let launch = lab.node_launch(node).unwrap();
        let launch = settings.iter().fold(launch, |launch, (name, value)| launch.env(name, value));
        lab.start_node_as(node, launch).unwrap();
    }
    lab.enrol_all(&[&cluster.client, &cluster.server]).unwrap();
    let collector = Collector::start(lab, &cluster.one, "collector");
    connect(&cluster, 3);
    for node in [&cluster.one, &cluster.two] {
        let proxy = lab.proxy(node).unwrap();
        let threads = threads(&proxy);
        assert!(threads.iter().any(|name| name == "culvert-admin"), "{threads:?}");
        assert!(!threads.iter().any(|name| name.starts_with("culvert-telem")), "{threads:?}");
        proxy.stop().unwrap();
    }
    assert_eq!(collector.told().len(), 0);
}
