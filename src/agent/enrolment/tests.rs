//! The enrolment with real, empty namespaces and rules that are only pretended.

use std::path::{Path, PathBuf};
use std::sync::Weak;

use culvert_sys::netns::{Netns, NetnsId};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::state::Reason;
use super::*;
use crate::board::{self, Boards, Told};
use crate::pod::{NetnsSource, Others, Wishes, Workload};
use crate::table::{Enrolled, Entry, Subscriber, Table};

mod exit;
mod fake;
mod leaving;
mod notice;
mod verifying;
use fake::Fake;

/// An enrolment at work.
struct Lab {
    rules: Arc<Fake>,
    desired: watch::Sender<Desired>,
    table: Subscriber,
    handed: Handed,
    served: Served,
    boards: Boards,
    occurred: Told,
    exit: oneshot::Sender<Exit>,
    running: JoinHandle<Result<(), cleanup::Error>>,
}

impl Lab {
    fn start(pods: &[PodSpec]) -> Self {
        Self::start_with(pods, |_| {})
    }

    /// One whose pod `a` was served, and is about to leave.
    async fn with_released(netns: &Netns) -> Self {
        let mut lab = Self::start(&[pod("a", netns)]);
        lab.told("serve a").await;
        lab.file(&[]);
        lab.told("").await;
        lab
    }

    fn start_with(pods: &[PodSpec], prepare: impl FnOnce(&Fake)) -> Self {
        Self::prepared(pods, prepare, Vec::new())
    }

    fn with_room_for(pods: &[PodSpec], descriptors: u64) -> Self {
        Self::launch(pods, |_| {}, (Vec::new(), descriptors))
    }

    fn prepared(pods: &[PodSpec], prepare: impl FnOnce(&Fake), adopted: Vec<(PodSpec, Arc<Netns>)>) -> Self {
        Self::launch(pods, prepare, (adopted, 20_000))
    }

    fn launch(
        pods: &[PodSpec],
        prepare: impl FnOnce(&Fake),
        (adopted, room): (Vec<(PodSpec, Arc<Netns>)>, u64),
    ) -> Self {
        let (published, table) = watch::channel(None);
        let (desired, wishes) = watch::channel(wishes_for(pods));
        let (exit, exited) = oneshot::channel();
        let rules = Arc::new(Fake::new(table.clone()));
        prepare(&rules);
        let (handed, served) = (Handed::default(), Served::default());
        let host = Host::find(Path::new("/proc")).unwrap();
        let tools = Tools {
            rules: rules.clone(),
            host,
            handed: handed.clone(),
            served: served.clone(),
            budget: Budget::new(room),
        };
        let namespaces = Namespaces::new("/proc".into(), handed.clone());
        let (board, boards) = watch::channel(Arc::default());
        let (tell, occurred) = board::telling();
        let mut enrolment = Enrolment::new(tools, namespaces, Outlets { table: published, board, tell });
        enrolment.adopt(adopted);
        let exit_asked = async { exited.await.unwrap() };
        let running = tokio::spawn(enrolment.run(wishes, exit_asked));
        Self { rules, desired, table, handed, served, boards, occurred, exit, running }
    }

    fn file(&self, pods: &[PodSpec]) {
        self.desired.send_replace(wishes_for(pods));
    }

    /// Waits until nodes would be told exactly this.
    async fn told(&mut self, expected: &str) {
        let fits = |table: &Option<Arc<Table>>| words(table) == expected;
        if timeout(Duration::from_secs(600), self.table.wait_for(fits)).await.is_err() {
            panic!("told `{}` where `{expected}` is expected", words(&self.table.borrow()));
        }
    }

    fn entry(&self, uid: &str) -> Arc<Enrolled> {
        match self.table.borrow().as_ref().unwrap().get(uid) {
            Some(Entry::Serve(pod)) => Arc::clone(pod),
            other => panic!("{uid} is {other:?}"),
        }
    }

    async fn end(self, exit: Exit) -> (Arc<Fake>, Result<(), cleanup::Error>) {
        self.exit.send(exit).unwrap();
        (self.rules, timeout(Duration::from_secs(600), self.running).await.unwrap().unwrap())
    }
}

