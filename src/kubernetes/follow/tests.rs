use std::time::Duration;

use culvert_lab::api_server::{ApiServer, Object, Trouble, definition, namespace, pod};
use culvert_metrics::{Metrics, Settings};
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;
use tokio::time::Instant;

use super::Delta;
use crate::rig::{Heard, TESTS, eventually};
use crate::{Lenient, Resource, Unreadable};

const GROUP: &str = "security.istio.io/v1";
const POLICIES: &str = "authorizationpolicies";

/// What tests read of a policy. A size that is no number cannot be read.
#[derive(Deserialize)]
struct Policy {
    metadata: Meta,
    #[serde(default)]
    spec: Spec,
}

#[derive(Deserialize)]
struct Meta {
    namespace: String,
    name: String,
}

#[derive(Default, Deserialize)]
struct Spec {
    #[serde(default)]
    size: u32,
}

fn defined() -> Object {
    definition(GROUP, POLICIES, "AuthorizationPolicy")
}

fn policy(name: &str, size: serde_json::Value) -> Object {
    namespace(name).merge(json!({
        "apiVersion": GROUP, "kind": "AuthorizationPolicy", "metadata": { "namespace": "shop" },
        "spec": { "size": size }, "status": null,
    }))
}

fn policies() -> Resource {
    Resource::new(POLICIES, format!("/apis/{GROUP}/{POLICIES}"))
}

/// Follows policies, by name and size.
fn strictly(api: &ApiServer, resource: Resource) -> Heard<String> {
    Heard::of(api, resource, |policy: Policy| Some(told(&policy)))
}

/// The same; those that cannot be read are told of, too.
fn leniently(api: &ApiServer, resource: Resource) -> Heard<String> {
    Heard::of(api, resource, |policy: Lenient<Policy>| match policy.0 {
        Ok(policy) => Some(told(&policy)),
        Err(unreadable) => Some(format!("{}/{} ?", unreadable.namespace, unreadable.name)),
    })
}

fn told(policy: &Policy) -> String {
    format!("{}/{} {}", policy.metadata.namespace, policy.metadata.name, policy.spec.size)
}

fn all(objects: &[&str]) -> Delta<String> {
    Delta::All(objects.iter().map(|&object| object.to_owned()).collect())
}

fn one(object: &str) -> Delta<String> {
    Delta::One(object.to_owned())
}

fn lists(api: &ApiServer) -> usize {
    api.requests_of("list", POLICIES).len()
}

async fn more_lists(api: &ApiServer) {
    let before = lists(api);
    eventually("more lists", || lists(api) > before + 3).await;
}

#[tokio::test]
async fn changes_arrive_in_the_order_in_which_they_were_made() {
    let api = ApiServer::start().unwrap();
    api.create(defined()).unwrap();
    api.create(policy("a", json!(0))).unwrap();
    let mut heard = strictly(&api, policies());
    assert_eq!(heard.next().await, all(&["shop/a 0"]));
    eventually("watched", || api.open_watches() == 1).await;
    for size in 1..200 {
        api.apply(policy("a", json!(size))).unwrap();
        if size % 50 == 0 {
            api.end_watches();
        }
    }
    api.remove(POLICIES, "shop", "a").unwrap();
    api.create(policy("b", json!(0))).unwrap();
    for size in 1..200 {
        assert_eq!(heard.next().await, one(&format!("shop/a {size}")));
    }
    assert_eq!(heard.next().await, Delta::Gone("shop/a 199".to_owned()));
    assert_eq!(heard.next().await, one("shop/b 0"));
    assert_eq!(lists(&api), 1);
}

#[tokio::test]
async fn a_resource_that_need_not_be_there_comes_and_goes() {
    let api = ApiServer::start().unwrap();
    let metrics = Metrics::new(Settings::default());
    let _guard = metrics::set_default_local_recorder(&metrics);
    let mut heard = leniently(&api, policies().optional());
    let begun = Instant::now();
    assert_eq!(heard.next().await, all(&[]));
    assert!(heard.freshness.age() < Some(begun.elapsed()), "that there are none was heard");
    more_lists(&api).await;
    assert!(heard.deltas.try_recv().is_err(), "it is said once");

    api.create(defined()).unwrap();
    api.create(policy("a", json!(1))).unwrap();
    heard.until("defined", |there| there.contains("shop/a 1")).await;
    eventually("watched", || api.open_watches() == 1).await;
    api.apply(policy("b", json!(2))).unwrap();
    assert_eq!(heard.next().await, one("shop/b 2"));

    api.remove("customresourcedefinitions", "", "authorizationpolicies.security.istio.io").unwrap();
    api.end_watches();
    assert_eq!(heard.next().await, all(&[]), "removed");
    api.create(defined()).unwrap();
    assert_eq!(heard.next().await, all(&["shop/a 1", "shop/b 2"]), "defined again");
    assert!(!metrics.text().contains(TESTS.api_errors), "nothing of it is an error:\n{}", metrics.text());
}

