use std::io::Write as _;
use std::net::TcpListener;
use std::process::Command;
use std::sync::Arc;

use culvert_sys::netns::Netns;
use culvert_sys::tcp::{self, Dial, Listen, Transparent};
use tokio::net::TcpSocket;

use super::*;
use crate::ledger::{OfNode, OfPod, onward};
use crate::proxy::PodInfo;

const MARK: Option<u32> = Some(0x539);

/// A pod whose calls to port 8080 are redirected to its proxy.
struct Pod {
    netns: Arc<Netns>,
    book: OfPod,
    proxy: TcpListener,
}

impl Pod {
    fn new() -> Self {
        let netns = Arc::new(Netns::create().unwrap());
        let run = |line: &str| {
            let mut words = line.split(' ');
            let mut command = Command::new(words.next().unwrap());
            assert!(netns.run(|| command.args(words).status()).unwrap().unwrap().success(), "{line}");
        };
        run("ip link set lo up");
        run(
            "iptables -t nat -A OUTPUT -p tcp --dport 8080 -m mark ! --mark 0x539 -j REDIRECT --to-ports 15001",
        );
        let address = "[::]:15001".parse().unwrap();
        let how = Listen { address, mark: MARK, reuse_port: false, transparent: Transparent::Never };
        let (proxy, _) = netns.run(|| tcp::listen(&how)).unwrap().unwrap();
        proxy.set_nonblocking(false).unwrap();
        let pod = PodInfo { name: "web".into(), namespace: "shop".into(), service_account: "default".into() };
        let book = OfNode::default().begin(pod, Some(&netns));
        Self { netns, book, proxy }
    }

    fn listen(&self, address: &str) -> TcpListener {
        self.netns.run(|| TcpListener::bind(address)).unwrap().unwrap()
    }

    /// Connects from an address others may connect from, too.
    async fn connect_from(&self, own: &str, to: &str) -> tokio::net::TcpStream {
        let socket = self.netns.run(TcpSocket::new_v4).unwrap().unwrap();
        socket.set_reuseaddr(true).unwrap();
        socket.bind(own.parse().unwrap()).unwrap();
        socket.connect(to.parse().unwrap()).await.unwrap()
    }

    /// What this node dials with.
    async fn dial(&self, to: SocketAddr) -> tokio::net::TcpStream {
        let socket = self.netns.run(|| tcp::dial(to, &Dial { mark: MARK, source: None })).unwrap().unwrap();
        TcpSocket::from_std_stream(socket).connect(to).await.unwrap()
    }
}

#[tokio::test]
async fn both_sockets_of_a_connection_are_found_among_those_of_its_pod() {
    let pod = Pod::new();
    let (local, server) = (pod.listen("127.0.0.1:9090"), pod.listen("127.0.0.1:7070"));
    // An application may call its own pod from the very same address.
    let _same = pod.connect_from("127.0.0.1:4000", "127.0.0.1:9090").await;
    let _decoy = local.accept().unwrap();
    let app = pod.connect_from("127.0.0.1:4000", "127.0.0.1:8080").await;
    let (_accepted, client) = pod.proxy.accept().unwrap();
    assert_eq!(app.try_write(b"hello").unwrap(), 5);
    let to = server.local_addr().unwrap();
    let dialled = pod.dial(to).await;
    let (mut called, _) = server.accept().unwrap();
    called.write_all(b"hi").unwrap();

    let record = pod.book.book().begin(Direction::Outbound, client, "127.0.0.1:8080".parse().unwrap());
    assert_eq!(client.ip().to_canonical(), app.local_addr().unwrap().ip());
    let sockets = look(pod.book.book()).unwrap();
    let (near, far) = sockets.of(&record, &record.facts());
    assert_eq!((near.unwrap().unread, far), (5, None), "nobody was dialled yet");
    record.facts().onward = onward(&dialled, to);
    let (near, far) = sockets.of(&record, &record.facts());
    assert_eq!((near.unwrap().unread, far.unwrap().unread), (5, 2));
    assert!(far.unwrap().info.rtt > 0);

    let inbound = pod.book.book().begin(Direction::Inbound, client, to);
    inbound.facts().onward = onward(&dialled, to);
    let (near, far) = sockets.of(&inbound, &inbound.facts());
    assert_eq!((near.unwrap().unread, far.unwrap().unread), (2, 5));
}

#[tokio::test]
async fn what_is_over_is_told_as_it_was() {
    let pod = Pod::new();
    let record = pod.book.book().begin(
        Direction::Outbound,
        "127.0.0.1:1".parse().unwrap(),
        "127.0.0.1:8080".parse().unwrap(),
    );
    let info = Info { rtt: 7, ..Info::default() };
    record.facts().moved.part(Some(info), None);
    let sockets = look(pod.book.book()).unwrap();
    assert_eq!(sockets.of(&record, &record.facts()), (None, None), "it lives, and has no socket");
    pod.book.book().end(&record, Ok(()));
    assert_eq!(sockets.of(&record, &record.facts()), (Some(Socket { info, unread: 0 }), None));
}

#[test]
fn a_pod_that_is_gone_has_no_sockets() {
    let Pod { netns, book, proxy } = Pod::new();
    drop((proxy, netns));
    assert!(look(book.book()).unwrap().all.is_empty());
}

#[test]
fn each_of_many_is_found_by_its_ends_marked_or_not() {
    let address = |last: u8, port: u16| SocketAddr::from(([10, 0, 0, last], port));
    let connection = |mark, local, remote, unread| Connection {
        local,
        remote,
        mark,
        unread,
        is_held: true,
        info: Info::default(),
    };
    let to_one = (1..=2000_u16)
        .map(|port| connection(u32::from(port % 2), address(1, port), address(2, 80), port.into()));
    let decoy = connection(0, address(0, 1), address(3, 9), 1);
    let own = connection(7, address(9, 9), address(3, 9), 2);
    let sockets = Sockets::new(to_one.chain([decoy, own]).collect(), Tunnels::default());
    for port in 1..=2000 {
        let found = sockets.between([address(1, port), address(2, 80)]).unwrap();
        assert_eq!(found.unread, u32::from(port));
    }
    assert_eq!(sockets.between([address(1, 2001), address(2, 80)]), None);
    assert_eq!(sockets.accepted(address(3, 9)).unwrap().unread, 2, "the marked one is this node's");
    assert_eq!((sockets.accepted(address(3, 8)), sockets.accepted(address(3, 10))), (None, None));
}
