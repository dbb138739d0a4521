//! Lists, single objects, and the paths about the server itself.

use culvert_lab::api_server::{ApiServer, definition, namespace, pod};
use serde_json::{Value, json};

use crate::raw::{get, send};

fn names(list: &Value) -> Vec<&str> {
    let items = list["items"].as_array().unwrap().iter();
    items.map(|item| item["metadata"]["name"].as_str().unwrap()).collect()
}

fn three_pods() -> ApiServer {
    let server = ApiServer::start().unwrap();
    for (name, node) in [("a", "n1"), ("b", "n2"), ("c", "n1")] {
        server.create(pod("shop", name).node(node).label("name", name)).unwrap();
    }
    server
}

#[test]
fn a_list_has_its_kind_its_revision_and_its_items() {
    let server = three_pods();
    let (status, list) = get(&server, "/api/v1/pods");
    assert_eq!(status, 200);
    assert_eq!((&list["kind"], &list["apiVersion"]), (&json!("PodList"), &json!("v1")));
    assert_eq!(list["metadata"]["resourceVersion"], server.revision().to_string());
    assert_eq!(names(&list), ["a", "b", "c"]);
    let item = &list["items"][0];
    assert!(item.get("kind").is_none(), "what is built in does not say its type in lists");
    assert!(item["metadata"]["uid"].is_string() && item["metadata"]["creationTimestamp"].is_string());
    let one = get(&server, "/api/v1/namespaces/shop/pods/a").1;
    assert_eq!((&one["kind"], &one["apiVersion"]), (&json!("Pod"), &json!("v1")));
}

#[test]
fn selectors_and_namespaces_narrow_a_list() {
    let server = three_pods();
    server.create(pod("other", "d").node("n1")).unwrap();
    let check =
        |query: &str, expected: &[&str]| assert_eq!(names(&get(&server, query).1), expected, "{query}");
    check("/api/v1/pods?fieldSelector=spec.nodeName%3Dn1", &["d", "a", "c"]);
    check("/api/v1/pods?fieldSelector=spec.nodeName!=n1", &["b"]);
    check("/api/v1/namespaces/shop/pods?fieldSelector=spec.nodeName=n1", &["a", "c"]);
    check("/api/v1/pods?labelSelector=name+in+(a,b)", &["a", "b"]);
    check("/api/v1/pods?labelSelector=!name", &["d"]);
    check("/api/v1/namespaces/nowhere/pods", &[]);
    assert_eq!(get(&server, "/api/v1/pods?fieldSelector=spec.image=x").0, 400);
    assert_eq!(get(&server, "/api/v1/pods?labelSelector==").0, 400);
}

#[test]
fn pages_show_one_state_whatever_happens_meanwhile() {
    let server = three_pods();
    let (_, first) = get(&server, "/api/v1/pods?limit=2");
    assert_eq!((names(&first), &first["metadata"]["remainingItemCount"]), (vec!["a", "b"], &json!(1)));
    server.remove("pods", "shop", "c").unwrap();
    server.create(pod("shop", "d")).unwrap();
    let token = first["metadata"]["continue"].as_str().unwrap();
    let (_, second) = get(&server, &format!("/api/v1/pods?limit=2&continue={token}"));
    assert_eq!(names(&second), ["c"]);
    assert_eq!(second["metadata"]["resourceVersion"], first["metadata"]["resourceVersion"]);
    assert!(second["metadata"].get("continue").is_none());
}

#[test]
fn a_token_that_has_expired_is_told_with_one_that_goes_on_inconsistently() {
    let server = three_pods();
    let check = |expire: &dyn Fn()| {
        let (_, first) = get(&server, "/api/v1/pods?limit=1&labelSelector=name");
        assert!(first["metadata"].get("remainingItemCount").is_none(), "unknown when labels select");
        let token = first["metadata"]["continue"].as_str().unwrap();
        expire();
        let (status, refused) =
            get(&server, &format!("/api/v1/pods?limit=1&labelSelector=name&continue={token}"));
        assert_eq!((status, &refused["reason"], &refused["code"]), (410, &json!("Expired"), &json!(410)));
        let token = refused["metadata"]["continue"].as_str().unwrap();
        let (status, rest) = get(&server, &format!("/api/v1/pods?labelSelector=name&continue={token}"));
        assert_eq!((status, names(&rest)), (200, vec!["b", "c"]));
    };
    check(&|| server.expire_continue_tokens());
    check(&|| {
        server.create(namespace("shop")).unwrap();
        server.compact();
    });
    assert_eq!(get(&server, "/api/v1/pods?continue=xyz").0, 400);
}

