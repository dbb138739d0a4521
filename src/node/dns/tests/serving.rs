//! The listeners, from outside.

use std::net::IpAddr;

use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, SharedString, Unit};
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

fn resolver(netns: &Arc<Netns>, set: &[(&'static str, &'static str)]) -> OfPod {
    let env = [("LOCAL_XDS", "{}"), ("CA_ADDRESS", "ca:1")];
    let env = env.into_iter().chain(set.iter().copied());
    let config = Settings::read(&Environment::of(env)).unwrap();
    let pod = Pod {
        info: PodInfo { name: "client".into(), namespace: "ns1".into(), service_account: "sa".into() },
        mesh: crate::mesh::tests::fixed(MESH).unwrap(),
        netns: Some(Arc::clone(netns)),
        socket: config.socket,
        dialer: Dialer::new(Some(Arc::clone(netns)), config.socket),
        limits: limits::tests::alone(),
    };
    Dns::new(config.dns).of_pod(pod)
}

fn open(netns: &Arc<Netns>, set: &[(&'static str, &'static str)]) -> Result<Listeners, Error> {
    let resolver = resolver(netns, set);
    resolver.open(resolver.capture.unwrap()).map(|(listeners, _)| listeners)
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
async fn a_port_that_is_taken_is_told_and_tried_again() {
    let pod = pod(false);
    let taken = pod.run(|| std::net::UdpSocket::bind("127.0.0.1:15053")).unwrap().unwrap();
    let resolver = resolver(&pod, &[]);
    let status = resolver.status.clone();
    let (_drain, guard) = drain::channel();
    let serving = tokio::spawn(resolver.serve(guard));
    let (info, trouble) = &status.troubles()[0];
    assert!(info.name == "client" && trouble.contains("15053"), "{trouble}");
    drop(taken);
    let cured = async {
        while !status.troubles().is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    soon(cured).await;
    let client = pod.run(|| std::net::UdpSocket::bind("127.0.0.1:0")).unwrap().unwrap();
    client.set_nonblocking(true).unwrap();
    let client = UdpSocket::from_std(client).unwrap();
    client.send_to(&ours().to_vec().unwrap(), "127.0.0.1:15053").await.unwrap();
    soon(client.recv(&mut [0; 512])).await.unwrap();
    serving.abort();
}

#[tokio::test]
async fn trouble_goes_with_its_pod() {
    let status = Status::new(None);
    let info = PodInfo { name: "client".into(), namespace: "ns1".into(), service_account: "sa".into() };
    let [first, second] = [status.of_pod(info.clone()), status.of_pod(info)];
    first.set(Some("one".into()));
    second.set(Some("two".into()));
    drop(first);
    assert_eq!(status.troubles().len(), 1);
    second.set(None);
    assert_eq!(status.troubles(), []);
}

#[tokio::test]
async fn without_capture_nobody_listens_and_hosts_are_found() {
    let pod = pod(false);
    let resolver = resolver(&pod, &[("ISTIO_META_DNS_CAPTURE", "false")]);
    assert_eq!(*resolver.hosts().as_the_pod("web").await.unwrap(), [IpAddr::from([10, 1, 0, 1])]);
    let (_drain, guard) = drain::channel();
    soon(resolver.serve(guard)).await;
    pod.run(|| std::net::UdpSocket::bind("127.0.0.1:15053")).unwrap().unwrap();
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

/// Panics once, where queries are counted, as a parser may with a query nobody has thought of.
#[derive(Default)]
struct Panics(std::sync::atomic::AtomicBool);

impl metrics::Recorder for Panics {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, _: &Key, _: &Metadata<'_>) -> Counter {
        let is_first = !self.0.swap(true, std::sync::atomic::Ordering::SeqCst);
        assert!(!is_first, "on purpose");
        Counter::noop()
    }

    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}

#[tokio::test]
async fn a_query_that_cannot_be_handled_ends_no_listener() {
    let recorder = Panics::default();
    // Tasks of this test all run on its thread.
    let _guard = metrics::set_default_local_recorder(&recorder);
    let served = serve(handler(MESH, &[])).await;
    let client = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    client.connect(served.address).await.unwrap();
    let (lost, answered) = (ours(), ours());
    for query in [&lost, &answered] {
        client.send(&query.to_vec().unwrap()).await.unwrap();
    }
    let mut buffer = [0; 512];
    let length = soon(client.recv(&mut buffer)).await.unwrap();
    assert_eq!(Message::from_vec(&buffer[..length]).unwrap().metadata.id, answered.metadata.id);
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
    for _ in 0..limits::Limit::DnsConnections.facts().most.unwrap() {
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
