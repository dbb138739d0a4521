//! Who gets which certificate, and what everybody else is told.

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer as _;

use super::*;

/// Checks whose certificate it is; gives the seconds it is good for.
#[track_caller]
fn check_issued(answer: Result<Vec<String>, Status>, identity: &str) -> i64 {
    let chain = answer.unwrap();
    let leaf = CertificateDer::from_pem_slice(chain[0].as_bytes()).unwrap();
    let (_, leaf) = X509Certificate::from_der(&leaf).unwrap();
    let names = leaf.subject_alternative_name().unwrap().unwrap();
    assert_eq!(names.value.general_names, [GeneralName::URI(identity)]);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    leaf.validity().not_after.timestamp() - i64::try_from(now.as_secs()).unwrap()
}

#[tokio::test]
async fn a_node_gets_the_identities_of_the_pods_on_it() {
    let bench = Bench::new().await;
    let (one, two) = (bench.node("n1"), bench.node("n2"));
    let life = check_issued(bench.ask(&one, WEB).await, WEB);
    assert!((86_300..=86_400).contains(&life), "{life}");
    let life = check_issued(bench.ask_for(&one, Some(WEB), 3600).await, WEB);
    assert!((3500..=3600).contains(&life), "{life}");
    check_issued(bench.ask(&two, DB).await, DB);
    // One that is being deleted needs its identity to the end.
    bench.cluster.terminate("pods", "shop", "web").unwrap();
    check_issued(bench.ask(&one, WEB).await, WEB);
}

#[tokio::test]
async fn a_workload_gets_its_own_identity_while_its_pod_is_there() {
    let bench = Bench::new().await;
    let token = bench.issue(of_workload("plain", "api"));
    check_issued(bench.ask_for(&token, None, 0).await, API);
    check_issued(bench.ask(&token, API).await, API);
    // Trusted is who is named, and not who has the name elsewhere, or who is elsewhere under another one.
    bench.cluster.create(running("shop", "culvert-node", "n1")).unwrap();
    bench.cluster.create(running("mesh", "other", "n1")).unwrap();
    for token in
        [token, bench.issue(of_workload("shop", "culvert-node")), bench.issue(of_workload("mesh", "other"))]
    {
        check_refused(&bench.ask(&token, WEB).await, Code::PermissionDenied, "identity-not-own");
    }
    let ended = bench.issue(of_workload("shop", "web"));
    bench.cluster.patch("pods", "shop", "web", json!({"status": {"phase": "Failed"}})).unwrap();
    check_refused(&bench.ask(&ended, WEB).await, Code::Unauthenticated, "pod-gone");
}

#[tokio::test]
async fn a_token_that_is_not_good_gets_nothing_but_a_code() {
    let bench = Bench::new().await;
    let elsewhere = ApiServer::start().unwrap();
    elsewhere.create(node_pod("n1")).unwrap();
    for (token, reason) in [
        (String::new(), "token-missing"),
        ("nonsense".to_owned(), "token-unknown"),
        (elsewhere.issue(of_node("n1")).unwrap(), "token-unknown"),
        (bench.issue(of_node("n1").expired()), "token-expired"),
        (bench.issue(Token::of("mesh", "culvert-node").pod("culvert-node-n1")), "wrong-audience"),
        (bench.issue(Token::of_user("alice").audience("istio-ca")), "not-a-service-account"),
        (bench.issue(Token::of("mesh", "culvert-node").audience("istio-ca")), "token-not-bound"),
    ] {
        check_refused(&bench.ask(&token, WEB).await, Code::Unauthenticated, reason);
    }
}

#[tokio::test]
async fn a_token_dies_with_its_pod_and_is_not_inherited() {
    let bench = Bench::new().await;
    let deleted = bench.node("n1");
    bench.cluster.remove("pods", "mesh", "culvert-node-n1").unwrap();
    check_refused(&bench.ask(&deleted, WEB).await, Code::Unauthenticated, "pod-gone");
    let other = bench.node("n2");
    bench.cluster.remove("pods", "mesh", "culvert-node-n2").unwrap();
    bench.cluster.create(node_pod("n2")).unwrap();
    check_refused(&bench.ask(&other, DB).await, Code::Unauthenticated, "pod-gone");
    check_issued(bench.ask(&bench.node("n2"), DB).await, DB);
}

#[tokio::test]
async fn the_node_is_found_where_the_api_server_does_not_tell_it() {
    let bench = Bench::new().await;
    bench.cluster.tell_nodes_in_reviews(false);
    let token = bench.node("n1");
    check_issued(bench.ask(&token, WEB).await, WEB);
    check_refused(&bench.ask(&token, DB).await, Code::PermissionDenied, "identity-not-on-node");
    let ended = bench.node("n2");
    bench
        .cluster
        .patch("pods", "mesh", "culvert-node-n2", json!({"status": {"phase": "Succeeded"}}))
        .unwrap();
    check_refused(&bench.ask(&ended, DB).await, Code::Unauthenticated, "pod-gone");
}

