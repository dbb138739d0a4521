//! Captured pods talk to each other on one node and across nodes, by pod address and by service address, and what
//! arrives is what was sent.

use crate::harness::cluster::{BULK, ECHO, Family, SINK, SOURCE, shared};
use crate::harness::kernel::established_at;
use crate::harness::talk::{
    SOON, assert_alive, assert_both_ways, assert_download, assert_echo, assert_upload,
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
