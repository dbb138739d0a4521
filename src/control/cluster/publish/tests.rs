use std::sync::Arc;
use std::time::SystemTime;

use culvert_kubernetes::client;
use culvert_lab::api_server::{self, ApiServer, Trouble};
use serde_json::Value;
use tokio::time::timeout;

use super::*;
use crate::root::texts::Texts;

const PATIENCE: Duration = Duration::from_secs(20);

fn root() -> Arc<Root> {
    let texts = Texts::new(SystemTime::now()).unwrap_or_default();
    Arc::new(Root::of(&texts, SystemTime::now()).ok().unwrap())
}

struct Rig {
    server: ApiServer,
    root: watch::Sender<Arc<Root>>,
    leads: watch::Sender<bool>,
    _task: JoinSet<()>,
}

impl Rig {
    fn start(namespaces: &[&str]) -> Self {
        let server = ApiServer::start().unwrap();
        for name in namespaces {
            server.create(api_server::namespace(name)).unwrap();
        }
        let client = client::at(server.url().parse().unwrap()).unwrap();
        let (root, leads) = (watch::Sender::new(root()), watch::Sender::new(false));
        let pace =
            Pace { first: Duration::from_millis(10), longest: Duration::from_millis(50), ..Pace::default() };
        let both = (root.subscribe(), leads.subscribe());
        let mut task = JoinSet::new();
        task.spawn(Publisher::start(&client, "mesh", both, pace, &Freshness::default()).run());
        Self { server, root, leads, _task: task }
    }

    /// Somebody changes the roots of a namespace.
    fn forge(&self, namespace: &str) {
        let mut map = self.map(namespace).unwrap();
        map["data"] = json!({ KEY: "forged", "note": "stays" });
        map["metadata"]["labels"] = json!({});
        self.server.apply(map).unwrap();
    }

    fn map(&self, namespace: &str) -> Option<Value> {
        self.server.object("configmaps", namespace, MAP)
    }

    async fn wait(&self, what: &str, condition: impl Fn(&Self) -> bool) {
        let waited = timeout(PATIENCE, async {
            while !condition(self) {
                sleep(Duration::from_millis(10)).await;
            }
        });
        waited.await.unwrap_or_else(|_| panic!("{what}"));
    }

