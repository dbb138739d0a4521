//! Watches: the framing, where they start, what they say of a change, and how they end.

use culvert_lab::api_server::{ApiServer, StreamingLists, TooOld, namespace, pod};
use culvert_lab::{PATIENCE, wait_until};
use serde_json::json;

use crate::raw::{Chunk, get, send, watch};

fn event(kind: &str, name: &str) -> (String, String) {
    (kind.to_owned(), name.to_owned())
}

#[test]
fn a_watch_is_chunked_json_one_event_on_each_line() {
    let server = ApiServer::start().unwrap();
    let mut events = watch(&server, "/api/v1/pods?watch=1&resourceVersion=0");
    assert_eq!(events.header("content-type"), Some("application/json"));
    server.create(pod("shop", "web").node("n1")).unwrap();
    server.patch("pods", "shop", "web", json!({"metadata": {"labels": {"a": "b"}}})).unwrap();
    server.remove("pods", "shop", "web").unwrap();
    // `event` checks that a chunk is a line.
    let (kind, object) = events.event();
    assert_eq!(
        (kind.as_str(), &object["kind"], &object["apiVersion"]),
        ("ADDED", &json!("Pod"), &json!("v1"))
    );
    let (kind, object) = events.event();
    assert_eq!((kind.as_str(), &object["metadata"]["labels"]["a"]), ("MODIFIED", &json!("b")));
    let (kind, object) = events.event();
    let revision = json!(server.revision().to_string());
    assert_eq!((kind.as_str(), &object["metadata"]["resourceVersion"]), ("DELETED", &revision));
}

#[test]
fn a_watch_goes_on_after_a_revision_or_begins_with_all_there_is() {
    let server = ApiServer::start().unwrap();
    server.create(pod("shop", "a")).unwrap();
    let revision = get(&server, "/api/v1/pods").1["metadata"]["resourceVersion"].as_str().unwrap().to_owned();
    server.create(pod("shop", "b")).unwrap();
    server.create(namespace("other")).unwrap();
    let mut after = watch(&server, &format!("/api/v1/pods?watch=true&resourceVersion={revision}"));
    assert_eq!(after.named(), event("ADDED", "b"));
    for query in ["", "&resourceVersion=0"] {
        let mut all = watch(&server, &format!("/api/v1/namespaces/shop/pods?watch=true{query}"));
        assert_eq!([all.named(), all.named()], [event("ADDED", "a"), event("ADDED", "b")]);
    }
}

#[test]
fn what_stops_matching_is_deleted_and_what_starts_is_added() {
    let server = ApiServer::start().unwrap();
    server.create(pod("shop", "web").label("app", "web")).unwrap();
    let mut events = watch(&server, "/api/v1/pods?watch=1&labelSelector=app%3Dweb");
    assert_eq!(events.named(), event("ADDED", "web"));
    let label = |value| json!({"metadata": {"labels": {"app": value}}});
    let changed = server.patch("pods", "shop", "web", label("api")).unwrap();
    let (kind, last) = events.event();
    assert_eq!(kind, "DELETED");
    assert_eq!(last["metadata"]["labels"]["app"], "web", "the last state that matched");
    assert_eq!(last["metadata"]["resourceVersion"], changed["metadata"]["resourceVersion"]);
    server.patch("pods", "shop", "web", json!({"metadata": {"labels": {"other": "x"}}})).unwrap();
    server.patch("pods", "shop", "web", label("web")).unwrap();
    assert_eq!(events.named(), event("ADDED", "web"));
    server.remove("pods", "shop", "web").unwrap();
    assert_eq!(events.named(), event("DELETED", "web"));
}

#[test]
fn a_timeout_ends_a_watch_properly_after_a_bookmark() {
    let server = ApiServer::start().unwrap();
    let mut plain = watch(&server, "/api/v1/pods?watch=1&timeoutSeconds=1");
    let mut marked = watch(&server, "/api/v1/pods?watch=1&timeoutSeconds=1&allowWatchBookmarks=true");
    server.create(namespace("shop")).unwrap();
    assert_eq!(plain.chunk(), Chunk::End);
    let (kind, object) = marked.event();
    assert_eq!((kind.as_str(), &object["kind"]), ("BOOKMARK", &json!("Pod")));
    assert_eq!(object["metadata"]["resourceVersion"], server.revision().to_string());
    assert_eq!(marked.chunk(), Chunk::End);
    wait_until(PATIENCE, "the watches are gone", || server.open_watches() == 0).unwrap();
}

