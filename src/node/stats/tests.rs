use axum::body::Body;
use axum::http::{Request, StatusCode};
use tower::ServiceExt as _;

use super::*;

/// The first scrape of a node, before anything has happened.
#[tokio::test]
async fn at_the_start_there_is_what_the_process_is_and_nothing_of_traffic() {
    let config =
        Config { settings: Settings::default(), labels: Labels::Full, version: "1.27 \"beta\"".into() };
    let metrics = start(config, tokio::runtime::Handle::current().metrics()).unwrap();
    let text = metrics.text();
    let build = format!("culvert_build_info{{version=\"{VERSION}\",crypto=\"{}\"}} 1", fips::MODULE);
    for line in [
        &build,
        "istio_build{component=\"ztunnel\",tag=\"1.27 \\\"beta\\\"\"} 1",
        "process_open_fds ",
        "culvert_log_lines_dropped_total 0",
        "istio_tcp_sockets_open{reporter=\"source\"} ",
        "process_max_fds ",
        "process_resident_memory_bytes ",
        "tokio_num_workers 1",
        "tokio_global_queue_depth 0",
        "tokio_num_alive_tasks ",
        "tokio_worker_total_busy_duration_seconds_total{worker=\"0\"} ",
        "tokio_worker_park_count_total{worker=\"0\"} ",
        "tokio_worker_park_unpark_count_total{worker=\"0\"} ",
    ] {
        assert!(text.lines().any(|shown| shown.starts_with(line)), "{line} is not in {text}");
    }
    for path in ["/metrics", "/stats/prometheus", "/elsewhere"] {
        for method in ["GET", "HEAD", "POST"] {
            let request = Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
            let status = router(metrics.clone()).oneshot(request).await.unwrap().status();
            let expected = if path == "/elsewhere" { StatusCode::NOT_FOUND } else { StatusCode::OK };
            assert_eq!(status, expected, "{method} {path}");
        }
    }
}

#[test]
fn what_may_change_says_so_and_all_texts_are_sentences() {
    for (name, text) in texts::ALL.into_iter().flatten() {
        assert!(text.ends_with('.'), "{name}: {text}");
        assert_eq!(text.ends_with("(unstable)."), *name != "istio_build", "{name}: {text}");
    }
}
