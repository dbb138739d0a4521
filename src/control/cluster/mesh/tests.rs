use std::time::Duration;

use culvert_kubernetes::client;
use culvert_lab::api_server::{self, ApiServer};
use culvert_membership::Membership;
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use super::*;
use crate::cluster::pods::{Pods as _, Presence};
use crate::cluster::status;

const PATIENCE: Duration = Duration::from_secs(20);

struct Rig {
    server: ApiServer,
    published: Arc<Published>,
    residents: Arc<Index>,
    missing: Missing,
    allotments: Allotments,
    _task: JoinSet<()>,
}

impl Rig {
    fn start(prepare: impl FnOnce(&ApiServer)) -> Self {
        let server = ApiServer::start().unwrap();
        prepare(&server);
        let client = client::at(server.url().parse().unwrap()).unwrap();
        let pace =
            Pace { first: Duration::from_millis(10), longest: Duration::from_millis(50), ..Pace::default() };
        let (statuses, residents) = (Statuses::default(), Arc::new(Index::default()));
        let mesh = Mesh::start(
            &client,
            derive::Settings::default(),
            (statuses.clone(), Arc::clone(&residents)),
            (pace, &Freshness::default()),
        );
        let (published, missing, allotments) = (mesh.published(), mesh.missing(), mesh.allotments());
        let mut task = JoinSet::new();
        task.spawn(mesh.run());
        task.spawn(async move {
            let leads = watch::Sender::new(true);
            status::write(client, statuses, leads.subscribe(), pace).await;
        });
        Self { server, published, residents, missing, allotments, _task: task }
    }

    fn names(&self, collection: Collection) -> Vec<String> {
        let catalog = self.published.read();
        let mut names: Vec<_> = catalog.all(collection).map(|(_, entry)| entry.name.to_string()).collect();
        names.sort();
        names
    }

    async fn wait(&self, collection: Collection, expected: &[&str]) {
        let waited = timeout(PATIENCE, async {
            while self.names(collection) != expected {
                sleep(Duration::from_millis(10)).await;
            }
        });
        waited.await.unwrap_or_else(|_| panic!("{:?} for {expected:?}", self.names(collection)));
    }
}

fn pod(name: &str, address: [u8; 4]) -> api_server::Object {
    api_server::pod("shop", name).label("app", "web").node("one").ip(address).phase("Running")
}

fn service(name: &str) -> Value {
    json!({ "apiVersion": "v1", "kind": "Service", "metadata": { "name": name, "namespace": "shop" },
        "spec": { "clusterIP": "10.0.0.9", "selector": { "app": "web" }, "ports": [{ "port": 80 }] } })
}

