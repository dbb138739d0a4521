//! After hundreds of connections of each dirty kind everything is as it was: sockets of each namespace, descriptors, tasks, records, and
//! what connection tracking knows.

use std::fmt;

use culvert_lab::Program;

use super::*;
use crate::harness::cluster::{ECHO, SOURCE};
use crate::harness::kernel::{State, connections, open_files, run_in};
use crate::harness::talk::assert_alive;

/// Of each kind.
const MANY: usize = 300;

/// What there is when nothing is under way may differ by so much: tunnels come and go, and so do calls of the control plane.
const SLACK: u64 = 12;

/// Long settings are short ones here. What they are by default is told by unit tests.
const SETTINGS: [(&str, &str); 5] = [
    ("CULVERT_HALF_CLOSED_IDLE", "2s"),
    ("KEEPALIVE_TIME", "2s"),
    ("KEEPALIVE_INTERVAL", "1s"),
    ("KEEPALIVE_RETRIES", "4"),
    ("POOL_UNUSED_RELEASE_TIMEOUT", "2s"),
];

/// A stated time: silence on a tunnel (30 s), and some for a machine that does other things as well.
const DEADLINE: Duration = Duration::from_secs(75);

/// All that could grow.
#[derive(Clone, PartialEq)]
struct Sight(Vec<(String, u64)>);

impl fmt::Debug for Sight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.0.iter().map(|(what, count)| (what, count))).finish()
    }
}

impl Sight {
    fn look(cluster: &Cluster, nodes: &[(&Node, Program)]) -> Self {
        let mut all = Vec::new();
        // The outsider's sockets are no business of ours.
        for pod in [&cluster.client, &cluster.neighbour, &cluster.server] {
            let open = connections(pod).iter().filter(|it| it.state != State::TimeWait).count();
            all.push((format!("sockets of {}", pod.name()), open as u64));
        }
        for (node, program) in nodes {
            all.push((format!("descriptors of {}", node.name()), open_files(program) as u64));
            all.push((format!("tasks of {}", node.name()), counter(node, "tokio_num_alive_tasks", &[])));
            let open = v1::list(node, "connections?limit=1000").len();
            all.push((format!("connections of {}", node.name()), open as u64));
        }
        Self(all)
    }

    /// What connection tracking knows. It counts what has run out until somebody sweeps, which may take it a minute.
    fn tracked(cluster: &Cluster) -> Self {
        let count = |pod: &Pod| {
            let text = run_in(pod.netns(), &["sysctl", "-n", "net.netfilter.nf_conntrack_count"]).1;
            (format!("tracked in {}", pod.name()), text.trim().parse().unwrap())
        };
        Self([&cluster.client, &cluster.neighbour, &cluster.server, &cluster.outsider].map(count).to_vec())
    }

    fn is_back_to(&self, before: &Self) -> bool {
        self.0.iter().zip(&before.0).all(|((_, now), (_, before))| *now <= before + SLACK)
    }
}

