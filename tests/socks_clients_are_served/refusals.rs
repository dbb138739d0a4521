//! Clients that are not connected, and what they are told.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{Duration, Instant};

use super::rig::{LOOPBACK, Rig, shared};
use crate::harness::cluster::ECHO;
use crate::harness::socks::{HELLO, PLACES, SOCKS, ask, hello, to_address, to_name};
use crate::harness::talk::{Ending, SOON, assert_alive, assert_reset, exchange, read_to_end};

const NOT_ALLOWED: u8 = 2;
const NETWORK_UNREACHABLE: u8 = 3;
const HOST_UNREACHABLE: u8 = 4;
const REFUSED: u8 = 5;

#[test]
fn what_is_not_understood_is_answered_and_closed_in_order() {
    let rig = shared();
    let refused = |code: u8| vec![5, 0, 5, code, 0, 1, 0, 0, 0, 0, 0, 0];
    let no_method = vec![5, 0xff];
    for (said, answer) in [
        (&b"\x04\x01\0\x50\x0a\0\0\x01user\0"[..], &no_method),
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", &no_method),
        (b"\x05\x01\x02", &no_method),
        (b"\x05\0", &no_method),
        (b"\x05\x01\0\x04\x01\0\x01\x0a\0\0\x01\0\x50", &refused(1)),
        (b"\x05\x01\0\x05\x02\0\x01\x0a\0\0\x01\0\x50", &refused(7)),
        (b"\x05\x01\0\x05\x03\0\x01\0\0\0\0\0\0", &refused(7)),
        (b"\x05\x01\0\x05\x01\0\x05\x0a\0\0\x01\0\x50", &refused(8)),
        (b"\x05\x01\0\x05\x01\0\x03\0\0\x50", &refused(4)),
    ] {
        let mut stream = rig.cluster.client.connect((PLACES[0], SOCKS), SOON).unwrap();
        stream.write_all(said).unwrap();
        // Some are not heard out.
        stream.write_all(&[0; 3000]).unwrap();
        assert_eq!(read_to_end(&mut stream), Ending::Complete(answer.clone()), "{said:?}");
    }
}

#[test]
fn a_closed_port_is_told_as_such() {
    let rig = shared();
    let cluster = &rig.cluster;
    for pod in [&cluster.server, &cluster.neighbour, &cluster.outsider] {
        let closed = pod.listen(0).unwrap().local_addr().unwrap().port();
        for ip in pod.ips() {
            assert_eq!(rig.refused(&to_address((ip, closed))), REFUSED, "{ip}");
        }
    }
    let curl =
        rig.curl(&["--socks5-hostname", "127.0.0.1:15080", &format!("http://{}:81/", rig.shop.hostname())]);
    assert!(curl.unwrap_err().contains("(5)"));
    let undeclared = to_address((rig.shop.ip4(), 81));
    assert_eq!(rig.refused(&undeclared), REFUSED, "a port the service does not have");
}

#[test]
fn a_destination_that_cannot_be_had_is_told_as_such() {
    let rig = shared();
    // Of the mesh, of a nameserver that knows better, of nobody, and of a nameserver that lies.
    for name in ["nobody.default.svc.cluster.local", "nobody.example", "nobody.invalid", LOOPBACK] {
        assert_eq!(rig.refused(&to_name(name, 80)), HOST_UNREACHABLE, "{name}");
    }
    assert_eq!(rig.refused(&to_address((rig.empty.ip4(), 80))), HOST_UNREACHABLE);
    // The node has no way there.
    for nowhere in
        [IpAddr::from(Ipv4Addr::new(203, 0, 113, 1)), Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into()]
    {
        let code = rig.refused(&to_address((nowhere, 80)));
        assert!([NETWORK_UNREACHABLE, HOST_UNREACHABLE].contains(&code), "{nowhere}: {code}");
    }
}

#[test]
fn who_is_kept_out_by_a_policy_is_told_so() {
    let rig = shared();
    for ip in rig.shut.ips() {
        assert_eq!(rig.refused(&to_address((ip, ECHO))), NOT_ALLOWED);
    }
}