/// Waits for something while calls are held back. A paused clock stands still as long as blocking work goes on, and with it all that has a
/// time; so it is moved on by hand.
async fn while_held<T>(wanted: impl Future<Output = T>) -> T {
    let end = std::time::Instant::now() + Duration::from_secs(60);
    let mut wanted = pin!(wanted);
    loop {
        tokio::select! {
            biased;
            done = &mut wanted => return done,
            () = tokio::task::yield_now() => tokio::time::advance(Duration::from_millis(1)).await,
        }
        assert!(std::time::Instant::now() < end, "nothing comes of it");
    }
}

fn words(table: &Option<Arc<Table>>) -> String {
    let Some(table) = table else { return "nothing yet".into() };
    let word = |(uid, entry): (&Uid, &Entry)| match entry {
        Entry::Serve(_) => format!("serve {uid}"),
        Entry::Keep => format!("keep {uid}"),
    };
    table.iter().map(word).collect::<Vec<_>>().join(", ")
}

fn wishes_for(pods: &[PodSpec]) -> Desired {
    Arc::new(Wishes { pods: pods.to_vec(), others: Others::Unknown })
}

fn netns() -> Netns {
    Netns::create().expect("tests run as root")
}

fn pod(uid: &str, netns: &Netns) -> PodSpec {
    pod_at(uid, netns.path())
}

fn pod_at(uid: &str, path: PathBuf) -> PodSpec {
    let workload = Workload { name: uid.into(), namespace: "shop".into(), service_account: uid.into() };
    PodSpec {
        uid: uid.into(),
        workload,
        netns: NetnsSource::Path(path),
        capture: Arc::default(),
        expected: false,
    }
}

/// A path that can be made to lead to one namespace and then to another.
struct Link(PathBuf);

impl Link {
    fn new(name: &str, netns: &Netns) -> Self {
        let path = std::env::temp_dir().join(format!("culvert-agent-{name}-{}", std::process::id()));
        let link = Self(path);
        link.lead_to(netns);
        link
    }

