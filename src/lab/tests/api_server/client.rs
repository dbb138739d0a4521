//! A real client library cannot tell it from a cluster, in fair weather and foul.

use std::pin::Pin;

use culvert_lab::api_server::{ApiServer, StreamingLists, TooOld, Trouble, namespace, pod};
use culvert_lab::{PATIENCE, wait_until};
use futures::{Stream, StreamExt as _};
use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::PartialObjectMeta;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client, Config, ResourceExt as _};
use serde_json::{Value, json};

pub(crate) async fn client(server: &ApiServer) -> Client {
    let kubeconfig = Kubeconfig::from_yaml(&server.kubeconfig()).unwrap();
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
    Client::try_from(config).unwrap()
}

/// What a watcher says, in words.
struct Watched(Pin<Box<dyn Stream<Item = watcher::Result<Event<Pod>>>>>);

impl Watched {
    async fn pods(server: &ApiServer, config: watcher::Config) -> Self {
        let pods: Api<Pod> = Api::all(client(server).await);
        Self(Box::pin(watcher(pods, config)))
    }

    async fn next(&mut self) -> String {
        let event = tokio::time::timeout(PATIENCE, self.0.next()).await.expect("an event").expect("no end");
        match event {
            Ok(Event::Init) => "init".into(),
            Ok(Event::InitDone) => "done".into(),
            Ok(Event::InitApply(pod)) => format!("init {}", pod.name_any()),
            Ok(Event::Apply(pod)) => format!("apply {}", pod.name_any()),
            Ok(Event::Delete(pod)) => format!("delete {}", pod.name_any()),
            Err(watcher::Error::WatchError(status)) => format!("event {}", status.code),
            Err(watcher::Error::WatchStartFailed(error)) => format!("watch {}", code(&error)),
            Err(watcher::Error::InitialListFailed(error)) => format!("list {}", code(&error)),
            Err(other) => format!("other: {other}"),
        }
    }

    async fn expect(&mut self, events: &[&str]) {
        for event in events {
            assert_eq!(self.next().await, *event, "of {events:?}");
        }
    }
}

fn code(error: &kube::Error) -> String {
    if let kube::Error::Api(status) = error { status.code.to_string() } else { "failed".to_owned() }
}

fn two_pods() -> ApiServer {
    let server = ApiServer::start().unwrap();
    server.create(pod("shop", "a").node("n1")).unwrap();
    server.create(pod("shop", "b").node("n1")).unwrap();
    server
}

fn watched_once(server: &ApiServer) {
    wait_until(PATIENCE, "the watch is open", || server.open_watches() == 1).unwrap();
}

#[tokio::test]
async fn lists_are_read_in_pages() {
    let server = ApiServer::start().unwrap();
    for number in 0..5 {
        server.create(pod("shop", &format!("p{number}"))).unwrap();
    }
    let config = watcher::Config::default().page_size(2);
    let mut watched = Watched::pods(&server, config).await;
    watched.expect(&["init", "init p0", "init p1", "init p2", "init p3", "init p4", "done"]).await;
    assert_eq!(server.requests_of("list", "pods").len(), 3);
    let pods: Api<Pod> = Api::namespaced(client(&server).await, "shop");
    let page = pods.list(&ListParams::default().limit(2)).await.unwrap();
    assert_eq!((page.items.len(), page.metadata.remaining_item_count), (2, Some(3)));
}

#[tokio::test]
async fn pages_that_have_expired_are_read_anew() {
    let server = two_pods();
    let mut watched = Watched::pods(&server, watcher::Config::default().page_size(1)).await;
    watched.expect(&["init", "init a"]).await;
    server.expire_continue_tokens();
    watched.expect(&["list 410", "init", "init a", "init b", "done"]).await;
}

#[tokio::test]
async fn a_watch_that_ends_or_breaks_is_resumed_without_a_loss() {
    let server = two_pods();
    let config = watcher::Config::default().fields("spec.nodeName=n1");
    let mut watched = Watched::pods(&server, config).await;
    watched.expect(&["init", "init a", "init b", "done"]).await;
    let endings: [&dyn Fn(); 4] =
        [&|| server.end_watches(), &|| server.break_watches(), &|| server.break_watches_mid_line(), &|| {
            server.cut_connections()
        }];
    for (number, end) in endings.iter().enumerate() {
        let name = format!("c{number}");
        // The watch is opened by asking for the next event.
        let early = tokio::time::timeout(std::time::Duration::from_millis(300), watched.next()).await;
        assert!(early.is_err(), "{early:?}");
        watched_once(&server);
        end();
        server.create(pod("shop", &name).node("n1")).unwrap();
        server.create(pod("shop", "elsewhere").node("n2")).unwrap();
        watched.expect(&[&format!("apply {name}")]).await;
        server.remove("pods", "shop", "elsewhere").unwrap();
    }
    assert_eq!(server.requests_of("list", "pods").len(), 1);
}

#[tokio::test]
async fn what_is_too_old_is_listed_again() {
    let server = two_pods();
    let mut watched = Watched::pods(&server, watcher::Config::default()).await;
    watched.expect(&["init", "init a", "init b", "done"]).await;
    server.remove("pods", "shop", "a").unwrap();
    server.compact();
    watched.expect(&["event 410", "init", "init b", "done"]).await;
    server.create(pod("shop", "c")).unwrap();
    watched.expect(&["apply c"]).await;
}

