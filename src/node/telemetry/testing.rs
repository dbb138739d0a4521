//! Collectors for tests: they answer as they are told to.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use axum::serve::ListenerExt as _;
use http::{HeaderName, HeaderValue};
use tokio::net::TcpListener;

use super::{Config, Protocol};

/// A collector that answers in some ways, one after the other, and what it was asked.
#[derive(Debug, Default)]
pub(super) struct Collector {
    /// The last one comes first.
    answers: Mutex<Vec<(StatusCode, Vec<u8>)>>,
    pub(super) asked: Mutex<Vec<HeaderMap>>,
    pub(super) connections: AtomicUsize,
}

async fn answer(State(collector): State<Arc<Collector>>, headers: HeaderMap) -> Response {
    collector.asked.lock().unwrap().push(headers);
    let (status, body) = collector.answers.lock().unwrap().pop().unwrap();
    let after = (status == StatusCode::TOO_MANY_REQUESTS).then_some([(header::RETRY_AFTER, "7")]);
    (status, after.map_or(HeaderMap::new(), |after| after.into_response().headers().clone()), body)
        .into_response()
}

impl Collector {
    /// Starts one that speaks HTTP.
    pub(super) async fn start(answers: &[(u16, &[u8])]) -> (Arc<Self>, Config) {
        let answers = answers.iter().rev();
        let answers = answers.map(|(status, body)| (StatusCode::from_u16(*status).unwrap(), body.to_vec()));
        let collector = Arc::new(Self { answers: Mutex::new(answers.collect()), ..Self::default() });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = config(Protocol::Http, "http", listener.local_addr().unwrap(), "/base/");
        let router = Router::new().route("/base/v1/traces", post(answer)).with_state(Arc::clone(&collector));
        let counted = Arc::clone(&collector);
        let listener = listener.tap_io(move |_| {
            counted.connections.fetch_add(1, Ordering::Relaxed);
        });
        tokio::spawn(async move { axum::serve(listener, router).await });
        (collector, endpoint)
    }
}

/// How to reach one.
pub(super) fn config(protocol: Protocol, scheme: &str, at: SocketAddr, path: &str) -> Config {
    Config {
        endpoint: format!("{scheme}://{at}{path}").parse().unwrap(),
        protocol,
        headers: vec![(HeaderName::from_static("api-key"), HeaderValue::from_static("secret"))],
        timeout: Duration::from_secs(5),
        roots: None,
        resource: BTreeMap::new(),
        spans: None,
        logs: None,
        mark: None,
    }
}
