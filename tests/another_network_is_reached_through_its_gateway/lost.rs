//! A gateway's life: how its end looks to applications, and what many connections through it leave behind.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::time::Instant;

use culvert_lab::{Behaviour, Program};

use crate::harness::cluster::{ECHO, service_port};
use crate::harness::kernel::established_at;
use crate::harness::talk::{Ending, SOON, assert_alive, assert_echo, exchange_on, read_to_end, reporting};

use super::envoy::start_gateway;
use super::rig::{Networks, PORT};

#[test]
fn a_crash_of_the_gateway_is_an_error_not_an_end() {
    let networks = Networks::start("gateway-crash").unwrap();
    let Networks { lab, client, gate, far, .. } = &networks;
    let (gateway, _) = start_gateway(&networks, gate, &[]);
    let (silent, silent_application) = networks.application("silent", Behaviour::Silent);
    let (flood, _) = networks.application("flood", Behaviour::Source(1 << 40));
    let mut idle = client.connect((far.ip4(), service_port(ECHO)), SOON).unwrap();
    assert_alive(&mut idle, b"so far, so good");
    // An end here would be taken for an empty answer.
    let mut asking = client.connect((silent.ip4(), PORT), SOON).unwrap();
    asking.write_all(b"a question").unwrap();
    asking.shutdown(Shutdown::Write).unwrap();
    lab.wait_until(SOON, "the server has the question", || silent_application.accepted() == 1).unwrap();
    let mut flooded = client.connect((flood.ip4(), PORT), SOON).unwrap();
    flooded.read_exact(&mut [0; 1 << 20]).unwrap();
    let (listener, heard) = reporting(|mut stream| {
        stream.write_all(b"!").unwrap();
        read_to_end(&mut stream)
    });
    let (listening, _) = networks.application("listening", listener);
    let mut telling = client.connect((listening.ip4(), PORT), SOON).unwrap();
    telling.write_all(b"the beginning of").unwrap();
    telling.read_exact(&mut [0]).unwrap();
    gateway.kill_hard().unwrap();
    let all = [("idle", idle), ("asking", asking), ("flooded", flooded), ("telling", telling)];
    for (what, mut stream) in all {
        assert_eq!(read_to_end(&mut stream), Ending::Reset, "{what}");
    }
    assert_eq!(heard.recv_timeout(SOON).unwrap(), Ending::Reset, "the server is not told that this was all");
    // Another one in its place is all it takes.
    let _gateway = start_gateway(&networks, gate, &[]);
    assert_echo(client, (far.ip4(), service_port(ECHO)), b"as before");
}

#[test]
fn the_end_of_the_server_s_proxy_behind_the_gateway_is_an_error_not_an_end() {
    let networks = Networks::start("gateway-far-crash").unwrap();
    let Networks { client, gate, far, .. } = &networks;
    let _gateway = start_gateway(&networks, gate, &[]);
    let mut idle = client.connect((far.ip4(), service_port(ECHO)), SOON).unwrap();
    assert_alive(&mut idle, b"so far, so good");
    networks.proxy(&networks.there).kill_hard().unwrap();
    assert_eq!(read_to_end(&mut idle), Ending::Reset);
}

#[test]
fn proxies_that_drain_let_connections_through_the_gateway_finish() {
    let networks = Networks::start("gateway-drain").unwrap();
    let Networks { client, gate, far, here, there, .. } = &networks;
    let _gateway = start_gateway(&networks, gate, &[]);
    let mut open = client.connect((far.ip4(), service_port(ECHO)), SOON).unwrap();
    assert_alive(&mut open, b"so far, so good");
    for proxy in [there, here].map(|node| networks.proxy(node)) {
        proxy.terminate().unwrap();
        proxy.wait_for_log("draining", SOON).unwrap();
        assert_alive(&mut open, b"still here");
    }
    assert_eq!(exchange_on(open, b"the end"), Ending::Complete(b"the end".to_vec()));
}

/// Descriptors, and bytes of memory of its own, that a program has.
fn belongings(program: &Program) -> (usize, u64) {
    let process = format!("/proc/{}", program.pid());
    let status = fs::read_to_string(format!("{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    let kilobytes: u64 = line.trim().trim_end_matches(" kB").parse().unwrap();
    (fs::read_dir(format!("{process}/fd")).unwrap().count(), kilobytes * 1024)
}

#[test]
fn many_connections_share_one_tunnel_to_the_gateway_and_nothing_of_them_stays() {
    /// Together: fewer than a tunnel has room for.
    const WAVE: usize = 60;
    const WAVES: usize = 5;
    const SLACK: u64 = 6 << 20;
    let networks = Networks::start("gateway-many").unwrap();
    let Networks { lab, client, gate, server, far, .. } = &networks;
    let _gateway = start_gateway(&networks, gate, &[]);
    let to = (far.ip4(), service_port(ECHO));
    let wave = || {
        let mut all: Vec<TcpStream> = (0..WAVE).map(|_| client.connect(to, SOON).unwrap()).collect();
        for (nth, stream) in all.iter_mut().enumerate() {
            assert_alive(stream, format!("this is number {nth}").as_bytes());
        }
        assert_eq!((established_at(gate, 15008), established_at(server, 15008)), (1, WAVE));
        for mut stream in all {
            stream.shutdown(Shutdown::Write).unwrap();
            assert_eq!(read_to_end(&mut stream), Ending::Complete(Vec::new()));
        }
        lab.wait_until(SOON, "the inner tunnels are gone", || established_at(server, 15008) == 0).unwrap();
    };
    assert_echo(client, to, b"the first one brings the tunnel up");
    let proxies = [&networks.here, &networks.there].map(|node| networks.proxy(node));
    let descriptors = proxies.each_ref().map(|proxy| belongings(proxy).0);
    // An allocator needs some until it has all it ever will.
    wave();
    let memory = proxies.each_ref().map(|proxy| belongings(proxy).1);
    let began = Instant::now();
    (1..WAVES).for_each(|_| wave());
    assert!(began.elapsed() < SOON * 3, "{:?}", began.elapsed());
    for (nth, proxy) in proxies.iter().enumerate() {
        let what =
            format!("{} has {} descriptors again, and {} bytes", proxy.name(), descriptors[nth], memory[nth]);
        let is_as_before = || {
            let now = belongings(proxy);
            now.0 <= descriptors[nth] && now.1 <= memory[nth] + SLACK
        };
        lab.wait_until(SOON, &what, is_as_before).unwrap();
    }
}
