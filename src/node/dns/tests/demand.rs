//! Names the snapshot lacks, with a control plane that says what the test wants.

use std::time::Instant;

use culvert_core::mesh_file;
use culvert_core::store::Resource;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::*;
use crate::dns::demand::DEADLINE;
use crate::mesh::{self, Change, Demand, Feed, Heard};

const CLIENT: &str = "
workloads:
- {uid: client, name: client, namespace: ns1, serviceAccount: sa, workloadIps: [10.0.0.1]}
";
const ENTRY: &str = "
services:
- {name: entry, namespace: ns2, hostname: entry.example.com, vips: ['/240.240.0.1'], ports: {80: 80}}
";

/// How long the other side may take where nobody waits for the control plane.
const AT_ONCE: Duration = DEADLINE.checked_div(2).unwrap();

/// A node on demand that knows a pod, and the control plane it asks.
struct Node {
    mesh: Mesh,
    feed: Feed,
    asked: mpsc::Receiver<Demand>,
    _owner: JoinHandle<()>,
}

impl Node {
    async fn start() -> Self {
        let (demands, asked) = mpsc::channel(1024);
        let (mesh, feed, owner) = mesh::start(Default::default(), Vec::new(), Some(demands));
        let node = Self { mesh, feed, asked, _owner: tokio::spawn(owner.run()) };
        node.tell(CLIENT).await;
        node
    }

    async fn tell(&self, text: &str) {
        let told = mesh_file::parse(text).unwrap();
        let resources = told.services.into_iter().map(Resource::Service);
        let resources = resources.chain(told.workloads.into_iter().map(Resource::Workload));
        self.feed.apply(resources.map(Change::Insert).collect()).await;
        self.feed.publish().await;
    }

    /// The next names it is asked for, sorted: a query asks for all it needs at once.
    async fn demands(&mut self) -> Vec<Demand> {
        let first = tokio::time::timeout(Duration::from_secs(10), self.asked.recv());
        let mut demands = vec![first.await.expect("it is asked").unwrap()];
        while let Ok(Some(more)) = tokio::time::timeout(Duration::from_millis(50), self.asked.recv()).await {
            demands.push(more);
        }
        demands.sort_by(|one, other| one.name.cmp(&other.name));
        demands
    }

    /// Says that nothing it is asked for by one query exists; gives what that was.
    async fn deny(&mut self) -> Vec<String> {
        let demands = self.demands().await;
        let names = demands.iter().map(|demand| demand.name.to_string()).collect();
        demands.into_iter().for_each(|demand| demand.settle(Ok(Heard::Now)));
        names
    }

    #[track_caller]
    fn assert_not_asked(&mut self) {
        assert!(self.asked.try_recv().is_err(), "it is not asked");
    }
}

/// Asks for an address in the background.
fn asking(handler: &Arc<Handler>, name: &str) -> JoinHandle<Message> {
    let (handler, query) = (Arc::clone(handler), query(name, RecordType::A));
    tokio::spawn(async move { ask(&handler, &query, None).await })
}

#[tokio::test]
async fn a_name_the_snapshot_lacks_is_asked_for_and_then_known() {
    let (mut node, world) = (Node::start().await, world().await);
    let handler = handler_of(node.mesh.clone(), vec![world.address]);
    let first = asking(&handler, "entry.example.com.ns1.svc.cluster.local.");
    let second = asking(&handler, "entry.example.com.");
    let demands = node.demands().await;
    let names: Vec<_> = demands.iter().map(|demand| &*demand.name).collect();
    let expected = ["com/example.com.svc.cluster.local", "ns1/*.example.com", "ns1/entry.example.com"];
    assert_eq!(names, expected, "once for both, from the namespace of the pod");
    // It is another namespace that has it.
    node.tell(ENTRY).await;
    demands.into_iter().for_each(|demand| demand.settle(Ok(Heard::Now)));
    for answer in [first.await.unwrap(), second.await.unwrap()] {
        assert!(answer.metadata.authoritative, "{answer}");
        assert_eq!(answer.answers.last().unwrap().data, a([240, 240, 0, 1]));
    }
    let again = ask(&handler, &query("entry.example.com.", RecordType::A), None).await;
    assert_eq!(again.answers[0].data, a([240, 240, 0, 1]));
    node.assert_not_asked();
    assert_eq!(world.asked(), 0);
}

