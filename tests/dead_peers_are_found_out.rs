//! Whoever is gone is found out, whoever forgets to close is ended with the truth, and whoever takes long is left alone: no socket, no
//! task and no record stays for ever, and what is quiet but alive is not lost.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use culvert_lab::{Behaviour, Node, Pod, Server};
use serde_json::Value;

use crate::harness::cluster::Cluster;
use crate::harness::kernel::set;
use crate::harness::metrics::counter;
use crate::harness::talk::{Ending, SOON, read_to_end};
use crate::harness::v1;

mod growth;

/// Long for what is measured in seconds, on a machine that does other things as well.
const PATIENCE: Duration = Duration::from_secs(20);

/// Who can talk to whom: through a tunnel to the other node and on the same one, and in plaintext out of the mesh and into it.
fn pairs(cluster: &Cluster) -> [(&Pod, &Pod); 4] {
    [
        (&cluster.client, &cluster.server),
        (&cluster.client, &cluster.neighbour),
        (&cluster.client, &cluster.outsider),
        (&cluster.outsider, &cluster.client),
    ]
}

fn serve(cluster: &Cluster, pod: &Pod, behaviour: Behaviour) -> (Server, SocketAddr) {
    let server = cluster.lab.serve(pod, 0, behaviour).unwrap();
    let address = (pod.ip4(), server.port()).into();
    (server, address)
}

/// Listens, ends its own direction at once, and then neither reads nor closes for as long as the client is there.
fn half_closing() -> Behaviour {
    Behaviour::custom(|mut stream: TcpStream| {
        stream.write_all(b"all I have")?;
        stream.shutdown(Shutdown::Write)?;
        stream.set_read_timeout(None)?;
        stream.read_to_end(&mut Vec::new()).map(drop)
    })
}

/// Kernels forget half-closed connections after a minute: here after seconds.
fn forget_soon(pods: [&Pod; 4]) {
    for pod in pods {
        for state in ["close_wait", "fin_wait"] {
            set(pod, &format!("net.netfilter.nf_conntrack_tcp_timeout_{state}=4"));
        }
    }
}

/// An answer that takes longer than connection tracking remembers: `nc -N`, HTTP/1.0, a report that is made at night.
#[test]
fn an_answer_comes_whole_that_took_longer_than_connection_tracking_remembers() {
    const LONGER: Duration = Duration::from_secs(8);
    let cluster = Cluster::start_with("long-answers", &[("CULVERT_HALF_CLOSED_PROBE", "1s")]).unwrap();
    forget_soon([&cluster.client, &cluster.neighbour, &cluster.server, &cluster.outsider]);
    thread::scope(|scope| {
        for (from, to) in pairs(&cluster) {
            let late = Behaviour::custom(|mut stream: TcpStream| {
                let mut question = Vec::new();
                stream.read_to_end(&mut question)?;
                // Silence is what the test is about.
                thread::sleep(LONGER);
                stream.write_all(b"at last")
            });
            let (_, address) = serve(&cluster, to, late);
            scope.spawn(move || {
                let way = format!("{} -> {}", from.name(), to.name());
                let mut stream = from.connect(address, PATIENCE).unwrap();
                stream.write_all(b"question").unwrap();
                stream.shutdown(Shutdown::Write).unwrap();
                assert_eq!(read_to_end(&mut stream), Ending::Complete(b"at last".to_vec()), "{way}");
            });
        }
    });
}

