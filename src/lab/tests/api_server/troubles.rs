//! Faults are what they are said to be, and end when they are told to.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};

use culvert_lab::api_server::{ApiServer, Trouble, pod};
use culvert_lab::{PATIENCE, http, wait_until};
use culvert_sys::netns::Netns;
use serde_json::json;

use crate::raw::{Chunk, get, send, watch};

#[test]
fn requests_can_be_refused_a_number_of_times() {
    let server = ApiServer::start().unwrap();
    server.trouble(Trouble::status(429).retry_after(7).on("list", "pods").times(1));
    server.trouble(Trouble::status(500).on("list", "pods").times(1));
    let mut first = send(&server, "GET /api/v1/pods", &[], "");
    assert_eq!((first.status, first.header("retry-after")), (429, Some("7")));
    assert_eq!(first.json()["reason"], "TooManyRequests");
    assert_eq!(get(&server, "/api/v1/namespaces").0, 200);
    assert_eq!(get(&server, "/api/v1/pods").0, 500);
    assert_eq!(get(&server, "/api/v1/pods").0, 200);
    server.trouble(Trouble::status(503));
    assert_eq!((get(&server, "/api/v1/pods").0, get(&server, "/readyz").0), (503, 503));
    server.end_troubles();
    assert_eq!(get(&server, "/api/v1/pods").0, 200);
}

#[test]
fn answers_can_be_late_or_garbage() {
    let server = ApiServer::start().unwrap();
    server.trouble(Trouble::late(Duration::from_millis(300)).times(1));
    server.trouble(Trouble::garbage().times(1));
    let start = Instant::now();
    let mut answer = send(&server, "GET /api/v1/pods", &[], "");
    assert!(start.elapsed() >= Duration::from_millis(300));
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("text/html")));
    assert!(answer.text().starts_with("<html>"));
}

#[test]
fn a_request_that_is_never_answered_ends_when_connections_are_cut() {
    let server = ApiServer::start().unwrap();
    server.trouble(Trouble::silence().on("list", "pods"));
    let address = server.address();
    let asking = std::thread::spawn(move || http::get(&Netns::current().unwrap(), address, "/api/v1/pods"));
    wait_until(PATIENCE, "it has been asked", || server.requests_of("list", "pods").len() == 1).unwrap();
    assert!(!asking.is_finished());
    server.cut_connections();
    assert!(asking.join().unwrap().is_err());
}

#[test]
fn connections_are_refused_until_they_are_accepted_again() {
    let server = ApiServer::start().unwrap();
    server.create(pod("shop", "web")).unwrap();
    let mut events = watch(&server, "/api/v1/namespaces?watch=1");
    for _ in 0..3 {
        server.refuse_connections();
        server.refuse_connections();
        let error = TcpStream::connect_timeout(&server.address(), PATIENCE).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        server.accept_connections().unwrap();
        server.accept_connections().unwrap();
        assert_eq!(get(&server, "/api/v1/namespaces/shop/pods/web").0, 200);
    }
    assert_eq!(events.chunk(), Chunk::Broken);
}

