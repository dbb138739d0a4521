use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use culvert_core::identity::SpiffeId;
use culvert_core::policy::{Action, Clause, Match, Policy, Rule, Scope, StringMatch};
use culvert_core::store::{Locality, Resource};
use culvert_core::workload::{Name, Template};
use tokio::task::JoinHandle;

use super::*;
use crate::mesh::{self, Change, Feed};

/// A mesh that tests change, and the tasks that follow it.
struct World {
    mesh: Mesh,
    feed: Feed,
    tasks: Vec<JoinHandle<()>>,
}

impl World {
    fn of(changes: Vec<Change>) -> Self {
        let (mesh, feed, owner) = mesh::start(Locality::default(), changes, None);
        Self { mesh, feed, tasks: vec![tokio::spawn(owner.run())] }
    }

    /// A gate that is followed.
    fn gate(&mut self, pod: &str) -> Arc<Gate> {
        let pod = PodInfo { name: pod.into(), namespace: "ns".into(), service_account: "sa".into() };
        let gate = Arc::new(Gate::new(pod, self.mesh.clone(), Telling::Debug));
        let followed = Arc::clone(&gate);
        self.tasks.push(tokio::spawn(async move { followed.follow().await }));
        gate
    }

    /// Changes the mesh; returns when everybody who was told of it has done what there was to do.
    async fn change(&self, changes: Vec<Change>) {
        self.feed.apply(changes).await;
        self.feed.publish().await;
        settle().await;
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// Lets every task run that can: there is one thread, and those that were woken come first.
async fn settle() {
    for _ in 0..4 {
        tokio::task::yield_now().await;
    }
}

fn pod(name: &str, policies: &[&str]) -> Workload {
    let uid = format!("//Pod/ns/{name}");
    let template = Template {
        namespace: "ns".into(),
        service_account: "sa".into(),
        authorization_policies: policies.iter().map(|key| Arc::from(*key)).collect(),
        ..Template::default()
    };
    Workload {
        named: Name::of(&uid, name),
        uid: uid.into(),
        template: template.into(),
        ..Workload::default()
    }
}

fn put_pod(name: &str, policies: &[&str]) -> Change {
    Change::Insert(Resource::Workload(pod(name, policies)))
}

/// Denies callers in namespace `bad`.
fn policy(name: &str, scope: Scope, namespace: &str) -> Policy {
    let bad = Match { namespaces: vec![StringMatch::Exact("bad".into())], ..Match::default() };
    Policy {
        key: format!("ns/{name}").into(),
        name: name.into(),
        namespace: namespace.into(),
        scope,
        action: Action::Deny,
        rules: vec![Rule { clauses: vec![Clause { matches: vec![bad] }] }],
        dry_run: false,
        unusable: None,
    }
}

fn put(policy: Policy) -> Change {
    Change::Insert(Resource::Policy(policy))
}

fn selector(name: &str) -> Change {
    put(policy(name, Scope::WorkloadSelector, "ns"))
}

fn caller(namespace: &str) -> Peer {
    Peer {
        identity: Some(SpiffeId::new("td", namespace, "sa").unwrap()),
        source: "10.0.0.1:1000".parse().unwrap(),
        destination: "10.0.0.2:80".parse().unwrap(),
    }
}

fn explicit(name: &str) -> Denial {
    Denial::Explicit { policy: format!("ns/{name}").into() }
}

/// A connection that has been let in and waits.
struct Live {
    wait: Pin<Box<dyn Future<Output = Denial> + Send>>,
    woken: Arc<Woken>,
}

#[derive(Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Live {
    fn new(gate: &Arc<Gate>, local: Workload, peer: Peer) -> Self {
        let gate = Arc::clone(gate);
        // Unconstrained: the budget is that of one task, and a test runs many connections in one.
        let wait = tokio::task::unconstrained(async move { gate.denied(&Arc::new(local), &peer).await });
        let wait = Box::pin(wait);
        let mut live = Self { wait, woken: Arc::default() };
        assert_eq!(live.denied(), None, "it was let in");
        live
    }

    /// Runs the connection once.
    fn denied(&mut self) -> Option<Denial> {
        let waker = Waker::from(Arc::clone(&self.woken));
        match self.wait.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(denial) => Some(denial),
            Poll::Pending => None,
        }
    }

    fn times_woken(&self) -> usize {
        self.woken.0.load(Ordering::Relaxed)
    }
}