#[tokio::test]
async fn a_name_nobody_in_the_mesh_has_is_asked_for_once_and_left_to_others() {
    let (mut node, world) = (Node::start().await, world().await);
    let handler = handler_of(node.mesh.clone(), vec![world.address]);
    let answer = asking(&handler, "known.example.");
    assert_eq!(node.deny().await.len(), 3);
    assert_eq!(answer.await.unwrap().answers[0].data, a([192, 0, 2, 1]));
    for kind in [RecordType::A, RecordType::AAAA, RecordType::HTTPS, RecordType::TXT] {
        ask(&handler, &query("known.example.", kind), None).await;
    }
    node.assert_not_asked();
    // Another pod does not know what this one has asked for.
    let other = handler_of(node.mesh.clone(), vec![world.address]);
    let answer = asking(&other, "known.example.");
    assert_eq!(node.deny().await.len(), 3);
    answer.await.unwrap();
}

#[tokio::test]
async fn records_the_mesh_never_gives_are_not_asked_for() {
    let (mut node, world) = (Node::start().await, world().await);
    let handler = handler_of(node.mesh.clone(), vec![world.address]);
    for (name, kind) in [
        ("known.example.", RecordType::TXT),
        ("1.0.0.10.in-addr.arpa.", RecordType::PTR),
        ("_http._tcp.web.ns1.", RecordType::SRV),
    ] {
        ask(&handler, &query(name, kind), None).await;
    }
    node.assert_not_asked();
}

/// Of two services with one name that of the client's own namespace is meant, whichever was asked for first.
#[tokio::test]
async fn a_host_of_another_namespace_is_given_once_the_own_one_is_known_to_have_none() {
    let mut node = Node::start().await;
    node.tell(ENTRY).await;
    let handler = handler_of(node.mesh.clone(), Vec::new());
    let answer = asking(&handler, "entry.example.com.");
    let [demand] = node.demands().await.try_into().unwrap();
    assert_eq!(&*demand.name, "ns1/entry.example.com");
    node.tell(&ENTRY.replace("ns2", "ns1").replace("240.240.0.1", "240.240.0.2")).await;
    demand.settle(Ok(Heard::Now));
    assert_eq!(answer.await.unwrap().answers[0].data, a([240, 240, 0, 2]));
}

#[tokio::test]
async fn a_control_plane_that_says_nothing_holds_up_a_few_queries_and_no_more() {
    let (mut node, world) = (Node::start().await, world().await);
    let handler = handler_of(node.mesh.clone(), vec![world.address]);
    for nth in ["one", "two", "three"] {
        let begun = Instant::now();
        let answer = ask(&handler, &query(&format!("{nth}.example."), RecordType::A), None).await;
        assert_eq!(answer.metadata.response_code, ResponseCode::NXDomain, "others are asked");
        assert!((DEADLINE..4 * DEADLINE).contains(&begun.elapsed()), "{nth} {:?}", begun.elapsed());
    }
    let unanswered = node.demands().await;
    assert_eq!(unanswered.len(), 7, "one of the names is the same");
    let begun = Instant::now();
    for nth in 0..10 {
        ask(&handler, &query(&format!("{nth}.example."), RecordType::A), None).await;
    }
    assert!(begun.elapsed() < AT_ONCE, "{:?}", begun.elapsed());
    node.assert_not_asked();
    // It comes back, and answers what it was asked, late; and then in time, from when on it is waited for again.
    unanswered.into_iter().for_each(|demand| demand.settle(Ok(Heard::Now)));
    tokio::time::pause();
    tokio::time::advance(10 * DEADLINE).await;
    tokio::time::resume();
    asking(&handler, "tried.example.").await.unwrap();
    node.deny().await;
    let answer = asking(&handler, "entry.example.com.");
    let demands = node.demands().await;
    node.tell(ENTRY).await;
    demands.into_iter().for_each(|demand| demand.settle(Ok(Heard::Now)));
    assert_eq!(answer.await.unwrap().answers[0].data, a([240, 240, 0, 1]));
}

