//! Somebody who has connections and tokens like sand: nodes get what they need all the same.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use serde_json::json;
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tonic::transport::Channel;

use crate::client::{Client, Has};
use crate::cluster::{Cluster, WEB, ask};
use crate::harness::{Ask, Control};

/// Where all of it comes from.
const ATTACKER: [u8; 4] = [127, 0, 0, 2];
/// Connections the attacker holds, as far as it is up to him, and those among them that complete the handshake.
const CONNECTIONS: usize = 5000;
const WITH_TLS: usize = 200;
/// They are opened by so many at once.
const OPENERS: usize = 20;
/// Forged tokens under way at once.
const FORGERS: usize = 16;

/// How long a node may wait for its stream, and for a certificate.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long the attack itself may take.
const LONG: Duration = Duration::from_secs(120);

async fn connect(control: &Control, from: [u8; 4]) -> Result<Channel, tonic::transport::Error> {
    control.endpoint("localhost").local_address(Some(IpAddr::from(from))).connect().await
}

async fn tcp(port: u16) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::from((ATTACKER, 0)))?;
    socket.connect(SocketAddr::from(([127, 0, 0, 1], port))).await
}

/// A token as anybody can make it.
fn forged(number: usize) -> String {
    let claims = json!({
        "aud": ["istio-ca"], "exp": 4_000_000_000_u32, "sub": "system:serviceaccount:mesh:culvert-node",
        "kubernetes.io": {
            "namespace": "mesh", "serviceaccount": {"name": "culvert-node"},
            "pod": {"name": format!("node-{number}"), "uid": number.to_string()},
        },
    });
    let parts = [r#"{"alg":"RS256"}"#, &claims.to_string(), "signature"];
    parts.map(|part| URL_SAFE_NO_PAD.encode(part)).join(".")
}

/// Asks again and again, over a new connection when the old one was closed.
async fn forge(control: Arc<Control>, forgeries: Arc<AtomicUsize>) {
    loop {
        let Ok(channel) = connect(&control, ATTACKER).await else { continue };
        loop {
            let number = forgeries.fetch_add(1, Ordering::Relaxed);
            let refused =
                Control::ask_over(channel.clone(), Ask { csr: Some(""), ..ask(&forged(number), WEB) })
                    .await
                    .unwrap_err();
            if refused.metadata().get("culvert-reason").is_none() {
                break;
            }
        }
    }
}

/// Opens its part of the connections, and keeps them for as long as the program lets it.
async fn open(control: Arc<Control>, opened: Arc<AtomicUsize>) {
    let (mut silent, mut greeted) = (Vec::new(), Vec::new());
    for number in 0..CONNECTIONS / OPENERS {
        if number % (CONNECTIONS / WITH_TLS) == 0 {
            greeted.push(connect(&control, ATTACKER).await);
        }
        silent.push(tcp(control.port()).await.unwrap());
        opened.fetch_add(1, Ordering::Relaxed);
    }
    std::future::pending().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_is_served_in_time_whatever_one_address_does() {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, most, most).unwrap();
    let cluster = Cluster::new("flood");
    let control = Arc::new(cluster.start("one"));
    let (a, b) = (cluster.node_token("a"), cluster.node_token("b"));
    let mut before = Client::open(&control, &b).await.unwrap();
    before.begin("b", &Has::new(), &Has::new(), false).await;
    before.receive().await.unwrap();

    let (forgeries, began) = (Arc::new(AtomicUsize::new(0)), Instant::now());
    let mut attack = JoinSet::new();
    for _ in 0..FORGERS {
        attack.spawn(forge(Arc::clone(&control), Arc::clone(&forgeries)));
    }
    let opened = Arc::new(AtomicUsize::new(0));
    for _ in 0..OPENERS {
        attack.spawn(open(Arc::clone(&control), Arc::clone(&opened)));
    }
    let under_way =
        || opened.load(Ordering::Relaxed) > CONNECTIONS / 3 && forgeries.load(Ordering::Relaxed) > 100;
    culvert_lab::wait_until(LONG, "the attack is under way", under_way).unwrap();
    for _ in 0..5 {
        let served = async {
            let channel = control.connect("localhost").await.unwrap();
            let mut client = Client::open_over(channel.clone(), &a).await.unwrap();
            client.begin("a", &Has::new(), &Has::new(), false).await;
            client.receive().await.unwrap();
            Control::ask_over(channel, ask(&a, WEB)).await.unwrap();
        };
        tokio::time::timeout(PATIENCE, served).await.expect("a node is served in time");
    }
    let enough = || opened.load(Ordering::Relaxed) == CONNECTIONS && forgeries.load(Ordering::Relaxed) > 1000;
    culvert_lab::wait_until(LONG, "all of it has come", enough).unwrap();
    // Twenty, one more each second, and the two nodes.
    let most = 20 + usize::try_from(began.elapsed().as_secs()).unwrap() + 1 + 2;
    assert!(cluster.server.reviews() <= most, "{} of {most}", cluster.server.reviews());
    cluster.server.remove("pods", "shop", "web").unwrap();
    while before.addresses.contains_key("Kubernetes//Pod/shop/web") || before.addresses.is_empty() {
        before.receive().await.unwrap();
    }
    attack.shutdown().await;
}
