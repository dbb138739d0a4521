//! An application that asks for a connection, by SOCKS on its loopback address, is connected as if it had made it itself: through
//! the tunnel, by address or by name. It hears whether it was, and why not.
//!
//! Clients are curl and sockets of the tests' own.

mod ends;
mod names;
mod refusals;
mod rig;

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr};

use culvert_lab::PodSpec;
use rig::shared;

use crate::harness::cluster::{BULK, ECHO, Family, SINK, SOURCE, WHO, service_port};
use crate::harness::socks::{HELLO, PLACES, SOCKS, answer, ask, to_address, to_name};
use crate::harness::talk::{SOON, assert_alive, who};

#[test]
fn curl_is_connected_to_a_service_by_name_through_the_tunnel() {
    let rig = shared();
    let url = format!("http://{}/", rig.shop.hostname());
    let position = rig.proxy.log_position();
    for place in ["127.0.0.1:15080", "[::1]:15080"] {
        let said = rig.curl(&["--data", "a question", "--socks5-hostname", place, &url]).unwrap();
        assert!(said.starts_with("HTTP/1.1 200") && said.ends_with("a question"), "{said}");
        let [v4, v6] = rig.cluster.client.ips().map(|ip| format!("X-Caller: {}", SocketAddr::new(ip, 0)));
        let caller = if place.starts_with('[') { v6 } else { v4 };
        assert!(said.contains(caller.trim_end_matches('0')), "{caller}: {said}");
    }
    // Told once, with what was asked for.
    let asked = format!("socks=\"{}:80\"", rig.shop.hostname());
    let line = rig.proxy.wait_for_log_since(position, &asked, SOON).unwrap();
    for part in
        ["direction=\"outbound\"", "dst.hbone_addr=", "dst.workload=\"server\"", "src.workload=\"client\""]
    {
        assert!(line.contains(part), "{part}: {line}");
    }
}

#[test]
fn curl_is_connected_to_addresses_it_knows() {
    let rig = shared();
    let at = |ip: IpAddr, port| format!("http://{}/", SocketAddr::new(ip, port));
    let (cluster, mut urls) = (&rig.cluster, Vec::new());
    urls.extend(rig.shop.ips().map(|ip| at(ip, 80)));
    for pod in [&cluster.server, &cluster.outsider] {
        urls.extend(pod.ips().map(|ip| at(ip, rig.http)));
    }
    for url in &urls {
        let said = rig.curl(&["--data", "a question", "--socks5", "127.0.0.1:15080", url]).unwrap();
        assert!(said.starts_with("HTTP/1.1 200") && said.ends_with("a question"), "{url}: {said}");
    }
}

#[test]
fn everybody_is_reached_who_is_reached_without_asking() {
    let rig = shared();
    for family in [Family::V4, Family::V6] {
        for (to, pod) in rig.cluster.ways(family, WHO) {
            let (name, seen, own) = who(rig.connected(&to_address(to)));
            assert_eq!(name, pod.name());
            // It asked on its loopback address, and has called from its own.
            assert!(rig.cluster.client.ips().contains(&seen.ip()), "{to} sees {seen}");
            assert_eq!(seen.port(), own.port(), "{to}");
        }
        let outsider = family.of(rig.cluster.outsider.ips(), ECHO);
        assert_alive(&mut rig.connected(&to_address(outsider)), b"in plaintext");
    }
    for place in PLACES {
        let own = to_address((place, ECHO));
        assert_alive(&mut rig.connected(&own), b"myself");
    }
}

#[test]
fn what_is_said_behind_the_request_is_not_lost() {
    let rig = shared();
    let cluster = &rig.cluster;
    let request = to_name(&cluster.web.hostname(), service_port(ECHO));
    let plain = to_address((cluster.outsider.ip4(), ECHO));
    for request in [request, plain] {
        let mut stream = cluster.client.connect((PLACES[0], SOCKS), SOON).unwrap();
        // More than fits into one piece of anything.
        let early: Vec<u8> = (0..100_000_u32).map(|byte| byte.to_le_bytes()[1]).collect();
        let sent = [HELLO, &request, &early].concat();
        let mut writing = stream.try_clone().unwrap();
        let writer = std::thread::spawn(move || {
            writing.write_all(&sent).unwrap();
            writing.shutdown(std::net::Shutdown::Write).unwrap();
        });
        let mut method = [0; 2];
        stream.read_exact(&mut method).unwrap();
        assert_eq!((method, answer(&mut stream).unwrap()), ([5, 0], 0));
        let mut back = Vec::new();
        stream.read_to_end(&mut back).unwrap();
        assert!(back == early, "{} bytes came back", back.len());
        writer.join().unwrap();
    }
}

#[test]
fn a_negotiation_in_single_bytes_is_one() {
    let rig = shared();
    let mut stream = rig.cluster.client.connect((PLACES[0], SOCKS), SOON).unwrap();
    let request = to_name(&rig.cluster.web.hostname(), service_port(ECHO));
    for byte in HELLO.iter().chain(&request) {
        stream.write_all(&[*byte]).unwrap();
    }
    let mut method = [0; 2];
    stream.read_exact(&mut method).unwrap();
    assert_eq!((method, answer(&mut stream).unwrap()), ([5, 0], 0));
    assert_alive(&mut stream, b"bit by bit");
}

#[test]
fn bulk_passes_unharmed_and_is_counted() {
    let rig = shared();
    let cluster = &rig.cluster;
    for to in [(cluster.server.ip4(), SINK), (cluster.outsider.ip4(), SINK)] {
        let mut stream = rig.connected(&to_address(to));
        let sent = culvert_lab::bulk::send(&mut stream, BULK).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut digest = String::new();
        stream.read_to_string(&mut digest).unwrap();
        assert_eq!(digest.parse::<culvert_lab::bulk::Digest>().unwrap(), sent);
        drop(stream);
        let line = format!("socks=\"{}\"", SocketAddr::from(to));
        let line = rig.proxy.wait_for_log(&line, SOON).unwrap();
        let counted = format!("bytes_sent={BULK} bytes_recv={}", digest.len());
        assert!(line.contains(&counted), "{counted}: {line}");
    }
    for to in [(cluster.server.ip4(), SOURCE), (cluster.outsider.ip4(), SOURCE)] {
        let mut stream = rig.connected(&to_address(to));
        let received = culvert_lab::bulk::receive(&mut stream).unwrap();
        assert_eq!(received, culvert_lab::bulk::Digest::of_pattern(BULK));
    }
}

#[test]
fn a_pod_without_ipv6_asks_over_ipv4() {
    let rig = rig::Rig::start("socks-no-ipv6").unwrap();
    let cluster = &rig.cluster;
    let pod = cluster.lab.pod(&cluster.one, PodSpec::new("no-ipv6")).unwrap();
    let off = || fs::write("/proc/sys/net/ipv6/conf/all/disable_ipv6", "1");
    pod.netns().run(off).unwrap().unwrap();
    cluster.lab.enrol(&pod).unwrap();
    let (code, mut stream) = ask(&pod, PLACES[0], &to_address((cluster.server.ip4(), ECHO))).unwrap();
    assert_eq!(code, 0);
    assert_alive(&mut stream, b"over the one there is");
}
