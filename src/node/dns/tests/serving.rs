//! The listeners, from outside.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::*;
use crate::drain::{self, Drain};

const SOON: Duration = Duration::from_secs(10);

/// Where queries are served, and how to end it.
struct Served {
    address: SocketAddr,
    drain: Drain,
    task: tokio::task::JoinHandle<()>,
}

/// Serves without redirection: clients have not chosen whom to ask.
async fn serve(handler: Arc<Handler>) -> Served {
    let connections = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    connections.set_nonblocking(true).unwrap();
    let here = connections.local_addr().unwrap();
    let socket = Arc::new(UdpSocket::bind(here).await.unwrap());
    let udp = vec![udp::Listener { socket, here, conntrack: None }];
    let tcp = vec![capture::Listener::of_redirected(connections).unwrap()];
    let (drain, guard) = drain::channel();
    let task = tokio::spawn(Listeners { handler, udp, tcp }.serve(guard));
    Served { address: here, drain, task }
}

async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(SOON, future).await.expect("in time")
}

async fn send(stream: &mut TcpStream, query: &Message) {
    stream.write_all(&ask::framed(&query.to_vec().unwrap()).unwrap()).await.unwrap();
}

async fn receive(stream: &mut TcpStream) -> Message {
    let length = soon(stream.read_u16()).await.unwrap();
    let mut answer = vec![0; length.into()];
    soon(stream.read_exact(&mut answer)).await.unwrap();
    Message::from_vec(&answer).unwrap()
}

async fn silent() -> Upstream {
    Upstream::start(|_, _| Vec::new()).await
}

fn ours() -> Message {
    query("web.", RecordType::A)
}

fn theirs() -> Message {
    query("known.example.", RecordType::A)
}

/// A pod's namespace, loopback up.
fn pod(has_ipv6: bool) -> Arc<Netns> {
    let netns = Netns::create().unwrap();
    let disabled = if has_ipv6 { "0" } else { "1" };
    let write = || std::fs::write("/proc/sys/net/ipv6/conf/all/disable_ipv6", disabled);
    netns.run(write).unwrap().unwrap();
    let mut up = std::process::Command::new("ip");
    up.args(["link", "set", "lo", "up"]);
    culvert_sys::child::start_in(&mut up, &netns).unwrap();
    assert!(up.status().unwrap().success());
    Arc::new(netns)
}

fn open(netns: &Arc<Netns>, set: &[(&'static str, &'static str)]) -> Result<Listeners, Error> {
    let env = [("LOCAL_XDS", "{}"), ("CA_ADDRESS", "ca:1")];
    let env = env.into_iter().chain(set.iter().copied());
    let config = Settings::read(&Environment::of(env)).unwrap();
    let pod = Pod {
        info: PodInfo { name: "client".into(), namespace: "ns1".into(), service_account: "sa".into() },
        mesh: crate::mesh::tests::fixed(MESH).unwrap(),
        netns: Some(Arc::clone(netns)),
        socket: config.socket,
        dialer: Dialer::new(Some(Arc::clone(netns)), config.socket),
    };
    Dns::new(config.dns).of_pod(pod).open().map(|listeners| listeners.expect("queries are captured"))
}

fn addresses(listeners: Result<Listeners, Error>) -> Vec<String> {
    listeners.unwrap().udp.iter().map(|listener| listener.here.to_string()).collect()
}

#[tokio::test]
async fn a_pod_is_served_in_the_families_it_has() {
    let (v4, v6) = ("127.0.0.1:15053", "[::1]:15053");
    assert_eq!(addresses(open(&pod(true), &[])), [v4, v6]);
    assert_eq!(addresses(open(&pod(false), &[])), [v4]);
    assert_eq!(addresses(open(&pod(true), &[("IPV6_ENABLED", "false")])), [v4]);
    let elsewhere = [("ISTIO_META_DNS_PROXY_ADDR", "127.0.0.2:53")];
    assert_eq!(addresses(open(&pod(true), &elsewhere)), ["127.0.0.2:53"]);
    let missing = open(&pod(true), &[("ISTIO_META_DNS_PROXY_ADDR", "192.0.2.1:53")]);
    assert!(matches!(missing, Err(Error::Listen { port: 53, .. })), "{missing:?}");
}

#[tokio::test]
async fn the_next_process_may_listen_too_unless_it_is_told_not_to() {
    let pod = pod(true);
    let first = open(&pod, &[]).unwrap();
    open(&pod, &[]).unwrap();
    let alone = open(&pod, &[("INPOD_PORT_REUSE", "false")]);
    assert!(matches!(alone, Err(Error::Listen { port: 15053, .. })), "{alone:?}");
    drop(first);
}

