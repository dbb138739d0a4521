use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use culvert_proto::otlp::trace::{ExportTracePartialSuccess, ExportTraceServiceResponse};
use http::{HeaderName, HeaderValue};
use prost::Message as _;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::super::signal::Traces;
use super::*;

/// A collector that answers in some ways, one after the other, and what it was asked.
#[derive(Default)]
struct Collector {
    answers: Mutex<Vec<(StatusCode, Vec<u8>)>>,
    asked: Mutex<Vec<HeaderMap>>,
    connections: AtomicUsize,
}

async fn answer(State(collector): State<Arc<Collector>>, headers: HeaderMap, _: Bytes) -> Response {
    collector.asked.lock().unwrap().push(headers);
    let (status, body) = collector.answers.lock().unwrap().pop().unwrap();
    (status, [(header::RETRY_AFTER, "7")], body).into_response()
}

/// Starts a collector; gives it, and a client of it.
async fn collector(answers: Vec<(StatusCode, Vec<u8>)>) -> (Arc<Collector>, Client) {
    let collector = Arc::new(Collector { answers: Mutex::new(answers), ..Collector::default() });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}/base/", listener.local_addr().unwrap());
    let router = Router::new().route("/base/v1/traces", post(answer)).with_state(Arc::clone(&collector));
    let counted = Arc::clone(&collector);
    let listener = axum::serve::ListenerExt::tap_io(listener, move |_| {
        counted.connections.fetch_add(1, Ordering::Relaxed);
    });
    tokio::spawn(async move { axum::serve(listener, router).await });
    (collector, Client::new(&config(&endpoint)).unwrap())
}

fn config(endpoint: &str) -> Config {
    Config {
        endpoint: endpoint.parse().unwrap(),
        protocol: Protocol::Http,
        headers: vec![(HeaderName::from_static("api-key"), HeaderValue::from_static("secret"))],
        timeout: Duration::from_secs(5),
        roots: None,
        resource: BTreeMap::new(),
        spans: None,
        logs: None,
        mark: None,
    }
}

#[tokio::test]
async fn answers_by_http_are_told_apart_and_the_connection_is_kept() {
    let partly = ExportTraceServiceResponse {
        partial_success: Some(ExportTracePartialSuccess { rejected_spans: 3, error_message: "no".into() }),
    };
    let (collector, mut client) = collector(vec![
        (StatusCode::OK, vec![0xff]),
        (StatusCode::BAD_REQUEST, Vec::new()),
        (StatusCode::SERVICE_UNAVAILABLE, b"later".to_vec()),
        (StatusCode::OK, partly.encode_to_vec()),
        (StatusCode::OK, Vec::new()),
    ])
    .await;
    let request = Traces::request(Vec::new(), &Default::default());
    assert_eq!(client.send::<Traces>(&request).await.unwrap(), ExportTraceServiceResponse::default());
    assert_eq!(client.send::<Traces>(&request).await.unwrap(), partly);
    let busy = client.send::<Traces>(&request).await.unwrap_err();
    assert!(busy.may_pass() && busy.after() == Some(Duration::from_secs(7)), "{busy}");
    let refused = client.send::<Traces>(&request).await.unwrap_err();
    assert!(!refused.may_pass() && refused.to_string().contains("400"), "{refused}");
    assert!(matches!(client.send::<Traces>(&request).await, Err(Error::Nonsense)));
    assert_eq!(collector.connections.load(Ordering::Relaxed), 1);
    let asked = collector.asked.lock().unwrap();
    assert_eq!(asked.len(), 5);
    assert_eq!(asked[0]["api-key"], "secret");
    assert_eq!(asked[0]["content-type"], "application/x-protobuf");
}

#[tokio::test]
async fn a_collector_that_is_not_there_or_silent_may_be_later() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = silent.local_addr().unwrap();
    for protocol in [Protocol::Http, Protocol::Grpc] {
        let timeout = Duration::from_millis(100);
        let config = Config { protocol, timeout, ..config(&format!("http://{address}")) };
        let request = Traces::request(Vec::new(), &Default::default());
        let error = Client::new(&config).unwrap().send::<Traces>(&request).await.unwrap_err();
        assert!(matches!(error, Error::TimedOut(_)) && error.may_pass(), "{protocol:?} {error}");
    }
    drop(silent);
    for protocol in [Protocol::Http, Protocol::Grpc] {
        let config = Config { protocol, ..config(&format!("http://{address}")) };
        let request = Traces::request(Vec::new(), &Default::default());
        let error = Client::new(&config).unwrap().send::<Traces>(&request).await.unwrap_err();
        assert!(error.may_pass() && !matches!(error, Error::TimedOut(_)), "{protocol:?} {error}");
    }
}
