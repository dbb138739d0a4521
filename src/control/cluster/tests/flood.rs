//! What callers do is not what the API server is asked: it is asked little, whatever they do.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use culvert_lab::api_server::Trouble;
use tokio::task::JoinHandle;

use super::*;
use crate::budget::Pace;
use crate::cluster::reviews::Places;

/// Says what is known of pods without asking: that this account is in the mesh on these nodes.
fn know(bench: &Bench, account: &str, nodes: &[String]) {
    let name = |node: &String| json!({"metadata": {"name": format!("{account}-{node}")}});
    let pods = nodes.iter().map(|node| running("shop", account, node).merge(name(node)));
    bench.know(culvert_derive::Kind::Pod, pods);
    bench.know(culvert_derive::Kind::Namespace, [shop()]);
}

#[tokio::test(flavor = "multi_thread")]
async fn five_thousand_requests_from_fifty_nodes_need_fifty_reviews() {
    let bench = Arc::new(Bench::new().await);
    let nodes: Vec<String> = (10..60).map(|number| format!("n{number}")).collect();
    know(&bench, "web", &nodes);
    let mut asking = JoinSet::new();
    for node in nodes {
        bench.cluster.create(node_pod(&node)).unwrap();
        let (bench, token) = (Arc::clone(&bench), bench.node(&node));
        asking.spawn(async move {
            let channel = bench.connect([127, 0, 0, 1]).await;
            for _ in 0..20 {
                let requests = std::array::from_fn::<_, 5, _>(|_| bench.ask_over(&channel, &token, WEB));
                let answers: [_; 5] = five(requests).await;
                assert!(answers.iter().all(Result::is_ok), "{answers:?}");
            }
        });
    }
    asking.join_all().await;
    assert_eq!((bench.cluster.reviews(), bench.lookups()), (50, 0));
}

/// All five at a time.
async fn five<F: Future>(requests: [F; 5]) -> [F::Output; 5] {
    let [a, b, c, d, e] = requests;
    tokio::join!(a, b, c, d, e).into()
}

#[tokio::test]
async fn strangers_are_remembered_for_a_while() {
    let bench = Bench::new().await;
    let expired = bench.issue(of_node("n1").expired());
    for _ in 0..20 {
        check_refused(&bench.ask(&expired, WEB).await, Code::Unauthenticated, "token-expired");
    }
    for junk in ["x", "a.b", "a.b.c.d", "not a token"] {
        check_refused(&bench.ask(junk, WEB).await, Code::Unauthenticated, "token-unknown");
    }
    assert_eq!(bench.cluster.reviews(), 1);
}

#[tokio::test]
async fn reviews_take_turns_and_nobody_waits_for_ever() {
    let usual = Timing::default();
    let places = Places { of_strangers: 2, ..usual.places };
    let timing = Timing { places, deadline: Duration::from_millis(500), ..usual };
    let bench = Bench::with(Setup { timing, ..Setup::default() }).await;
    bench.cluster.trouble(Trouble::silence().on("create", "tokenreviews"));
    let tokens = std::array::from_fn::<_, 5, _>(|_| bench.node("n1"));
    let answers = five(tokens.each_ref().map(|token| bench.ask(token, WEB))).await;
    for answer in answers {
        check_refused(&answer, Code::Unavailable, "reviews-unavailable");
    }
    // The last moment of one may be the first of another.
    let asked = bench.cluster.requests_of("create", "tokenreviews").len();
    assert!((2..5).contains(&asked), "{asked} of five at once");
}

#[tokio::test]
async fn what_was_not_found_is_not_looked_up_again_at_once() {
    let limits = Limits { kept: Duration::from_secs(3600), ..Limits::default() };
    let bench = Bench::with(Setup { limits, ..Setup::default() }).await;
    let (one, two) = (bench.node("n1"), bench.node("n2"));
    for _ in 0..20 {
        check_refused(&bench.ask(&one, DB).await, Code::PermissionDenied, "identity-not-on-node");
    }
    assert_eq!(bench.lookups(), 1);
    bench.ask(&two, DB).await.unwrap();
    assert_eq!(bench.lookups(), 2);
}