#[tokio::test]
async fn a_resource_may_be_absent_where_others_of_its_group_are_there() {
    let api = ApiServer::start().unwrap();
    api.create(definition(GROUP, "peerauthentications", "PeerAuthentication")).unwrap();
    let mut heard = strictly(&api, policies().optional());
    assert_eq!(heard.next().await, all(&[]));
}

/// Whoever wrote objects of an older version meant them.
#[tokio::test]
async fn a_resource_in_another_version_is_not_taken_for_empty() {
    let api = ApiServer::start().unwrap();
    let (group, _) = GROUP.split_once('/').unwrap();
    api.create(definition(GROUP, "peerauthentications", "PeerAuthentication")).unwrap();
    api.create(definition(&format!("{group}/v1beta1"), POLICIES, "AuthorizationPolicy")).unwrap();
    let mut heard = strictly(&api, policies().optional());
    let begun = Instant::now();
    more_lists(&api).await;
    assert!(heard.deltas.try_recv().is_err());
    let waited = begun.elapsed();
    assert!(heard.freshness.age() >= Some(waited), "nothing was heard");
    api.remove("customresourcedefinitions", "", &format!("{POLICIES}.{group}")).unwrap();
    api.create(defined()).unwrap();
    assert_eq!(heard.next().await, all(&[]));
}

#[tokio::test]
async fn that_there_are_none_is_believed_of_nobody_but_the_server_itself() {
    let api = ApiServer::start().unwrap();
    api.create(defined()).unwrap();
    api.create(policy("a", json!(1))).unwrap();
    let lost = || {
        api.trouble(Trouble::status(404).on("list", POLICIES));
        api.trouble(Trouble::status(404).on("watch", POLICIES));
    };
    lost();
    let mut heard = leniently(&api, policies().optional());
    let begun = Instant::now();
    more_lists(&api).await;
    assert!(heard.deltas.try_recv().is_err(), "at the start");
    let waited = begun.elapsed();
    assert!(heard.freshness.age() >= Some(waited), "nothing was heard");
    api.end_troubles();
    assert_eq!(heard.next().await, all(&["shop/a 1"]));

    eventually("watched", || api.open_watches() == 1).await;
    lost();
    api.end_watches();
    more_lists(&api).await;
    assert!(heard.deltas.try_recv().is_err(), "later");
    api.end_troubles();
    assert_eq!(heard.next().await, all(&["shop/a 1"]));
}

#[tokio::test]
async fn a_resource_that_must_be_there_is_not_taken_for_empty() {
    let api = ApiServer::start().unwrap();
    let mut heard = strictly(&api, policies());
    let begun = Instant::now();
    more_lists(&api).await;
    assert!(heard.deltas.try_recv().is_err());
    let waited = begun.elapsed();
    assert!(heard.freshness.age() >= Some(waited), "nothing was heard");
}

#[tokio::test]
async fn one_object_that_cannot_be_read_does_not_keep_others_away() {
    let api = ApiServer::start().unwrap();
    api.create(defined()).unwrap();
    api.create(policy("a", json!(1))).unwrap();
    api.create(policy("b", json!("many"))).unwrap();
    api.create(policy("c", json!(3))).unwrap();
    let mut heard = leniently(&api, policies());
    assert_eq!(heard.next().await, all(&["shop/a 1", "shop/b ?", "shop/c 3"]));

    eventually("watched", || api.open_watches() == 1).await;
    api.create(policy("d", json!([]))).unwrap();
    api.apply(policy("a", json!({}))).unwrap();
    api.apply(policy("b", json!(2))).unwrap();
    api.remove(POLICIES, "shop", "d").unwrap();
    assert_eq!(heard.next().await, one("shop/d ?"));
    assert_eq!(heard.next().await, one("shop/a ?"));
    assert_eq!(heard.next().await, one("shop/b 2"));
    assert_eq!(heard.next().await, Delta::Gone("shop/d ?".to_owned()));
    assert_eq!(lists(&api), 1, "the watch goes on");
}

#[tokio::test]
async fn objects_can_be_read_in_a_way_that_no_type_says() {
    let api = ApiServer::start().unwrap();
    api.create(defined()).unwrap();
    api.create(policy("a", json!(1))).unwrap();
    api.create(policy("b", json!("many"))).unwrap();
    let largest = 2;
    let read = move |raw: &RawValue| match serde_json::from_str::<Policy>(raw.get()) {
        Ok(policy) if policy.spec.size > largest => Err(Unreadable::of(raw.get(), &"it is too large")),
        Ok(policy) => Ok(told(&policy)),
        Err(error) => Err(Unreadable::of(raw.get(), &error)),
    };
    let keep = move |raw: Box<RawValue>| Some(read(&raw).unwrap_or_else(|unreadable| unreadable.to_string()));
    let mut heard: Heard<String> = Heard::of(&api, policies(), keep);
    let Delta::All(objects) = heard.next().await else { panic!("no list") };
    assert_eq!(objects[0], "shop/a 1");
    assert!(objects[1].starts_with("shop/b cannot be read: invalid type"), "{objects:?}");
    eventually("watched", || api.open_watches() == 1).await;
    api.create(policy("c", json!(3))).unwrap();
    assert_eq!(heard.next().await, one("shop/c cannot be read: it is too large"));
}

