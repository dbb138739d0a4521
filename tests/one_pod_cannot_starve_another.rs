//! One pod that takes all it can get, or one peer of a pod, leaves the others theirs: they are served meanwhile, what is over is refused at
//! once with a reason, and nothing of it stays.

mod bytes;

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use culvert_lab::{Node, Pod, wait_until};
use serde_json::Value;

use crate::harness::certificates::Authority;
use crate::harness::cluster::{Cluster, ECHO};
use crate::harness::frames::{End, Rogue};
use crate::harness::kernel::limit_open_files;
use crate::harness::metrics::counter;
use crate::harness::talk::{SOON, assert_alive, assert_echo};
use crate::harness::v1;

/// Files a proxy may have open: few, so that a test comes to the end of them.
const FEW: usize = 600;

/// More connections than that leaves anybody.
const FLOOD: usize = 700;

/// Connections of those who want no more than others, while somebody wants all.
const HONEST: usize = 30;

const HITS: &str = "culvert_limit_hits_total";

/// How things stand with a limit at a node.
fn limit(node: &Node, name: &str) -> Value {
    let all = v1::list(node, "limits?limit=100");
    all.into_iter().find(|limit| limit["name"] == name).unwrap_or_else(|| panic!("{name} is not shown"))
}

fn hits(node: &Node, name: &str) -> u64 {
    counter(node, HITS, &[&format!("limit=\"{name}\"")])
}

/// Opens connections until it has as many as it wants, and keeps those that are served.
fn flood(from: &Pod, to: SocketAddr) -> Vec<TcpStream> {
    let served = |mut stream: TcpStream| {
        stream.set_read_timeout(Some(SOON)).unwrap();
        let echo = stream.write_all(b"?").and_then(|()| stream.read_exact(&mut [0]));
        match echo {
            Ok(()) => Some(stream),
            Err(error) => {
                assert_ne!(error.kind(), std::io::ErrorKind::WouldBlock, "it is refused, and does not hang");
                None
            }
        }
    };
    // The reset may be there before it is known that there is a connection.
    (0..FLOOD).filter_map(|_| from.connect(to, SOON).ok().and_then(served)).collect()
}

/// Waits until nothing of the connections of any pod is counted any more, and only a few tunnels are kept.
fn assert_nothing_stays(cluster: &Cluster, node: &Node) {
    for (name, most) in
        [("connections_of_a_pod", 0), ("descriptors_of_a_pod", 6), ("descriptors_of_a_peer", 3)]
    {
        let is_over = || limit(node, name)["inUse"].as_u64() <= Some(most);
        cluster.lab.wait_until(SOON, &format!("no more than {most} of {name} are in use"), is_over).unwrap();
    }
}

#[test]
fn a_pod_that_opens_all_it_can_leaves_its_neighbour_its_own() {
    let cluster = Cluster::start("starve-out").unwrap();
    let Cluster { lab, one, client: attacker, neighbour: victim, server, outsider, .. } = &cluster;
    let mut before = victim.connect((server.ip4(), ECHO), SOON).unwrap();
    assert_alive(&mut before, b"before");
    limit_open_files(&lab.proxy(one).unwrap(), FEW);
    let taken = flood(attacker, (outsider.ip4(), ECHO).into());
    assert!(taken.len() < FLOOD / 2, "{} of {FLOOD} are too many", taken.len());
    assert!(taken.len() > 50, "{} are not what a pod may have", taken.len());
    // The attacker has all it can get, and goes on.
    let honest: Vec<_> = (0..HONEST)
        .map(|_| {
            let mut stream = victim.connect((server.ip4(), ECHO), SOON).unwrap();
            assert_alive(&mut stream, b"served meanwhile");
            drop(attacker.connect((outsider.ip4(), ECHO), Duration::from_secs(1)));
            stream
        })
        .collect();
    assert_alive(&mut before, b"undisturbed");
    let shown = limit(one, "descriptors_of_a_pod");
    assert!(shown["hits"].as_u64().unwrap() >= (FLOOD - taken.len()) as u64, "{shown}");
    assert!(shown["inUse"].as_u64() >= Some(2 * taken.len() as u64), "{shown}");
    assert!(hits(one, "descriptors_of_a_pod") >= shown["hits"].as_u64().unwrap());
    let refusals = v1::list(one, &format!("refusals?{}&limit=100", v1::of(attacker)));
    let said = &refusals[0]["outcome"];
    assert_eq!(said["reason"], "descriptors_of_a_pod", "{said}");
    assert!(said["error"].as_str().unwrap().contains("raise the limit on open files"), "{said}");
    assert!(v1::list(one, &format!("refusals?{}&limit=100", v1::of(victim))).is_empty());
    drop((taken, honest, before));
    assert_nothing_stays(&cluster, one);
    assert_echo(attacker, (outsider.ip4(), ECHO), b"after");
}