#[tokio::test]
async fn only_the_connections_of_the_pod_concerned_are_woken() {
    const PODS: usize = 200;
    let pods =
        (0..PODS).map(|number| put_pod(&format!("p{number}"), &["ns/mine"][..usize::from(number == 7)]));
    let mut world = World::of(pods.chain([selector("mine")]).collect());
    let mut live: Vec<Vec<Live>> = Vec::new();
    for number in 0..PODS {
        let gate = world.gate(&format!("p{number}"));
        let connection = || Live::new(&gate, pod(&format!("p{number}"), &[]), caller("good"));
        live.push((0..3).map(|_| connection()).collect());
    }
    settle().await;
    let woken = |live: &[Vec<Live>]| -> Vec<usize> {
        live.iter().map(|live| live.iter().map(Live::times_woken).sum()).collect()
    };
    let before = woken(&live);
    world.change(vec![put(Policy { rules: vec![], ..policy("mine", Scope::WorkloadSelector, "ns") })]).await;
    let expected: Vec<usize> = (0..PODS).map(|number| if number == 7 { 3 } else { 0 }).collect();
    let after = woken(&live);
    let newly: Vec<usize> = after.iter().zip(&before).map(|(after, before)| after - before).collect();
    assert_eq!(newly, expected);
}

#[tokio::test]
async fn a_change_elsewhere_wakes_nobody() {
    let mut world = World::of(vec![put_pod("pod", &["ns/mine"]), selector("mine"), put_pod("other", &[])]);
    let gate = world.gate("pod");
    let mut live = Live::new(&gate, pod("pod", &[]), caller("good"));
    settle().await;
    let before = live.times_woken();
    world.change(vec![put(policy("far", Scope::Namespace, "elsewhere"))]).await;
    world.change(vec![selector("unattached"), selector("mine")]).await;
    world.change(vec![put_pod("other", &["ns/mine"]), put_pod("third", &[])]).await;
    world
        .change(vec![Change::RemovePolicy("ns/far".into()), Change::RemoveAddress("//Pod/ns/other".into())])
        .await;
    // The pod itself changes, but not what applies to it.
    let moved = Workload { capacity: 7, ..pod("pod", &["ns/mine"]) };
    world.change(vec![Change::Insert(Resource::Workload(moved))]).await;
    assert_eq!(live.times_woken(), before);
    world.change(vec![put(policy("near", Scope::Namespace, "ns"))]).await;
    assert_eq!(live.times_woken(), before + 1);
    assert_eq!(live.denied(), None);
}

#[tokio::test]
async fn a_selector_attached_to_a_live_pod_ends_what_it_denies_and_nothing_else() {
    let mut world = World::of(vec![put_pod("pod", &[]), selector("no-bad")]);
    let gate = world.gate("pod");
    let connection = |namespace| Live::new(&gate, pod("pod", &[]), caller(namespace));
    let (mut good, mut bad) = (connection("good"), connection("bad"));
    world.change(vec![put_pod("pod", &["ns/no-bad"])]).await;
    assert_eq!(bad.denied(), Some(explicit("no-bad")));
    assert_eq!(good.denied(), None);
    world.change(vec![put_pod("pod", &[])]).await;
    assert_eq!(good.denied(), None);
    connection("bad");
}

#[tokio::test]
async fn every_scope_reaches_live_connections() {
    for scope in [Scope::Global, Scope::Namespace] {
        let mut world = World::of(vec![put_pod("pod", &[])]);
        let gate = world.gate("pod");
        let mut bad = Live::new(&gate, pod("pod", &[]), caller("bad"));
        world.change(vec![put(policy("p", scope, "ns"))]).await;
        assert_eq!(bad.denied(), Some(explicit("p")), "{scope:?}");
    }
}

#[tokio::test]
async fn connections_that_look_alike_all_end_and_those_that_do_not_live_on() {
    let mut world = World::of(vec![put_pod("pod", &[])]);
    let gate = world.gate("pod");
    let connection = |namespace| Live::new(&gate, pod("pod", &[]), caller(namespace));
    let (mut one, mut twin, mut other) = (connection("bad"), connection("bad"), connection("good"));
    drop(connection("bad"));
    world.change(vec![put(policy("p", Scope::Namespace, "ns"))]).await;
    assert_eq!((one.denied(), twin.denied()), (Some(explicit("p")), Some(explicit("p"))));
    assert_eq!(other.denied(), None);
}

#[tokio::test]
async fn one_that_is_slow_to_end_holds_up_nobody() {
    let mut world = World::of(vec![put_pod("pod", &[])]);
    let gate = world.gate("pod");
    let mut live: Vec<Live> = (0..10_000).map(|_| Live::new(&gate, pod("pod", &[]), caller("bad"))).collect();
    world.change(vec![put(policy("p", Scope::Namespace, "ns"))]).await;
    // The first is never run again.
    for live in &mut live[1..] {
        assert_eq!(live.times_woken(), 1);
        assert_eq!(live.denied(), Some(explicit("p")));
    }
}