#[tokio::test]
async fn a_control_plane_that_answers_late_each_time_is_not_waited_for() {
    let (mut node, world) = (Node::start().await, world().await);
    let handler = handler_of(node.mesh.clone(), vec![world.address]);
    for nth in ["one", "two", "three"] {
        ask(&handler, &query(&format!("{nth}.example."), RecordType::A), None).await;
        node.deny().await;
    }
    let begun = Instant::now();
    asking(&handler, "four.example.").await.unwrap();
    assert!(begun.elapsed() < AT_ONCE, "{:?}", begun.elapsed());
    node.assert_not_asked();
}

/// What is remembered on this side says nothing of the other.
#[tokio::test]
async fn what_was_heard_before_is_no_sign_of_life() {
    let (mut node, world) = (Node::start().await, world().await);
    let handler = handler_of(node.mesh.clone(), vec![world.address]);
    let mut unanswered = Vec::new();
    for nth in ["one", "two", "three"] {
        ask(&handler, &query(&format!("{nth}.example."), RecordType::A), None).await;
        unanswered.extend(node.demands().await);
    }
    unanswered.pop().unwrap().settle(Ok(Heard::Before));
    let begun = Instant::now();
    asking(&handler, "four.example.").await.unwrap();
    assert!(begun.elapsed() < AT_ONCE, "{:?}", begun.elapsed());
    node.assert_not_asked();
}

#[tokio::test]
async fn a_pod_that_asks_without_end_spends_its_own_budget() {
    let (mut node, world) = (Node::start().await, world().await);
    let flooding = handler_of(node.mesh.clone(), vec![world.address]);
    let queries: Vec<_> = (0..500).map(|n| asking(&flooding, &format!("random-{n}."))).collect();
    let asked = node.demands().await;
    assert_eq!(asked.len(), 64, "so many at once");
    let other = handler_of(node.mesh.clone(), vec![world.address]);
    let answer = asking(&other, "entry.example.com.");
    let demands = node.demands().await;
    assert_eq!(demands.len(), 3, "another pod has its own");
    node.tell(ENTRY).await;
    demands.into_iter().chain(asked).for_each(|demand| demand.settle(Ok(Heard::Now)));
    assert_eq!(answer.await.unwrap().answers[0].data, a([240, 240, 0, 1]));
    for query in queries {
        query.await.unwrap();
    }
}

#[tokio::test]
async fn a_pod_that_is_answered_quickly_asks_for_no_more_than_its_budget() {
    let (Node { mesh, mut asked, .. }, world) = (Node::start().await, world().await);
    let flooding = handler_of(mesh, vec![world.address]);
    let counting = tokio::spawn(async move {
        let mut count = 0;
        while let Some(demand) = asked.recv().await {
            demand.settle(Ok(Heard::Now));
            count += 1;
        }
        count
    });
    let begun = Instant::now();
    for n in 0..200 {
        ask(&flooding, &query(&format!("random-{n}."), RecordType::A), None).await;
    }
    let regained = usize::try_from(begun.elapsed().as_millis() / 50).unwrap() + 1;
    drop(flooding);
    let count = counting.await.unwrap();
    assert!((200..=200 + regained).contains(&count), "{count} of 400 in {:?}", begun.elapsed());
}

#[tokio::test]
async fn a_connection_to_a_name_is_told_the_same() {
    let mut node = Node::start().await;
    let handler = handler_of(node.mesh.clone(), Vec::new());
    let hosts = Hosts::new(handler);
    let found = tokio::spawn(async move { hosts.as_the_pod("entry.example.com").await });
    let demands = node.demands().await;
    node.tell(ENTRY).await;
    demands.into_iter().for_each(|demand| demand.settle(Ok(Heard::Now)));
    assert_eq!(*found.await.unwrap().unwrap(), ["240.240.0.1".parse::<std::net::IpAddr>().unwrap()]);
}
