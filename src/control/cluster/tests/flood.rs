//! What callers do is not what the API server is asked: it is asked little, whatever they do.

use culvert_kubernetes::Delta;

use super::*;
use crate::cluster::pods::{NamespaceFacts, PodFacts, Standing};

/// Says what is known of pods without asking: that this account is in the mesh on these nodes.
fn know(bench: &Bench, account: &str, nodes: &[String]) {
    let pods = nodes.iter().map(|node| PodFacts {
        namespace: "shop".to_owned(),
        name: format!("{account}-{node}"),
        node: node.clone(),
        account: account.to_owned(),
        standing: Standing::AsNamespace,
    });
    bench.index.pods(Delta::All(pods.collect()));
    bench.index.namespaces(Delta::All(vec![NamespaceFacts { name: "shop".to_owned(), includes: true }]));
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
                let five = std::array::from_fn::<_, 5, _>(|_| bench.ask(&token, WEB));
                let answers: [_; 5] = futures_of(five).await;
                assert!(answers.iter().all(Result::is_ok), "{answers:?}");
            }
        });
    }
    asking.join_all().await;
    assert_eq!((bench.cluster.reviews(), bench.lookups()), (50, 0));
}

/// Five at a time.
async fn futures_of<F: Future>(five: [F; 5]) -> [F::Output; 5] {
    let [a, b, c, d, e] = five;
    tokio::join!(a, b, c, d, e).into()
}

#[tokio::test]
async fn strangers_are_remembered_and_reviews_take_turns() {
    let late = Duration::from_millis(50);
    let timing = Timing { at_once: 2, ..Timing::default() };
    let bench = Bench::with(Setup { timing, ..Setup::default() }).await;
    let expired = bench.issue(of_node("n1").expired());
    for _ in 0..20 {
        check_refused(&bench.ask(&expired, WEB).await, Code::Unauthenticated, "token-expired");
    }
    for junk in ["x", "a.b", "a.b.c.d", "not a token"] {
        check_refused(&bench.ask(junk, WEB).await, Code::Unauthenticated, "token-unknown");
    }
    assert_eq!(bench.cluster.reviews(), 1);

    bench.cluster.trouble(culvert_lab::api_server::Trouble::late(late).on("create", "tokenreviews"));
    let began = std::time::Instant::now();
    let tokens = std::array::from_fn::<_, 5, _>(|_| bench.node("n1"));
    let answers = futures_of(tokens.each_ref().map(|token| bench.ask(token, WEB))).await;
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    assert!(began.elapsed() >= late * 3, "five by two at a time: {:?}", began.elapsed());
    assert_eq!(bench.cluster.reviews(), 6);
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
