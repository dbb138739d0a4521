//! What goes wrong with the DNS of one pod is told, and concerns nothing else.

use std::net::{IpAddr, UdpSocket};

use culvert_lab::{PodSpec, http};

use super::SOON;
use super::rig::Rig;
use crate::harness::cluster::{ECHO, serve_all};
use crate::harness::nameserver::{self, dig};
use crate::harness::talk::assert_echo;

const ADMIN: ([u8; 4], u16) = ([127, 0, 0, 1], 15000);

/// What the node says of itself.
fn dump(rig: &Rig) -> String {
    http::get(rig.node.netns(), ADMIN, "/config_dump").unwrap().text()
}

#[test]
fn a_pod_whose_dns_port_is_taken_keeps_its_connections_and_gets_its_dns_later() {
    let rig = Rig::start("dns-port-taken").unwrap();
    serve_all(&rig.lab, &rig.neighbour).unwrap();
    let late = rig.lab.pod(&rig.node, PodSpec::new("late")).unwrap();
    let taken = late.netns().run(|| UdpSocket::bind("127.0.0.1:15053")).unwrap().unwrap();
    rig.lab.enrol(&late).unwrap();
    assert_echo(&late, (rig.neighbour.ip4(), ECHO), b"connections are served");
    let said = dump(&rig);
    assert!(said.contains("\"name\": \"late\",") && said.contains("cannot listen on port 15053"), "{said}");
    rig.proxy.wait_for_log("cannot take the pod's DNS queries", SOON).unwrap();
    drop(taken);
    let is_cured = || dump(&rig).contains("\"troubles\": []");
    rig.lab.wait_until(SOON, "the trouble is over", is_cured).unwrap();
    assert_eq!(dig(&late, rig.cluster.ip4(), "known.example A +short").unwrap().trim(), "192.0.2.1");
}

/// As the DNS of a cluster would, if that were in the mesh.
#[test]
fn a_captured_nameserver_asks_its_own_upstream() {
    let rig = Rig::start("dns-captured-server").unwrap();
    let _forwarding = nameserver::forward(&rig.lab, &rig.neighbour, rig.other.ip4()).unwrap();
    let server: IpAddr = rig.neighbour.ip4().into();
    for transport in ["+notcp", "+tcp"] {
        assert_eq!(rig.dig_short(server, &format!("known.example A {transport}")), ["192.0.2.2"]);
    }
    let asked = rig.other.queries("known.example");
    assert!(asked.len() <= 2 && asked.iter().all(|ip| rig.neighbour.ips().contains(ip)), "{asked:?}");
}

#[test]
fn where_the_node_does_not_take_queries_they_are_lost_and_it_is_said_why() {
    let rig = Rig::start_with("dns-off", &[("ISTIO_META_DNS_CAPTURE", "false")]).unwrap();
    let line = rig.proxy.wait_for_log("ISTIO_META_DNS_CAPTURE", SOON).unwrap();
    assert!(line.contains("--dns-capture"), "{line}");
    let said = dump(&rig);
    assert!(said.contains("\"capture\": \"Off\""), "{said}");
    let line = rig.agent.wait_for_log("nobody takes the pod's captured DNS queries", SOON * 2).unwrap();
    assert!(line.contains("ISTIO_META_DNS_CAPTURE") && line.contains("--dns-capture"), "{line}");
    for (server, transport) in rig.cluster.ways() {
        let said = rig.try_dig(server, &format!("known.example A {transport}"));
        assert!(said.is_err(), "from {server} {transport}: {said:?}");
    }
    assert_eq!(rig.cluster.queries("known.example"), [] as [IpAddr; 0]);
}
