use axum::routing::get;
use futures::FutureExt as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::*;

/// Connections the test makes.
struct Connections(mpsc::UnboundedReceiver<DuplexStream>);

impl Accept for Connections {
    type Stream = DuplexStream;

    fn accept(&mut self) -> BoxFuture<'_, io::Result<DuplexStream>> {
        Box::pin(async { self.0.recv().await.ok_or_else(|| io::ErrorKind::NotConnected.into()) })
    }
}

struct Server {
    connections: mpsc::UnboundedSender<DuplexStream>,
    _task: JoinHandle<()>,
}

impl Server {
    fn start(most: usize) -> Self {
        let (connections, accepted) = mpsc::unbounded_channel();
        let router = Router::new()
            .route("/", get(async || "hello"))
            .route("/never", get(async || std::future::pending::<&str>().await));
        Self { connections, _task: tokio::spawn(serve(Connections(accepted), router, most)) }
    }

    async fn connect(&self, said: &str) -> DuplexStream {
        let (mut client, server) = duplex(4096);
        self.connections.send(server).unwrap();
        client.write_all(said.as_bytes()).await.unwrap();
        client
    }
}

/// Waits until the server has closed the connection; returns what it has said, and after how long.
async fn rest(mut client: DuplexStream) -> (String, Duration) {
    let start = Instant::now();
    let mut said = String::new();
    client.read_to_string(&mut said).await.unwrap();
    (said, start.elapsed())
}

#[tokio::test(start_paused = true)]
async fn nobody_can_stay_for_ever() {
    let server = Server::start(8);
    let mute = server.connect("").await;
    let slow = server.connect("GET / HTTP/1.1\r\nhost: x\r\nx:").await;
    let idle = server.connect("GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
    let endless = server.connect("GET /never HTTP/1.1\r\nhost: x\r\n\r\n").await;
    let (mute, slow, idle, endless) = tokio::join!(rest(mute), rest(slow), rest(idle), rest(endless));
    assert!(mute.1 <= HEADERS * 2 && slow.1 <= HEADERS * 2, "{mute:?} {slow:?}");
    assert!(idle.0.ends_with("hello") && idle.1 <= HEADERS * 2, "{idle:?}");
    assert!(endless.1 <= LIFE * 2, "{endless:?}");
}

#[tokio::test(start_paused = true)]
async fn those_who_are_too_many_wait_until_others_have_gone() {
    let server = Server::start(2);
    let (first, second) = (server.connect("").await, server.connect("").await);
    let mut third = server.connect("GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
    let mut byte = [0];
    for _ in 0..100 {
        tokio::task::yield_now().await;
        assert!(third.read(&mut byte).now_or_never().is_none(), "there are two already");
    }
    drop(first);
    timeout(HEADERS / 2, third.read(&mut byte)).await.unwrap().unwrap();
    assert_eq!(&byte, b"H");
    drop(second);
}
