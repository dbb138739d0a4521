//! What clients may change over HTTP, and what they are told otherwise.

use culvert_lab::api_server::{AnotherUid, ApiServer, definition, namespace, pod};
use serde_json::{Value, json};

use crate::raw::{get, send};

const POD: &str = "/api/v1/namespaces/shop/pods/web";

fn ask(server: &ApiServer, request: &str, body: &Value) -> (u16, Value) {
    let mut answer = send(server, request, &["Content-Type: application/json"], &body.to_string());
    (answer.status, answer.json())
}

fn patch(server: &ApiServer, path: &str, body: &Value) -> (u16, Value) {
    let kind = "Content-Type: application/merge-patch+json";
    let mut answer = send(server, &format!("PATCH {path}"), &[kind], &body.to_string());
    (answer.status, answer.json())
}

fn reason(answer: &(u16, Value)) -> (u16, &str) {
    (answer.0, answer.1["reason"].as_str().unwrap_or_default())
}

fn one_pod() -> ApiServer {
    let server = ApiServer::start().unwrap();
    server.create(pod("shop", "web").node("n1").ip([10, 0, 0, 1]).annotation("old", "yes")).unwrap();
    server
}

#[test]
fn what_is_created_gets_what_only_the_server_may_say() {
    let server = ApiServer::start().unwrap();
    let mine = json!({
        "metadata": {"name": "web", "uid": "mine", "resourceVersion": null},
        "spec": {"nodeName": "n1"}, "status": {"phase": "Running"},
    });
    let (status, made) = ask(&server, "POST /api/v1/namespaces/shop/pods", &mine);
    assert_eq!((status, &made["kind"]), (201, &json!("Pod")));
    assert_ne!(made["metadata"]["uid"], "mine");
    assert_eq!(made["metadata"]["namespace"], "shop");
    assert_eq!(made["status"], json!({"phase": "Pending"}));
    let again = ask(&server, "POST /api/v1/namespaces/shop/pods", &mine);
    assert_eq!(reason(&again), (409, "AlreadyExists"));
    let (_, generated) =
        ask(&server, "POST /api/v1/namespaces/shop/pods", &json!({"metadata": {"generateName": "x-"}}));
    assert!(generated["metadata"]["name"].as_str().unwrap().starts_with("x-"));
    let other = json!({"metadata": {"name": "a", "namespace": "other"}});
    assert_eq!(ask(&server, "POST /api/v1/namespaces/shop/pods", &other).0, 400);
    assert_eq!(ask(&server, "POST /api/v1/namespaces/shop/pods", &json!("text")).0, 400);
    assert_eq!(ask(&server, "POST /api/v1/namespaces/shop/pods", &json!({"metadata": {}})).0, 422);
    assert_eq!(ask(&server, "POST /api/v1/namespaces", &json!({"metadata": {"name": "shop"}})).0, 201);
    let label = &server.object("namespaces", "", "shop").unwrap()["metadata"]["labels"];
    assert_eq!(label["kubernetes.io/metadata.name"], "shop");
}

#[test]
fn events_of_both_groups_are_kept() {
    let server = ApiServer::start().unwrap();
    let event = json!({"metadata": {"name": "web.1"}, "reason": "Enrolled"});
    assert_eq!(ask(&server, "POST /apis/events.k8s.io/v1/namespaces/shop/events", &event).0, 201);
    assert_eq!(ask(&server, "POST /api/v1/namespaces/shop/events", &event).0, 201);
    assert_eq!(server.objects("events.events.k8s.io")[0]["reason"], "Enrolled");
    assert_eq!(server.objects("events")[0]["apiVersion"], Value::Null);
    assert_eq!(get(&server, "/api/v1/namespaces/shop/events/web.1").1["apiVersion"], "v1");
}

#[test]
fn a_merge_patch_changes_what_it_names_and_null_removes() {
    let server = one_pod();
    let change =
        json!({"metadata": {"annotations": {"new": "1", "old": null}}, "status": {"phase": "Failed"}});
    let (status, new) = patch(&server, POD, &change);
    assert_eq!((status, &new["metadata"]["annotations"]), (200, &json!({"new": "1"})));
    assert_eq!(new["status"]["phase"], "Running", "status is a subresource");
    let before = server.revision();
    assert_eq!(patch(&server, POD, &change).0, 200);
    assert_eq!(server.revision(), before, "no change is no event");
}

