use axum::body::{Body, to_bytes};
use axum::http::Request;
use culvert_process::log::Filter;
use tower::ServiceExt as _;

use super::{HELP, router};

/// What a series of requests gets, each with the filter the ones before have left.
async fn check(requests: &[(&str, &str, u16, &str)]) {
    let (_layer, filter) = Filter::for_layer("info").unwrap();
    for (method, path, status, expected) in requests {
        let request = Request::builder().method(*method).uri(*path).body(Body::empty()).unwrap();
        let response = router(filter.clone()).oneshot(request).await.unwrap();
        let got = response.status().as_u16();
        let kind = response.headers()["content-type"].to_str().unwrap().to_owned();
        let body = to_bytes(response.into_body(), 1 << 16).await.unwrap();
        assert_eq!((got, std::str::from_utf8(&body).unwrap()), (*status, *expected), "{method} {path}");
        assert!(kind.starts_with("text/plain"), "{method} {path}: {kind}");
    }
}

#[tokio::test]
async fn the_filter_is_shown_and_changed() {
    check(&[
        ("POST", "/logging", 200, "current log level is hickory_proto=off,info\n"),
        ("POST", "/logging?level=", 200, "current log level is hickory_proto=off,info\n"),
        ("POST", "/logging?level=debug", 200, "current log level is hickory_proto=off,debug\n"),
        (
            "POST",
            "/logging?level=access=debug,info",
            200,
            "current log level is hickory_proto=off,access=debug,info\n",
        ),
        (
            "POST",
            "/logging?level=access%3Atrace%2Coff",
            200,
            "current log level is hickory_proto=off,access=trace,off\n",
        ),
        ("POST", "/logging?level=off", 200, "current log level is hickory_proto=off,access=trace,off\n"),
        ("POST", "/logging?reset", 200, "current log level is hickory_proto=off,info\n"),
        ("POST", "/logging?level=warning", 200, "current log level is hickory_proto=off,warn\n"),
        ("POST", "/logging?level=info&reset", 200, "current log level is hickory_proto=off,info\n"),
        (
            "POST",
            "/logging?level=dns:debug&reset=no",
            200,
            "current log level is hickory_proto=off,dns=debug,info\n",
        ),
        ("POST", "/logging", 200, "current log level is hickory_proto=off,dns=debug,info\n"),
    ])
    .await;
}

#[tokio::test]
async fn what_is_no_level_is_named_and_changes_nothing() {
    let refused = |what: &str| format!("Invalid level provided: {what}\n{HELP}");
    check(&[
        ("POST", "/logging?level=loud", 400, &refused("loud")),
        ("POST", "/logging?level=access", 400, &refused("access")),
        ("POST", "/logging?level=debug,access=loud", 400, &refused("debug,access=loud")),
        ("POST", "/logging?reset&level=loud", 400, &refused("loud")),
        ("POST", "/logging", 200, "current log level is hickory_proto=off,info\n"),
    ])
    .await;
}

#[tokio::test]
async fn other_methods_change_nothing_and_get_help() {
    check(&[
        ("GET", "/logging?level=debug", 405, HELP),
        ("PUT", "/logging?level=debug", 405, HELP),
        ("DELETE", "/logging", 405, HELP),
        ("POST", "/logging", 200, "current log level is hickory_proto=off,info\n"),
    ])
    .await;
}
