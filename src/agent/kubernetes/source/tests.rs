use std::time::Duration;

use culvert_lab::api_server::{ApiServer, TooOld, Trouble, namespace, pod};
use futures::future::join_all;
use serde_json::json;
use tokio::time::Instant;

use crate::cluster::{Claim, Why, Wish};
use crate::kubernetes::rig::{NODE, Watching, ambient, eventually, pace, running, wished};

const MODE: &str = "istio.io/dataplane-mode";

/// A cluster with a pod, and a source that has seen it and watches.
async fn known() -> (ApiServer, Watching) {
    let api = ApiServer::start().unwrap();
    api.create(ambient("shop")).unwrap();
    api.create(running("shop", "web", 1)).unwrap();
    let mut source = Watching::start(&api);
    source.converges(&api, "at the start").await;
    eventually("both watches", || api.open_watches() == 2).await;
    (api, source)
}

fn lists(api: &ApiServer) -> usize {
    api.requests_of("list", "pods").len()
}

#[tokio::test]
async fn nothing_is_known_before_both_lists_are_complete() {
    for missing in ["namespaces", "pods"] {
        let api = ApiServer::start().unwrap();
        api.create(ambient("shop")).unwrap();
        api.create(running("shop", "web", 1)).unwrap();
        api.deny("list", missing);
        let mut source = Watching::start(&api);
        eventually("some tries", || api.requests_of("list", missing).len() > 3).await;
        assert!(source.view().is_none(), "without {missing}");
        let begun = Instant::now();
        eventually("more tries", || api.requests_of("list", missing).len() > 6).await;
        let waited = begun.elapsed();
        assert!(source.freshness.age() >= Some(waited), "{missing} were never heard");
        api.allow("list", missing);
        assert_eq!(wished(&*source.converges(&api, missing).await), ["shop/web"]);
    }
}

#[tokio::test]
async fn an_empty_node_is_known_to_be_empty() {
    let api = ApiServer::start().unwrap();
    let mut source = Watching::start(&api);
    assert!(source.until("empty", |_| true).await.pods.is_empty());
}

#[tokio::test]
async fn what_happens_is_seen() {
    let (api, mut source) = known().await;
    api.create(running("shop", "cart", 2)).unwrap();
    source.converges(&api, "created").await;
    api.patch(
        "pods",
        "shop",
        "cart",
        json!({ "status": { "podIP": "10.0.0.9", "podIPs": [{ "ip": "10.0.0.9" }] } }),
    )
    .unwrap();
    source.converges(&api, "changed").await;
    api.patch(
        "pods",
        "shop",
        "cart",
        json!({ "metadata": { "annotations": { "ambient.istio.io/redirection": "enabled" } } }),
    )
    .unwrap();
    source.until("a claim", |view| view.pods.values().any(|pod| pod.claim == Claim::Enabled)).await;
    api.remove("pods", "shop", "cart").unwrap();
    source.converges(&api, "removed").await;
    assert_eq!(lists(&api), 1, "all of it without another list");
}

#[tokio::test]
async fn pods_of_other_nodes_are_not_asked_for() {
    let (api, mut source) = known().await;
    api.create(pod("shop", "elsewhere").node("n2").ip([10, 0, 1, 1])).unwrap();
    api.create(running("shop", "here", 3)).unwrap();
    let view = source.converges(&api, "two pods").await;
    assert_eq!(view.pods.len(), 2);
    let selected = format!("fieldSelector=spec.nodeName%3D{NODE}");
    for verb in ["list", "watch"] {
        assert!(api.requests_of(verb, "pods").iter().all(|request| request.query.contains(&selected)));
    }
}

#[tokio::test]
async fn a_namespaces_label_changes_all_of_its_pods() {
    let (api, mut source) = known().await;
    api.create(namespace("infra")).unwrap();
    api.create(running("infra", "db", 2)).unwrap();
    let view = source.until("not labelled", |view| view.pods.len() == 2).await;
    assert_eq!(wished(&view), ["shop/web"]);
    assert_eq!((view.namespaces["shop"], view.namespaces["infra"]), (true, false));
    api.patch("namespaces", "", "infra", json!({ "metadata": { "labels": { MODE: "ambient" } } })).unwrap();
    source
        .until("labelled", |view| wished(view) == ["infra/db", "shop/web"] && view.namespaces["infra"])
        .await;
    api.patch("namespaces", "", "shop", json!({ "metadata": { "labels": { MODE: null } } })).unwrap();
    source.until("label gone", |view| wished(view) == ["infra/db"]).await;
}