#[tokio::test]
async fn a_node_does_not_get_what_is_not_on_it_or_not_in_the_mesh() {
    let bench = Bench::new().await;
    bench.cluster.create(running("shop", "job", "n1").phase("Succeeded")).unwrap();
    bench.cluster.create(running("shop", "crashed", "n1").phase("Failed")).unwrap();
    bench.cluster.create(running("shop", "host", "n1").host_network()).unwrap();
    bench.cluster.create(running("shop", "out", "n1").label("istio.io/dataplane-mode", "none")).unwrap();
    bench.cluster.create(pod("shop", "unscheduled").service_account("unscheduled")).unwrap();
    let token = bench.node("n1");
    for (identity, reason) in [
        (DB, "identity-not-on-node"),
        ("spiffe://cluster.local/ns/shop/sa/nobody", "identity-not-on-node"),
        ("spiffe://cluster.local/ns/nowhere/sa/web", "identity-not-on-node"),
        ("spiffe://cluster.local/ns/shop/sa/unscheduled", "identity-not-on-node"),
        ("spiffe://cluster.local/ns/../sa/web", "identity-not-on-node"),
        ("spiffe://cluster.local/ns/shop?limit=1&x=/sa/web", "identity-not-on-node"),
        ("spiffe://cluster.local/ns/shop/sa/web,spec.nodeName!=x", "identity-not-on-node"),
        ("spiffe://other.example/ns/shop/sa/web", "trust-domain-mismatch"),
        ("spiffe://cluster.local/ns/shop/sa/job", "identity-ended"),
        ("spiffe://cluster.local/ns/shop/sa/crashed", "identity-ended"),
        ("spiffe://cluster.local/ns/shop/sa/host", "identity-on-host-network"),
        ("spiffe://cluster.local/ns/shop/sa/out", "identity-not-enrolled"),
        (API, "identity-not-enrolled"),
    ] {
        check_refused(&bench.ask(&token, identity).await, Code::PermissionDenied, reason);
    }
    check_refused(&bench.ask_for(&token, None, 0).await, Code::PermissionDenied, "identity-not-named");
    for malformed in ["", "web", "spiffe://cluster.local/ns/shop/web", "spiffe://cluster.local/ns//sa/web"] {
        check_refused(&bench.ask(&token, malformed).await, Code::InvalidArgument, "identity-malformed");
    }
    let too_long = bench.ask_for(&token, Some(WEB), 91 * 24 * 3600).await;
    check_refused(&too_long, Code::InvalidArgument, "ttl-too-long");
    check_issued(bench.ask(&token, WEB).await, WEB);
}

#[tokio::test]
async fn a_pod_that_has_just_come_or_joined_is_found_at_once() {
    let bench = Bench::with(Setup {
        limits: Limits { kept: Duration::ZERO, ..Limits::default() },
        ..Setup::default()
    })
    .await;
    let (token, new) = (bench.node("n1"), "spiffe://cluster.local/ns/shop/sa/new");
    check_refused(&bench.ask(&token, new).await, Code::PermissionDenied, "identity-not-on-node");
    bench.cluster.create(running("shop", "new", "n1").phase("Pending")).unwrap();
    check_issued(bench.ask(&token, new).await, new);
    bench
        .cluster
        .patch(
            "pods",
            "plain",
            "api",
            json!({"metadata": {"labels": {"istio.io/dataplane-mode": "ambient"}}}),
        )
        .unwrap();
    check_issued(bench.ask(&token, API).await, API);
}

/// Whoever may write the annotation would else decide who gets an identity.
#[tokio::test]
async fn what_is_claimed_of_a_pod_gives_it_no_identity() {
    let bench = Bench::new().await;
    let claimed = |pod: Object| pod.annotation("ambient.istio.io/redirection", "enabled");
    let out = running("shop", "out", "n1").label("istio.io/dataplane-mode", "none");
    bench.cluster.create(claimed(out)).unwrap();
    bench.cluster.create(claimed(running("plain", "claimed", "n1"))).unwrap();
    let token = bench.node("n1");
    for identity in ["spiffe://cluster.local/ns/shop/sa/out", "spiffe://cluster.local/ns/plain/sa/claimed"] {
        check_refused(&bench.ask(&token, identity).await, Code::PermissionDenied, "identity-not-enrolled");
    }
}

/// Looked up, and known from what was followed: by the same settings.
#[tokio::test]
async fn who_is_in_the_mesh_is_decided_by_the_settings_of_the_agents() {
    let selectors = "- namespaceSelector: {matchLabels: {team: payments}}";
    let bench = Bench::with(Setup { selectors, ..Setup::default() }).await;
    let team = |name: &str| namespace(name).label("team", "payments");
    let (pay, proxy) =
        ("spiffe://cluster.local/ns/bank/sa/pay", "spiffe://cluster.local/ns/kube-system/sa/proxy");
    for object in [team("bank"), running("bank", "pay", "n1"), running("kube-system", "proxy", "n1")] {
        bench.cluster.create(object).unwrap();
    }
    bench.cluster.apply(team("kube-system")).unwrap();
    let token = bench.node("n1");
    let ask = async || {
        check_issued(bench.ask(&token, pay).await, pay);
        let excluded = bench.ask(&token, proxy).await;
        check_refused(&excluded, Code::PermissionDenied, "identity-not-enrolled");
        assert!(excluded.unwrap_err().message().contains("its namespace is excluded"));
        // The usual label is nothing to these selectors.
        check_refused(&bench.ask(&token, WEB).await, Code::PermissionDenied, "identity-not-enrolled");
    };
    ask().await;
    bench.know(culvert_derive::Kind::Pod, [running("bank", "pay", "n1"), running("shop", "web", "n1")]);
    bench.know(culvert_derive::Kind::Namespace, [team("bank"), shop()]);
    let before = bench.lookups();
    check_issued(bench.ask(&token, pay).await, pay);
    assert_eq!(bench.lookups(), before);
}
