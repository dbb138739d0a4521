use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use culvert_lab::api_server::{AnotherUid, ApiServer, Trouble, namespace, pod};
use futures::future::join_all;
use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::clear::ClearError;
use super::*;
use crate::board::{Board, Occurrence, QUEUE, State, Status, Telling, What, telling};
use crate::cluster::View;
use crate::kubernetes::rig::{
    NODE, PATIENCE, Watching, ambient, client, eventually, pace, running, settings,
};
use crate::pod::{Uid, Workload};

const REDIRECTION: &str = "ambient.istio.io/redirection";

/// A cluster, a source and a reporter; the test is the enrolment.
struct Rig {
    api: ApiServer,
    /// Feeds the reporter for as long as the rig is there.
    _source: Watching,
    boards: watch::Sender<Arc<Board>>,
    telling: Telling,
    withdrawal: Withdrawal,
    task: JoinHandle<()>,
}

impl Rig {
    async fn start(api: ApiServer) -> Self {
        let mut source = Watching::start(&api);
        source.converges(&api, "at the start").await;
        let (boards, board) = watch::channel(Arc::default());
        let (telling, told) = telling();
        let reporter = Reporter::new(client(&api), &settings(), pace());
        let withdrawal = reporter.withdrawal();
        let task = tokio::spawn(reporter.run(source.views.clone(), board, told));
        Self { api, _source: source, boards, telling, withdrawal, task }
    }

    async fn shop() -> Self {
        let api = ApiServer::start().unwrap();
        api.create(ambient("shop")).unwrap();
        api.create(running("shop", "web", 1)).unwrap();
        Self::start(api).await
    }

    fn uid(&self, name: &str) -> Uid {
        let pod = self.api.object("pods", "shop", name).unwrap();
        Uid::from(pod["metadata"]["uid"].as_str().unwrap())
    }

    fn is(&self, names: &[&str], state: &State, nodes: usize) {
        let statuses = names.iter().map(|name| (self.uid(name), status(name, state, nodes)));
        self.boards.send_modify(|board| Arc::make_mut(board).extend(statuses));
    }

    fn claim(&self, name: &str) -> Option<String> {
        let pod = self.api.object("pods", "shop", name)?;
        pod["metadata"]["annotations"][REDIRECTION].as_str().map(str::to_owned)
    }

    async fn says(&self, name: &str, expected: Option<&str>) {
        eventually(&format!("{name}: {expected:?}"), || self.claim(name).as_deref() == expected).await;
    }

    fn tells(&self, name: &str, what: What) {
        self.telling.tell(Occurrence { uid: self.uid(name), workload: workload(name), what });
    }

