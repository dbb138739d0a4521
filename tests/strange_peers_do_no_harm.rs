//! Peers that say nothing, say nonsense, or dial the proxy's own ports get nowhere and disturb nobody.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use culvert_lab::{Pod, wait_until};

use crate::harness::cluster::{Cluster, ECHO, Family, shared};
use crate::harness::kernel::{Connection, State, connections, established_at, limit_open_files, send_to};
use crate::harness::metrics::counter;
use crate::harness::talk::{Ending, SOON, assert_echo, exchange, read_to_end};

/// How long a peer may take to prove who it is, and how exactly that is kept.
const ACCEPT_DEADLINE: Duration = Duration::from_secs(10);
const PRECISION: Duration = Duration::from_secs(2);

#[test]
fn a_peer_that_says_nothing_is_closed_at_the_deadline() {
    let cluster = shared();
    let tunnel = (cluster.server.ip4(), 15008);
    let begun = Instant::now();
    let silent: Vec<_> =
        (0..20).map(|_| cluster.outsider.connect(tunnel, ACCEPT_DEADLINE + PRECISION).unwrap()).collect();
    // Meanwhile all others are served, promptly.
    for _ in 0..20 {
        let asked = Instant::now();
        assert_echo(&cluster.client, (cluster.server.ip4(), ECHO), b"undisturbed");
        assert!(asked.elapsed() < PRECISION, "{:?}", asked.elapsed());
    }
    for mut stream in silent {
        let ending = read_to_end(&mut stream);
        let took = begun.elapsed();
        assert!(matches!(ending, Ending::Complete(_) | Ending::Reset), "{ending:?} after {took:?}");
        assert!(took > ACCEPT_DEADLINE - PRECISION && took < ACCEPT_DEADLINE + PRECISION, "{took:?}");
    }
}

#[test]
fn a_peer_that_stops_halfway_is_closed_too() {
    let cluster = shared();
    let begun = Instant::now();
    let mut stream =
        cluster.outsider.connect((cluster.server.ip4(), 15008), ACCEPT_DEADLINE + PRECISION).unwrap();
    // The beginning of a TLS record that announces 512 bytes.
    stream.write_all(&[22, 3, 1, 2, 0, 1, 0]).unwrap();
    let ending = read_to_end(&mut stream);
    assert!(matches!(ending, Ending::Complete(_) | Ending::Reset), "{ending:?}");
    assert!(begun.elapsed() < ACCEPT_DEADLINE + PRECISION, "{:?}", begun.elapsed());
}

#[test]
fn nonsense_on_the_tunnel_port_is_closed_at_once() {
    let cluster = shared();
    for nonsense in [
        &b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"[..],
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        &[0; 4096],
        &[0xff; 4096],
    ] {
        let begun = Instant::now();
        let mut stream = cluster.outsider.connect((cluster.server.ip4(), 15008), SOON).unwrap();
        stream.write_all(nonsense).unwrap();
        // A TLS alert may come first.
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        assert!(answer.len() < 32, "{answer:?}");
        assert!(begun.elapsed() < PRECISION, "{:?}", begun.elapsed());
    }
    assert_echo(&cluster.client, (cluster.server.ip4(), ECHO), b"undisturbed");
}

/// Dials a port of a proxy; fails unless that is refused, at once or by a reset.
#[track_caller]
fn assert_no_entry(from: &Pod, to: SocketAddr) {
    let ending = exchange(from, to, b"hello, proxy");
    assert!(matches!(ending, Ending::Reset | Ending::Refused), "{} -> {to}: {ending:?}", from.name());
}

#[test]
fn the_proxys_own_ports_are_no_way_in_from_outside() {
    let cluster = Cluster::start("own-ports-outside").unwrap();
    for family in [Family::V4, Family::V6] {
        for port in [15001, 15006] {
            let to = family.of(cluster.server.ips(), port);
            assert_no_entry(&cluster.outsider, to);
            assert_no_entry(&cluster.client, to);
            assert_no_entry(&cluster.neighbour, to);
        }
        assert_no_entry(&cluster.client, family.of(cluster.server.ips(), 15008));
    }
    assert_quiet(&cluster.server);
    assert_echo(&cluster.client, (cluster.server.ip4(), ECHO), b"undisturbed");
}