#[test]
fn bookmarks_come_when_ordered_unless_they_are_dropped() {
    let server = ApiServer::start().unwrap();
    let mut events = watch(&server, "/api/v1/pods?watch=1&allowWatchBookmarks=1");
    server.send_bookmarks();
    assert_eq!(events.event().0, "BOOKMARK");
    server.drop_bookmarks(true);
    server.send_bookmarks();
    server.create(pod("shop", "web")).unwrap();
    assert_eq!(events.named(), event("ADDED", "web"));
}

#[test]
fn a_revision_that_is_too_old_is_told_as_chosen() {
    let server = ApiServer::start().unwrap();
    server.create(pod("shop", "a")).unwrap();
    let path = format!("/api/v1/pods?watch=1&resourceVersion={}", server.revision());
    server.create(pod("shop", "b")).unwrap();
    server.compact();
    let mut events = watch(&server, &path);
    let (kind, status) = events.event();
    assert_eq!((kind.as_str(), &status["kind"]), ("ERROR", &json!("Status")));
    assert_eq!((&status["code"], &status["reason"]), (&json!(410), &json!("Expired")));
    assert_eq!(events.chunk(), Chunk::End);
    server.say_too_old(TooOld::Status);
    let (code, status) = get(&server, &path);
    assert_eq!((code, &status["reason"]), (410, &json!("Expired")));
}

#[test]
fn a_compaction_does_not_disturb_a_watch_that_has_seen_everything() {
    let server = ApiServer::start().unwrap();
    let mut events = watch(&server, "/api/v1/pods?watch=1");
    server.create(pod("shop", "a")).unwrap();
    assert_eq!(events.named(), event("ADDED", "a"));
    server.compact();
    server.create(pod("shop", "b")).unwrap();
    assert_eq!(events.named(), event("ADDED", "b"));
}

const STREAMING: &str =
    "/api/v1/pods?watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true";

#[test]
fn a_streaming_list_is_all_there_is_and_then_a_mark() {
    let server = ApiServer::start().unwrap();
    server.create(pod("shop", "a")).unwrap();
    let mut events = watch(&server, STREAMING);
    assert_eq!(events.named(), event("ADDED", "a"));
    let (kind, mark) = events.event();
    assert_eq!(kind, "BOOKMARK");
    assert_eq!(mark["metadata"]["annotations"]["k8s.io/initial-events-end"], "true");
    assert_eq!(mark["metadata"]["resourceVersion"], server.revision().to_string());
    server.create(pod("shop", "b")).unwrap();
    assert_eq!(events.named(), event("ADDED", "b"));
}

#[test]
fn a_streaming_list_can_be_refused_in_both_ways() {
    let server = ApiServer::start().unwrap();
    server.streaming_lists(StreamingLists::Invalid);
    let (code, status) = get(&server, STREAMING);
    assert_eq!((code, &status["reason"]), (422, &json!("Invalid")));
    server.streaming_lists(StreamingLists::ErrorEvent(500));
    let mut events = watch(&server, STREAMING);
    let (kind, status) = events.event();
    assert_eq!((kind.as_str(), &status["code"]), ("ERROR", &json!(500)));
    assert_eq!(events.chunk(), Chunk::End);
    server.streaming_lists(StreamingLists::Supported);
    assert_eq!(get(&server, "/api/v1/pods?watch=1&sendInitialEvents=true").0, 422, "it needs a match");
    assert_eq!(
        get(&server, "/api/v1/pods?watch=1&resourceVersionMatch=NotOlderThan").0,
        422,
        "and a match needs it"
    );
}

#[test]
fn metadata_alone_can_be_watched() {
    let server = ApiServer::start().unwrap();
    server.create(pod("shop", "web").label("a", "b")).unwrap();
    let accept = "Accept: application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";
    let mut events = send(&server, "GET /api/v1/pods?watch=1", &[accept], "");
    let (kind, object) = events.event();
    assert_eq!((kind.as_str(), &object["kind"]), ("ADDED", &json!("PartialObjectMetadata")));
    assert!(object.get("spec").is_none() && object["metadata"]["labels"]["a"] == "b");
}

#[test]
fn a_watch_counts_until_its_client_has_gone() {
    let server = ApiServer::start().unwrap();
    let (pods, namespaces) =
        (watch(&server, "/api/v1/pods?watch=1"), watch(&server, "/api/v1/namespaces?watch=1"));
    assert_eq!((server.open_watches(), server.open_watches_of("pods")), (2, 1));
    drop(pods);
    wait_until(PATIENCE, "the client's end is seen", || server.open_watches_of("pods") == 0).unwrap();
    assert_eq!(server.open_watches(), 1);
    drop(namespaces);
}