#[test]
fn a_revision_says_which_state_may_be_shown() {
    let server = three_pods();
    let then = server.revision();
    server.remove("pods", "shop", "a").unwrap();
    let list = |query: String| get(&server, &format!("/api/v1/pods?{query}"));
    assert_eq!(names(&list(format!("resourceVersion={then}")).1), ["b", "c"]);
    let exact = format!("resourceVersion={then}&resourceVersionMatch=Exact");
    assert_eq!(names(&list(exact.clone()).1), ["a", "b", "c"]);
    assert_eq!(names(&list("resourceVersion=0&limit=1".into()).1), ["b", "c"], "the cache has no pages");
    let future = list("resourceVersion=1000&resourceVersionMatch=NotOlderThan".into());
    assert_eq!((future.0, &future.1["reason"]), (504, &json!("Timeout")));
    assert_eq!(list("resourceVersionMatch=Exact".into()).0, 422);
    assert_eq!(list("sendInitialEvents=true".into()).0, 422);
    server.compact();
    assert_eq!(list(exact).0, 410);
}

#[test]
fn metadata_alone_can_be_asked_for() {
    let server = three_pods();
    let accept = "Accept: application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";
    let list = send(&server, "GET /api/v1/pods", &[accept], "").json();
    assert_eq!(list["kind"], "PartialObjectMetadataList");
    assert_eq!(list["items"][0]["kind"], "PartialObjectMetadata");
    assert!(list["items"][0].get("spec").is_none());
    assert_eq!(list["items"][0]["metadata"]["labels"]["name"], "a");
}

#[test]
fn a_custom_resource_is_there_as_long_as_its_definition() {
    let server = ApiServer::start().unwrap();
    let path = "/apis/security.istio.io/v1/authorizationpolicies";
    let (status, refused) = get(&server, path);
    assert_eq!((status, &refused["kind"], &refused["reason"]), (404, &json!("Status"), &json!("NotFound")));
    server
        .create(definition("security.istio.io/v1", "authorizationpolicies", "AuthorizationPolicy"))
        .unwrap();
    let policy = json!({
        "apiVersion": "security.istio.io/v1", "kind": "AuthorizationPolicy",
        "metadata": {"namespace": "shop", "name": "deny"},
    });
    server.create(policy).unwrap();
    let (_, list) = get(&server, path);
    assert_eq!(list["kind"], "AuthorizationPolicyList");
    assert_eq!(list["items"][0]["kind"], "AuthorizationPolicy", "custom resources say their type in lists");
    let name = "authorizationpolicies.security.istio.io";
    server.remove("customresourcedefinitions", "", name).unwrap();
    assert_eq!(get(&server, path).0, 404);
}

#[test]
fn the_server_says_what_it_is() {
    let server = ApiServer::start().unwrap();
    assert_eq!(send(&server, "GET /readyz", &[], "").text(), "ok");
    assert_eq!(get(&server, "/version").1["major"], "1");
    assert_eq!(get(&server, "/api").1["versions"], json!(["v1"]));
    let (_, groups) = get(&server, "/apis");
    assert!(groups["groups"].as_array().unwrap().iter().any(|group| group["name"] == "events.k8s.io"));
    let (_, resources) = get(&server, "/api/v1");
    assert!(resources["resources"].as_array().unwrap().iter().any(|one| one["name"] == "pods/status"));
    assert_eq!(get(&server, "/apis/nobody.example/v1").0, 404);
    assert_eq!(get(&server, "/nothing").0, 404);
}
