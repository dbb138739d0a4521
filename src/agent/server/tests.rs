use std::net::Ipv4Addr;
use std::sync::Arc;

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::watch;

use super::*;
use crate::api::tests::cluster::view;

async fn fetch(address: SocketAddr, path: &str) -> (u16, String) {
    let fetched = tokio::time::timeout(Duration::from_secs(20), fetch_for_ever(address, path)).await;
    fetched.unwrap_or_else(|_| panic!("{path} is not answered"))
}

async fn fetch_for_ever(address: SocketAddr, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

async fn start(progress: Progress) -> SocketAddr {
    let listener = bind(&Args { monitoring_port: 0 }).unwrap();
    let port = listener.local_addr().unwrap().port();
    let recorder = Metrics::new(Settings::default());
    metrics::with_local_recorder(&recorder, || metrics::counter!("pods_total").increment(3));
    tokio::spawn(serve(listener, recorder, (progress, Liveness::default())));
    (Ipv4Addr::LOCALHOST, port).into()
}

#[tokio::test]
async fn it_is_ready_when_nothing_is_missing_and_says_what_is() {
    let (views, table) = (watch::Sender::new(None), watch::Sender::new(None));
    let installation = watch::Sender::new(Installation::begun());
    let progress = Progress {
        views: Some(views.subscribe()),
        freshness: None,
        table: table.subscribe(),
        installation: Some(installation.subscribe()),
    };
    let address = start(progress).await;
    let missing = async || {
        let (status, body) = fetch(address, "/readyz").await;
        let body: Value = serde_json::from_str(&body).unwrap();
        let missing: Vec<_> = body["missing"]
            .as_array()
            .unwrap()
            .iter()
            .map(|lack| lack["what"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(
            (status == 200, body["ready"].as_bool().unwrap()),
            (missing.is_empty(), missing.is_empty())
        );
        missing
    };
    assert_eq!(missing().await, ["cluster", "pods", "installation"]);
    assert_eq!(fetch(address, "/healthz").await, (200, "ok\n".to_owned()));
    assert_eq!(fetch(address, "/healthz/live").await, (200, "alive\n".to_owned()));
    views.send_replace(Some(Arc::new(view(&[], []))));
    assert_eq!(missing().await, ["pods", "installation"]);
    table.send_replace(Some(Arc::default()));
    assert_eq!(missing().await, ["installation"]);
    installation.send_replace(Installation::Missing("no CNI".into()));
    assert!(fetch(address, "/readyz").await.1.contains("no CNI"));
    installation.send_replace(Installation::Done);
    assert!(missing().await.is_empty());
}

#[tokio::test]
async fn what_is_not_asked_for_is_not_missing() {
    let table = watch::Sender::new(Some(Arc::default()));
    let address =
        start(Progress { views: None, freshness: None, table: table.subscribe(), installation: None }).await;
    assert_eq!(fetch(address, "/readyz").await.0, 200);
}

#[tokio::test]
async fn metrics_are_exposed() {
    let table = watch::Sender::new(None);
    let address =
        start(Progress { views: None, freshness: None, table: table.subscribe(), installation: None }).await;
    let (status, body) = fetch(address, "/metrics").await;
    assert_eq!((status, body.contains("pods_total 3")), (200, true), "{body}");
}

#[tokio::test]
async fn a_taken_port_is_named() {
    let listener = bind(&Args { monitoring_port: 0 }).unwrap();
    let port = listener.local_addr().unwrap().port();
    let error = bind(&Args { monitoring_port: port }).unwrap_err();
    assert!(error.to_string().contains(&port.to_string()), "{error}");
}

#[tokio::test]
async fn connections_that_say_nothing_keep_nobody_from_asking_how_the_agent_is() {
    let table = watch::Sender::new(None);
    let progress = Progress { views: None, freshness: None, table: table.subscribe(), installation: None };
    let address = start(progress).await;
    let mut idle = Vec::new();
    for number in 0..200_u8 {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        // As from as many pods as there may be, and all of them from one.
        let from = if number < 100 { 1 } else { number };
        socket.bind((Ipv4Addr::new(127, 0, 0, from), 0).into()).unwrap();
        idle.push(socket.connect(address).await.unwrap());
    }
    for path in ["/healthz", "/metrics"] {
        let answer = tokio::time::timeout(Duration::from_secs(1), fetch(address, path)).await;
        assert_eq!(answer.expect("kubelet waits for a second").0, 200, "{path}");
    }
}