    fn events(&self) -> Vec<serde_json::Value> {
        self.api.objects("events.events.k8s.io").into_iter().chain(self.api.objects("events")).collect()
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn workload(name: &str) -> Workload {
    Workload { name: name.into(), namespace: "shop".into(), service_account: "default".into() }
}

fn status(name: &str, state: &State, nodes: usize) -> Arc<Status> {
    Arc::new(Status {
        refusal: None,
        workload: workload(name),
        addresses: [].into(),
        capture: Arc::default(),
        state: state.clone(),
        since: SystemTime::UNIX_EPOCH,
        netns: None,
        nodes,
        repairs: 0,
    })
}

#[tokio::test]
async fn a_pods_annotation_follows_what_has_become_of_it() {
    let rig = Rig::shop().await;
    rig.is(&["web"], &State::Programming, 0);
    rig.is(&["web"], &State::Enrolled, 1);
    rig.says("web", Some("enabled")).await;
    rig.is(&["web"], &State::Impaired { reason: "rules".into() }, 1);
    rig.says("web", Some("pending")).await;
    rig.is(&["web"], &State::Enrolled, 1);
    rig.says("web", Some("enabled")).await;

    rig.api
        .patch(
            "namespaces",
            "",
            "shop",
            json!({ "metadata": { "labels": { "istio.io/dataplane-mode": null } } }),
        )
        .unwrap();
    rig.is(&["web"], &State::Leaving, 1);
    rig.boards.send_replace(Arc::default());
    rig.says("web", None).await;

    let mut patches = rig.api.requests_of("patch", "pods/status");
    // One that is answered late is sent again.
    patches.dedup_by(|one, other| one.body == other.body);
    assert_eq!(patches.len(), 4, "{patches:#?}");
    for patch in patches {
        assert_eq!(patch.body["metadata"]["uid"], rig.uid("web").as_str());
        assert_eq!(patch.content_type.as_deref(), Some("application/merge-patch+json"));
    }
}

#[tokio::test]
async fn a_claim_made_by_hand_is_removed() {
    let api = ApiServer::start().unwrap();
    api.create(namespace("shop")).unwrap();
    api.create(running("shop", "web", 1).annotation(REDIRECTION, "enabled")).unwrap();
    api.create(running("shop", "host", 2).host_network().annotation(REDIRECTION, "enabled")).unwrap();
    let rig = Rig::start(api).await;
    rig.boards.send_replace(Arc::default());
    rig.says("web", None).await;
    rig.says("host", None).await;
    rig.api
        .patch("pods", "shop", "web", json!({ "metadata": { "annotations": { REDIRECTION: "pending" } } }))
        .unwrap();
    rig.says("web", None).await;
}

#[tokio::test]
async fn a_pod_made_anew_does_not_get_its_predecessors_annotation() {
    join_all([AnotherUid::Conflict, AnotherUid::Invalid].map(a_pod_is_made_anew)).await;
}

async fn a_pod_is_made_anew(how: AnotherUid) {
    let api = ApiServer::start().unwrap();
    api.say_another_uid(how);
    api.create(ambient("shop")).unwrap();
    api.create(running("shop", "web", 1)).unwrap();
    let mut source = Watching::start(&api);
    source.converges(&api, "at the start").await;
    // From here on nobody tells the reporter what has changed.
    let (_views, stale) = watch::channel(source.view());
    let old = source.view().unwrap().pods.keys().next().unwrap().clone();
    api.remove("pods", "shop", "web").unwrap();
    api.create(running("shop", "web", 2)).unwrap();
    let (boards, board) = watch::channel(Arc::default());
    let (_telling, told) = telling();
    let task = tokio::spawn(Reporter::new(client(&api), &settings(), pace()).run(stale, board, told));
    boards.send_replace(Arc::new([(old, status("web", &State::Enrolled, 1))].into()));
    eventually("a patch", || api.requests_of("patch", "pods/status").len() == 1).await;
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let annotations = api.object("pods", "shop", "web").unwrap()["metadata"]["annotations"].clone();
    assert_eq!(annotations.get(REDIRECTION), None, "{annotations}");
    assert_eq!(api.requests_of("patch", "pods/status").len(), 1, "{how:?}: it is not tried again");
    task.abort();
}

#[tokio::test]
async fn refusals_are_waited_out() {
    let troubles = [
        Trouble::status(500),
        Trouble::status(409),
        Trouble::status(422),
        Trouble::status(429),
        Trouble::garbage(),
        Trouble::silence(),
    ];
    let waited_out = troubles.map(async |trouble| {
        let rig = Rig::shop().await;
        rig.api.trouble(trouble.on("patch", "pods/status").times(1));
        rig.is(&["web"], &State::Enrolled, 1);
        rig.says("web", Some("enabled")).await;
    });
    join_all(waited_out).await;
    let rig = Rig::shop().await;
    rig.api.deny("patch", "pods/status");
    rig.is(&["web"], &State::Enrolled, 1);
    eventually("a refusal", || !rig.api.requests_of("patch", "pods/status").is_empty()).await;
    rig.api.allow("patch", "pods/status");
    rig.says("web", Some("enabled")).await;
}

#[tokio::test]
async fn an_outage_of_the_server_is_survived() {
    let rig = Rig::shop().await;
    rig.is(&["web"], &State::Enrolled, 1);
    rig.says("web", Some("enabled")).await;
    rig.api.refuse_connections();
    rig.is(&["web"], &State::Impaired { reason: "x".into() }, 1);
    tokio::time::sleep(Duration::from_millis(200)).await;
    rig.api.accept_connections().unwrap();
    rig.says("web", Some("pending")).await;
}

#[tokio::test]
async fn a_whole_node_is_written_at_a_bounded_rate() {
    let api = ApiServer::start().unwrap();
    api.create(ambient("shop")).unwrap();
    let names: Vec<_> = (0..60_u8).map(|number| format!("web-{number}")).collect();
    for (number, name) in (0_u8..).zip(&names) {
        api.create(running("shop", name, number)).unwrap();
    }
    let rig = Rig::start(api).await;
    let begun = tokio::time::Instant::now();
    rig.is(&names.iter().map(String::as_str).collect::<Vec<_>>(), &State::Enrolled, 1);
    for name in &names {
        rig.says(name, Some("enabled")).await;
    }
    assert!(begun.elapsed() > Duration::from_millis(1800), "60 at 20 a second: {:?}", begun.elapsed());
    assert_eq!(rig.api.requests_of("patch", "pods/status").len(), 60, "once each");
}

#[tokio::test]
async fn what_happens_becomes_events() {
    let rig = Rig::shop().await;
    rig.tells("web", What::FoundInPlaintext);
    rig.tells("web", What::Enrolled);
    rig.tells("web", What::Enrolled);
    rig.tells("web", What::Left);
    eventually("three events", || rig.events().len() == 3).await;
    let kinds: BTreeMap<_, _> = rig
        .events()
        .iter()
        .map(|event| {
            assert_eq!(event["regarding"]["uid"], rig.uid("web").as_str());
            (event["reason"].as_str().unwrap().to_owned(), event["type"].as_str().unwrap().to_owned())
        })
        .collect();
    let expected =
        [("CulvertEnrolled", "Normal"), ("CulvertFoundInPlaintext", "Warning"), ("CulvertLeft", "Normal")];
    assert_eq!(kinds, expected.map(|(reason, kind)| (reason.to_owned(), kind.to_owned())).into());
}

#[tokio::test]
async fn events_are_tried_again_and_never_for_ever() {
    let rig = Rig::shop().await;
    let post = || rig.api.requests_of("create", "events");
    rig.api.trouble(Trouble::status(503).on("create", "events").times(2));
    rig.tells("web", What::Enrolled);
    eventually("after two refusals", || rig.events().len() == 1).await;
    assert_eq!(post().len(), 3);

    rig.api.trouble(Trouble::status(503).on("create", "events").times(3));
    rig.tells("web", What::Left);
    rig.tells("web", What::FoundInPlaintext);
    eventually("the next one", || rig.events().len() == 2).await;
    assert!(rig.events().iter().all(|event| event["reason"] != "CulvertLeft"), "given up");

    rig.api.deny("create", "events");
    let before = post().len();
    rig.tells("web", What::Drifted { differences: "x".into() });
    eventually("refused", || post().len() > before).await;
    rig.api.allow("create", "events");
    rig.tells("web", What::Quarantined { reason: "x".into() });
    eventually("allowed", || rig.events().len() == 3).await;
    assert_eq!(post().len(), before + 2, "a refusal is final");
}

#[tokio::test]
async fn telling_never_waits() {
    let (telling, told) = telling();
    for _ in 0..1000 {
        let what = What::Enrolled;
        telling.tell(Occurrence { uid: Uid::from("u"), workload: workload("web"), what });
    }
    assert_eq!(told.len(), QUEUE);
}

#[tokio::test]
async fn it_ends_with_those_who_publish() {
    let rig = Rig::shop().await;
    let reporter = Reporter::new(client(&rig.api), &settings(), pace());
    let (views, view) = watch::channel(Some(Arc::new(View::default())));
    let (boards, board) = watch::channel(Arc::default());
    let (telling, told) = telling();
    let task = tokio::spawn(reporter.run(view, board, told));
    drop((views, boards, telling));
    timeout(PATIENCE, task).await.unwrap().unwrap();
}

#[tokio::test]
async fn all_claims_of_the_node_can_be_cleared() {
    let api = ApiServer::start().unwrap();
    api.create(namespace("shop")).unwrap();
    for (number, claim) in (1_u8..).zip(["enabled", "pending", "nonsense"]) {
        api.create(running("shop", claim, number).annotation(REDIRECTION, claim)).unwrap();
    }
    api.create(running("shop", "plain", 9)).unwrap();
    api.create(pod("shop", "elsewhere").node("n2").annotation(REDIRECTION, "enabled")).unwrap();
    api.trouble(Trouble::status(503).times(2));
    let conflicts = Trouble::status(409).on("patch", "pods/status").times(3);
    api.trouble(conflicts);
    assert_eq!(clear_claims(&client(&api), NODE, PATIENCE).await.unwrap(), 3);
    let claims = |name: &str| api.object("pods", "shop", name).unwrap()["metadata"]["annotations"].clone();
    for name in ["enabled", "pending", "nonsense"] {
        assert_eq!(claims(name).get(REDIRECTION), None, "{name}");
    }
    assert_eq!(claims("elsewhere")[REDIRECTION], "enabled");
    assert_eq!(api.requests_of("patch", "pods/status").len(), 3 + 3);
}

#[tokio::test]
async fn what_cannot_be_cleared_is_told() {
    let api = ApiServer::start().unwrap();
    api.create(namespace("shop")).unwrap();
    for number in 1..=7_u8 {
        api.create(running("shop", &format!("web-{number}"), number).annotation(REDIRECTION, "enabled"))
            .unwrap();
    }
    api.deny("patch", "pods/status");
    let error = clear_claims(&client(&api), NODE, PATIENCE).await.unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("still on 7 pods") && text.contains("shop/web-1") && text.contains("403"),
        "{text}"
    );

    api.allow("patch", "pods/status");
    api.refuse_connections();
    let begun = tokio::time::Instant::now();
    let error = clear_claims(&client(&api), NODE, Duration::from_secs(2)).await.unwrap_err();
    assert!(matches!(error, ClearError::List { .. }), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn what_is_taken_back_stays_so_whatever_becomes_of_the_pods() {
    let rig = Rig::shop().await;
    rig.api.create(running("shop", "cart", 2)).unwrap();
    rig.is(&["web"], &State::Enrolled, 1);
    rig.says("web", Some("enabled")).await;
    // One is still on its way when it begins.
    rig.api.trouble(Trouble::late(Duration::from_millis(500)).on("patch", "pods/status").times(1));
    let patches = || rig.api.requests_of("patch", "pods/status").len();
    rig.is(&["cart"], &State::Enrolled, 1);
    eventually("a late patch", || patches() == 2).await;

    assert_eq!(rig.withdrawal.take_back(PATIENCE).await.unwrap(), 2);
    for name in ["web", "cart"] {
        assert_eq!(rig.claim(name), None, "{name}");
    }
    rig.is(&["web"], &State::Impaired { reason: "x".into() }, 1);
    rig.is(&["web"], &State::Enrolled, 1);
    rig.tells("web", What::Left);
    eventually("events go on", || rig.events().len() == 1).await;
    assert_eq!(patches(), 4, "nothing more is written");
    assert_eq!(rig.claim("web"), None);
}

#[tokio::test]
async fn taking_back_has_an_end_when_the_server_is_away() {
    let rig = Rig::shop().await;
    rig.api.trouble(Trouble::silence().on("patch", "pods/status"));
    rig.is(&["web"], &State::Enrolled, 1);
    eventually("a patch", || !rig.api.requests_of("patch", "pods/status").is_empty()).await;
    rig.api.refuse_connections();
    let begun = tokio::time::Instant::now();
    rig.withdrawal.take_back(Duration::from_secs(2)).await.unwrap_err();
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
}