#[test]
fn the_proxys_own_ports_do_not_loop_from_inside() {
    let cluster = Cluster::start("own-ports-inside").unwrap();
    for port in [15001, 15006] {
        assert_no_entry(&cluster.client, ([127, 0, 0, 1], port).into());
        assert_no_entry(&cluster.client, (std::net::Ipv6Addr::LOCALHOST, port).into());
        for ip in cluster.client.ips() {
            assert_no_entry(&cluster.client, (ip, port).into());
        }
    }
    assert_quiet(&cluster.client);
    assert_echo(&cluster.client, (cluster.server.ip4(), ECHO), b"undisturbed");
}

/// A connection that loops makes another one, which makes another one.
#[track_caller]
fn assert_quiet(pod: &Pod) {
    let busy = |it: &Connection| [15001, 15006].contains(&it.own) && it.state != State::TimeWait;
    // A tunnel or two may stay open.
    let quiet = || {
        connections(pod).iter().filter(|it| it.state != State::TimeWait).count() < 8
            && !connections(pod).iter().any(busy)
    };
    wait_until(SOON, &format!("pod {} is quiet", pod.name()), quiet).unwrap();
}

#[test]
fn five_hundred_half_open_peers_leave_room_for_others() {
    let cluster = Cluster::start("half-open").unwrap();
    let tunnel = (cluster.server.ip4(), 15008);
    let silent: Vec<_> = (0..500).map(|_| cluster.outsider.connect(tunnel, SOON).unwrap()).collect();
    let asked = Instant::now();
    assert_echo(&cluster.client, (cluster.server.ip4(), ECHO), b"undisturbed");
    assert!(asked.elapsed() < PRECISION, "{:?}", asked.elapsed());
    drop(silent);
    let gone = || established_at(&cluster.server, 15008) <= 1;
    wait_until(SOON, "peers that hung up are forgotten", gone).unwrap();
}

/// A redirect makes packets for others local: without a check a neighbour could use the pod as a relay.
#[test]
fn a_pod_is_no_relay_for_what_is_sent_to_somebody_else() {
    let cluster = Cluster::start("relay").unwrap();
    let Cluster { lab, two, server, outsider, .. } = &cluster;
    let elsewhere = Ipv4Addr::new(198, 51, 100, 9);
    send_to(two, elsewhere, server);
    let proxy = lab.proxy(two).unwrap();
    let position = proxy.log_position();
    assert_eq!(exchange(outsider, (elsewhere, ECHO), b"pass it on"), Ending::Reset);
    let line = proxy.wait_for_log_since(position, "not_our_address", SOON).unwrap();
    assert!(line.contains("reason=\"not_our_address\"") && line.contains("198.51.100.9:7007"), "{line}");
    assert_echo(outsider, (server.ip4(), ECHO), b"undisturbed");
}

#[test]
fn a_node_without_descriptors_waits_for_some_and_goes_on() {
    const CALLS: usize = 36;
    let cluster = Cluster::start("descriptors").unwrap();
    let Cluster { lab, two, client, server, outsider, .. } = &cluster;
    let to = (server.ip4(), ECHO);
    assert_echo(client, to, b"before");
    let proxy = lab.proxy(two).unwrap();
    // Not even what is kept for refusals is left.
    limit_open_files(&proxy, 5);
    let position = proxy.log_position();
    let waiting: Vec<_> = (0..CALLS).map(|_| outsider.connect(to, SOON).unwrap()).collect();
    let begun = Instant::now();
    let told = || proxy.log_since(position).matches("descriptors the process may have").count();
    lab.wait_until(SOON, "the node has tried to accept for a while", || told() >= 2).unwrap();
    let took = begun.elapsed();
    assert!(took > Duration::from_millis(900), "it is told of once a second: {took:?}");
    assert!(proxy.is_running());
    drop(waiting);
    limit_open_files(&proxy, 1000);
    let all = begun.elapsed().as_millis() / 100 + 2;
    let tries = u128::from(counter(two, "culvert_accept_errors_total", &[]));
    assert!(tries > 5 && tries <= all, "{tries} tries in {took:?}");
    for peer in [client, outsider] {
        let served = || exchange(peer, to, b"after") == Ending::Complete(b"after".to_vec());
        lab.wait_until(SOON, "the node serves again", served).unwrap();
    }
}
