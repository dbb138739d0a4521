use culvert_derive::{Cluster, Object, Settings};
use culvert_kubernetes::client;
use culvert_lab::api_server::{ApiServer, Trouble, definition, namespace};
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::*;

const PATIENCE: Duration = Duration::from_secs(20);

/// An API server with entries, of which somebody else says what is known.
struct Rig {
    server: ApiServer,
    allotments: watch::Sender<Arc<[Allotment]>>,
    leads: watch::Sender<bool>,
    _task: JoinSet<()>,
}

impl Rig {
    fn start(names: &[&str]) -> Self {
        let server = ApiServer::start().unwrap();
        server.create(namespace("shop")).unwrap();
        server.create(definition("networking.istio.io/v1", "serviceentries", "ServiceEntry")).unwrap();
        for name in names {
            let entry = json!({ "apiVersion": "networking.istio.io/v1", "kind": "ServiceEntry",
                "metadata": { "name": name, "namespace": "shop" },
                "spec": { "hosts": [format!("{name}.example")], "resolution": "DNS" } });
            server.create(entry).unwrap();
        }
        let client = client::at(server.url().parse().unwrap()).unwrap();
        let (allotments, leads) = (watch::Sender::new(Arc::default()), watch::Sender::new(true));
        let pace =
            Pace { first: Duration::from_millis(10), longest: Duration::from_millis(50), ..Pace::default() };
        let giver = Giver::new(&client, (allotments.subscribe(), leads.subscribe()), pace);
        let mut task = JoinSet::new();
        task.spawn(giver.run());
        Self { server, allotments, leads, _task: task }
    }

    /// What has to be written as things are.
    fn wanted(&self) -> Arc<[Allotment]> {
        let mut cluster = Cluster::new(Settings::default());
        for entry in self.server.objects("serviceentries") {
            cluster.put(
                Object::parse(culvert_derive::Kind::ServiceEntry, entry.to_string().as_bytes()).unwrap(),
            );
        }
        cluster.allotments().allotments.into()
    }

    fn hear(&self) {
        self.allotments.send_replace(self.wanted());
    }

    fn addresses(&self, name: &str) -> Value {
        self.server.object("serviceentries", "shop", name).unwrap()["status"]["addresses"].clone()
    }

    fn writes(&self) -> usize {
        self.server.requests_of("patch", "serviceentries/status").len()
    }

    async fn wait(&self, what: &str, condition: impl Fn() -> bool) {
        let waited = timeout(PATIENCE, async {
            while !condition() {
                sleep(Duration::from_millis(10)).await;
            }
        });
        waited.await.unwrap_or_else(|_| panic!("{what}"));
    }

    fn set(&self, name: &str, change: &Value) {
        let mut object = self.server.object("serviceentries", "shop", name).unwrap();
        object["status"] = change.clone();
        self.server.apply(object).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_leads_gives_every_entry_its_addresses_once() {
    let rig = Rig::start(&["one", "two"]);
    rig.leads.send_replace(false);
    rig.hear();
    rig.leads.send_replace(true);
    rig.wait("both have some", || rig.wanted().is_empty()).await;
    let both = [rig.addresses("one"), rig.addresses("two")];
    assert_eq!((both[0].as_array().unwrap().len(), &both[0][0]["host"]), (2, &json!("one.example")));
    assert!(both[0][0]["value"].as_str().unwrap().starts_with("240.240."), "{both:?}");
    rig.hear();
    assert_eq!(rig.writes(), 2, "each was written once");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_known_no_more_is_not_written() {
    let rig = Rig::start(&["one", "two"]);
    let old = rig.wanted();
    rig.set("one", &json!({ "addresses": [{ "value": "240.240.7.7", "host": "one.example" }] }));
    rig.allotments.send_replace(old);
    rig.wait("the other is given some", || rig.addresses("two").is_array()).await;
    let reads = rig.server.requests_of("get", "serviceentries").len();
    rig.wait("it is looked at again", || rig.server.requests_of("get", "serviceentries").len() > reads + 2)
        .await;
    assert_eq!(rig.addresses("one")[0]["value"], "240.240.7.7", "whoever has given it that");
    assert_eq!(rig.writes(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn trouble_with_one_entry_passes_and_holds_up_no_other() {
    let rig = Rig::start(&["one", "two"]);
    rig.server.trouble(Trouble::status(409).on("patch", "serviceentries/status").times(1));
    rig.server.trouble(Trouble::status(503).on("patch", "serviceentries/status").times(1));
    rig.hear();
    rig.wait("both have some", || rig.wanted().is_empty()).await;
    assert_eq!(rig.writes(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_takes_away_what_was_given_is_answered_more_and_more_rarely() {
    let rig = Rig::start(&["one"]);
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_millis(2500) {
        rig.hear();
        rig.wait("it has some", || rig.addresses("one").is_array() || begun.elapsed().as_millis() > 2500)
            .await;
        rig.hear();
        rig.set("one", &json!({}));
    }
    assert!(
        (3..=5).contains(&rig.writes()),
        "given, at once, after a second, after two more: {}",
        rig.writes()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_left_alone_for_a_while_is_so_though_wanting_nothing_meanwhile() {
    let rig = Rig::start(&["one"]);
    for _ in 0..2 {
        rig.hear();
        rig.wait("it has some", || rig.addresses("one").is_array()).await;
        rig.hear();
        rig.set("one", &json!({}));
    }
    // A second after it was found without again it is given some, and not before.
    let begun = Instant::now();
    let flips = std::cell::Cell::new(false);
    rig.wait("it has some", || {
        flips.set(!flips.get());
        rig.allotments.send_replace(if flips.get() { rig.wanted() } else { Arc::default() });
        rig.addresses("one").is_array()
    })
    .await;
    assert!(begun.elapsed() >= Duration::from_millis(900), "{:?}", begun.elapsed());
}