#[tokio::test]
async fn a_node_that_asks_for_everything_is_held_back_and_no_other() {
    let of_a_node = Pace { in_a_row: 5, one_more: Duration::from_secs(3600) };
    let limits = Limits { of_a_node, ..Limits::default() };
    let bench = Bench::with(Setup { limits, ..Setup::default() }).await;
    know(&bench, "web", &["n1".to_owned()]);
    let (one, two) = (bench.node("n1"), bench.node("n2"));
    for number in 0..20 {
        let identity = format!("spiffe://cluster.local/ns/shop/sa/guess-{number}");
        let answer = bench.ask(&one, &identity).await;
        if number < 5 {
            check_refused(&answer, Code::PermissionDenied, "identity-not-on-node");
        } else {
            check_refused(&answer, Code::Unavailable, "pods-unavailable");
        }
    }
    assert_eq!(bench.lookups(), 5);
    // What is known needs no looking up.
    bench.ask(&one, WEB).await.unwrap();
    bench.ask(&two, DB).await.unwrap();
}

/// A token as anybody can make it: it says that it is of this pod.
fn forged(account: &str, pod: &str, number: u32) -> String {
    let claims = json!({
        "aud": ["istio-ca"], "exp": 4_000_000_000_u32, "sub": format!("system:serviceaccount:mesh:{account}"),
        "kubernetes.io": {
            "namespace": "mesh", "serviceaccount": {"name": account}, "pod": {"name": pod, "uid": number.to_string()},
        },
    });
    let parts = [r#"{"alg":"RS256"}"#, &claims.to_string(), "signature"];
    parts.map(|part| URL_SAFE_NO_PAD.encode(part)).join(".")
}

#[tokio::test]
async fn what_could_never_be_good_costs_no_review() {
    let bench = Bench::new().await;
    for (token, reason) in [
        (Token::of("mesh", "culvert-node").pod("culvert-node-n1"), "wrong-audience"),
        (Token::of_user("alice").audience("istio-ca"), "not-a-service-account"),
        (Token::of("mesh", "culvert-node").audience("istio-ca"), "token-not-bound"),
    ] {
        let token = bench.issue(token);
        check_refused(&bench.ask(&token, WEB).await, Code::Unauthenticated, reason);
    }
    assert_eq!(bench.cluster.reviews(), 0);
}

#[tokio::test]
async fn forgers_are_refused_before_they_cost_reviews_and_hinder_nobody() {
    let bench = Bench::new().await;
    know(&bench, "web", &["n1".to_owned(), "n2".to_owned()]);
    bench.hear_of(culvert_derive::Kind::Pod, node_pod("n1"));
    let renewing = bench.node("n2");
    bench.ask(&renewing, WEB).await.unwrap();
    let mut reviews = bench.cluster.reviews();
    let elsewhere = bench.connect([127, 0, 0, 2]).await;
    let mut refused = Vec::new();
    for number in 0..100 {
        let pod = format!("culvert-node-{number}");
        refused.push(reason_of(&bench.ask(&forged("culvert-node", &pod, number), WEB).await));
    }
    // One more may come with each second this takes.
    let unknown = refused.iter().filter(|reason| *reason == "token-unknown").count();
    assert!((20..25).contains(&unknown), "{refused:?}");
    assert_eq!(refused.iter().filter(|reason| *reason == "too-many-strangers").count(), 100 - unknown);
    assert_eq!(bench.cluster.reviews() - reviews, unknown);
    let forgery = forged("culvert-node", "another", 100);
    check_refused(&bench.ask(&forgery, WEB).await, Code::Unavailable, "too-many-strangers");
    // From the same address comes a proxy whose pod is known, and never asked before; one that did; and from elsewhere, one more.
    reviews = bench.cluster.reviews();
    bench.ask(&bench.node("n1"), WEB).await.unwrap();
    bench.ask(&renewing, WEB).await.unwrap();
    bench.ask_over(&elsewhere, &bench.node("n2"), WEB).await.unwrap();
    assert_eq!(bench.cluster.reviews() - reviews, 2);
}

#[tokio::test]
async fn a_proxy_nobody_has_heard_of_gets_in_behind_a_forger_once_its_pod_is_known() {
    let bench = Bench::new().await;
    know(&bench, "web", &["n1".to_owned()]);
    for number in 0..30 {
        let _ = bench.ask(&forged("culvert-node", "guessed", number), WEB).await;
    }
    let token = bench.node("n1");
    check_refused(&bench.ask(&token, WEB).await, Code::Unavailable, "too-many-strangers");
    bench.hear_of(culvert_derive::Kind::Pod, node_pod("n1"));
    bench.ask(&token, WEB).await.unwrap();
}

#[tokio::test]
async fn who_knows_the_name_of_a_pod_can_hinder_that_pod_alone_and_only_from_its_own_address() {
    let bench = Bench::new().await;
    know(&bench, "web", &["n1".to_owned(), "n2".to_owned()]);
    for node in ["n1", "n2"] {
        bench.hear_of(culvert_derive::Kind::Pod, node_pod(node));
    }
    let elsewhere = bench.connect([127, 0, 0, 2]).await;
    let mut reasons = Vec::new();
    for number in 0..10 {
        let forgery = forged("culvert-node", "culvert-node-n1", number);
        reasons.push(reason_of(&bench.ask_over(&elsewhere, &forgery, WEB).await));
    }
    assert_eq!(reasons[4..6], ["token-unknown", "too-many-strangers"], "{reasons:?}");
    let token = bench.node("n1");
    bench.ask_over(&elsewhere, &bench.node("n2"), WEB).await.unwrap();
    bench.ask(&token, WEB).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn known_callers_have_turns_of_their_own_while_strangers_wait() {
    let usual = Timing::default();
    let timing = Timing { yes: Duration::ZERO, deadline: Duration::from_secs(2), ..usual };
    let bench = Bench::with(Setup { timing, ..Setup::default() }).await;
    know(&bench, "web", &["n1".to_owned()]);
    let known = bench.node("n1");
    bench.ask(&known, WEB).await.unwrap();
    bench.cluster.trouble(Trouble::silence().on("create", "tokenreviews"));
    let waiting =
        fill(&bench, 1 + usual.places.of_strangers, |number| forged("culvert-node", "x", number)).await;
    bench.cluster.end_troubles();
    bench.ask(&known, WEB).await.unwrap();
    assert!(waiting.iter().all(|waiting| !waiting.is_finished()), "no stranger has been answered yet");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_nobody_knows_yet_has_a_turn_while_tokens_of_other_pods_wait() {
    let usual = Timing::default();
    let timing = Timing { deadline: Duration::from_secs(2), ..usual };
    let bench = Bench::with(Setup { timing, ..Setup::default() }).await;
    know(&bench, "web", &["n1".to_owned()]);
    for pod in [node_pod("n1"), running("mesh", "tenant", "n1"), running("mesh", "other", "n1")] {
        bench.hear_of(culvert_derive::Kind::Pod, pod);
    }
    bench.cluster.trouble(Trouble::silence().on("create", "tokenreviews"));
    let tenants = ["tenant", "other"].iter().cycle();
    let waiting = fill(&bench, usual.places.of_pods, |number| {
        let account = tenants.clone().nth(number as usize).unwrap();
        forged(account, account, number)
    })
    .await;
    bench.cluster.end_troubles();
    bench.ask(&bench.node("n1"), WEB).await.unwrap();
    assert!(waiting.iter().all(|waiting| !waiting.is_finished()), "none of them has been answered yet");
}

/// Has eight of these tokens asked with from elsewhere, and waits until so many reviews have been asked for in all.
async fn fill(
    bench: &Bench,
    reviews: usize,
    token: impl Fn(u32) -> String,
) -> [JoinHandle<Result<Vec<String>, Status>>; 8] {
    let elsewhere = bench.connect([127, 0, 0, 2]).await;
    let waiting = std::array::from_fn(|number| {
        let (channel, token) = (elsewhere.clone(), token(u32::try_from(number).unwrap()));
        let request = bench.request(&token, Some(WEB), 0);
        tokio::spawn(async move { send(&channel, request).await })
    });
    let asked = || bench.cluster.requests_of("create", "tokenreviews").len();
    culvert_lab::wait_until(DEADLINE, "they have their places", || asked() == reviews).unwrap();
    waiting
}