#[tokio::test(flavor = "multi_thread")]
async fn what_there_is_and_what_happens_to_it_is_in_the_catalog() {
    let rig = Rig::start(|server| {
        server.create(api_server::namespace("shop")).unwrap();
        server.create(pod("web-1", [10, 1, 0, 1])).unwrap();
        server.create(service("web")).unwrap();
    });
    let (web, one, two) =
        ("shop/web.shop.svc.cluster.local", "Kubernetes//Pod/shop/web-1", "Kubernetes//Pod/shop/web-2");
    rig.wait(Collection::Addresses, &[one, web]).await;
    assert_eq!(rig.published.read().members(web).count(), 1);
    rig.server.create(pod("web-2", [10, 1, 0, 2])).unwrap();
    rig.wait(Collection::Addresses, &[one, two, web]).await;
    rig.server.remove("pods", "shop", "web-1").unwrap();
    rig.server.remove("services", "shop", "web").unwrap();
    rig.wait(Collection::Addresses, &[two]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_published_before_everything_is_known() {
    let mut rig = Rig::start(|server| {
        server.create(pod("web-1", [10, 1, 0, 1])).unwrap();
        server.deny("list", "services");
    });
    let only_services = |missing: &BTreeSet<Kind>| *missing == BTreeSet::from([Kind::Service]);
    timeout(PATIENCE, rig.missing.wait_for(only_services)).await.unwrap().unwrap();
    assert!(rig.names(Collection::Addresses).is_empty());
    rig.server.allow("list", "services");
    timeout(PATIENCE, rig.missing.wait_for(BTreeSet::is_empty)).await.unwrap().unwrap();
    rig.wait(Collection::Addresses, &["Kubernetes//Pod/shop/web-1"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_makes_no_sense_keeps_no_other_away() {
    let rig = Rig::start(|server| {
        server.create(pod("web-1", [10, 1, 0, 1])).unwrap();
        let senseless = pod("web-2", [10, 1, 0, 2]).merge(json!({ "spec": { "nodeName": ["one"] } }));
        server.create(senseless).unwrap();
    });
    rig.wait(Collection::Addresses, &["Kubernetes//Pod/shop/web-1"]).await;
    rig.server.create(pod("web-3", [10, 1, 0, 3])).unwrap();
    rig.wait(Collection::Addresses, &["Kubernetes//Pod/shop/web-1", "Kubernetes//Pod/shop/web-3"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_where_is_known_from_the_same_reading() {
    let rig = Rig::start(|server| {
        server.create(api_server::namespace("shop").label("istio.io/dataplane-mode", "ambient")).unwrap();
        server.create(pod("web-1", [10, 1, 0, 1]).service_account("web")).unwrap();
        // What nobody but those who derive services look at.
        let senseless = json!({ "spec": { "containers": [{ "ports": [{ "containerPort": "http" }] }] } });
        server.create(pod("odd", [10, 1, 0, 2]).service_account("odd").merge(senseless)).unwrap();
    });
    let (one, two) = ("Kubernetes//Pod/shop/web-1", "Kubernetes//Pod/shop/web-2");
    rig.wait(Collection::Addresses, &[one]).await;
    let presence = |account| rig.residents.presence("one", "shop", account);
    assert_eq!(presence("web"), Presence::There(Membership::In));
    assert_eq!(presence("odd"), Presence::Absent);
    rig.server.create(pod("web-2", [10, 1, 0, 3]).service_account("db")).unwrap();
    rig.wait(Collection::Addresses, &[one, two]).await;
    assert_eq!(presence("db"), Presence::There(Membership::In));
    rig.server.remove("pods", "shop", "web-1").unwrap();
    rig.wait(Collection::Addresses, &[two]).await;
    assert_eq!(presence("web"), Presence::Absent);
}

/// An entry with a host of its own, and all addresses that end in these numbers.
fn entry(name: &str, third: u8, fourth: std::ops::RangeInclusive<u8>) -> Value {
    let addresses: Vec<_> = fourth.map(|it| json!({ "value": format!("240.240.{third}.{it}") })).collect();
    json!({ "apiVersion": "networking.istio.io/v1", "kind": "ServiceEntry",
        "metadata": { "name": name, "namespace": "shop", "generation": 1 },
        "spec": { "hosts": [format!("{name}.example")], "resolution": "DNS" },
        "status": { "addresses": addresses } })
}

#[tokio::test(flavor = "multi_thread")]
async fn who_finds_no_address_is_told_until_there_is_one() {
    let mut rig = Rig::start(|server| {
        let definition = api_server::definition("networking.istio.io/v1", "serviceentries", "ServiceEntry");
        server.create(definition).unwrap();
        for third in 0..=255 {
            server.create(entry(&format!("e{third}"), third, 0..=255)).unwrap();
        }
        #[expect(clippy::reversed_empty_ranges, reason = "it has none")]
        server.create(entry("late", 0, 1..=0)).unwrap();
    });
    let said = |rig: &Rig| {
        let entry = rig.server.object("serviceentries", "shop", "late").unwrap();
        entry["status"]["conditions"][0]["reason"].as_str().map(str::to_owned)
    };
    let wait = async |rig: &Rig, reason: Option<&str>| {
        let waited = timeout(PATIENCE, async {
            while said(rig).as_deref() != reason {
                sleep(Duration::from_millis(10)).await;
            }
        });
        assert!(waited.await.is_ok(), "{reason:?}, and not {:?}", said(rig));
    };
    wait(&rig, Some("NoneLeft")).await;
    assert!(rig.allotments.borrow().is_empty());
    rig.server.remove("serviceentries", "shop", "e7").unwrap();
    wait(&rig, None).await;
    let given = timeout(PATIENCE, rig.allotments.wait_for(|given| !given.is_empty())).await.unwrap().unwrap();
    assert_eq!((&*given[0].key.name, given.len()), ("late", 1));
}
