use hickory_proto::op::{Message, Query};
use hickory_proto::rr::{Name, RecordType};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinSet;

use super::*;
use crate::dns::tests::{MESH, handler};
use crate::drain;

const SOON: Duration = Duration::from_secs(15);
/// What the answers of one connection take at most.
const OF_ONE: usize = PIPELINED * 64;

/// A server for a mesh with a service that has an answer of some 60 KiB, and the clients it serves.
struct Served {
    server: Server,
    listener: TcpListener,
    serving: JoinSet<()>,
    guard: Guard,
    _drain: drain::Drain,
}

impl Served {
    async fn with(memory: usize) -> Self {
        let vips = (0..3800).map(|host| format!("'/10.2.{}.{}'", host / 256, host % 256));
        let vips = vips.collect::<Vec<_>>().join(", ");
        let large = format!(
            "- {{name: large, namespace: ns1, hostname: large.ex, vips: [{vips}], ports: {{80: 80}}}}"
        );
        let handler = handler(&format!("{MESH}{large}\n"), &[]);
        let server = Server { memory: Memory::of(memory), ..Server::new(handler) };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (drain, guard) = drain::channel();
        Self { server, listener, serving: JoinSet::new(), guard, _drain: drain }
    }

    async fn client(&mut self) -> TcpStream {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        let client = socket.connect(self.listener.local_addr().unwrap()).await.unwrap();
        let (stream, address) = self.listener.accept().await.unwrap();
        let destination = stream.local_addr().unwrap();
        let captured = Captured { stream, client: address, destination };
        self.serving.spawn(self.server.clone().serve(captured, self.guard.clone()));
        client
    }

    fn free(&self) -> usize {
        self.server.memory.0.available_permits()
    }
}

fn asked_for(name: &str) -> Vec<u8> {
    let mut message = Message::query();
    message.add_query(Query::query(Name::from_ascii(name).unwrap(), RecordType::A));
    framed(&message.to_vec().unwrap()).unwrap()
}

/// Asks, and gives how long the answer is; `None` when the connection ends instead.
async fn ask(client: &mut TcpStream, name: &str) -> Option<usize> {
    let exchange = async {
        client.write_all(&asked_for(name)).await.ok()?;
        let mut answer = vec![0; client.read_u16().await.ok()?.into()];
        client.read_exact(&mut answer).await.ok()
    };
    timeout(SOON, exchange).await.expect("in time")
}

#[tokio::test]
async fn who_asks_and_does_not_read_keeps_little_memory_and_not_for_long() {
    let mut served = Served::with(MEMORY).await;
    let mut greedy = served.client().await;
    greedy.write_all(&asked_for("large.ex.").repeat(1000)).await.unwrap();
    // It is full when nothing more is read: all that is asked then waits to be read.
    let is_full = async {
        while MEMORY - served.free() < OF_ONE / 2 {
            tokio::task::yield_now().await;
        }
    };
    timeout(SOON, is_full).await.expect("in time");
    let mut other = served.client().await;
    for _ in 0..20 {
        assert!(ask(&mut other, "web.").await.is_some());
        assert!(MEMORY - served.free() <= OF_ONE + 1, "{} are free", served.free());
    }
    drop(other);
    timeout(SOON, served.serving.join_next()).await.expect("in time");
    timeout(SOON, served.serving.join_next()).await.expect("it is not waited for any longer");
    assert_eq!(served.free(), MEMORY);
}

#[tokio::test]
async fn an_answer_the_pod_has_no_memory_for_ends_its_connection_and_no_other() {
    let mut served = Served::with(2).await;
    let (mut first, mut second) = (served.client().await, served.client().await);
    assert!(ask(&mut first, "web.").await.is_some());
    assert_eq!(ask(&mut second, "large.ex.").await, None);
    assert!(ask(&mut first, "web.").await.is_some());
    assert_eq!(served.free(), 2);
}

#[tokio::test]
async fn a_query_that_is_announced_has_its_memory_and_the_next_waits() {
    let mut served = Served::with(100).await;
    let (mut first, mut second) = (served.client().await, served.client().await);
    first.write_u16(u16::MAX).await.unwrap();
    let is_announced = async {
        while served.free() != 100 - 64 {
            tokio::task::yield_now().await;
        }
    };
    timeout(SOON, is_announced).await.expect("in time");
    // There is none for a second one of that length until the first is given up.
    second.write_u16(u16::MAX).await.unwrap();
    drop(first);
    timeout(SOON, served.serving.join_next()).await.expect("in time");
    assert!(served.free() == 100 || served.free() == 100 - 64);
    drop(second);
    timeout(SOON, served.serving.join_next()).await.expect("in time");
    assert_eq!(served.free(), 100);
}