#[tokio::test]
async fn a_watcher_that_is_told_by_status_tries_again_and_again() {
    let server = two_pods();
    server.say_too_old(TooOld::Status);
    let mut watched = Watched::pods(&server, watcher::Config::default()).await;
    watched.expect(&["init", "init a", "init b", "done"]).await;
    server.create(pod("shop", "c")).unwrap();
    server.compact();
    // A weakness of this version of the library; whoever uses it must begin anew.
    watched.expect(&["watch 410", "watch 410", "watch 410"]).await;
}

#[tokio::test]
async fn errors_in_a_watch_are_passed_on() {
    let server = two_pods();
    let mut watched = Watched::pods(&server, watcher::Config::default()).await;
    watched.expect(&["init", "init a", "init b", "done"]).await;
    server.create(pod("shop", "c")).unwrap();
    watched.expect(&["apply c"]).await;
    server.send_error(500);
    watched.expect(&["event 500"]).await;
    server.send_garbage();
    assert!(watched.next().await.starts_with("other: "));
    server.send_error(410);
    watched.expect(&["event 410", "init", "init a", "init b", "init c", "done"]).await;
}

#[tokio::test]
async fn streaming_lists_work_and_can_be_refused() {
    let server = two_pods();
    let mut watched = Watched::pods(&server, watcher::Config::default().streaming_lists()).await;
    watched.expect(&["init", "init a", "init b", "done"]).await;
    server.remove("pods", "shop", "b").unwrap();
    watched.expect(&["delete b"]).await;
    server.streaming_lists(StreamingLists::Invalid);
    let mut watched = Watched::pods(&server, watcher::Config::default().streaming_lists()).await;
    watched.expect(&["watch 422"]).await;
    server.streaming_lists(StreamingLists::ErrorEvent(500));
    watched.expect(&["init", "event 500"]).await;
    assert!(server.requests_of("list", "pods").is_empty());
}

#[tokio::test]
async fn an_outage_is_seen_and_survived() {
    let server = two_pods();
    let mut watched = Watched::pods(&server, watcher::Config::default()).await;
    watched.expect(&["init", "init a", "init b", "done"]).await;
    server.trouble(Trouble::status(500).on("watch", "pods").times(2));
    server.create(pod("shop", "c")).unwrap();
    watched.expect(&["watch 500", "watch 500", "apply c"]).await;
    server.refuse_connections();
    assert_eq!(watched.next().await, "watch failed");
    server.remove("pods", "shop", "c").unwrap();
    server.accept_connections().unwrap();
    watched.expect(&["delete c"]).await;
}

#[tokio::test]
async fn an_overloaded_server_is_asked_again_without_a_word() {
    let server = two_pods();
    server.trouble(Trouble::status(429).retry_after(0).on("list", "pods").times(1));
    server.trouble(Trouble::status(503).on("list", "pods").times(1));
    let mut watched = Watched::pods(&server, watcher::Config::default()).await;
    // The library itself tries again; it does not after other statuses.
    watched.expect(&["init", "init a", "init b", "done"]).await;
    assert_eq!(server.requests_of("list", "pods").len(), 3);
}

#[tokio::test]
async fn metadata_can_be_watched_alone() {
    let server = ApiServer::start().unwrap();
    server.create(namespace("shop").label("istio.io/dataplane-mode", "ambient")).unwrap();
    let namespaces: Api<PartialObjectMeta<Namespace>> = Api::all(client(&server).await);
    let mut events = Box::pin(watcher(namespaces, watcher::Config::default()));
    for _ in 0..2 {
        let event = tokio::time::timeout(PATIENCE, events.next()).await.unwrap().unwrap().unwrap();
        if let Event::InitApply(namespace) = event {
            assert_eq!(namespace.labels()["istio.io/dataplane-mode"], "ambient");
            return;
        }
    }
    panic!("the namespace was not listed");
}

#[tokio::test]
async fn objects_are_written_as_in_a_cluster() {
    let server = ApiServer::start().unwrap();
    server.require_token("secret");
    let pods: Api<Pod> = Api::namespaced(client(&server).await, "shop");
    let mine: Pod = serde_json::from_value(Value::from(pod("shop", "web").node("n1"))).unwrap();
    let made = pods.create(&PostParams::default(), &mine).await.unwrap();
    assert!(made.uid().is_some() && made.creation_timestamp().is_some());
    let twice = pods.create(&PostParams::default(), &mine).await.unwrap_err();
    assert_eq!(code(&twice), "409");
    let note = json!({"metadata": {"uid": made.uid(), "annotations": {"a": "b"}}});
    let noted = pods.patch_status("web", &PatchParams::default(), &Patch::Merge(&note)).await.unwrap();
    assert_eq!(noted.annotations()["a"], "b");
    let other = json!({"metadata": {"uid": "other", "annotations": {"a": "c"}}});
    let refused = pods.patch("web", &PatchParams::default(), &Patch::Merge(&other)).await.unwrap_err();
    assert_eq!(code(&refused), "409");
    assert!(pods.delete("web", &DeleteParams::default()).await.unwrap().is_left(), "it is marked");
    assert!(pods.get("web").await.unwrap().metadata.deletion_timestamp.is_some());
    server.remove("pods", "shop", "web").unwrap();
    assert!(pods.get_opt("web").await.unwrap().is_none());
}