#[test]
fn a_peer_that_opens_all_it_can_leaves_the_pod_to_others() {
    let cluster = Cluster::start("starve-in").unwrap();
    let Cluster { lab, two, client: victim, neighbour, server, outsider: attacker, .. } = &cluster;
    let to = SocketAddr::from((server.ip4(), ECHO));
    assert_echo(victim, to, b"before");
    limit_open_files(&lab.proxy(two).unwrap(), FEW);
    let taken = flood(attacker, to);
    assert!(taken.len() < FLOOD / 4, "{} of {FLOOD} are too many", taken.len());
    assert!(taken.len() > 25, "{} are not what a peer may have", taken.len());
    let honest: Vec<_> = (0..HONEST)
        .map(|number| {
            let from = if number % 2 == 0 { victim } else { neighbour };
            let mut stream = from.connect(to, SOON).unwrap();
            assert_alive(&mut stream, b"served meanwhile");
            stream
        })
        .collect();
    // The pod's own connections are not the peer's to take, either.
    assert_echo(server, (victim.ip4(), ECHO), b"of its own");
    assert!(hits(two, "descriptors_of_a_peer") >= (FLOOD - taken.len()) as u64);
    let refusals = v1::list(two, &format!("refusals?{}&limit=100", v1::of(server)));
    assert_eq!(refusals[0]["outcome"]["reason"], "descriptors_of_a_peer", "{}", refusals[0]);
    drop((taken, honest));
    assert_nothing_stays(&cluster, two);
    assert_echo(attacker, to, b"after");
}

#[test]
fn a_pod_has_no_more_connections_than_are_set() {
    const MOST: usize = 5;
    let cluster = Cluster::start_with("starve-set", &[("CULVERT_MOST_CONNECTIONS_PER_POD", "5")]).unwrap();
    let Cluster { one, two, client, neighbour, server, .. } = &cluster;
    let to = SocketAddr::from((server.ip4(), ECHO));
    let mut held: Vec<_> = (0..MOST).map(|_| client.connect(to, SOON).unwrap()).collect();
    held.iter_mut().for_each(|stream| assert_alive(stream, b"one of five"));
    // The client's node has it reset, the server's would refuse that of the neighbour.
    for from in [client, neighbour] {
        // The reset may be there before it is known that there is a connection.
        let more = from.connect(to, SOON).map_err(|error| error.kind());
        let end = more.and_then(|mut more| {
            more.write_all(b"?").and_then(|()| more.read_exact(&mut [0])).map_err(|error| error.kind())
        });
        assert_eq!(end, Err(std::io::ErrorKind::ConnectionReset), "{}", from.name());
    }
    assert_eq!((hits(one, "connections_of_a_pod"), hits(two, "connections_of_a_pod")), (1, 1));
    let shown = limit(two, "connections_of_a_pod");
    assert_eq!((&shown["most"], &shown["inUse"], &shown["highest"]), (&5.into(), &5.into(), &5.into()));
    let refused = v1::list(one, &format!("refusals?{}&limit=100", v1::of(neighbour)));
    assert_eq!(refused[0]["outcome"]["how"], "connection_limit_reached", "{}", refused[0]);
    drop(held);
    assert_nothing_stays(&cluster, two);
    assert_echo(neighbour, to, b"after");
}

/// More than anybody may begin at a time.
const SILENT: usize = 300;

#[test]
fn who_says_nothing_makes_room_and_keeps_nobody_out() {
    const OF_A_SOURCE: u64 = 64;
    let cluster = Cluster::start("starve-silent").unwrap();
    let Cluster { lab, two, client, neighbour, server, outsider: attacker, .. } = &cluster;
    let to = (server.ip4(), ECHO);
    assert_echo(client, to, b"before");
    let port = (server.ip4(), 15008);
    let mut silent: Vec<_> = (0..SILENT).map(|_| attacker.connect(port, SOON).unwrap()).collect();
    // This one has no tunnel yet.
    assert_echo(neighbour, to, b"first of all");
    let beyond = SILENT as u64 - OF_A_SOURCE;
    let counted = || hits(two, "handshakes_of_a_source") >= beyond;
    lab.wait_until(SOON, "those that were too many are counted", counted).unwrap();
    assert!(limit(two, "handshakes_of_a_source")["inUse"].as_u64() <= Some(OF_A_SOURCE));
    silent[0].set_read_timeout(Some(SOON)).unwrap();
    let end = silent[0].read(&mut [0]).map_err(|error| error.kind());
    assert!(matches!(end, Ok(0) | Err(std::io::ErrorKind::ConnectionReset)), "the oldest goes: {end:?}");
    drop(silent);
    let is_over = || limit(two, "handshakes_of_a_pod")["inUse"] == 0;
    lab.wait_until(SOON, "no handshake is under way", is_over).unwrap();
    assert_nothing_stays(&cluster, two);
}

#[test]
fn a_tunnel_nobody_uses_is_ended_in_order() {
    const DEADLINE: Duration = Duration::from_secs(30);
    let cluster = Cluster::start("starve-unused").unwrap();
    let Cluster { lab, two, client, server, outsider, .. } = &cluster;
    let certificate =
        Authority::of_control(lab).issue(lab.directory(), "spiffe://cluster.local/ns/default/sa/idle");
    let guest = || {
        let mut guest = Rogue::enter(outsider, (server.ip4(), 15008), &certificate);
        guest.begin();
        guest
    };
    let (begun, mut unused, mut used) = (Instant::now(), guest(), guest());
    used.open(1, (server.ip4(), ECHO).into());
    // It is there, and only asks for nothing.
    let guests_are_there = || {
        [&mut unused, &mut used].into_iter().for_each(Rogue::assert_alive);
        assert_echo(client, (server.ip4(), ECHO), b"undisturbed");
        begun.elapsed() > DEADLINE.mul_f32(0.8)
    };
    wait_until(DEADLINE, "the deadline is near", guests_are_there).unwrap();
    assert_eq!(unused.end(DEADLINE), End::GoAway(0));
    assert!(begun.elapsed() > DEADLINE.mul_f32(0.9), "{:?}", begun.elapsed());
    used.assert_alive();
    assert_eq!(hits(two, "first_request_deadline"), 1);
}