    /// Waits until the ConfigMap of a namespace says what is to be trusted.
    async fn wait_for(&self, namespace: &str) {
        let right = |rig: &Self| {
            let bundle = rig.root.borrow().bundle().to_owned();
            rig.map(namespace).is_some_and(|map| {
                map["data"][KEY] == bundle && map["metadata"]["labels"][LABEL.0] == LABEL.1
            })
        };
        self.wait(&format!("{namespace} has the roots"), right).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_namespace_has_the_roots_from_who_leads() {
    let rig = Rig::start(&["shop", "kube-system", "kube-public", "kube-node-lease"]);
    rig.wait("both are watched", |rig| rig.server.open_watches() == 2).await;
    assert!(rig.server.objects("configmaps").is_empty(), "another one leads");
    rig.leads.send_replace(true);
    rig.wait_for("shop").await;
    rig.wait_for("kube-system").await;
    rig.server.create(api_server::namespace("late")).unwrap();
    rig.wait_for("late").await;
    assert_eq!((rig.map("kube-public"), rig.map("kube-node-lease")), (None, None));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_changes_or_takes_away_is_made_good() {
    let rig = Rig::start(&["shop"]);
    rig.leads.send_replace(true);
    rig.wait_for("shop").await;
    rig.forge("shop");
    rig.wait_for("shop").await;
    assert_eq!(rig.map("shop").unwrap()["data"]["note"], "stays");
    rig.server.remove("configmaps", "shop", MAP).unwrap();
    rig.wait_for("shop").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_root_is_everywhere() {
    let rig = Rig::start(&["one", "two"]);
    rig.leads.send_replace(true);
    rig.wait_for("one").await;
    rig.root.send_replace(root());
    rig.wait_for("one").await;
    rig.wait_for("two").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_write_tries_again_and_others_are_written() {
    let rig = Rig::start(&["one"]);
    rig.server.deny("create", "configmaps");
    rig.leads.send_replace(true);
    rig.wait("it is tried again", |rig| rig.server.requests_of("create", "configmaps").len() > 2).await;
    rig.server.allow("create", "configmaps");
    rig.wait_for("one").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_that_cannot_be_written_to_holds_up_no_other() {
    let names: Vec<String> = (0..30).map(|nth| format!("n{nth}")).collect();
    let rig = Rig::start(&[&["a-locked"], &*names.iter().map(String::as_str).collect::<Vec<_>>()].concat());
    let locked = json!({ "apiVersion": "v1", "kind": "ConfigMap", "data": { KEY: "old" },
        "metadata": { "name": MAP, "namespace": "a-locked" } });
    rig.server.create(locked).unwrap();
    rig.server.deny("patch", "configmaps");
    rig.leads.send_replace(true);
    for name in &names {
        rig.wait_for(name).await;
    }
    rig.wait("it is tried again", |rig| rig.server.requests_of("patch", "configmaps").len() > 2).await;
    rig.server.allow("patch", "configmaps");
    rig.wait_for("a-locked").await;
    assert_eq!(rig.server.requests_of("create", "configmaps").len(), names.len(), "each is written once");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_namespaces_are_written_to_some_at_a_time() {
    let names: Vec<String> = (0..6 * AT_ONCE).map(|nth| format!("n{nth}")).collect();
    let rig = Rig::start(&names.iter().map(String::as_str).collect::<Vec<_>>());
    let late = Duration::from_millis(300);
    rig.server.trouble(Trouble::late(late).on("create", "configmaps"));
    rig.wait("both are watched", |rig| rig.server.open_watches() == 2).await;
    let begun = Instant::now();
    rig.leads.send_replace(true);
    rig.wait("all are written", |rig| rig.server.objects("configmaps").len() == names.len()).await;
    let took = begun.elapsed();
    assert!(took >= late * 6, "not all at once: {took:?}");
    assert!(took < late * 6 * 4, "nor one after the other: {took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_writes_as_often_as_we_do_is_answered_more_and_more_rarely() {
    let rig = Rig::start(&["fought", "shop"]);
    rig.leads.send_replace(true);
    rig.wait_for("fought").await;
    rig.wait_for("shop").await;
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_millis(2500) {
        rig.wait("the fight goes on", |rig| {
            let is_ours = rig.map("fought").is_some_and(|map| map["data"][KEY] != "forged");
            if is_ours {
                rig.forge("fought");
            }
            is_ours || begun.elapsed() > Duration::from_millis(2500)
        })
        .await;
    }
    let answers = rig.server.requests_of("patch", "configmaps").len();
    assert!((2..=4).contains(&answers), "at once, after a second, and after two more: {answers}");
    rig.forge("shop");
    let begun = Instant::now();
    rig.wait_for("shop").await;
    assert!(begun.elapsed() < Duration::from_secs(1), "a single edit elsewhere waits for nothing");
    rig.wait_for("fought").await;
}

/// What stands there is what replicas that start take for trusted.
#[tokio::test]
async fn a_contest_in_our_own_namespace_is_answered_soon() {
    let client = client::at("http://127.0.0.1:1".parse().unwrap()).unwrap();
    let both = (watch::Sender::new(root()).subscribe(), watch::Sender::new(false).subscribe());
    let pace = Pace::default();
    let mut publisher = Publisher::start(&client, "mesh", both, pace, &Freshness::default());
    for (place, longest) in [("shop", Duration::from_secs(300)), ("mesh", OWN_PAUSE)] {
        publisher.open.insert(place.to_owned());
        for _ in 0..12 {
            publisher.contests.written(place, Instant::now());
            publisher.look(place);
        }
        let pause = publisher.due.next_time().unwrap() - Instant::now();
        assert!(pause <= longest && pause > longest - Duration::from_secs(5), "{place}: {pause:?}");
    }
}
