use std::sync::Arc;
use std::time::{Duration, SystemTime};

use culvert_kubernetes::client;
use culvert_lab::api_server::{self, ApiServer};
use serde_json::Value;
use tokio::time::{sleep, timeout};

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
        task.spawn(Publisher::start(&client, both, pace, &Freshness::default()).run());
        Self { server, root, leads, _task: task }
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
    let mut map = rig.map("shop").unwrap();
    map["data"] = json!({ KEY: "forged", "note": "stays" });
    map["metadata"]["labels"] = json!({});
    rig.server.apply(map).unwrap();
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
