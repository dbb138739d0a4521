//! Clients that ask by name.

use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::time::{Duration, Instant};

use culvert_lab::Behaviour;

use super::rig::{CLOSED_FIRST, OUTSIDE, Rig, SILENT_FIRST, shared};
use crate::harness::cluster::{ECHO, service_port};
use crate::harness::socks::{HELLO, PLACES, SOCKS, answer, ask, to_name};
use crate::harness::talk::{Ending, SOON, assert_alive, read_to_end};

#[test]
fn names_are_understood_as_the_pod_writes_them() {
    let rig = shared();
    let port = service_port(ECHO);
    for place in PLACES {
        for name in ["web", "web.default", "web.default.svc.cluster.local", "WEB.default.svc.cluster.local."]
        {
            let (code, mut stream) = ask(&rig.cluster.client, place, &to_name(name, port)).unwrap();
            assert_eq!(code, 0, "{name}");
            assert_alive(&mut stream, name.as_bytes());
        }
    }
    // Some clients write addresses as if they were names.
    for ip in rig.cluster.server.ips() {
        assert_alive(&mut rig.connected(&to_name(&ip.to_string(), ECHO)), b"by address");
    }
}

#[test]
fn names_of_others_are_asked_of_the_server_the_pod_has_chosen() {
    let rig = shared();
    for place in PLACES {
        let (code, mut stream) = ask(&rig.cluster.client, place, &to_name(OUTSIDE, ECHO)).unwrap();
        assert_eq!(code, 0);
        assert_alive(&mut stream, b"by a name of others");
        // The family of the client comes first.
        let (name, port) = (format!("socks=\"{OUTSIDE}:{ECHO}\""), ECHO);
        let own = rig.cluster.outsider.ips().into_iter().find(|ip| ip.is_ipv4() == place.is_ipv4()).unwrap();
        drop(stream);
        let to = format!("dst.addr={} ", std::net::SocketAddr::new(own, port));
        let told = || rig.proxy.log_text().lines().any(|line| line.contains(&name) && line.contains(&to));
        rig.cluster.lab.wait_until(SOON, &format!("{to} is logged"), told).unwrap();
    }
}

/// At the first address, which is in the mesh, nothing takes the connection; by then bytes were said to its proxy.
#[test]
fn another_address_is_tried_with_all_that_was_said() {
    let rig = shared();
    let port = rig.cluster.lab.serve(&rig.cluster.outsider, 0, Behaviour::Echo).unwrap().port();
    // More than is taken before the answer, and less than the kernel holds.
    let early = vec![b'x'; 50_000];
    for _ in 0..5 {
        let mut stream = rig.cluster.client.connect((PLACES[0], SOCKS), SOON).unwrap();
        stream.write_all(&[HELLO, &to_name(CLOSED_FIRST, port), &early].concat()).unwrap();
        let mut method = [0; 2];
        stream.read_exact(&mut method).unwrap();
        assert_eq!((method, answer(&mut stream).unwrap()), ([5, 0], 0));
        let mut back = vec![0; early.len()];
        stream.read_exact(&mut back).unwrap();
        assert!(back == early, "it is what was said");
        stream.write_all(b"and more").unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        assert_eq!(read_to_end(&mut stream), Ending::Complete(b"and more".to_vec()));
    }
}

#[test]
fn an_address_that_does_not_answer_is_not_waited_for_while_there_is_another() {
    let rig = shared();
    let began = Instant::now();
    assert_alive(&mut rig.connected(&to_name(SILENT_FIRST, ECHO)), b"at the second address");
    let took = began.elapsed();
    assert!(took > Duration::from_secs(2) && took < Duration::from_secs(9), "{took:?}");
}

#[test]
fn a_name_is_looked_up_where_queries_are_not_captured_too() {
    let rig = Rig::without_dns("socks-no-dns").unwrap();
    let request = to_name(&rig.cluster.web.hostname(), service_port(ECHO));
    assert_alive(&mut rig.connected(&request), b"by a name of the mesh");
}
