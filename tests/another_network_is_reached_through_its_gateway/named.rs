//! Logs, metrics and policies are about the workloads at both ends, not about the gateway between them.

use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};

use culvert_lab::{Behaviour, Node, wait_for};

use crate::harness::cluster::{ECHO, service_port};
use crate::harness::metrics::counter;
use crate::harness::talk::{Ending, SOON, assert_echo, assert_reset, exchange_on, read_to_end};

use super::envoy::{Rig, rig};
use super::rig::{Networks, PORT, assert_says, authority, logged};

const WHATEVER: &[u8] = b"whatever";

/// Makes one whole connection and gives the client's end of it.
#[track_caller]
fn talk(networks: &Networks, to: impl Into<SocketAddr>) -> SocketAddr {
    let (stream, own) = networks.call(to);
    assert_eq!(exchange_on(stream, WHATEVER), Ending::Complete(WHATEVER.to_vec()));
    own
}

fn label(name: &str, value: &str) -> String {
    format!("{name}=\"{value}\"")
}

/// The sum of a counter over series with these labels, once it is not 0.
#[track_caller]
fn counted(node: &Node, name: &str, labels: &[String]) -> u64 {
    let labels: Vec<_> = labels.iter().map(String::as_str).collect();
    let what = format!("{name} of {} counts with {labels:?}", node.name());
    wait_for(SOON, &what, || Some(counter(node, name, &labels)).filter(|sum| *sum > 0)).unwrap()
}

#[test]
fn the_log_of_the_client_s_node_names_whom_the_gateway_led_to() {
    let rig = rig();
    let networks = &rig.networks;
    let from = talk(networks, (networks.far.ip4(), service_port(ECHO)));
    let line = logged(&networks.proxy(&networks.here), &[format!("src.addr={from} ")]);
    let gate = format!("dst.addr={}:15008 ", networks.gate.ip4());
    let asked = format!("dst.hbone_addr={} ", authority(&networks.far, service_port(ECHO)));
    let server = format!("dst.identity=\"{}\"", networks.server.identity());
    let service = format!("dst.service=\"{}\"", networks.far.hostname());
    assert_says(
        &line,
        &[&gate, &asked, &server, &service, "dst.workload=\"orders\"", "dst.namespace=\"default\""],
    );
    assert_says(&line, &["bytes_sent=8 ", "bytes_recv=8 "]);
}

#[test]
fn whom_the_gateway_led_to_counts_and_not_whom_the_client_chose() {
    const CALLS: u64 = 24;
    let rig = rig();
    let networks = &rig.networks;
    // The client takes either endpoint, and the gateway this one.
    for _ in 0..CALLS {
        assert_echo(&networks.client, (rig.both.ip4(), service_port(ECHO)), WHATEVER);
    }
    let of_service = |more: &[String]| {
        [&[label("reporter", "source"), label("destination_service", &rig.both.hostname())], more].concat()
    };
    let met = of_service(&[
        label("destination_principal", &networks.server.identity()),
        label("destination_workload", "orders"),
    ]);
    for labels in [of_service(&[]), met] {
        assert_eq!(
            counted(&networks.here, "istio_tcp_connections_opened_total", &labels),
            CALLS,
            "{labels:?}"
        );
    }
}

#[test]
fn the_log_and_metrics_of_the_server_s_node_name_the_client_and_not_the_gateway() {
    let rig = rig();
    let networks = &rig.networks;
    let (service, _) = networks.application("recorded", Behaviour::Echo);
    talk(networks, (service.ip4(), PORT));
    let proxy = networks.proxy(&networks.there);
    let line = logged(&proxy, &[format!("dst.hbone_addr={} ", authority(&service, PORT))]);
    let gate = format!("src.addr={}:", networks.gate.ip4());
    let client = format!("src.identity=\"{}\"", networks.client.identity());
    let server = format!("dst.identity=\"{}\"", networks.server.identity());
    let called = format!("dst.service=\"{}\"", service.hostname());
    assert_says(
        &line,
        &[&gate, &client, &server, &called, "src.workload=\"caller\"", "dst.workload=\"server\""],
    );
    let labels = [
        label("reporter", "destination"),
        label("destination_service", &service.hostname()),
        label("source_workload", "caller"),
        label("source_principal", &networks.client.identity()),
        label("destination_principal", &networks.server.identity()),
    ];
    assert_eq!(counted(&networks.there, "istio_tcp_connections_opened_total", &labels), 1);
}

/// Says more than it is told: the two directions have to be told apart.
fn answer(mut stream: TcpStream) -> std::io::Result<()> {
    let Ending::Complete(question) = read_to_end(&mut stream) else { return Ok(()) };
    stream.write_all(&vec![b'.'; question.len() * 3])
}

#[test]
fn the_bytes_of_the_applications_are_counted_and_nobody_else_s() {
    const SAID: usize = 12_345;
    let rig = rig();
    let networks = &rig.networks;
    let (service, _) = networks.application("counted", Behaviour::custom(answer));
    let stream = networks.client.connect((service.ip4(), PORT), SOON).unwrap();
    let ending = exchange_on(stream, &[b'?'; SAID]);
    assert_eq!(ending, Ending::Complete(vec![b'.'; SAID * 3]));
    for (node, reporter) in [(&networks.here, "source"), (&networks.there, "destination")] {
        let labels = [label("reporter", reporter), label("destination_service", &service.hostname())];
        assert_eq!(counted(node, "istio_tcp_connections_closed_total", &labels), 1, "{reporter}");
        let sums =
            ["received", "sent"].map(|what| counted(node, &format!("istio_tcp_{what}_bytes_total"), &labels));
        assert_eq!(sums, [SAID as u64, SAID as u64 * 3], "{reporter}");
    }
}

#[test]
fn policies_of_the_server_are_about_the_client_s_identity() {
    let Rig { networks, not_for_neighbours, .. } = &*rig();
    let to = SocketAddr::from((not_for_neighbours.ip4(), PORT));
    assert_echo(&networks.client, to, WHATEVER);
    assert_reset(&networks.neighbour, to);
    let line = logged(
        &networks.proxy(&networks.there),
        &[
            format!("src.identity=\"{}\"", networks.neighbour.identity()),
            format!("dst.hbone_addr={} ", authority(not_for_neighbours, PORT)),
        ],
    );
    assert_says(&line, &["reason=\"denied\"", "default/deny-"]);
}

#[test]
fn policies_of_the_server_see_the_address_of_the_gateway() {
    let Rig { networks, only_from_the_gate, not_from_the_gate, .. } = &*rig();
    assert_echo(&networks.client, (only_from_the_gate.ip4(), PORT), WHATEVER);
    assert_reset(&networks.client, (not_from_the_gate.ip4(), PORT));
}
