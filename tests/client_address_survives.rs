//! A server sees the client's own address, as without a mesh; and its port too, unless that is taken.

use std::net::{IpAddr, SocketAddr};

use culvert_lab::{Behaviour, Pod, wait_until};
use socket2::{Domain, Socket, Type};

use crate::harness::cluster::{Cluster, Family, WHO, shared};
use crate::harness::kernel::{Connection, State, connections};
use crate::harness::talk::{Ending, SOON, read_to_end, who};

/// Asks the server who calls, from a port of the client's choice. The server ends the connection first, so that it is
/// the server's pod in which the connection lingers.
#[track_caller]
fn seen_from_port(cluster: &Cluster, port: u16) -> SocketAddr {
    let mut stream = cluster.client.connect_from(port, (cluster.server.ip4(), WHO), SOON).unwrap();
    let Ending::Complete(answer) = read_to_end(&mut stream) else { panic!("no answer to port {port}") };
    let answer = String::from_utf8(answer).unwrap();
    answer.trim_end().strip_prefix("server ").unwrap().parse().unwrap()
}

/// Takes an address and port of somebody else's inside a pod, in a way that lets nobody share it.
fn occupy(pod: &Pod, address: SocketAddr) -> Socket {
    let socket = pod.netns().run(|| Socket::new(Domain::IPV4, Type::STREAM, None)).unwrap().unwrap();
    socket.set_freebind_v4(true).unwrap();
    socket.bind(&address.into()).unwrap();
    socket
}

#[test]
fn the_server_sees_the_clients_address_and_port() {
    let cluster = shared();
    for (to, pod) in cluster.ways(Family::V4, WHO) {
        let (name, seen, own) = who(cluster.client.connect(to, SOON).unwrap());
        assert_eq!(name, pod.name(), "{to}");
        assert_eq!(seen, own, "{to}");
        assert_eq!(seen.ip(), IpAddr::from(cluster.client.ip4()), "{to}");
    }
}

#[test]
fn each_client_is_seen_as_itself() {
    let cluster = shared();
    for client in [&cluster.client, &cluster.neighbour] {
        let (_, seen, _) = who(client.connect((cluster.server.ip4(), WHO), SOON).unwrap());
        assert_eq!(seen.ip(), IpAddr::from(client.ip4()));
    }
}

#[test]
fn a_port_that_is_taken_is_replaced_and_the_address_kept() {
    const PORT: u16 = 20_001;
    let cluster = shared();
    let client = SocketAddr::from((cluster.client.ip4(), PORT));
    let taken = occupy(&cluster.server, client);
    let seen = seen_from_port(&cluster, PORT);
    assert_eq!(seen.ip(), client.ip());
    assert_ne!(seen.port(), PORT, "the port was not taken");
    drop(taken);
    assert_eq!(seen_from_port(&cluster, PORT), client);
}

/// The last connection of the same client port ended a moment ago, and lingers in the server's pod.
#[test]
fn a_port_in_time_wait_does_not_stop_anybody() {
    const PORT: u16 = 20_002;
    let cluster = shared();
    let client = SocketAddr::from((cluster.client.ip4(), PORT));
    assert_eq!(seen_from_port(&cluster, PORT), client);
    let lingering = Connection { own: WHO, remote: PORT, state: State::TimeWait };
    for _ in 0..5 {
        wait_until(SOON, "the connection lingers", || connections(&cluster.server).contains(&lingering))
            .unwrap();
        let gone = || connections(&cluster.client).iter().all(|it| (it.own, it.remote) != (PORT, WHO));
        wait_until(SOON, "the client's own end is gone", gone)
            .unwrap_or_else(|error| panic!("{error:?}: {:?}", connections(&cluster.client)));
        assert_eq!(seen_from_port(&cluster, PORT).ip(), client.ip());
    }
}

#[test]
fn many_short_connections_are_all_seen_as_the_client() {
    let cluster = shared();
    let server = cluster.lab.serve(&cluster.server, 0, Behaviour::WhoAmI).unwrap();
    for _ in 0..200 {
        let (_, seen, own) =
            who(cluster.client.connect((cluster.server.ip4(), server.port()), SOON).unwrap());
        assert_eq!(seen.ip(), own.ip());
    }
    assert_eq!(server.accepted(), 200);
    wait_until(SOON, "all connections are closed", || server.open() == 0).unwrap();
}
