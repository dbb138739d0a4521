use std::time::Duration;

use culvert_kubernetes::client;
use culvert_lab::api_server::ApiServer;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::super::publish::{KEY, MAP};
use super::*;
use crate::root::leaves::Leaves;
use crate::root::rotation::{self, Haste, Step};
use crate::root::texts::Texts;

const PATIENCE: Duration = Duration::from_secs(20);

fn client(server: &ApiServer) -> Client {
    client::at(server.url().parse().unwrap()).unwrap()
}

fn pace() -> Pace {
    Pace { first: Duration::from_millis(10), longest: Duration::from_millis(50), ..Pace::default() }
}

/// One replica that has got a root.
struct Replica {
    live: Live<Root>,
    _task: JoinSet<()>,
}

impl Replica {
    async fn start(server: &ApiServer) -> Self {
        let freshness = Freshness::default();
        let (client, pace) = (client(server), pace());
        let (live, run) =
            timeout(PATIENCE, follow(&client, "mesh", pace, &freshness)).await.expect("there is a root");
        let mut task = JoinSet::new();
        task.spawn(run);
        Self { live, _task: task }
    }

    fn bundle(&self) -> String {
        self.live.borrow().bundle().to_owned()
    }
}

fn secret(name: &str, data: &Data) -> Value {
    json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": name, "namespace": "mesh" }, "data": data })
}

fn made() -> Data {
    let mut data = Data::new();
    secret::write(&Texts::new(SystemTime::now()).unwrap_or_default(), &mut data);
    data
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_that_start_together_share_one_root() {
    let server = ApiServer::start().unwrap();
    let (one, two) = tokio::join!(Replica::start(&server), Replica::start(&server));
    assert_eq!(one.bundle(), two.bundle());
    assert_eq!(server.objects("secrets").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_plugged_in_counts_and_no_other_root_is_made() {
    let server = ApiServer::start().unwrap();
    let plugged = made();
    server.create(secret(PLUGGED, &plugged)).unwrap();
    let one = Replica::start(&server).await;
    assert_eq!(one.bundle().as_bytes(), plugged["root-cert.pem"].0);
    assert_eq!(server.objects("secrets").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_is_followed_and_what_would_cut_the_mesh_in_two_is_not() {
    let server = ApiServer::start().unwrap();
    let mut one = Replica::start(&server).await;
    let first = one.bundle();
    // Another root altogether, and one that makes no sense.
    server.create(secret(PLUGGED, &made())).unwrap();
    server.apply(secret(PLUGGED, &Data::new())).unwrap();
    server.remove("secrets", "mesh", PLUGGED).unwrap();
    let mut data: Data =
        serde_json::from_value(server.object("secrets", "mesh", OWN).unwrap()["data"].clone()).unwrap();
    let prepared = secret::texts(&data);
    let insists = (&Leaves::default(), Haste::Insist);
    let next = rotation::after(&prepared, Step::Prepare, insists, SystemTime::now());
    secret::write(&next.unwrap_or_default().pop().unwrap(), &mut data);
    server.apply(secret(OWN, &data)).unwrap();
    timeout(PATIENCE, one.live.changed()).await.unwrap().unwrap();
    let second = one.bundle();
    assert!(second.contains(first.trim_end()) && second.len() > first.len(), "{second}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_make_a_root_waits_for_one() {
    let server = ApiServer::start().unwrap();
    server.deny("create", "secrets");
    let waiting = tokio::spawn({
        let client = client(&server);
        async move { follow(&client, "mesh", pace(), &Freshness::default()).await.0 }
    });
    timeout(PATIENCE, async {
        while server.requests_of("create", "secrets").len() < 2 {
            sleep(Duration::from_millis(10)).await;
        }
    })
    .await
    .expect("it is tried again");
    assert!(!waiting.is_finished());
    server.allow("create", "secrets");
    timeout(PATIENCE, waiting).await.unwrap().unwrap();
}

/// The ConfigMap that says that a root is trusted.
fn map(data: &Data) -> Value {
    let roots = std::str::from_utf8(&data["root-cert.pem"].0).unwrap();
    json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": MAP, "namespace": "mesh" },
        "data": { KEY: roots } })
}

/// A cluster in whose mesh a root is trusted already.
fn begun(data: &Data) -> ApiServer {
    let server = ApiServer::start().unwrap();
    server.create(map(data)).unwrap();
    server
}

/// Waits until the ConfigMap has been looked at that often.
async fn looked(server: &ApiServer, times: usize) {
    timeout(PATIENCE, async {
        while server.requests_of("get", "configmaps").len() < times {
            sleep(Duration::from_millis(10)).await;
        }
    })
    .await
    .expect("it is looked at again");
}

/// Starts a replica, which has looked at both Secrets and waits.
async fn waiting(server: &ApiServer) -> tokio::task::JoinHandle<Live<Root>> {
    let client = client(server);
    let waiting = tokio::spawn(async move { follow(&client, "mesh", pace(), &Freshness::default()).await.0 });
    timeout(PATIENCE, async {
        while server.open_watches() < 2 {
            sleep(Duration::from_millis(10)).await;
        }
    })
    .await
    .unwrap();
    waiting
}

#[tokio::test(flavor = "multi_thread")]
async fn a_root_that_is_lost_is_not_made_anew() {
    let data = made();
    let server = begun(&data);
    let waiting = waiting(&server).await;
    assert!(server.objects("secrets").is_empty());
    server.create(secret(OWN, &data)).unwrap();
    let root = timeout(PATIENCE, waiting).await.unwrap().unwrap();
    assert_eq!(root.borrow().bundle().as_bytes(), data["root-cert.pem"].0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_starts_takes_no_root_that_those_who_run_would_refuse() {
    let data = made();
    let server = begun(&data);
    server.create(secret(PLUGGED, &made())).unwrap();
    let waiting = waiting(&server).await;
    server.apply(secret(PLUGGED, &data)).unwrap();
    let root = timeout(PATIENCE, waiting).await.unwrap().unwrap();
    assert_eq!(root.borrow().bundle().as_bytes(), data["root-cert.pem"].0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_control_plane_says_is_trusted_counts_until_it_is_put_right() {
    let data = made();
    let server = begun(&made());
    server.create(secret(OWN, &data)).unwrap();
    let waiting = waiting(&server).await;
    looked(&server, 4).await;
    assert!(!waiting.is_finished(), "it would cut the mesh in two");
    server.apply(map(&data)).unwrap();
    let root = timeout(PATIENCE, waiting).await.unwrap().unwrap();
    assert_eq!(root.borrow().bundle().as_bytes(), data["root-cert.pem"].0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_waits_hears_that_the_mesh_begins_anew() {
    let data = made();
    let server = begun(&made());
    server.create(secret(OWN, &data)).unwrap();
    let waiting = waiting(&server).await;
    server.remove("configmaps", "mesh", MAP).unwrap();
    let root = timeout(PATIENCE, waiting).await.unwrap().unwrap();
    assert_eq!(root.borrow().bundle().as_bytes(), data["root-cert.pem"].0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_map_that_is_gone_for_one_look_is_not_gone() {
    let client = client::at("http://127.0.0.1:1".parse().unwrap()).unwrap();
    let mut trusted = Trusted::of(trusted::maps(&client, "mesh"), Some("a".to_owned()), pace());
    let mut seen = |roots: Option<&str>| trusted.note(roots.map(str::to_owned));
    assert!(!seen(Some("a")) && !seen(None) && !seen(Some("a")) && !seen(None), "somebody replaces it");
    assert!(seen(None), "it stays away");
    assert!(!seen(None) && seen(Some("b")));
}