/// Both applications are there, and one of them has forgotten the connection.
#[test]
fn a_half_closed_connection_that_nobody_finishes_is_reset_counted_and_named() {
    let settings = [("CULVERT_HALF_CLOSED_IDLE", "2s")];
    let cluster = &Cluster::start_with("forgotten", &settings).unwrap();
    for (from, to) in pairs(cluster) {
        let way = format!("{} -> {}", from.name(), to.name());
        // Wholly open, it may be quiet for as long as it likes.
        let (silent, address) = serve(cluster, to, Behaviour::Silent);
        let mut open = from.connect(address, PATIENCE).unwrap();
        open.write_all(b"I wait").unwrap();
        let mut asking = from.connect(address, PATIENCE).unwrap();
        asking.write_all(b"question").unwrap();
        asking.shutdown(Shutdown::Write).unwrap();
        let (_, address) = serve(cluster, to, half_closing());
        let mut telling = from.connect(address, PATIENCE).unwrap();
        telling.read_exact(&mut [0; 10]).unwrap();
        let begun = Instant::now();
        assert_eq!(read_to_end(&mut asking), Ending::Reset, "{way}: the client has ended");
        // The end has come in order before, and to write something would be to move something: the socket tells.
        let is_broken = || telling.take_error().unwrap().is_some();
        cluster.lab.wait_until(PATIENCE, &format!("{way}: the server has ended"), is_broken).unwrap();
        assert!(begun.elapsed() > Duration::from_secs(1), "{way}: {:?}", begun.elapsed());
        let still_there = open.set_nonblocking(true).and_then(|()| open.read(&mut [0]));
        assert_eq!(still_there.unwrap_err().kind(), std::io::ErrorKind::WouldBlock, "{way}");
        silent.stop();
    }
    let ended =
        |node| counter(node, "culvert_connections_ended_early_total", &["reason=\"half_closed_idle\""]);
    // Of a tunnel with a node at each end, one of them was first.
    let all = ended(&cluster.one) + ended(&cluster.two);
    assert!(all >= 8, "{all}");
    let hits = |node| counter(node, "culvert_limit_hits_total", &["limit=\"half_closed_idle\""]);
    assert_eq!(hits(&cluster.one) + hits(&cluster.two), all, "it is a limit as others are");
    let log = cluster.lab.proxy(&cluster.one).unwrap().log_text();
    assert!(log.contains("half_closed_idle") && log.contains("half-closed idle time"), "{log}");
    assert_is_listed(&cluster.one);
}

/// It is among those that did not end well, with who has ended it.
fn assert_is_listed(node: &Node) {
    let ended = v1::list(node, "refusals?limit=1000");
    let of_reason = |it: &&Value| it["outcome"]["reason"] == "half_closed_idle";
    let one = ended.iter().find(of_reason).unwrap_or_else(|| panic!("{ended:#?}"));
    assert_eq!(one["outcome"]["closedBy"], "proxy", "{one}");
}

#[test]
fn idle_connections_end_where_that_is_wished_and_busy_ones_do_not() {
    let settings = [("CULVERT_IDLE_TIMEOUT", "2s"), ("CULVERT_HALF_CLOSED_IDLE", "0")];
    let cluster = Cluster::start_with("idle-time", &settings).unwrap();
    for (from, to) in pairs(&cluster) {
        let way = format!("{} -> {}", from.name(), to.name());
        let (_, address) = serve(&cluster, to, Behaviour::Echo);
        let mut idle = from.connect(address, PATIENCE).unwrap();
        let mut busy = from.connect(address, PATIENCE).unwrap();
        idle.set_nonblocking(true).unwrap();
        let mut is_reset = || {
            busy.write_all(b"!").unwrap();
            busy.read_exact(&mut [0]).unwrap();
            idle.read(&mut [0]).is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionReset)
        };
        cluster.lab.wait_until(PATIENCE, &format!("{way}: it is idle for too long"), &mut is_reset).unwrap();
    }
}

/// Who leaks is seen before it hurts.
#[test]
fn half_closed_connections_are_shown_by_pair_and_counted_by_direction() {
    let cluster = Cluster::start("half-closed").unwrap();
    let (server, address) = serve(&cluster, &cluster.server, Behaviour::Silent);
    let mut held = Vec::new();
    for nth in 0..5 {
        let mut stream = cluster.client.connect(address, SOON).unwrap();
        stream.write_all(b"question").unwrap();
        if nth > 0 {
            stream.shutdown(Shutdown::Write).unwrap();
        }
        held.push(stream);
    }
    for (node, direction) in [(&cluster.one, "outbound"), (&cluster.two, "inbound")] {
        let pair = || {
            let pairs = v1::list(node, "traffic?limit=1000");
            pairs.into_iter().find(|it| it["direction"] == direction && it["open"] == 5)
        };
        let is_shown = || pair().is_some_and(|pair| pair["halfClosed"] == 4);
        let shown = cluster.lab.wait_until(SOON, &format!("{direction} ones are shown"), is_shown);
        assert!(shown.is_ok(), "{direction}: {:#?}", v1::list(node, "traffic?limit=1000"));
        assert!(pair().unwrap()["oldestHalfClosedMilliseconds"].is_u64());
        let label = format!("direction=\"{direction}\"");
        assert_eq!(counter(node, "culvert_half_closed_connections", &[&label]), 4);
    }
    drop(held);
    server.stop();
    let is_over = || {
        let all =
            [&cluster.one, &cluster.two].map(|node| counter(node, "culvert_half_closed_connections", &[]));
        all == [0, 0]
    };
    cluster.lab.wait_until(SOON, "none is left", is_over).unwrap();
}
