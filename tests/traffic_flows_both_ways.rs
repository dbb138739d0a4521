//! Captured pods talk to each other on one node and across nodes, by pod address and by service address, and what
//! arrives is what was sent.

use std::fs;
use std::io::{Read as _, Write as _};

use culvert_lab::{Pod, Program};

use crate::harness::cluster::{
    BULK, Cluster, ECHO, Family, SINK, SOURCE, WHO, service_port, service_spec, shared,
};
use crate::harness::kernel::established_at;
use crate::harness::metrics::counter;
use crate::harness::talk::{
    SOON, assert_alive, assert_both_ways, assert_download, assert_echo, assert_upload, who,
};

#[test]
fn a_message_comes_back() {
    let cluster = shared();
    for (to, _) in cluster.ways(Family::V4, ECHO) {
        assert_echo(&cluster.client, to, b"hello over there");
    }
}

#[test]
fn an_empty_connection_ends_in_order() {
    let cluster = shared();
    for (to, _) in cluster.ways(Family::V4, ECHO) {
        assert_echo(&cluster.client, to, b"");
    }
}

#[test]
fn ten_megabytes_go_up() {
    let cluster = shared();
    for (to, _) in cluster.ways(Family::V4, SINK) {
        assert_upload(&cluster.client, to, BULK);
    }
}

#[test]
fn ten_megabytes_come_down() {
    let cluster = shared();
    for (to, _) in cluster.ways(Family::V4, SOURCE) {
        assert_download(&cluster.client, to, BULK);
    }
}

#[test]
fn ten_megabytes_go_up_and_down_at_once() {
    let cluster = shared();
    for (to, _) in cluster.ways(Family::V4, ECHO) {
        assert_both_ways(&cluster.client, to, BULK);
    }
}

/// The kernel stops a read at the mark of urgent data (tcp(7)); what is behind it has come all the same.
#[test]
fn what_follows_urgent_data_is_not_held_up() {
    let cluster = Cluster::start("urgent").unwrap();
    let Cluster { lab, one, client, server, outsider, .. } = &cluster;
    let proxy = lab.proxy(one).unwrap();
    for to in [server, outsider] {
        let mut stream = client.connect((to.ip4(), ECHO), SOON).unwrap();
        assert_alive(&mut stream, b"in order");
        // The proxy finds all of it at once.
        proxy.pause().unwrap();
        lab.wait_until(SOON, "the proxy is stopped", || is_stopped(&proxy)).unwrap();
        stream.write_all(b"before").unwrap();
        socket2::SockRef::from(&stream).send_out_of_band(b"!").unwrap();
        stream.write_all(b"behind").unwrap();
        proxy.resume().unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).unwrap_or_else(|error| panic!("{}: {error}: {answer:?}", to.name()));
        assert!(answer.starts_with(b"before"), "{answer:?}");
    }
}

/// Whether no thread of a program runs (`T`, proc_pid_stat(5)).
fn is_stopped(program: &Program) -> bool {
    let tasks = fs::read_dir(format!("/proc/{}/task", program.pid())).unwrap();
    tasks
        .map(|task| fs::read_to_string(task.unwrap().path().join("stat")).unwrap())
        .all(|stat| stat.contains(") T "))
}

#[test]
fn a_tunnel_carries_it_even_on_one_node() {
    let cluster = shared();
    for (to, pod) in cluster.ways(Family::V4, ECHO) {
        let mut stream = cluster.client.connect(to, SOON).unwrap();
        assert_alive(&mut stream, b"still there");
        assert!(established_at(&cluster.client, 15001) > 0, "{to}: nothing was captured");
        assert!(established_at(pod, 15008) > 0, "{to}: no tunnel reaches {}", pod.name());
    }
}

#[test]
fn a_service_leads_to_its_pods_near_and_far_and_is_named_at_both_ends() {
    let cluster = Cluster::without_mesh("both").unwrap();
    let Cluster { lab, one, two, client, neighbour, server, .. } = &cluster;
    let both = lab.service(service_spec("both"), &[neighbour, server]).unwrap();
    cluster.start_mesh().unwrap();
    let at = (both.ip4(), service_port(WHO));
    let answered: Vec<String> =
        (0..50).map(|_| who(client.connect(at, SOON).unwrap())).map(|(name, ..)| name).collect();
    let by = |pod: &Pod| answered.iter().filter(|name| *name == pod.name()).count();
    let (near, far) = (by(neighbour), by(server));
    assert_eq!(near + far, 50);
    assert!(near >= 10 && far >= 10, "{near} near, {far} far");
    let called =
        ["destination_service=\"both.default.svc.cluster.local\"", "destination_service_name=\"both\""];
    for (node, reporter, expected) in
        [(one, "source", 50), (one, "destination", near), (two, "destination", far)]
    {
        let labels = [&format!("reporter=\"{reporter}\""), called[0], called[1]];
        let counted = || counter(node, "istio_tcp_connections_closed_total", &labels);
        let what = format!("{reporter} of {} has counted {expected} connections", node.name());
        lab.wait_until(SOON, &what, || counted() == expected as u64).unwrap();
    }
}
