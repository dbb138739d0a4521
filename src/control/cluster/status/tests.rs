use culvert_kubernetes::client;
use culvert_lab::api_server::{self, ApiServer};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::*;

const PATIENCE: Duration = Duration::from_secs(20);
const THEN: &str = "2026-01-01T00:00:00Z";
const NOW: &str = "2026-02-02T00:00:00Z";

fn condition(kind: &'static str, holds: bool, message: &str) -> Condition {
    Condition { kind, holds, reason: "Reason", message: message.to_owned() }
}

fn said(conditions: Vec<Condition>) -> Said {
    Said { generation: 2, conditions }
}

fn object(conditions: Value) -> Value {
    json!({ "metadata": { "generation": 2, "resourceVersion": "7" }, "status": { "conditions": conditions } })
}

#[test]
fn conditions_of_others_stay_and_time_moves_only_with_the_answer() {
    let foreign = json!({ "type": "Programmed", "status": "True", "lastTransitionTime": THEN });
    let told = said(vec![condition(OURS[0], true, "fine")]);
    let first = change(&object(json!([foreign])), &told, THEN).unwrap();
    assert_eq!(first["metadata"], json!({ "resourceVersion": "7" }));
    let conditions = first["status"]["conditions"].clone();
    assert_eq!(conditions[0], foreign);
    assert_eq!(
        (&conditions[1]["status"], &conditions[1]["lastTransitionTime"]),
        (&json!("True"), &json!(THEN))
    );
    assert_eq!(change(&object(conditions.clone()), &told, NOW), None, "it says so already");
    let other_words = said(vec![condition(OURS[0], true, "still fine")]);
    let second = change(&object(conditions.clone()), &other_words, NOW).unwrap();
    assert_eq!(second["status"]["conditions"][1]["lastTransitionTime"], THEN);
    let other_answer = said(vec![condition(OURS[0], false, "fine")]);
    let third = change(&object(conditions.clone()), &other_answer, NOW).unwrap();
    assert_eq!(third["status"]["conditions"][1]["lastTransitionTime"], NOW);
    let nothing = change(&object(conditions), &said(Vec::new()), NOW).unwrap();
    assert_eq!(nothing["status"]["conditions"], json!([foreign]));
}

#[test]
fn nothing_is_said_of_what_is_not_known_yet() {
    let newer = json!({ "metadata": { "generation": 3, "resourceVersion": "8" } });
    assert_eq!(change(&newer, &said(vec![condition(OURS[0], true, "fine")]), NOW), None);
}

struct Rig {
    server: ApiServer,
    statuses: Statuses,
    leads: watch::Sender<bool>,
    _task: JoinSet<()>,
}

impl Rig {
    fn start() -> Self {
        let server = ApiServer::start().unwrap();
        for name in ["one", "two"] {
            let service = json!({ "apiVersion": "v1", "kind": "Service",
                "metadata": { "name": name, "namespace": "shop" }, "spec": {} });
            server.create(api_server::namespace("shop")).ok();
            server.create(service).unwrap();
        }
        let client = client::at(server.url().parse().unwrap()).unwrap();
        let (statuses, leads) = (Statuses::default(), watch::Sender::new(false));
        let pace =
            Pace { first: Duration::from_millis(10), longest: Duration::from_millis(50), ..Pace::default() };
        let mut task = JoinSet::new();
        task.spawn(write(client, statuses.clone(), leads.subscribe(), pace));
        Self { server, statuses, leads, _task: task }
    }

    fn say(&self, name: &str, message: &str) {
        let key = Key { kind: Kind::Service, namespace: "shop".into(), name: name.into() };
        self.statuses.say(vec![(key, 1, vec![condition(OURS[3], true, message)])]);
    }

    async fn wait(&self, name: &str, message: &str) {
        let waited = timeout(PATIENCE, async {
            loop {
                let service = self.server.object("services", "shop", name).unwrap();
                if service["status"]["conditions"][0]["message"] == message {
                    return;
                }
                sleep(Duration::from_millis(10)).await;
            }
        });
        waited.await.unwrap_or_else(|_| panic!("{name} says {message}"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_leads_writes_what_was_said_before_and_since() {
    let rig = Rig::start();
    rig.say("one", "bound");
    rig.leads.send_replace(true);
    rig.wait("one", "bound").await;
    rig.say("two", "bound");
    rig.wait("two", "bound").await;
    rig.leads.send_replace(false);
    rig.say("one", "bound to another");
    rig.leads.send_replace(true);
    rig.wait("one", "bound to another").await;
    assert_eq!(rig.server.requests_of("patch", "services/status").len(), 3, "only what differs is written");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_may_not_be_written_holds_nobody_up_and_trouble_passes() {
    let rig = Rig::start();
    rig.leads.send_replace(true);
    rig.server.trouble(api_server::Trouble::status(503).on("patch", "services/status").times(3));
    rig.say("one", "bound");
    rig.wait("one", "bound").await;
    let gone = Key { kind: Kind::Service, namespace: "shop".into(), name: "gone".into() };
    rig.statuses.say(vec![(gone, 1, vec![condition(OURS[3], true, "nobody")])]);
    rig.say("two", "bound");
    rig.wait("two", "bound").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_never_can_be_written_keeps_no_other_from_being() {
    let rig = Rig::start();
    rig.leads.send_replace(true);
    rig.server.trouble(api_server::Trouble::status(500).on("get", "services").times(usize::MAX));
    rig.say("one", "bound");
    let tried = || rig.server.requests_of("get", "services").len();
    timeout(PATIENCE, async {
        while tried() < 3 {
            sleep(Duration::from_millis(10)).await;
        }
    })
    .await
    .expect("it is tried again");
    rig.server.end_troubles();
    rig.server.deny("patch", "services/status");
    rig.say("two", "bound");
    let refused = || rig.server.requests_of("patch", "services/status").len();
    timeout(PATIENCE, async {
        while refused() < 2 {
            sleep(Duration::from_millis(10)).await;
        }
    })
    .await
    .expect("both are tried");
    rig.server.allow("patch", "services/status");
    rig.wait("one", "bound").await;
    rig.wait("two", "bound").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_said_besides_comes_and_goes_and_leaves_the_rest() {
    let rig = Rig::start();
    rig.leads.send_replace(true);
    let key = |name: &str| Key { kind: Kind::Service, namespace: "shop".into(), name: name.into() };
    let kinds = |name: &str| {
        let service = rig.server.object("services", "shop", name).unwrap();
        let conditions = service["status"]["conditions"].as_array().cloned().unwrap_or_default();
        conditions.iter().map(|it| it["type"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let wait = async |expected: [&[&str]; 2]| {
        let waited = timeout(PATIENCE, async {
            while [kinds("one"), kinds("two")].iter().ne(expected.iter()) {
                sleep(Duration::from_millis(10)).await;
            }
        });
        assert!(waited.await.is_ok(), "{expected:?}, and not {:?}", [kinds("one"), kinds("two")]);
    };
    rig.say("one", "bound");
    let lacking = |name: &str| (key(name), (1, condition(entry::GIVEN, false, "none left")));
    rig.statuses.say_besides([lacking("one"), lacking("two")].into());
    wait([&[OURS[3], entry::GIVEN], &[entry::GIVEN]]).await;
    rig.statuses.say_besides([lacking("two")].into());
    wait([&[OURS[3]], &[entry::GIVEN]]).await;
    rig.leads.send_replace(false);
    rig.statuses.say_besides(BTreeMap::new());
    rig.leads.send_replace(true);
    wait([&[OURS[3]], &[]]).await;
}
