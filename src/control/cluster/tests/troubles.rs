//! An API server that does not answer is no reason to let anybody in, and none to throw out who was in.

use culvert_lab::api_server::Trouble;

use super::*;

/// Nothing is remembered for longer than it takes.
fn forgetful() -> Timing {
    Timing { yes: Duration::ZERO, no: Duration::ZERO, away: Duration::ZERO, ..Timing::default() }
}

#[tokio::test]
async fn who_was_known_stays_known_while_the_api_server_is_away() {
    let bench = Bench::with(Setup { timing: forgetful(), ..Setup::default() }).await;
    let (known, new) = (bench.node("n1"), bench.node("n2"));
    bench.know(culvert_derive::Kind::Pod, [running("shop", "web", "n1")]);
    bench.know(culvert_derive::Kind::Namespace, [shop()]);
    bench.ask(&known, WEB).await.unwrap();
    bench.cluster.refuse_connections();
    bench.ask(&known, WEB).await.unwrap();
    check_refused(&bench.ask(&new, DB).await, Code::Unavailable, "reviews-unavailable");
    // Known callers are told that what they ask for cannot be looked up.
    check_refused(&bench.ask(&known, DB).await, Code::Unavailable, "pods-unavailable");
    bench.cluster.accept_connections().unwrap();
    bench.ask_until(&new, DB, "").await;
    bench.ask_until(&known, DB, "identity-not-on-node").await;
}

#[tokio::test]
async fn whatever_is_no_answer_is_no_yes() {
    let timing = Timing { deadline: Duration::from_millis(200), ..forgetful() };
    let bench = Bench::with(Setup { timing, ..Setup::default() }).await;
    let token = bench.node("n1");
    let troubles = [
        Trouble::status(403),
        Trouble::status(429),
        Trouble::status(500),
        Trouble::garbage(),
        Trouble::silence(),
    ];
    for trouble in troubles {
        bench.cluster.trouble(trouble.clone().on("create", "tokenreviews"));
        let answer = bench.ask(&token, WEB).await;
        check_refused(&answer, Code::Unavailable, "reviews-unavailable");
        assert!(!answer.unwrap_err().message().contains("403"), "a stranger is told nothing");
        bench.cluster.end_troubles();
    }
    // The same where the pod of a token cannot be looked at.
    bench.cluster.tell_nodes_in_reviews(false);
    bench.cluster.trouble(Trouble::status(500).on("get", "pods"));
    check_refused(&bench.ask(&token, WEB).await, Code::Unavailable, "reviews-unavailable");
    bench.cluster.end_troubles();
    bench.cluster.trouble(Trouble::status(500).on("list", "pods"));
    check_refused(&bench.ask(&token, WEB).await, Code::Unavailable, "pods-unavailable");
}

#[tokio::test]
async fn an_old_yes_is_believed_up_to_a_limit() {
    let timing = Timing { overdue: Duration::from_millis(500), ..forgetful() };
    let bench = Bench::with(Setup { timing, ..Setup::default() }).await;
    let token = bench.node("n1");
    bench.ask(&token, WEB).await.unwrap();
    bench.cluster.deny("create", "tokenreviews");
    bench.ask(&token, WEB).await.unwrap();
    bench.ask_until(&token, WEB, "reviews-unavailable").await;
    bench.cluster.allow("create", "tokenreviews");
    bench.ask(&token, WEB).await.unwrap();
}

#[tokio::test]
async fn a_yes_ends_with_its_token_and_a_no_takes_it_back() {
    let bench = Bench::new().await;
    let short = bench.issue(of_node("n1").lasting(Duration::from_secs(2)));
    bench.ask(&short, WEB).await.unwrap();
    bench.cluster.refuse_connections();
    bench.ask_until(&short, WEB, "token-expired").await;
    drop(bench);

    let bench = Bench::with(Setup { timing: forgetful(), ..Setup::default() }).await;
    let token = bench.node("n1");
    bench.ask(&token, WEB).await.unwrap();
    bench.cluster.remove("pods", "mesh", "culvert-node-n1").unwrap();
    check_refused(&bench.ask(&token, WEB).await, Code::Unauthenticated, "pod-gone");
    // Once it was taken back, it is not what is fallen back on.
    bench.cluster.refuse_connections();
    check_refused(&bench.ask(&token, WEB).await, Code::Unavailable, "reviews-unavailable");
}