#[tokio::test]
async fn a_policy_that_comes_while_a_connection_begins_is_not_missed() {
    let mut world = World::of(vec![put_pod("pod", &[])]);
    let gate = world.gate("pod");
    let local = Arc::new(pod("pod", &[]));
    assert!(gate.admit(&local, &caller("bad")).await.is_allowed());
    // Between the verdict and the life of the connection.
    world.change(vec![put(policy("p", Scope::Namespace, "ns"))]).await;
    assert_eq!(gate.denied(&local, &caller("bad")).await, explicit("p"));
    assert_eq!(gate.admit(&local, &caller("bad")).await, Verdict::Deny(explicit("p")));
}

#[tokio::test(start_paused = true)]
async fn a_policy_that_is_referred_to_and_unknown_has_a_deadline() {
    let mut world = World::of(vec![put_pod("pod", &["ns/late"])]);
    let gate = world.gate("pod");
    let unknown = || Denial::UnknownPolicy { policy: "ns/late".into() };
    let started = Instant::now();
    let local = Arc::new(pod("pod", &[]));
    assert_eq!(gate.admit(&local, &caller("good")).await, Verdict::Deny(unknown()));
    assert_eq!(started.elapsed(), POLICY_DEADLINE);

    let (waiting, waiting_local) = (Arc::clone(&gate), Arc::clone(&local));
    let waiting = tokio::spawn(async move { waiting.admit(&waiting_local, &caller("good")).await });
    settle().await;
    world.change(vec![selector("late")]).await;
    assert!(waiting.await.unwrap().is_allowed());
    assert!(started.elapsed() < POLICY_DEADLINE * 2, "it came in time");

    let live = Arc::clone(&gate);
    let live = tokio::spawn(async move { live.denied(&local, &caller("good")).await });
    settle().await;
    world.change(vec![Change::RemovePolicy("ns/late".into())]).await;
    assert_eq!(live.await.unwrap(), unknown(), "a live connection waits as long and no longer");
}

#[tokio::test]
async fn a_pod_that_has_left_the_mesh_is_judged_as_it_was() {
    let mut world = World::of(vec![put_pod("pod", &["ns/no-bad"]), selector("no-bad")]);
    let gate = world.gate("pod");
    let mut good = Live::new(&gate, pod("pod", &[]), caller("good"));
    world.change(vec![Change::RemoveAddress("//Pod/ns/pod".into())]).await;
    assert_eq!(good.denied(), None);
    let bad = gate.admit(&Arc::new(pod("pod", &[])), &caller("bad")).await;
    assert_eq!(bad, Verdict::Deny(explicit("no-bad")));
    // One that left before the first connection is judged as the connection knows it.
    let late = world.gate("late");
    let bad = late.admit(&Arc::new(pod("late", &["ns/no-bad"])), &caller("bad")).await;
    assert_eq!(bad, Verdict::Deny(explicit("no-bad")));
}

#[tokio::test]
async fn dry_runs_are_counted_for_each_connection_and_end_none() {
    let recorder = culvert_metrics::Metrics::new(culvert_metrics::Settings::default());
    let counted = || {
        let text = recorder.text();
        let line = text.lines().find(|line| line.contains("policy=\"trial\"")).map(str::to_owned);
        line.map_or(0, |line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap())
    };
    let trial = || Policy { dry_run: true, ..policy("trial", Scope::Namespace, "ns") };
    let mut world = World::of(vec![put_pod("pod", &[]), put(trial())]);
    let gate = world.gate("pod");
    let connection = |namespace| Live::new(&gate, pod("pod", &[]), caller(namespace));
    let recording = metrics::set_default_local_recorder(&recorder);
    let mut bad = connection("bad");
    assert_eq!(counted(), 1);
    drop(connection("good"));
    assert_eq!(counted(), 1);
    world.change(vec![put(policy("far", Scope::Namespace, "elsewhere"))]).await;
    assert_eq!((bad.denied(), counted()), (None, 1));
    // Under another set of policies it is another question.
    world.change(vec![put(Policy { rules: vec![], ..policy("idle", Scope::Namespace, "ns") })]).await;
    assert_eq!((bad.denied(), counted()), (None, 2));
    world.change(vec![put(Policy { dry_run: false, ..trial() })]).await;
    assert_eq!((bad.denied(), counted()), (Some(explicit("trial")), 2));
    drop(recording);
}

#[tokio::test]
async fn a_waiting_connection_is_small() {
    let mut world = World::of(vec![put_pod("pod", &[])]);
    let gate = world.gate("pod");
    let (local, peer) = (Arc::new(pod("pod", &[])), caller("good"));
    let waiting = pin!(gate.denied(&local, &peer));
    assert!(size_of_val(&*waiting) <= 112, "{} bytes", size_of_val(&*waiting));
}