#[tokio::test]
async fn who_does_not_ask_for_leniency_acts_on_no_part_of_a_list() {
    let api = ApiServer::start().unwrap();
    api.create(defined()).unwrap();
    api.create(policy("a", json!(1))).unwrap();
    api.create(policy("b", json!("many"))).unwrap();
    let mut heard = strictly(&api, policies());
    more_lists(&api).await;
    assert!(heard.deltas.try_recv().is_err());
    api.apply(policy("b", json!(2))).unwrap();
    assert_eq!(heard.next().await, all(&["shop/a 1", "shop/b 2"]));

    eventually("watched", || api.open_watches() == 1).await;
    let before = lists(&api);
    api.apply(policy("b", json!("many"))).unwrap();
    eventually("a watch is given up as well", || lists(&api) > before).await;
    assert!(heard.deltas.try_recv().is_err());
}

#[tokio::test]
async fn a_line_that_is_no_event_is_not_passed_over() {
    let api = ApiServer::start().unwrap();
    api.create(defined()).unwrap();
    let mut heard = leniently(&api, policies());
    assert_eq!(heard.next().await, all(&[]));
    for send in [ApiServer::send_garbage, ApiServer::send_unknown_event] {
        eventually("watched", || api.open_watches() == 1).await;
        send(&api);
        assert_eq!(heard.next().await, all(&[]));
    }
}

#[tokio::test]
async fn pages_are_as_long_as_is_asked_for() {
    let api = ApiServer::start().unwrap();
    api.create(defined()).unwrap();
    for number in 0..5 {
        api.create(policy(&format!("p-{number}"), json!(0))).unwrap();
    }
    let mut heard = strictly(&api, policies().in_pages_of(2));
    heard.until("all of them", |there| there.len() == 5).await;
    let lists = api.requests_of("list", POLICIES);
    assert_eq!(lists.len(), 3);
    assert!(lists.iter().all(|list| list.query.contains("limit=2")), "{lists:?}");
}

#[tokio::test]
async fn one_object_can_be_followed_by_its_name() {
    let api = ApiServer::start().unwrap();
    let pods = Resource::new("pods", "/api/v1/namespaces/shop/pods").selected("metadata.name=web");
    let mut heard = strictly(&api, pods);
    assert_eq!(heard.next().await, all(&[]));
    eventually("watched", || api.open_watches() == 1).await;
    api.create(pod("shop", "cart")).unwrap();
    api.create(pod("bank", "web")).unwrap();
    api.create(pod("shop", "web")).unwrap();
    assert_eq!(heard.next().await, one("shop/web 0"));
    api.remove("pods", "shop", "web").unwrap();
    assert_eq!(heard.next().await, Delta::Gone("shop/web 0".to_owned()));
}

#[tokio::test]
async fn many_resources_are_followed_with_one_client() {
    let api = ApiServer::start().unwrap();
    let kinds: Vec<String> = (0..20).map(|number| format!("kind{number}s")).collect();
    for kind in &kinds {
        api.create(definition(GROUP, kind, &kind.to_uppercase())).unwrap();
    }
    let client = crate::rig::client(&api);
    let freshness = crate::Freshness::default();
    let (changes, mut deltas) = tokio::sync::mpsc::channel(1);
    let mut tasks = tokio::task::JoinSet::new();
    for kind in &kinds {
        let follow = super::Follow {
            client: client.clone(),
            resource: Resource::new("kinds", format!("/apis/{GROUP}/{kind}")),
            pace: crate::rig::pace(),
            pulse: freshness.pulse(),
            asker: TESTS,
        };
        let name = kind.clone();
        let say = move |delta| (name.clone(), delta);
        tasks.spawn(follow.run(|policy: Policy| Some(told(&policy)), say, changes.clone()));
    }
    for _ in &kinds {
        assert_eq!(deltas.recv().await.unwrap().1, all(&[]));
    }
    eventually("all are watched", || api.open_watches() == kinds.len()).await;
    assert!(freshness.age().unwrap() < Duration::from_secs(10));
    for kind in &kinds {
        let object = policy("a", json!(1)).merge(json!({ "kind": kind.to_uppercase() }));
        api.create(object).unwrap();
        assert_eq!(deltas.recv().await.unwrap(), (kind.clone(), one("shop/a 1")));
    }
}