#[tokio::test]
async fn a_pod_made_anew_under_its_name_is_another_pod() {
    let (api, mut source) = known().await;
    for byte in 10..30 {
        api.remove("pods", "shop", "web").unwrap();
        api.create(running("shop", "web", byte)).unwrap();
    }
    let view = source.converges(&api, "made anew").await;
    assert_eq!(view.pods.len(), 1);
}

#[tokio::test]
async fn finished_pods_pass() {
    let (api, mut source) = known().await;
    api.patch("pods", "shop", "web", json!({ "status": { "phase": "Succeeded" } })).unwrap();
    let finished =
        |view: &crate::cluster::View| view.pods.values().all(|pod| pod.wish == Wish::Pass(Why::Finished));
    source.until("finished", finished).await;
}

#[tokio::test]
async fn a_list_has_pages() {
    let api = ApiServer::start().unwrap();
    api.create(ambient("shop")).unwrap();
    for number in 0..250_u8 {
        api.create(running("shop", &format!("web-{number}"), number)).unwrap();
    }
    let mut source = Watching::start(&api);
    let view = source.converges(&api, "all pages").await;
    assert_eq!(view.pods.len(), 250);
    assert_eq!(lists(&api), 3);
    assert!(api.requests_of("list", "pods").iter().all(|request| request.query.contains("limit=100")));
}

#[tokio::test]
async fn a_list_that_expires_between_pages_begins_anew() {
    let api = ApiServer::start().unwrap();
    api.create(ambient("shop")).unwrap();
    for number in 0..150_u8 {
        api.create(running("shop", &format!("web-{number}"), number)).unwrap();
    }
    api.trouble(Trouble::late(Duration::from_millis(100)).on("list", "pods"));
    let mut source = Watching::start(&api);
    eventually("second page", || lists(&api) == 2).await;
    api.expire_continue_tokens();
    api.end_troubles();
    let view = source.converges(&api, "after the tokens expired").await;
    assert_eq!(view.pods.len(), 150);
    assert!(lists(&api) >= 4, "{}", lists(&api));
}

/// Whatever is done to open watches, what changes during and after it is seen.
#[tokio::test]
async fn broken_watches_converge() {
    type Break = fn(&ApiServer);
    let breaks: [(&str, Break, bool); 9] = [
        ("ended", |api| api.end_watches(), false),
        ("broken", |api| api.break_watches(), false),
        ("broken in a line", |api| api.break_watches_mid_line(), false),
        ("cut", |api| api.cut_connections(), false),
        ("bookmarks", |api| api.send_bookmarks(), false),
        ("expired", |api| api.send_error(410), true),
        ("error", |api| api.send_error(500), true),
        ("garbage", |api| api.send_garbage(), true),
        ("unknown event", |api| api.send_unknown_event(), true),
    ];
    let (api, mut source) = known().await;
    for (index, (name, broken, lists_again)) in breaks.into_iter().enumerate() {
        eventually("watched", || api.open_watches_of("pods") == 1).await;
        let before = lists(&api);
        broken(&api);
        api.remove("pods", "shop", "web").unwrap();
        api.create(running("shop", "web", 100 + index as u8)).unwrap();
        if lists_again {
            eventually(name, || lists(&api) > before).await;
        }
        source.converges(&api, name).await;
        if !lists_again {
            assert_eq!(lists(&api), before, "{name}: nothing can have been missed");
        }
    }
}

#[tokio::test]
async fn a_silent_watch_is_given_up() {
    let (api, mut source) = known().await;
    api.stall_watches();
    let before = api.requests_of("watch", "pods").len();
    api.create(running("shop", "cart", 2)).unwrap();
    source.converges(&api, "while the watch is silent").await;
    assert!(api.requests_of("watch", "pods").len() > before);
}

#[tokio::test]
async fn a_history_that_was_forgotten_is_listed_again() {
    for how in [TooOld::Event, TooOld::Status] {
        let (api, mut source) = known().await;
        let before = lists(&api);
        api.say_too_old(how);
        api.refuse_connections();
        api.remove("pods", "shop", "web").unwrap();
        api.create(running("shop", "cart", 2)).unwrap();
        api.compact();
        api.accept_connections().unwrap();
        source.converges(&api, "after compaction").await;
        assert!(lists(&api) > before);
    }
}

