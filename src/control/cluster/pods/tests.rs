//! Who is where, by what pods and namespaces say, and as they come and go.

use std::time::Duration;

use culvert_derive as derive;
use culvert_lab::api_server::{ApiServer, Object, namespace, pod};
use culvert_membership::Why;
use culvert_token::review::PodRef;
use serde_json::{Value, json};

use super::*;

const IN: Presence = Presence::There(Membership::In);

fn out(why: Why) -> Presence {
    Presence::There(Membership::Out(why))
}

fn read(kind: Kind, object: Object) -> Read {
    Ok(derive::Object::read(kind, Value::from(object)).unwrap())
}

fn pods<const N: usize>(pods: [Object; N]) -> Delta<Read> {
    Delta::All(pods.map(|pod| read(Kind::Pod, pod)).into())
}

fn one(pod: Object) -> Delta<Read> {
    Delta::One(read(Kind::Pod, pod))
}

fn in_the_mesh(name: &str) -> Object {
    namespace(name).label("istio.io/dataplane-mode", "ambient")
}

fn namespaces<const N: usize>(namespaces: [Object; N]) -> Delta<Read> {
    Delta::All(namespaces.map(|namespace| read(Kind::Namespace, namespace)).into())
}

fn web(name: &str) -> Object {
    pod("shop", name).node("n1").service_account("web").ip([10, 0, 0, 1])
}

fn unreadable(namespace: &str, name: &str) -> Unreadable {
    let json = json!({"metadata": {"namespace": namespace, "name": name}}).to_string();
    Unreadable::of(&json, &"it makes no sense")
}

/// What becomes of a pod in a namespace without the label, and in one with it: the settings' decision, whole.
#[track_caller]
fn check(pod: Object, unlabelled: Presence, labelled: Presence) {
    let index = Index::default();
    index.note(Kind::Pod, &pods([pod.clone()]));
    assert_eq!(index.presence("n1", "shop", "web"), Presence::Absent, "nobody knows the namespace");
    index.note(Kind::Namespace, &namespaces([namespace("shop")]));
    assert_eq!(index.presence("n1", "shop", "web"), unlabelled, "{pod:?}");
    index.note(Kind::Namespace, &Delta::One(read(Kind::Namespace, in_the_mesh("shop"))));
    assert_eq!(index.presence("n1", "shop", "web"), labelled, "{pod:?}");
}

/// Who is in the mesh is decided elsewhere, and tried there. Here: whoever decides is told all that counts, and nothing else counts.
#[test]
fn all_that_decides_is_looked_at() {
    let mode = |mode: &str| web("a").label("istio.io/dataplane-mode", mode);
    let claimed = |pod: Object| pod.annotation("ambient.istio.io/redirection", "enabled");
    let never = |pod, why| check(pod, out(why), out(why));
    check(web("a"), out(Why::NotLabelled), IN);
    check(mode("ambient"), IN, IN);
    check(mode("ambient").phase("Pending"), IN, IN);
    check(claimed(web("a")), out(Why::NotLabelled), IN);
    never(mode("none"), Why::OptedOut);
    never(claimed(mode("none")), Why::OptedOut);
    never(mode("ambient").annotation("sidecar.istio.io/status", "{}"), Why::Sidecar);
    never(claimed(mode("ambient")).annotation("kubernetes.io/config.mirror", "1"), Why::Static);
    never(claimed(mode("ambient")).host_network(), Why::HostNetwork);
    never(claimed(mode("ambient")).phase("Succeeded"), Why::Finished);
    let ended = json!([{"state": {"terminated": {}}}]);
    let deleted = json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}});
    let left = mode("ambient").merge(json!({"status": {"containerStatuses": ended}}));
    check(left.clone(), IN, IN);
    never(left.clone().merge(deleted.clone()), Why::Finished);
    let sidecar = json!({"status": {"initContainerStatuses": [{"state": {"running": {}}}]}});
    check(left.merge(deleted).merge(sidecar), IN, IN);
}

#[test]
fn settings_decide() {
    let settings = Settings::read("- podSelector: {matchLabels: {app: web}}", "infra").unwrap();
    let index = Index::new(settings);
    index.note(Kind::Namespace, &namespaces([in_the_mesh("shop"), in_the_mesh("infra")]));
    let infra = pod("infra", "a").node("n1").service_account("web").label("app", "web");
    index.note(Kind::Pod, &pods([web("a").label("app", "web"), web("b").service_account("db"), infra]));
    assert_eq!(index.presence("n1", "shop", "web"), IN);
    assert_eq!(index.presence("n1", "shop", "db"), out(Why::NotLabelled));
    assert_eq!(index.presence("n1", "infra", "web"), out(Why::ExcludedNamespace));
}

