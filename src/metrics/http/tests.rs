use std::io::Read as _;

use axum::Router;
use axum::http::{Method, Request, StatusCode};
use axum::routing::any;
use flate2::read::GzDecoder;
use http_body_util::BodyExt as _;
use tower::ServiceExt as _;

use super::*;
use crate::Settings;

fn counted(series: usize) -> Metrics {
    let metrics = Metrics::new(Settings::default());
    metrics::with_local_recorder(&metrics, || {
        for number in 0..series {
            metrics::counter!("some_total", "number" => number.to_string()).increment(1);
        }
    });
    metrics
}

async fn ask(metrics: &Metrics, method: Method, head: &[(&str, &str)]) -> (HeaderMap, Vec<u8>) {
    let router: Router = Router::new().route("/metrics", any(exposition)).with_state(metrics.clone());
    let request = Request::builder().method(method).uri("/metrics");
    let request = head.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    let answer = router.oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    let (head, body) = answer.into_parts();
    (head.headers, body.collect().await.unwrap().to_bytes().to_vec())
}

#[tokio::test]
async fn each_format_is_called_what_it_is() {
    let metrics = counted(1);
    for (accept, content_type, name, end) in [
        ("text/plain", "text/plain; version=0.0.4; charset=utf-8", "some_total", "} 1\n"),
        (
            "application/openmetrics-text; version=1.0.0",
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
            "some",
            "# EOF\n",
        ),
    ] {
        let (head, body) = ask(&metrics, Method::GET, &[("accept", accept)]).await;
        let text = String::from_utf8(body).unwrap();
        assert_eq!(
            (&head["content-type"], &head["vary"]),
            (&content_type.parse().unwrap(), &"accept, accept-encoding".parse().unwrap())
        );
        assert!(text.contains(&format!("# TYPE {name} counter\n")) && text.ends_with(end), "{text}");
    }
}

#[tokio::test]
async fn compressed_it_is_the_same_and_smaller() {
    let metrics = counted(5000);
    let (plain, text) = ask(&metrics, Method::GET, &[]).await;
    let (head, compressed) = ask(&metrics, Method::GET, &[("accept-encoding", "gzip")]).await;
    assert_eq!(
        (plain.get("content-encoding"), &head["content-encoding"]),
        (None, &HeaderValue::from_static("gzip"))
    );
    let mut again = Vec::new();
    GzDecoder::new(&*compressed).read_to_end(&mut again).unwrap();
    assert_eq!(again, text);
    assert!(compressed.len() * 4 < text.len(), "{} of {}", compressed.len(), text.len());
}

#[tokio::test]
async fn a_head_request_is_answered_without_a_body() {
    for encoding in ["identity", "gzip"] {
        let (head, body) = ask(&counted(10), Method::HEAD, &[("accept-encoding", encoding)]).await;
        assert_eq!((body.len(), head.contains_key("content-type")), (0, true));
    }
}