/// Connections that somebody holds on to.
struct Held(#[expect(dead_code, reason = "they are there")] Vec<TcpStream>);

fn connect_many(from: &Pod, to: SocketAddr, each: impl Fn(&mut TcpStream)) -> Held {
    let connect = |_| {
        let mut stream = from.connect(to, PATIENCE).unwrap();
        each(&mut stream);
        stream
    };
    Held((0..MANY).map(connect).collect())
}

#[track_caller]
fn wait_until_as_before(cluster: &Cluster, nodes: &[(&Node, Program)], before: &Sight, what: &str) {
    let begun = Instant::now();
    let back = || Sight::look(cluster, nodes).is_back_to(before);
    let waited = cluster.lab.wait_until(DEADLINE, &format!("all is as before {what}"), back);
    let now = Sight::look(cluster, nodes);
    assert!(waited.is_ok(), "{what}: before {before:#?}, after {now:#?}");
    println!("{what}: as before after {:?}", begun.elapsed());
}

fn quick_kernels(cluster: &Cluster) {
    for pod in [&cluster.client, &cluster.neighbour, &cluster.server, &cluster.outsider] {
        // Entries of connections that are over stay for two minutes otherwise, and those of who does not answer for five.
        for timeout in ["time_wait=2", "close=2", "last_ack=5", "max_retrans=60", "unacknowledged=60"] {
            set(pod, &format!("net.netfilter.nf_conntrack_tcp_timeout_{timeout}"));
        }
    }
}

#[test]
fn nothing_is_left_of_dirty_connections_by_the_hundred() {
    let cluster = &Cluster::start_with("dirty", &SETTINGS).unwrap();
    quick_kernels(cluster);
    let nodes = [&cluster.one, &cluster.two].map(|node| (node, cluster.lab.proxy(node).unwrap()));
    for (from, to) in pairs(cluster) {
        assert_alive(&mut from.connect((to.ip4(), ECHO), PATIENCE).unwrap(), b"all is well");
    }
    let before = Sight::look(cluster, &nodes);
    let back = |what: &str| wait_until_as_before(cluster, &nodes, &before, what);

    half_closed(cluster, back);
    resets(cluster, back);
    assert_untracked(cluster);
}

/// Established connections would be tracked for days.
#[track_caller]
fn assert_untracked(cluster: &Cluster) {
    let few = Sight(vec![(String::new(), 0); 4]);
    let waited = cluster
        .lab
        .wait_until(2 * DEADLINE, "nothing is tracked any more", || Sight::tracked(cluster).is_back_to(&few));
    assert!(waited.is_ok(), "{:#?}", Sight::tracked(cluster));
}

/// Those that begin in the mesh. Of hundreds that come into it in plaintext at once, now and then one is not made within 20 s, which is
/// another matter than what is left of those that were.
fn ways(cluster: &Cluster) -> impl Iterator<Item = (&Pod, &Pod)> {
    pairs(cluster).into_iter().take(3)
}

fn half_closed(cluster: &Cluster, back: impl Fn(&str)) {
    for (from, to) in ways(cluster) {
        let (silent, address) = serve(cluster, to, Behaviour::Silent);
        let held = connect_many(from, address, |stream| {
            stream.write_all(b"question").unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
        });
        back(&format!("the clients have ended, {} -> {}", from.name(), to.name()));
        drop((held, silent.stop()));
        let (half, address) = serve(cluster, to, half_closing());
        let held = connect_many(from, address, |stream| stream.read_exact(&mut [0]).unwrap());
        back(&format!("the servers have ended, {} -> {}", from.name(), to.name()));
        drop((held, half.stop()));
    }
}

fn resets(cluster: &Cluster, back: impl Fn(&str)) {
    for (from, to) in ways(cluster) {
        let (_, address) = serve(cluster, to, Behaviour::ResetAfter(4));
        drop(connect_many(from, address, |stream| {
            // It may be reset while this is said.
            let _ = stream.write_all(b"12345678");
        }));
    }
    back("resets in flight");
}

/// The other node dies with everything on it.
#[test]
fn nothing_is_left_of_connections_to_a_node_that_was_killed() {
    let cluster = &Cluster::start_with("killed", &SETTINGS).unwrap();
    quick_kernels(cluster);
    let nodes = [(&cluster.one, cluster.lab.proxy(&cluster.one).unwrap())];
    assert_alive(&mut cluster.client.connect((cluster.server.ip4(), ECHO), PATIENCE).unwrap(), b"well");
    let before = Sight::look(cluster, &nodes);
    let (_silent, address) = serve(cluster, &cluster.server, Behaviour::Silent);
    let held = connect_many(&cluster.client, address, |stream| stream.write_all(b"so far").unwrap());
    let flowing = connect_many(&cluster.client, (cluster.server.ip4(), SOURCE).into(), |stream| {
        stream.read_exact(&mut [0]).unwrap();
    });
    // Nobody hears of it: the kernel's last words are lost as well.
    let fault = cluster.lab.isolate(&cluster.two, &cluster.server).unwrap();
    cluster.lab.proxy(&cluster.two).unwrap().kill_hard().unwrap();
    fault.heal().unwrap();
    // Who does not read is not reached by a reset: its kernel's window is closed. It finds out when it does anything.
    drop(flowing);
    wait_until_as_before(cluster, &nodes, &before, "the other node was killed");
    drop(held);
}
