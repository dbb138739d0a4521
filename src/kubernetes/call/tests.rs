use std::net::SocketAddr;

use culvert_lab::api_server::{ApiServer, Trouble, pod};
use culvert_process::exit::Chain;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;
use crate::rig::client;

const WITHIN: Duration = Duration::from_secs(10);
const MAPS: &str = "/api/v1/namespaces/shop/configmaps";
const MAP: &str = "/api/v1/namespaces/shop/configmaps/root";

fn map(value: &str) -> Value {
    json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "root" }, "data": { "a": value } })
}

async fn asked(api: &ApiServer, request: Request) -> Result<Value, Error> {
    ask(&client(api), request, WITHIN).await
}

#[tokio::test]
async fn objects_are_made_read_changed_and_replaced() {
    let api = ApiServer::start().unwrap();
    api.create(culvert_lab::api_server::namespace("shop")).unwrap();
    let error = asked(&api, Request::get(MAP)).await.unwrap_err();
    assert_eq!((error.code(), error.reason()), (Some(404), "not_found"));
    let made = asked(&api, Request::create(MAPS, &map("1")).by("culvert-control")).await.unwrap();
    let read = asked(&api, Request::get(MAP)).await.unwrap();
    assert_eq!(made, read);
    let error = asked(&api, Request::create(MAPS, &map("1"))).await.unwrap_err();
    assert_eq!((error.reason(), error.is_final()), ("conflict", true), "{error}");

    let merged = asked(&api, Request::merge(MAP, &json!({ "data": { "b": "2" } }))).await.unwrap();
    assert_eq!(merged["data"], json!({ "a": "1", "b": "2" }));
    let error = asked(&api, Request::replace(MAP, &read)).await.unwrap_err();
    assert_eq!((error.reason(), error.is_final()), ("conflict", false), "somebody was faster: {error}");
    let mut newer = merged;
    newer["data"] = json!({ "c": "3" });
    let replaced = asked(&api, Request::replace(MAP, &newer)).await.unwrap();
    assert_eq!(replaced["data"], json!({ "c": "3" }));
    assert_eq!(api.object("configmaps", "shop", "root").unwrap()["data"], replaced["data"]);
}

#[tokio::test]
async fn a_change_is_not_made_to_another_object_of_that_name() {
    let api = ApiServer::start().unwrap();
    api.create(pod("shop", "web")).unwrap();
    let change = json!({ "metadata": { "uid": "of another", "annotations": { "a": "b" } } });
    let path = "/api/v1/namespaces/shop/pods/web/status";
    let error = asked(&api, Request::merge(path, &change).by("tests")).await.unwrap_err();
    assert!(error.is_of_another() && error.is_gone(), "{error}");
    let request = &api.requests_of("patch", "pods/status")[0];
    assert_eq!(request.query, "fieldManager=tests");
    assert_eq!(request.content_type.as_deref(), Some("application/merge-patch+json"));
}

#[tokio::test]
async fn what_cannot_be_asked_is_not_sent() {
    let api = ApiServer::start().unwrap();
    let error = asked(&api, Request::get("/api/v1/namespaces/../secrets")).await.unwrap_err();
    assert!(error.is_final() && matches!(error, Error::Request(_)), "{error}");
    assert!(api.requests().is_empty());
}

#[tokio::test]
async fn who_does_not_answer_is_waited_for_no_longer_than_said() {
    let api = ApiServer::start().unwrap();
    api.trouble(Trouble::silence().on("get", "pods"));
    let request = Request::get("/api/v1/namespaces/shop/pods/web");
    let error = ask::<Value>(&client(&api), request, Duration::from_millis(100)).await.unwrap_err();
    assert!(matches!(error, Error::Timeout(_)) && !error.is_final(), "{error}");
}

/// A server that gives every request the same head, and a body without an end.
async fn endless(head: &'static str, piece: &'static [u8]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.read(&mut [0; 4096]).await;
            let _ = stream.write_all(head.as_bytes()).await;
            while stream.write_all(piece).await.is_ok() {}
        }
    });
    address
}

async fn asked_of(server: SocketAddr) -> Error {
    let client = crate::client::at(format!("http://{server}").parse().unwrap()).unwrap();
    ask::<Value>(&client, Request::get("/version"), WITHIN).await.unwrap_err()
}

#[tokio::test]
async fn no_answer_is_longer_than_what_is_read_of_it() {
    let spaces = &[b' '; 65536];
    let error = asked_of(endless("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n", spaces).await).await;
    assert!(matches!(error, Error::TooLong(_)), "{error}");
}

#[tokio::test]
async fn a_refusal_without_an_end_is_a_refusal() {
    let head = "HTTP/1.1 502 Bad Gateway\r\nconnection: close\r\n\r\n";
    let error = asked_of(endless(head, b"<p>out of order</p>").await).await;
    assert_eq!((error.code(), error.reason(), error.is_final()), (Some(502), "server", false));
    let text = Chain(&error).to_string();
    assert!(text.contains("HTTP 502") && text.contains("out of order"), "{text}");
    assert!(text.len() < 1000, "{}", text.len());
}