#[test]
fn a_patch_meant_for_another_object_or_an_older_state_is_a_conflict() {
    let server = one_pod();
    let now = server.object("pods", "shop", "web").unwrap();
    let change =
        |field: &str, value: &Value| json!({"metadata": {field: value, "annotations": {"new": "1"}}});
    for path in [POD, &format!("{POD}/status")] {
        let other = patch(&server, path, &change("uid", &json!("other")));
        assert_eq!(reason(&other), (409, "Conflict"));
        let older = patch(&server, path, &change("resourceVersion", &json!("0")));
        assert_eq!(reason(&older), (409, "Conflict"));
    }
    server.say_another_uid(AnotherUid::Invalid);
    let other = patch(&server, POD, &change("uid", &json!("other")));
    assert_eq!(reason(&other), (422, "Invalid"));
    let message = r#"Pod "web" is invalid: metadata.uid: Invalid value: "other": field is immutable"#;
    assert_eq!(other.1["message"], message);
    assert_eq!(server.object("pods", "shop", "web").unwrap(), now);
    assert_eq!(patch(&server, POD, &change("uid", &now["metadata"]["uid"])).0, 200);
}

#[test]
fn the_status_of_a_pod_takes_status_labels_and_annotations() {
    let server = one_pod();
    let change = json!({
        "metadata": {"annotations": {"new": "1"}}, "status": {"message": "hello"}, "spec": {"nodeName": "n2"},
    });
    let (status, new) = patch(&server, &format!("{POD}/status"), &change);
    assert_eq!(
        (status, &new["status"]["message"], &new["status"]["phase"]),
        (200, &json!("hello"), &json!("Running"))
    );
    assert_eq!(new["metadata"]["annotations"], json!({"old": "yes", "new": "1"}));
    assert_eq!(new["spec"]["nodeName"], "n1");
    let mut whole = server.object("pods", "shop", "web").unwrap();
    whole["status"] = json!({"phase": "Succeeded"});
    whole["spec"]["nodeName"] = json!("n2");
    assert_eq!(ask(&server, &format!("PUT {POD}/status"), &whole).0, 200);
    let new = server.object("pods", "shop", "web").unwrap();
    assert_eq!((&new["status"], &new["spec"]["nodeName"]), (&json!({"phase": "Succeeded"}), &json!("n1")));
}

#[test]
fn an_update_must_know_the_newest_state() {
    let server = one_pod();
    let old = server.object("pods", "shop", "web").unwrap();
    let mut new = old.clone();
    new["metadata"]["labels"]["a"] = json!("b");
    assert_eq!(ask(&server, &format!("PUT {POD}"), &new).0, 200);
    let late = ask(&server, &format!("PUT {POD}"), &old);
    assert_eq!(reason(&late), (409, "Conflict"));
    let missing = ask(&server, "PUT /api/v1/namespaces/shop/pods/none", &old);
    assert_eq!(reason(&missing), (404, "NotFound"));
    server.create(definition("x.example/v1", "things", "Thing")).unwrap();
    let thing = json!({"apiVersion": "x.example/v1", "kind": "Thing", "metadata": {"namespace": "shop", "name": "a"}});
    server.create(thing.clone()).unwrap();
    let blind = ask(&server, "PUT /apis/x.example/v1/namespaces/shop/things/a", &thing);
    assert_eq!(reason(&blind), (422, "Invalid"));
}

#[test]
fn a_pod_on_a_node_is_marked_and_other_things_are_deleted() {
    let server = one_pod();
    server.create(namespace("shop")).unwrap();
    let (status, marked) = ask(&server, &format!("DELETE {POD}"), &json!({}));
    assert_eq!(status, 200);
    assert!(marked["metadata"]["deletionTimestamp"].is_string());
    assert_eq!(marked["metadata"]["deletionGracePeriodSeconds"], 30);
    let precondition = json!({"gracePeriodSeconds": 0, "preconditions": {"uid": "other"}});
    assert_eq!(reason(&ask(&server, &format!("DELETE {POD}"), &precondition)), (409, "Conflict"));
    assert_eq!(ask(&server, &format!("DELETE {POD}?gracePeriodSeconds=0"), &json!({})).0, 200);
    assert_eq!(get(&server, POD).0, 404);
    let mut gone = send(&server, "DELETE /api/v1/namespaces/shop", &[], "");
    assert_eq!((gone.status, &gone.json()["status"]), (200, &json!("Success")));
    assert_eq!(reason(&ask(&server, "DELETE /api/v1/namespaces/shop", &json!({}))), (404, "NotFound"));
}

#[test]
fn other_kinds_of_patches_are_refused() {
    let server = one_pod();
    let kind = "Content-Type: application/apply-patch+yaml";
    assert_eq!(send(&server, &format!("PATCH {POD}"), &[kind], "{}").status, 415);
    assert_eq!(patch(&server, POD, &json!({"metadata": "text"})).0, 400);
    assert_eq!(patch(&server, POD, &json!([])).0, 400);
    assert_eq!(send(&server, &format!("PATCH {POD}"), &[], "{").status, 400);
    assert_eq!(send(&server, "DELETE /api/v1/pods", &[], "").status, 404);
    assert_eq!(send(&server, "DELETE /api/v1/namespaces/shop/pods", &[], "").status, 405);
    assert_eq!(send(&server, &format!("GET {POD}/log"), &[], "").status, 404);
}
