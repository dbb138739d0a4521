//! What callers do is not what the API server is asked: it is asked little, whatever they do.

use culvert_lab::api_server::Trouble;

use super::*;

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
            for _ in 0..20 {
                let requests = std::array::from_fn::<_, 5, _>(|_| bench.ask(&token, WEB));
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
    let timing = Timing { at_once: 2, deadline: Duration::from_millis(500), ..Timing::default() };
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
    let limits = Limits { in_a_row: 5, one_more: Duration::from_secs(3600), ..Limits::default() };
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
