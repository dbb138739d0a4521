//! Who is where, by what pods and namespaces say, and as they come and go.

use std::time::Duration;

use culvert_lab::api_server::{ApiServer, Object, namespace, pod};
use serde_json::{Value, json};

use super::*;

fn read(object: Object) -> PodFacts {
    serde_json::from_value::<Pod>(Value::from(object)).unwrap().into()
}

fn includes(name: &str, includes: bool) -> NamespaceFacts {
    NamespaceFacts { name: name.to_owned(), includes }
}

fn web(name: &str) -> Object {
    pod("shop", name).node("n1").service_account("web").ip([10, 0, 0, 1])
}

/// What becomes of a pod in a namespace without the label, and in one with it.
#[track_caller]
fn check(pod: Object, unlabelled: Presence, labelled: Presence) {
    let index = Index::default();
    index.pods(Delta::All(vec![read(pod.clone())]));
    assert_eq!(index.presence("n1", "shop", "web"), unlabelled, "{pod:?}");
    index.namespaces(Delta::One(includes("shop", true)));
    assert_eq!(index.presence("n1", "shop", "web"), labelled, "{pod:?}");
}

#[test]
fn what_a_pod_says_goes_before_what_its_namespace_says() {
    use Presence::{Ended, Enrolled, HostNetwork, NotEnrolled};
    let mode = |mode: &str| web("a").label("istio.io/dataplane-mode", mode);
    let redirected = |how: &str| web("a").annotation("ambient.istio.io/redirection", how);
    check(web("a"), NotEnrolled, Enrolled);
    check(mode("ambient"), Enrolled, Enrolled);
    check(mode("none"), NotEnrolled, NotEnrolled);
    check(mode("other"), NotEnrolled, Enrolled);
    check(redirected("enabled"), Enrolled, Enrolled);
    check(redirected("enabled").label("istio.io/dataplane-mode", "none"), Enrolled, Enrolled);
    check(redirected("pending"), NotEnrolled, Enrolled);
    check(web("a").annotation("sidecar.istio.io/status", "{}"), NotEnrolled, NotEnrolled);
    check(web("a").annotation("kubernetes.io/config.mirror", "1"), NotEnrolled, NotEnrolled);
    check(mode("ambient").host_network(), HostNetwork, HostNetwork);
    check(redirected("enabled").host_network(), HostNetwork, HostNetwork);
    check(redirected("enabled").phase("Succeeded"), Ended, Ended);
    check(mode("ambient").phase("Failed"), Ended, Ended);
    check(mode("ambient").phase("Pending"), Enrolled, Enrolled);
}

#[test]
fn a_pod_that_is_being_deleted_is_there_until_its_containers_have_ended() {
    use Presence::{Ended, Enrolled};
    let containers = |deleted: bool, ended: [bool; 2]| {
        let state = |ended| if ended { json!({"terminated": {}}) } else { json!({"running": {}}) };
        let statuses: Vec<_> = ended.map(|ended| json!({"state": state(ended)})).into();
        let deletion = deleted.then_some("2026-01-01T00:00:00Z");
        web("a").label("istio.io/dataplane-mode", "ambient").merge(json!({
            "metadata": {"deletionTimestamp": deletion}, "status": {"containerStatuses": statuses},
        }))
    };
    check(containers(true, [false, true]), Enrolled, Enrolled);
    check(containers(true, [true, true]), Ended, Ended);
    // They are started again.
    check(containers(false, [true, true]), Enrolled, Enrolled);
}

#[test]
fn namespaces_are_labelled_by_the_same_label() {
    let read =
        |object: Object| NamespaceFacts::from(serde_json::from_value::<Namespace>(object.into()).unwrap());
    let mode = |mode: &str| read(namespace("shop").label("istio.io/dataplane-mode", mode));
    assert_eq!(mode("ambient"), includes("shop", true));
    assert_eq!([mode("none"), mode(""), read(namespace("shop"))], [(); 3].map(|()| includes("shop", false)));
}

#[test]
fn the_best_of_several_pods_counts_and_only_where_they_are() {
    let index = Index::default();
    index.namespaces(Delta::All(vec![includes("shop", true), includes("empty", true)]));
    let presence = || index.presence("n1", "shop", "web");
    index.pods(Delta::One(read(web("done").phase("Succeeded"))));
    assert_eq!(presence(), Presence::Ended);
    index.pods(Delta::One(read(web("host").host_network())));
    assert_eq!(presence(), Presence::HostNetwork);
    index.pods(Delta::One(read(web("good"))));
    assert_eq!(presence(), Presence::Enrolled);
    for (node, namespace, account) in
        [("n2", "shop", "web"), ("n1", "empty", "web"), ("n1", "shop", "db"), ("n1", "other", "web")]
    {
        assert_eq!(index.presence(node, namespace, account), Presence::Absent);
    }
    index.pods(Delta::Gone(read(web("good"))));
    assert_eq!(presence(), Presence::HostNetwork);
    index.pods(Delta::All(vec![read(web("unscheduled").merge(json!({"spec": {"nodeName": null}})))]));
    assert_eq!((presence(), index.presence("", "shop", "web")), (Presence::Absent, Presence::Absent));
}

#[test]
fn pods_that_move_on_leave_nothing_behind() {
    let index = Index::default();
    index.namespaces(Delta::One(includes("shop", true)));
    index.pods(Delta::One(read(web("a"))));
    // Made again on another node, under another account.
    index.pods(Delta::One(read(web("a").node("n2").service_account("db"))));
    assert_eq!(index.presence("n1", "shop", "web"), Presence::Absent);
    assert_eq!(index.presence("n2", "shop", "db"), Presence::Enrolled);
    index.namespaces(Delta::All(vec![]));
    assert_eq!(index.presence("n2", "shop", "db"), Presence::NotEnrolled);
    index.pods(Delta::Gone(read(web("a"))));
    assert!(index.0.read().unwrap().namespaces.is_empty());
}

#[tokio::test]
async fn a_pod_is_where_it_is_only_if_it_is_the_very_one() {
    let server = ApiServer::start().unwrap();
    server.create(web("a").uid("one")).unwrap();
    server.create(web("done").uid("two").phase("Succeeded")).unwrap();
    server.create(pod("shop", "waits").service_account("web").uid("three")).unwrap();
    let client = culvert_kubernetes::client::at(server.url().parse().unwrap()).unwrap();
    for (account, name, uid, expected) in [
        ("web", "a", "one", Some("n1")),
        ("web", "a", "another", None),
        ("web", "a", "", None),
        ("db", "a", "one", None),
        ("web", "b", "one", None),
        ("web", "done", "two", None),
        ("web", "waits", "three", None),
    ] {
        let account = format!("shop/{account}").parse().unwrap();
        let pod = lookup::PodRef { name: name.to_owned(), uid: uid.to_owned() };
        let node = lookup::node_of(&client, &account, &pod, Duration::from_secs(10)).await.unwrap();
        assert_eq!(node.as_deref(), expected, "{pod:?}");
    }
}
