//! Tokens are issued, asked for and reviewed as in a cluster.

use std::time::Duration;

use culvert_lab::api_server::{ApiServer, Token, Trouble, pod};
use culvert_lab::{PATIENCE, wait_until};
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec, TokenReview, TokenReviewSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::Api;
use kube::api::PostParams;
use serde_json::{Value, json};

use crate::client::client;
use crate::raw::send;

const PATH: &str = "POST /apis/authentication.k8s.io/v1/tokenreviews";
const UID: &str = "11111111-0000-4000-8000-000000000001";

fn server() -> ApiServer {
    let server = ApiServer::start().unwrap();
    server.create(pod("mesh", "node-x").node("n1").service_account("node").uid(UID)).unwrap();
    server
}

fn of_pod() -> Token {
    Token::of("mesh", "node").audience("istio-ca").pod("node-x")
}

/// The status of a review.
fn review(server: &ApiServer, token: &str, audiences: &[&str]) -> Value {
    let body = json!({
        "apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview",
        "spec": {"token": token, "audiences": audiences},
    });
    let mut answer = send(server, PATH, &[], &body.to_string());
    assert_eq!(answer.status, 201);
    let review = answer.json();
    assert_eq!((&review["kind"], &review["spec"]), (&body["kind"], &body["spec"]));
    review["status"].clone()
}

#[track_caller]
fn check_refused(server: &ApiServer, token: &str, why: &str) {
    let status = review(server, token, &["istio-ca"]);
    assert!(status["authenticated"] != true && status["user"]["username"].is_null(), "{status}");
    assert!(status["error"].as_str().unwrap().contains(why), "{status}");
}

#[test]
fn a_review_says_whose_a_token_is_and_where_it_is_used() {
    let server = server();
    let token = server.issue(of_pod().audience("other")).unwrap();
    let mut expected = json!({
        "authenticated": true,
        "audiences": ["istio-ca"],
        "user": {
            "username": "system:serviceaccount:mesh:node",
            "groups": ["system:serviceaccounts", "system:serviceaccounts:mesh", "system:authenticated"],
            "extra": {
                "authentication.kubernetes.io/pod-name": ["node-x"],
                "authentication.kubernetes.io/pod-uid": [UID],
                "authentication.kubernetes.io/node-name": ["n1"],
            },
        },
    });
    assert_eq!(review(&server, &token, &["istio-ca"]), expected);
    server.tell_nodes_in_reviews(false);
    expected["user"]["extra"].as_object_mut().unwrap().remove("authentication.kubernetes.io/node-name");
    assert_eq!(review(&server, &token, &["istio-ca", "third"]), expected);
    let alice = server.issue(Token::of_user("alice")).unwrap();
    assert_eq!(
        review(&server, &alice, &[])["user"],
        json!({"username": "alice", "groups": ["system:authenticated"]})
    );
    assert_eq!(server.reviews(), 3);
}

#[test]
fn a_token_that_is_not_good_is_not_authenticated() {
    let server = server();
    let good = server.issue(of_pod()).unwrap();
    let unbound = server.issue(Token::of("mesh", "node").audience("istio-ca")).unwrap();
    for (token, why) in [
        (server.issue(of_pod().expired()).unwrap(), "has expired"),
        (server.issue(Token::of("mesh", "node")).unwrap(), "invalid for the target audiences [\"istio-ca\"]"),
        ("nonsense".to_owned(), "invalid bearer token"),
    ] {
        check_refused(&server, &token, why);
    }
    let terminating = server.terminate("pods", "mesh", "node-x").unwrap();
    assert!(terminating["metadata"]["deletionTimestamp"].is_string());
    assert_eq!(review(&server, &good, &["istio-ca"])["authenticated"], true);
    server.remove("pods", "mesh", "node-x").unwrap();
    check_refused(&server, &good, "has been invalidated");
    server.create(pod("mesh", "node-x").node("n1").service_account("node")).unwrap();
    check_refused(&server, &good, "has been invalidated");
    assert_eq!(review(&server, &unbound, &["istio-ca"])["authenticated"], true);
}

#[test]
fn a_token_can_be_seen_to_expire() {
    let server = server();
    let token = server.issue(of_pod().lasting(Duration::from_secs(2))).unwrap();
    let authenticated = || review(&server, &token, &["istio-ca"])["authenticated"] == true;
    assert!(authenticated());
    wait_until(PATIENCE, "the token has expired", || !authenticated()).unwrap();
}

#[test]
fn what_cannot_be_reviewed_or_issued_is_refused() {
    let server = server();
    assert_eq!(send(&server, PATH, &[], r#"{"spec": {}}"#).status, 400);
    assert_eq!(send(&server, PATH, &[], "[]").status, 400);
    for wrong in
        [of_pod().pod("other"), Token::of("mesh", "other").pod("node-x"), Token::of_user("a").pod("node-x")]
    {
        assert!(server.issue(wrong).is_err());
    }
    server.trouble(Trouble::status(503).on("create", "tokenreviews").times(1));
    assert_eq!(send(&server, PATH, &[], r#"{"spec": {"token": "x"}}"#).status, 503);
    server.deny("create", "tokenreviews");
    assert_eq!(send(&server, PATH, &[], r#"{"spec": {"token": "x"}}"#).status, 403);
    assert_eq!(server.reviews(), 0);
}

#[tokio::test]
async fn a_client_library_asks_for_tokens_and_has_them_reviewed() {
    let server = server();
    server
        .create(json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"namespace": "mesh", "name": "node"}}))
        .unwrap();
    let client = client(&server).await;
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), "mesh");
    let bound = |uid: &str| TokenRequest {
        spec: TokenRequestSpec {
            audiences: vec!["istio-ca".into()],
            bound_object_ref: serde_json::from_value(json!({"kind": "Pod", "name": "node-x", "uid": uid}))
                .unwrap(),
            expiration_seconds: Some(600),
        },
        ..TokenRequest::default()
    };
    let ask = async |name: &str, uid: &str| {
        accounts.create_token_request(name, &PostParams::default(), &bound(uid)).await
    };
    let made = ask("node", UID).await.unwrap().status.unwrap();
    assert!(ask("node", "another").await.is_err() && ask("nobody", UID).await.is_err());
    let review = TokenReview {
        spec: TokenReviewSpec { token: Some(made.token), audiences: Some(vec!["istio-ca".into()]) },
        ..TokenReview::default()
    };
    let reviewed = Api::<TokenReview>::all(client).create(&PostParams::default(), &review).await.unwrap();
    assert_eq!(reviewed.status.unwrap().authenticated, Some(true));
}
