//! Limits of the machine: descriptors at both nodes, and the ports of a pod.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use culvert_lab::{Node, Pod};

use super::score::{Case, PATIENCE, Score, Which, case, fail, fresh_port, open};
use super::starting;
use crate::harness::cluster::{Cluster, ECHO};
use crate::harness::command::run;
use crate::harness::kernel::{limit_open_files, open_files};
use crate::harness::talk::{assert_alive, assert_echo};

/// Enough to be asked by.
const ENOUGH: usize = 1000;

pub(super) fn judge(score: &Score) {
    let cluster = &starting(|| Cluster::start("faults-capacity").unwrap());
    let Cluster { lab, one, two, client, server, outsider, neighbour, .. } = cluster;
    let limit = |node: &Node, spare: Option<usize>| {
        let program = lab.proxy(node).unwrap();
        limit_open_files(&program, spare.map_or(ENOUGH, |spare| open_files(&program) + spare));
    };
    let limit = &limit;
    assert_echo(client, (server.ip4(), ECHO), b"there is a tunnel");
    let single = |case: Case<'_>| score.run(&[case]);
    single(case("the server's node has no descriptor left", "capacity", move |fault| {
        limit(two, Some(4));
        let (own, _held) = exhaust(client, (server.ip4(), ECHO));
        limit(two, None);
        fault.ended_at_both([(one, client), (two, server)], own);
    }));
    single(case("the client's node has no descriptor left", "capacity", move |fault| {
        limit(one, Some(4));
        let (own, _held) = exhaust(client, (outsider.ip4(), ECHO));
        limit(one, None);
        fault.ended(one, client, &Which::From(own));
    }));
    single(case("the client's pod has no port left", "capacity", move |fault| {
        run(neighbour, &["sysctl", "-w", "net.ipv4.ip_local_port_range=61000 61001"]).unwrap();
        let held: Vec<_> = (0..2).map(|_| open(neighbour, (outsider.ip4(), ECHO))).collect();
        for (_, stream) in &held {
            assert_alive(&mut stream.try_clone().unwrap(), b"one port each");
        }
        fault.ended(one, neighbour, &Which::From(fail(neighbour, (outsider.ip4(), ECHO))));
    }));
}

/// Makes connections until one fails, and gives that one. One that is not even accepted makes room for another.
fn exhaust(from: &Pod, to: (Ipv4Addr, u16)) -> (SocketAddr, Vec<TcpStream>) {
    let mut held = Vec::new();
    for _ in 0..100 {
        let port = fresh_port();
        let own = (from.ip4(), port).into();
        // It may be refused before it is known to be connected.
        let Ok(mut stream) = from.connect_from(port, to, PATIENCE) else { return (own, held) };
        stream.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
        let answer = stream.write_all(b"?").and_then(|()| stream.read_exact(&mut [0]));
        match answer.map_err(|error| error.kind()) {
            Ok(()) => held.push(stream),
            Err(io::ErrorKind::WouldBlock) => drop(held.pop()),
            Err(_) => return (own, held),
        }
    }
    panic!("{} connections are not too many", held.len());
}