#[tokio::test]
async fn datagrams_are_answered_and_nonsense_harms_nobody() {
    let served = serve(handler(MESH, &[])).await;
    let client = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    client.connect(served.address).await.unwrap();
    for nonsense in [&[][..], &[0; 3], &[0xff; 4096]] {
        client.send(nonsense).await.unwrap();
    }
    let asked = ours();
    client.send(&asked.to_vec().unwrap()).await.unwrap();
    let mut buffer = [0; 512];
    let length = soon(client.recv(&mut buffer)).await.unwrap();
    let answer = Message::from_vec(&buffer[..length]).unwrap();
    assert_eq!((answer.metadata.id, answer.answers.len()), (asked.metadata.id, 1));
}

#[tokio::test]
async fn a_quick_answer_overtakes_a_slow_one_on_the_same_connection() {
    let silent = silent().await;
    let served = serve(handler(MESH, &[&silent])).await;
    let mut stream = TcpStream::connect(served.address).await.unwrap();
    let (slow, quick) = (theirs(), ours());
    send(&mut stream, &slow).await;
    send(&mut stream, &quick).await;
    assert_eq!(receive(&mut stream).await.metadata.id, quick.metadata.id);
    let late = receive(&mut stream).await;
    assert_eq!((late.metadata.id, late.metadata.response_code), (slow.metadata.id, ResponseCode::ServFail));
}

#[tokio::test]
async fn a_client_that_has_no_more_queries_gets_its_answers_and_the_end() {
    let served = serve(handler(MESH, &[])).await;
    let mut stream = TcpStream::connect(served.address).await.unwrap();
    send(&mut stream, &ours()).await;
    send(&mut stream, &theirs()).await;
    stream.shutdown().await.unwrap();
    for _ in 0..2 {
        receive(&mut stream).await;
    }
    assert_eq!(soon(stream.read(&mut [0; 1])).await.unwrap(), 0);
}

#[tokio::test]
async fn connections_have_a_limit_and_the_next_is_closed() {
    let served = serve(handler(MESH, &[])).await;
    let mut streams = Vec::new();
    for _ in 0..tcp::CONNECTIONS {
        let mut stream = TcpStream::connect(served.address).await.unwrap();
        send(&mut stream, &ours()).await;
        receive(&mut stream).await;
        streams.push(stream);
    }
    let mut refused = TcpStream::connect(served.address).await.unwrap();
    let end = soon(refused.read(&mut [0; 1])).await;
    assert!(matches!(end, Ok(0) | Err(_)), "{end:?}");
    drop(streams.pop());
    // The place becomes free when the end has been seen.
    let again = async {
        loop {
            let mut stream = TcpStream::connect(served.address).await.unwrap();
            send(&mut stream, &ours()).await;
            if stream.read_u16().await.is_ok() {
                return;
            }
        }
    };
    soon(again).await;
}

#[tokio::test]
async fn a_drain_lets_what_was_asked_be_answered() {
    let silent = silent().await;
    let served = serve(handler(MESH, &[&silent])).await;
    let client = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    client.connect(served.address).await.unwrap();
    let mut stream = TcpStream::connect(served.address).await.unwrap();
    client.send(&theirs().to_vec().unwrap()).await.unwrap();
    send(&mut stream, &theirs()).await;
    // The quick answers say that the slow ones are waited for.
    client.send(&ours().to_vec().unwrap()).await.unwrap();
    send(&mut stream, &ours()).await;
    let mut buffer = [0; 512];
    soon(client.recv(&mut buffer)).await.unwrap();
    receive(&mut stream).await;
    assert!(served.drain.drain(SOON).await, "it ends by itself");
    soon(client.recv(&mut buffer)).await.unwrap();
    receive(&mut stream).await;
    soon(served.task).await.unwrap();
}

#[tokio::test]
async fn a_cut_ends_what_waits() {
    let silent = silent().await;
    let served = serve(handler(MESH, &[&silent])).await;
    let mut stream = TcpStream::connect(served.address).await.unwrap();
    send(&mut stream, &theirs()).await;
    send(&mut stream, &ours()).await;
    receive(&mut stream).await;
    soon(served.drain.cut()).await;
    soon(served.task).await.unwrap();
    assert!(matches!(soon(stream.read(&mut [0; 1])).await, Ok(0) | Err(_)));
}
