//! Pods outside the mesh can be reached from it, and can reach into it, where no policy says otherwise.

use std::net::IpAddr;

use crate::harness::cluster::{BULK, Cluster, ECHO, SINK, SOURCE, WHO, shared};
use crate::harness::kernel::established_at;
use crate::harness::talk::{SOON, assert_alive, assert_download, assert_echo, assert_upload, who};

#[test]
fn a_captured_client_reaches_an_uncaptured_server_in_plaintext() {
    let marker = b"in plain sight, outbound";
    let cluster = Cluster::start("plain-out").unwrap();
    let wire = cluster.lab.wire(&cluster.one, &cluster.two).unwrap();
    let mut stream = cluster.client.connect((cluster.outsider.ip4(), ECHO), SOON).unwrap();
    assert_alive(&mut stream, marker);
    assert!(established_at(&cluster.client, 15001) > 0, "the connection was not captured");
    drop(stream);
    let capture = wire.stop().unwrap();
    assert!(capture.contains(marker));
    assert_eq!(capture.tcp_ports(), [ECHO]);
}

#[test]
fn an_uncaptured_client_reaches_a_captured_server_through_its_proxy() {
    let marker = b"in plain sight, inbound";
    let cluster = Cluster::start("plain-in").unwrap();
    let wire = cluster.lab.wire(&cluster.one, &cluster.two).unwrap();
    let mut stream = cluster.outsider.connect((cluster.client.ip4(), ECHO), SOON).unwrap();
    assert_alive(&mut stream, marker);
    assert!(established_at(&cluster.client, 15006) > 0, "the connection was not captured");
    drop(stream);
    let capture = wire.stop().unwrap();
    assert!(capture.contains(marker));
    assert_eq!(capture.tcp_ports(), [ECHO]);
}

/// A delivery under its client's address is from another port than any the client itself calls from: in the pod's namespace connection
/// tracking would take the two for one, and neither would come through.
#[test]
fn hundreds_of_connections_of_one_uncaptured_client_do_not_get_into_each_others_way() {
    let cluster = shared();
    for pod in [&cluster.server, &cluster.client] {
        let to = (pod.ip4(), ECHO);
        let mut held: Vec<_> = (0..800).map(|_| cluster.outsider.connect(to, SOON).unwrap()).collect();
        held.iter_mut().for_each(|stream| assert_alive(stream, b"one of many"));
    }
}

#[test]
fn the_address_of_an_uncaptured_client_survives() {
    let cluster = shared();
    // On the same node and on the other one.
    for pod in [&cluster.server, &cluster.client] {
        let (name, seen, _) = who(cluster.outsider.connect((pod.ip4(), WHO), SOON).unwrap());
        assert_eq!(name, pod.name());
        assert_eq!(seen.ip(), IpAddr::from(cluster.outsider.ip4()), "{name}");
    }
}

#[test]
fn an_uncaptured_server_sees_the_captured_client() {
    let cluster = shared();
    let (_, seen, _) = who(cluster.client.connect((cluster.outsider.ip4(), WHO), SOON).unwrap());
    assert_eq!(seen.ip(), IpAddr::from(cluster.client.ip4()));
}

#[test]
fn bulk_data_passes_unharmed() {
    let cluster = shared();
    for (from, to) in [(&cluster.client, &cluster.outsider), (&cluster.outsider, &cluster.client)] {
        assert_upload(from, (to.ip4(), SINK).into(), BULK);
        assert_download(from, (to.ip4(), SOURCE).into(), BULK);
    }
}

#[test]
fn a_pod_reaches_itself_by_address_by_loopback_and_by_service() {
    let cluster = shared();
    assert_echo(&cluster.server, (cluster.server.ip4(), ECHO), b"me");
    assert_echo(&cluster.server, ([127, 0, 0, 1], ECHO), b"me, too");
    let (service, port) = (cluster.web.ip4(), crate::harness::cluster::service_port(ECHO));
    assert_echo(&cluster.server, (service, port), b"me, through a service");
}