    fn lead_to(&self, netns: &Netns) {
        let next = self.0.with_extension("next");
        std::os::unix::fs::symlink(netns.path(), &next).unwrap();
        std::fs::rename(&next, &self.0).unwrap();
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[tokio::test(start_paused = true)]
async fn rules_are_in_and_verified_before_a_node_hears_of_the_pod() {
    let a = netns();
    let mut lab = Lab::start(&[pod("a", &a)]);
    lab.told("serve a").await;
    assert_eq!(lab.rules.log()[..2], ["apply shop/a, nothing told", "verify shop/a, nothing told"]);
    assert_eq!(lab.entry("a").netns.id(), a.id());
    assert!(lab.rules.are_in(a.id()));
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_fails_is_quarantined_alone_and_retried() {
    let (a, b) = (netns(), netns());
    let mut lab = Lab::start_with(&[pod("a", &a), pod("b", &b)], |rules| rules.fail(a.id()));
    lab.told("keep a, serve b").await;
    lab.rules.mend(a.id());
    lab.told("serve a, serve b").await;
}

#[tokio::test(start_paused = true)]
async fn rules_that_do_not_stay_quarantine_the_pod() {
    let a = netns();
    let mut lab = Lab::start_with(&[pod("a", &a)], |rules| rules.drift(a.id(), 2));
    lab.told("keep a").await;
    lab.told("serve a").await;
}

#[tokio::test(start_paused = true)]
async fn pods_there_are_no_descriptors_for_wait_until_others_have_left() {
    let (a, b) = (netns(), netns());
    let mut lab = Lab::with_room_for(&[pod("a", &a), pod("b", &b)], 256 + 5);
    lab.told("serve a, keep b").await;
    assert!(!lab.rules.are_in(b.id()));
    lab.file(&[pod("b", &b)]);
    lab.told("serve b").await;
}

#[tokio::test(start_paused = true)]
async fn attempts_grow_apart() {
    let a = netns();
    let started = Instant::now();
    let mut lab = Lab::start_with(&[pod("a", &a)], |rules| rules.fail(a.id()));
    lab.told("keep a").await;
    lab.rules.called("apply", 5).await;
    // 1 + 2 + 4 + 8 s.
    let waited = started.elapsed().as_secs();
    assert!((15..20).contains(&waited), "{waited} s");
}

#[tokio::test(start_paused = true)]
async fn drift_is_repaired_and_the_nodes_hear_nothing_of_it() {
    let a = netns();
    let mut lab = Lab::start(&[pod("a", &a)]);
    lab.told("serve a").await;
    let before = lab.entry("a");
    lab.rules.drift(a.id(), 1);
    lab.rules.called("apply", 2).await;
    lab.rules.called("look after", 2).await;
    let log = lab.rules.log();
    let looked = || log.iter().filter(|line| line.starts_with("look after"));
    assert!(looked().all(|line| line.ends_with(", told")), "nobody can serve it before: {log:?}");
    assert!(Arc::ptr_eq(&before, &lab.entry("a")));
    assert_eq!(lab.rules.count("apply"), 2);
}

#[tokio::test(start_paused = true)]
async fn an_enrolled_pod_that_cannot_be_repaired_stays_enrolled_and_is_retried() {
    let a = netns();
    let mut lab = Lab::start(&[pod("a", &a)]);
    lab.told("serve a").await;
    lab.rules.fail(a.id());
    lab.rules.called("apply", 3).await;
    assert_eq!(words(&lab.table.borrow()), "serve a");
    lab.rules.mend(a.id());
    lab.rules.called("verify", lab.rules.count("verify") + 2).await;
    assert!(lab.rules.are_in(a.id()));
}

#[tokio::test(start_paused = true)]
async fn a_pod_with_a_new_name_is_told_anew_and_not_programmed_anew() {
    let a = netns();
    let mut lab = Lab::start(&[pod("a", &a)]);
    lab.told("serve a").await;
    let before = lab.entry("a");
    let mut renamed = pod("a", &a);
    renamed.workload.service_account = "other".into();
    lab.file(&[renamed]);
    let other = |table: &Option<Arc<Table>>| matches!(table.as_ref().unwrap().get("a"), Some(Entry::Serve(pod)) if pod.workload.service_account == "other");
    timeout(Duration::from_secs(600), lab.table.wait_for(other)).await.unwrap().unwrap();
    assert!(Arc::ptr_eq(&before.netns, &lab.entry("a").netns));
    assert_eq!((lab.rules.count("apply"), lab.rules.count("remove")), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn the_second_pod_of_a_namespace_waits_until_the_first_has_left() {
    let shared = netns();
    let mut lab = Lab::start(&[pod("b", &shared), pod("a", &shared)]);
    lab.told("serve b").await;
    lab.file(&[pod("a", &shared)]);
    lab.told("serve a").await;
    assert!(lab.rules.are_in(shared.id()));
}

#[tokio::test(start_paused = true)]
async fn the_hosts_namespace_is_never_touched() {
    let mut lab = Lab::start(&[pod_at("a", "/proc/self/ns/net".into())]);
    lab.told("").await;
    assert_eq!(lab.rules.log(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn nodes_wait_for_the_first_pass_but_not_for_ever() {
    let (a, b) = (netns(), netns());
    let mut lab = Lab::start_with(&[pod("a", &a), pod("b", &b)], |rules| rules.hold_back(a.id()));
    lab.rules.called("verify", 1).await;
    assert_eq!(words(&lab.table.borrow()), "nothing yet");
    tokio::time::advance(FIRST_PASS).await;
    lab.told("keep a, serve b").await;
    lab.rules.let_go();
    lab.told("serve a, serve b").await;
}

#[tokio::test(start_paused = true)]
async fn few_pods_are_worked_on_at_once() {
    let spaces: Vec<_> = (0..10).map(|_| netns()).collect();
    let pods: Vec<_> = spaces.iter().enumerate().map(|(n, netns)| pod(&n.to_string(), netns)).collect();
    let mut lab = Lab::start_with(&pods, |rules| spaces.iter().for_each(|netns| rules.hold_back(netns.id())));
    lab.rules.called("apply", WIDTH).await;
    lab.rules.let_go();
    let all = (0..10).map(|n| format!("serve {n}")).collect::<Vec<_>>().join(", ");
    lab.told(&all).await;
    assert_eq!(lab.rules.most_at_once(), WIDTH);
}

#[test]
fn a_quarantine_is_news_only_when_the_reason_is() {
    let mut pod = Pod::new(pod("a", &netns()));
    let failed = |text: &str| Reason::Program(text.into());
    let now = Instant::now();
    assert!(pod.quarantine(&failed("one"), now));
    assert!(!pod.quarantine(&failed("one"), now));
    assert!(pod.quarantine(&failed("two"), now));
}