#[test]
fn watches_end_break_and_break_in_the_middle() {
    let server = ApiServer::start().unwrap();
    let check = |order: &dyn Fn(), expected: &[Chunk]| {
        let mut events = watch(&server, "/api/v1/pods?watch=1");
        order();
        let seen: Vec<Chunk> = expected.iter().map(|_| events.chunk()).collect();
        assert_eq!(seen, expected);
    };
    check(&|| server.end_watches(), &[Chunk::End]);
    check(&|| server.break_watches(), &[Chunk::Broken]);
    let half = Chunk::Data(r#"{"object":{"apiVersion":"v1","kind":"Po"#.to_owned());
    check(&|| server.break_watches_mid_line(), &[half, Chunk::Broken]);
    check(&|| server.cut_connections(), &[Chunk::Broken]);
    wait_until(PATIENCE, "no watch is left", || server.open_watches() == 0).unwrap();
}

#[test]
fn an_order_comes_between_what_was_before_and_what_is_after() {
    let server = ApiServer::start().unwrap();
    let mut events = watch(&server, "/api/v1/pods?watch=1");
    server.create(pod("shop", "before")).unwrap();
    server.send_error(500);
    server.create(pod("shop", "between")).unwrap();
    server.send_garbage();
    server.send_unknown_event();
    server.end_watches();
    server.create(pod("shop", "after")).unwrap();
    assert_eq!(events.named().1, "before");
    let (kind, status) = events.event();
    assert_eq!((kind.as_str(), &status["code"]), ("ERROR", &json!(500)));
    assert_eq!(events.named().1, "between");
    assert_eq!(events.chunk(), Chunk::Data("<html>Bad Gateway</html>\n".into()));
    assert_eq!(events.event().0, "SURPRISE");
    assert_eq!(events.chunk(), Chunk::End);
}

#[test]
fn a_stalled_watch_says_nothing_and_goes_on_when_resumed() {
    let server = ApiServer::start().unwrap();
    let mut events = watch(&server, "/api/v1/pods?watch=1&timeoutSeconds=1");
    server.stall_watches();
    server.create(pod("shop", "web")).unwrap();
    assert_eq!(watch(&server, "/api/v1/pods?watch=1").named().1, "web", "new watches work");
    assert!(events.is_silent());
    assert_eq!(server.open_watches_of("pods"), 1);
    server.resume_watches();
    assert_eq!(events.named().1, "web");
    assert_eq!(events.chunk(), Chunk::End);
}

#[test]
fn who_may_not_is_told_so() {
    let server = ApiServer::start().unwrap();
    let path = "/api/v1/pods";
    server.deny("list", "pods");
    let (code, status) = get(&server, path);
    assert_eq!((code, &status["reason"]), (403, &json!("Forbidden")));
    assert_eq!(send(&server, &format!("GET {path}?watch=1"), &[], "").status, 200);
    server.allow("list", "pods");
    assert_eq!(get(&server, path).0, 200);
    server.require_token("secret");
    let (code, status) = get(&server, path);
    assert_eq!((code, &status["reason"]), (401, &json!("Unauthorized")));
    assert_eq!(send(&server, &format!("GET {path}"), &["Authorization: Bearer secret"], "").status, 200);
    let requests = server.requests_of("list", "pods");
    assert_eq!(requests.last().unwrap().authorization.as_deref(), Some("Bearer secret"));
}

#[test]
fn requests_are_remembered_as_they_came() {
    let server = ApiServer::start().unwrap();
    let path = "/api/v1/namespaces/shop/pods/web/status";
    let kind = "Content-Type: application/merge-patch+json";
    send(&server, &format!("PATCH {path}?fieldManager=me"), &[kind], r#"{"a":1}"#);
    let request = server.requests().remove(0);
    assert_eq!((request.verb.as_str(), request.resource.as_str()), ("patch", "pods/status"));
    assert_eq!((request.method.as_str(), request.path.as_str()), ("PATCH", path));
    assert_eq!((request.query.as_str(), &request.body), ("fieldManager=me", &json!({"a": 1})));
    assert_eq!(request.content_type.as_deref(), Some("application/merge-patch+json"));
    server.forget_requests();
    assert!(server.requests().is_empty());
}

#[test]
fn it_can_live_in_a_namespace_of_its_own() {
    let netns = Netns::create().unwrap();
    let up = netns.run(|| Command::new("ip").args(["link", "set", "lo", "up"]).status()).unwrap();
    assert!(up.unwrap().success());
    let server = ApiServer::start_in(&netns, (Ipv4Addr::LOCALHOST, 6443)).unwrap();
    server.create(pod("shop", "web")).unwrap();
    let ask = || http::get(&netns, server.address(), "/api/v1/pods");
    assert!(ask().unwrap().text().contains("\"web\""));
    server.refuse_connections();
    assert_eq!(ask().unwrap_err().kind(), ErrorKind::ConnectionRefused);
    server.accept_connections().unwrap();
    assert_eq!(ask().unwrap().status, 200);
    assert!(TcpStream::connect(server.address()).is_err(), "it is not in this namespace");
}

#[test]
fn it_is_gone_when_dropped() {
    let server = ApiServer::start().unwrap();
    let (address, mut events) = (server.address(), watch(&server, "/api/v1/pods?watch=1"));
    drop(server);
    assert_eq!(events.chunk(), Chunk::Broken);
    assert_eq!(TcpStream::connect(address).unwrap_err().kind(), ErrorKind::ConnectionRefused);
}