#[tokio::test]
async fn the_last_view_stays_while_the_server_is_away() {
    let (api, mut source) = known().await;
    let view = source.view().unwrap();
    api.refuse_connections();
    let age = source.freshness.age().unwrap();
    eventually("silence", || source.freshness.age().unwrap() > age + Duration::from_millis(300)).await;
    assert_eq!(source.view().unwrap(), view);
    api.create(running("shop", "cart", 2)).unwrap();
    api.accept_connections().unwrap();
    source.converges(&api, "after an outage").await;
    assert!(source.freshness.age().unwrap() < Duration::from_secs(3));
    assert_eq!(lists(&api), 1, "the watch goes on where it was");
}

#[tokio::test]
async fn refusals_and_nonsense_are_waited_out() {
    type Make = fn() -> Trouble;
    let troubles: [(&str, Make); 9] = [
        ("400", || Trouble::status(400)),
        ("401", || Trouble::status(401)),
        ("403", || Trouble::status(403)),
        ("410", || Trouble::status(410)),
        ("429", || Trouble::status(429).retry_after(1)),
        ("500", || Trouble::status(500)),
        ("503", || Trouble::status(503)),
        ("garbage", Trouble::garbage),
        ("silence", Trouble::silence),
    ];
    let waited_out = troubles.map(async |(name, trouble)| {
        let (api, mut source) = known().await;
        for verb in ["list", "watch"] {
            api.trouble(trouble().on(verb, "pods").times(2));
            api.trouble(trouble().on(verb, "namespaces").times(2));
        }
        // Both again, with troubles in their way.
        api.send_error(500);
        api.remove("pods", "shop", "web").unwrap();
        api.create(running("shop", "cart", 2)).unwrap();
        source.converges(&api, name).await;
    });
    join_all(waited_out).await;
}

#[tokio::test]
async fn a_watch_that_is_always_refused_does_not_keep_lists_away() {
    let (api, mut source) = known().await;
    api.deny("watch", "pods");
    api.break_watches();
    api.create(running("shop", "cart", 2)).unwrap();
    source.converges(&api, "by lists alone").await;

    api.allow("watch", "pods");
    eventually("watched", || api.open_watches_of("pods") == 1).await;
    api.trouble(Trouble::status(504).on("watch", "pods"));
    api.break_watches();
    api.create(running("shop", "order", 3)).unwrap();
    source.converges(&api, "a version the server does not know").await;
}

#[tokio::test]
async fn now_and_then_everything_is_listed_again() {
    let api = ApiServer::start().unwrap();
    let _source = Watching::start_with(&api, super::Pace { relist: Duration::from_secs(2), ..pace() });
    eventually("another list", || lists(&api) > 1).await;
}

#[tokio::test]
async fn a_server_that_ends_watches_at_once_is_not_asked_without_end() {
    let (api, mut source) = known().await;
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(1) {
        api.end_watches();
        tokio::task::yield_now().await;
    }
    let asked = api.requests_of("watch", "pods").len();
    assert!(asked < 120, "{asked} watches in a second");
    api.create(running("shop", "cart", 2)).unwrap();
    source.converges(&api, "afterwards").await;
}

#[tokio::test]
async fn it_ends_when_nobody_looks() {
    let (_api, mut source) = known().await;
    source.views = tokio::sync::watch::channel(None).1;
    let task = std::mem::replace(&mut source.task, tokio::spawn(async {}));
    tokio::time::timeout(Duration::from_secs(10), task).await.unwrap().unwrap();
}

#[tokio::test]
async fn pages_that_are_too_long_are_asked_for_with_fewer_objects() {
    let api = ApiServer::start().unwrap();
    api.create(ambient("shop")).unwrap();
    for number in 0..70_u8 {
        let pod = running("shop", &format!("web-{number}"), number);
        api.create(pod.annotation("example.com/long", &"x".repeat(300 << 10))).unwrap();
    }
    let mut source = Watching::start_with(&api, super::Pace { answer: Duration::from_secs(15), ..pace() });
    assert_eq!(source.converges(&api, "all of them").await.pods.len(), 70);
    let limits: Vec<_> = api.requests_of("list", "pods").into_iter().map(|request| request.query).collect();
    assert_eq!(limits.len(), 3, "{limits:?}");
    for (query, limit) in limits.iter().zip(["limit=100", "limit=50", "limit=50"]) {
        assert!(query.contains(limit), "{limits:?}");
    }
}