#[test]
fn asking_leads_to_no_port_of_the_proxy() {
    let rig = shared();
    let client = &rig.cluster.client;
    let mut own: Vec<IpAddr> = [PLACES, client.ips()].concat();
    own.extend([IpAddr::from(Ipv4Addr::UNSPECIFIED), Ipv6Addr::UNSPECIFIED.into(), [127, 9, 9, 9].into()]);
    own.push(Ipv4Addr::LOCALHOST.to_ipv6_mapped().into());
    for ip in own {
        for port in [15001, 15006, 15008, SOCKS] {
            assert_eq!(rig.refused(&to_address((ip, port))), NOT_ALLOWED, "{ip} {port}");
        }
    }
    // Nor do others get there, as peers or in plaintext.
    for ip in client.ips() {
        let (code, _) = ask(&rig.cluster.neighbour, PLACES[0], &to_address((ip, SOCKS))).unwrap();
        assert_eq!(code, REFUSED);
        assert_reset(&rig.cluster.outsider, (ip, SOCKS));
        assert_reset(&rig.cluster.server, (ip, SOCKS));
    }
    let told = || {
        let log = rig.proxy.log_text();
        let refused = log.lines().filter(|line| line.contains("port 15080 belongs to the proxy"));
        let (by_tunnel, plain): (Vec<_>, Vec<_>) = refused.partition(|line| line.contains("dst.hbone_addr="));
        (by_tunnel.len(), plain.len()) == (4, 2)
    };
    rig.cluster.lab.wait_until(SOON, "each of them is told of as such", told).unwrap();
}

#[test]
fn only_the_pod_itself_may_ask_and_only_where_it_is_switched_on() {
    let rig = shared();
    for place in PLACES {
        // Its node has it off.
        assert_eq!(exchange(&rig.cluster.server, (place, SOCKS), HELLO), Ending::Refused);
    }
    for ip in rig.cluster.client.ips() {
        assert_eq!(exchange(&rig.cluster.client, (ip, SOCKS), HELLO), Ending::Refused, "{ip}");
    }
}

/// How long a client may take, and how exactly that is kept.
const NEGOTIATION_DEADLINE: Duration = Duration::from_secs(10);
const PRECISION: Duration = Duration::from_secs(2);

#[test]
fn a_client_that_is_slow_is_closed_at_the_deadline_and_disturbs_nobody() {
    const HALF: usize = 6;
    let rig = shared();
    let (client, patience) = (&rig.cluster.client, NEGOTIATION_DEADLINE + PRECISION * 2);
    let began = Instant::now();
    let silent: Vec<_> = (0..20).map(|_| client.connect((PLACES[0], SOCKS), patience).unwrap()).collect();
    let mut halfway = hello(client, PLACES[1], patience).unwrap();
    let request = to_address((rig.cluster.server.ip4(), ECHO));
    halfway.write_all(&request[..HALF]).unwrap();
    assert_alive(&mut rig.connected(&request), b"undisturbed");
    assert!(began.elapsed() < PRECISION, "{:?}", began.elapsed());
    for mut stream in silent.into_iter().chain([halfway]) {
        assert_eq!(read_to_end(&mut stream), Ending::Reset);
        let took = began.elapsed();
        assert!(took > NEGOTIATION_DEADLINE - PRECISION && took < patience, "{took:?}");
    }
    rig.proxy.wait_for_log("SOCKS negotiation deadline", SOON).unwrap();
}

#[test]
fn clients_that_never_ask_use_up_their_own_places_only() {
    const MANY: usize = 1100;
    culvert_sys::limits::raise_open_files().unwrap();
    let rig = Rig::start("socks-many").unwrap();
    let cluster = &rig.cluster;
    let silent: Vec<_> =
        (0..MANY).map(|_| cluster.client.connect((PLACES[0], SOCKS), SOON).unwrap()).collect();
    rig.proxy.wait_for_log("limit socks_negotiations_of_a_pod reached", SOON).unwrap();
    let request = to_address((cluster.server.ip4(), ECHO));
    let (code, mut other) = ask(&cluster.neighbour, PLACES[0], &request).unwrap();
    assert_eq!(code, 0);
    assert_alive(&mut other, b"another pod is not disturbed");
    drop(silent);
    let asked = || ask(&cluster.client, PLACES[0], &request).is_ok_and(|(code, _)| code == 0);
    cluster.lab.wait_until(SOON, "the places are free again", asked).unwrap();
}

#[test]
fn whoever_hangs_up_is_forgotten() {
    let rig = shared();
    for said in [&b""[..], b"\x05", b"\x05\x01\0\x05\x01"] {
        let position = rig.proxy.log_position();
        let mut stream = rig.cluster.client.connect((PLACES[0], SOCKS), SOON).unwrap();
        stream.write_all(said).unwrap();
        drop(stream);
        rig.proxy.wait_for_log_since(position, "the client left before", SOON).unwrap();
    }
    let mut stream = rig.cluster.client.connect((PLACES[0], SOCKS), SOON).unwrap();
    stream.write_all(HELLO).unwrap();
    stream.read_exact(&mut [0; 2]).unwrap();
}