#[test]
fn the_best_of_several_pods_counts_and_only_where_they_are() {
    let index = Index::default();
    index.note(Kind::Namespace, &namespaces([in_the_mesh("shop"), in_the_mesh("empty")]));
    let presence = || index.presence("n1", "shop", "web");
    index.note(Kind::Pod, &one(web("host").host_network()));
    assert_eq!(presence(), out(Why::HostNetwork));
    index.note(Kind::Pod, &one(web("done").phase("Succeeded")));
    assert_eq!(presence(), out(Why::Finished));
    index.note(Kind::Pod, &one(web("good")));
    assert_eq!(presence(), IN);
    for (node, namespace, account) in
        [("n2", "shop", "web"), ("n1", "empty", "web"), ("n1", "shop", "db"), ("n1", "other", "web")]
    {
        assert_eq!(index.presence(node, namespace, account), Presence::Absent);
    }
    index.note(Kind::Pod, &Delta::Gone(read(Kind::Pod, web("good"))));
    assert_eq!(presence(), out(Why::Finished));
    index.note(Kind::Pod, &pods([web("unscheduled").merge(json!({"spec": {"nodeName": null}}))]));
    assert_eq!((presence(), index.presence("", "shop", "web")), (Presence::Absent, Presence::Absent));
}

#[test]
fn pods_that_move_on_leave_nothing_behind() {
    let index = Index::default();
    index.note(Kind::Namespace, &namespaces([in_the_mesh("shop")]));
    index.note(Kind::Pod, &one(web("a")));
    // Made again on another node, under another account.
    index.note(Kind::Pod, &one(web("a").node("n2").service_account("db")));
    assert_eq!(index.presence("n1", "shop", "web"), Presence::Absent);
    assert_eq!(index.presence("n2", "shop", "db"), IN);
    index.note(Kind::Namespace, &namespaces([]));
    assert_eq!(index.presence("n2", "shop", "db"), Presence::Absent);
    index.note(Kind::Pod, &Delta::Gone(read(Kind::Pod, web("a"))));
    assert!(index.tables.read().unwrap().namespaces.is_empty());
    index.note(Kind::Namespace, &namespaces([in_the_mesh("shop")]));
    index.note(Kind::Namespace, &Delta::Gone(read(Kind::Namespace, namespace("shop"))));
    assert!(index.tables.read().unwrap().namespaces.is_empty());
}

#[test]
fn what_cannot_be_read_any_more_counts_for_nobody() {
    let index = Index::default();
    index.note(Kind::Namespace, &namespaces([in_the_mesh("shop"), in_the_mesh("bank")]));
    index.note(Kind::Pod, &pods([web("a"), pod("bank", "a").node("n1").service_account("web")]));
    index.note(Kind::Pod, &Delta::One(Err(unreadable("shop", "a"))));
    assert_eq!(index.presence("n1", "shop", "web"), Presence::Absent);
    index.note(Kind::Namespace, &Delta::One(Err(unreadable("", "bank"))));
    assert_eq!(index.presence("n1", "bank", "web"), Presence::Absent);
    index.note(Kind::Pod, &Delta::All(vec![Err(unreadable("shop", "a")), read(Kind::Pod, web("b"))]));
    assert_eq!(index.presence("n1", "shop", "web"), IN);
}

#[tokio::test]
async fn a_pod_is_where_it_is_only_if_it_is_the_very_one() {
    let server = ApiServer::start().unwrap();
    server.create(web("a").uid("one")).unwrap();
    server.create(web("done").uid("two").phase("Succeeded")).unwrap();
    server.create(pod("shop", "waits").service_account("web").uid("three")).unwrap();
    let senseless = json!({"spec": {"containers": [{"ports": [{"containerPort": "http"}]}]}});
    server.create(web("odd").uid("four").merge(senseless)).unwrap();
    let client = culvert_kubernetes::client::at(server.url().parse().unwrap()).unwrap();
    for (account, name, uid, expected) in [
        ("web", "a", "one", Some("n1")),
        ("web", "a", "another", None),
        ("web", "a", "", None),
        ("db", "a", "one", None),
        ("web", "b", "one", None),
        ("web", "done", "two", None),
        ("web", "waits", "three", None),
        ("web", "odd", "four", None),
    ] {
        let account = format!("shop/{account}").parse().unwrap();
        let pod = PodRef { name: name.to_owned(), uid: uid.to_owned() };
        let node = lookup::node_of(&client, &account, &pod, Duration::from_secs(10)).await.unwrap();
        assert_eq!(node.as_deref(), expected, "{pod:?}");
    }
}

#[tokio::test]
async fn what_is_looked_up_is_read_as_what_is_followed() {
    let server = ApiServer::start().unwrap();
    let senseless = json!({"spec": {"containers": [{"ports": [{"containerPort": "http"}]}]}});
    for object in [
        in_the_mesh("shop"),
        web("out").label("istio.io/dataplane-mode", "none"),
        web("odd").merge(senseless),
        web("other").service_account("other"),
    ] {
        server.create(object).unwrap();
    }
    server.create(pod("nowhere", "a").node("n1").service_account("web")).unwrap();
    let client = culvert_kubernetes::client::at(server.url().parse().unwrap()).unwrap();
    let settings = Settings::read("- {}", "").unwrap();
    for (account, expected) in [
        ("shop/web", out(Why::OptedOut)),
        ("shop/other", IN),
        ("shop/nobody", Presence::Absent),
        // Selectors that want nothing of a namespace do not make up for one that is not there.
        ("nowhere/web", Presence::Absent),
    ] {
        let account = account.parse().unwrap();
        let within = Duration::from_secs(10);
        let found = lookup::presence(&client, &settings, ("n1", &account), within).await.unwrap();
        assert_eq!(found, expected, "{account:?}");
    }
}
