//! Sessions against a node whose every packet the test writes.

use std::collections::BTreeMap;
use std::sync::Arc;

use culvert_proto::zds::workload_request::Payload;
use culvert_proto::zds::{Ack, WorkloadRequest, WorkloadResponse, ZdsHello, workload_response};
use culvert_sys::netns::{Netns, NetnsId};
use culvert_zds::Probes;
use prost::Message as _;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::*;
use crate::pod::{Uid, Workload};
use crate::table::{Enrolled, Entry, Publisher, Table};

mod pipelined;

/// The agent's side: a table the test writes.
struct Agent {
    published: Publisher,
    seats: Seats,
    served: Served,
}

/// The node's end of a session.
struct Node {
    channel: Channel,
    session: JoinHandle<Result<(), Error>>,
}

fn pod(name: &str) -> Entry {
    let workload = Workload { name: name.into(), namespace: "shop".into(), service_account: "sa".into() };
    let netns = Arc::new(Netns::create().expect("tests run as root"));
    Entry::Serve(Arc::new(Enrolled::new(workload, netns, Probes::default())))
}

fn id(entry: &Entry) -> NetnsId {
    match entry {
        Entry::Serve(pod) => pod.netns.id(),
        Entry::Keep => panic!("not served"),
    }
}

impl Agent {
    fn new() -> Self {
        Self { published: watch::Sender::new(None), seats: Seats::default(), served: Served::default() }
    }

    fn with(pods: &[(&str, &Entry)]) -> Self {
        let agent = Self::new();
        agent.publish(pods);
        agent
    }

    fn publish(&self, pods: &[(&str, &Entry)]) {
        let entry = |(uid, entry): &(&str, &Entry)| (Uid::from(*uid), Entry::clone(entry));
        let table: Table = pods.iter().map(entry).collect::<BTreeMap<_, _>>();
        self.published.send_replace(Some(Arc::new(table)));
    }

    /// A connection on which nothing has been said.
    fn accept(&self) -> Node {
        let (channel, far) = Channel::pair().unwrap();
        let (seats, served) = (self.seats.clone(), self.served.clone());
        let common = Common { table: self.published.subscribe(), seats, served };
        let session = tokio::spawn(serve(1, far, common));
        Node { channel, session }
    }

    /// A node that has said hello.
    async fn connect(&self) -> Node {
        let node = self.accept();
        node.say(&ZdsHello { version: 1 }.encode_to_vec()).await;
        node
    }

    /// A node that has taken its snapshot.
    async fn connect_and_sync(&self) -> Node {
        let node = self.connect().await;
        while node.told().await != "end of snapshot" {}
        node
    }
}

impl Node {
    async fn say(&self, bytes: &[u8]) {
        self.channel.send(bytes, None).await.unwrap();
    }

    async fn ack(&self, error: &str) {
        let payload = Some(workload_response::Payload::Ack(Ack { error: error.into() }));
        self.say(&WorkloadResponse { payload }.encode_to_vec()).await;
    }

    /// The next request in words, and the namespace that came with it; not yet acknowledged.
    async fn hear(&self) -> (String, Option<NetnsId>) {
        let packet = timeout(Duration::from_secs(60), self.channel.receive(PACKET_LIMIT)).await;
        let mut packet = packet.expect("a request comes in time").unwrap().expect("the session is open");
        assert!(packet.fds.len() < 2 && !packet.truncated);
        let netns = packet.fds.pop().map(|fd| Netns::from_fd(fd).unwrap().id());
        let words = match WorkloadRequest::decode(&packet.bytes[..]).unwrap().payload.unwrap() {
            Payload::Add(add) => {
                let info = add.workload_info.unwrap();
                format!("add {} {}/{}/{}", add.uid, info.namespace, info.name, info.service_account)
            }
            Payload::Del(del) => format!("delete {}", del.uid),
            Payload::Keep(keep) => format!("keep {}", keep.uid),
            Payload::SnapshotSent(_) => "end of snapshot".into(),
        };
        assert_eq!(netns.is_some(), words.starts_with("add"), "{words}");
        (words, netns)
    }

    /// The next request, acknowledged.
    async fn told(&self) -> String {
        let (words, _) = self.hear().await;
        self.ack("").await;
        words
    }

    async fn end(self) -> Result<(), Error> {
        drop(self.channel);
        timeout(Duration::from_secs(60), self.session).await.expect("the session ends").unwrap()
    }

    /// How the agent ends the session, seen from the other side too.
    async fn closed_by_agent(self) -> Error {
        let error = timeout(Duration::from_secs(60), self.session).await.expect("the session ends").unwrap();
        while self.channel.receive(PACKET_LIMIT).await.unwrap().is_some() {}
        error.expect_err("the session ends with an error")
    }
}

#[tokio::test]
async fn the_snapshot_is_pods_with_their_namespaces_and_then_its_end() {
    let (a, b) = (pod("a-1"), pod("b-1"));
    let agent = Agent::with(&[("a", &a), ("b", &b), ("c", &Entry::Keep)]);
    let node = agent.connect().await;
    assert_eq!(node.hear().await, ("add a shop/a-1/sa".into(), Some(id(&a))));
    node.ack("").await;
    assert_eq!(node.hear().await, ("add b shop/b-1/sa".into(), Some(id(&b))));
    node.ack("").await;
    assert_eq!(node.told().await, "keep c");
    assert_eq!(node.told().await, "end of snapshot");
    node.end().await.unwrap();
}

#[tokio::test]
async fn nothing_is_said_before_the_hello_and_before_the_pods_are_known() {
    let agent = Agent::new();
    let node = agent.connect().await;
    agent.publish(&[]);
    assert_eq!(node.told().await, "end of snapshot");
    node.end().await.unwrap();
    let node = agent.connect().await;
    assert_eq!(node.told().await, "end of snapshot");
    drop(agent);
    node.end().await.unwrap();
}

#[tokio::test]
async fn the_agent_may_exit_before_it_knows_its_pods() {
    let agent = Agent::new();
    let node = agent.connect().await;
    drop(agent);
    assert!(node.channel.receive(PACKET_LIMIT).await.unwrap().is_none());
    node.end().await.unwrap();
}

#[tokio::test]
async fn a_wrong_hello_closes_the_session() {
    let agent = Agent::with(&[]);
    for hello in [&[0x08, 0x02][..], &[0xff], &[0x08; 2000]] {
        let node = agent.accept();
        node.say(hello).await;
        assert!(matches!(node.closed_by_agent().await, Error::WrongHello(_)), "{hello:x?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_silent_node_is_closed_after_the_hello_deadline() {
    let node = Agent::with(&[]).accept();
    let begin = Instant::now();
    assert!(matches!(node.closed_by_agent().await, Error::NoHello));
    assert_eq!(begin.elapsed().as_secs(), HELLO_DEADLINE.as_secs());
}

#[tokio::test]
async fn a_silent_node_does_not_take_the_newest_place() {
    let agent = Agent::with(&[]);
    let node = agent.connect_and_sync().await;
    let _silent = agent.accept();
    agent.publish(&[("a", &pod("a"))]);
    assert_eq!(node.told().await, "add a shop/a/sa");
}

#[tokio::test]
async fn a_node_that_leaves_at_once_is_no_error() {
    Agent::with(&[]).accept().end().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_node_that_does_not_answer_is_closed() {
    let begin = Instant::now();
    let node = Agent::with(&[("a", &pod("a"))]).connect().await;
    assert!(matches!(node.closed_by_agent().await, Error::NoAnswer { .. }));
    assert!(begin.elapsed() >= ANSWER_DEADLINE, "{:?}", begin.elapsed());
}

#[tokio::test]
async fn a_wrong_answer_or_an_unasked_packet_closes_the_session() {
    let agent = Agent::with(&[("a", &pod("a"))]);
    for answer in [&[0xff][..], &[0x12, 0x00], &[0x0a; 2000]] {
        let node = agent.connect().await;
        node.hear().await;
        node.say(answer).await;
        assert!(matches!(node.closed_by_agent().await, Error::WrongAnswer(..)), "{answer:x?}");
    }
    let node = agent.connect_and_sync().await;
    node.ack("").await;
    assert!(matches!(node.closed_by_agent().await, Error::Unasked));
}

#[tokio::test]
async fn a_node_that_leaves_instead_of_answering_is_an_error() {
    let node = Agent::with(&[("a", &pod("a"))]).connect().await;
    node.hear().await;
    assert!(matches!(node.end().await, Err(Error::Abandoned(Request::Add(..)))));
}

#[tokio::test]
async fn a_refused_pod_does_not_stop_the_snapshot_and_is_tried_again_later() {
    let (a, b) = (pod("a"), pod("b"));
    let agent = Agent::with(&[("a", &a), ("b", &b)]);
    let node = agent.connect().await;
    assert_eq!(node.hear().await.0, "add a shop/a/sa");
    node.ack("port is taken").await;
    assert_eq!(node.told().await, "add b shop/b/sa");
    assert_eq!(node.told().await, "end of snapshot");
    let begin = Instant::now();
    assert_eq!(node.hear().await, ("add a shop/a/sa".into(), Some(id(&a))));
    node.ack("").await;
    assert!(begin.elapsed() >= Duration::from_millis(900), "{:?}", begin.elapsed());
    node.end().await.unwrap();
}

#[tokio::test]
async fn pods_come_and_go_after_the_snapshot() {
    let (a, b) = (pod("a"), pod("b"));
    let agent = Agent::with(&[("a", &a)]);
    let node = agent.connect_and_sync().await;
    agent.publish(&[("a", &a), ("b", &b)]);
    assert_eq!(node.hear().await, ("add b shop/b/sa".into(), Some(id(&b))));
    node.ack("").await;
    agent.publish(&[("b", &b)]);
    assert_eq!(node.told().await, "delete a");
    // A pod that is not ready is not offered, and a keep has no place after the snapshot.
    agent.publish(&[("b", &b), ("c", &Entry::Keep)]);
    agent.publish(&[("c", &Entry::Keep)]);
    assert_eq!(node.told().await, "delete b");
    node.end().await.unwrap();
}

#[tokio::test]
async fn a_kept_pod_is_added_when_it_is_ready_and_deleted_when_it_leaves() {
    let agent = Agent::with(&[("a", &Entry::Keep), ("b", &Entry::Keep)]);
    let node = agent.connect_and_sync().await;
    let a = pod("a");
    agent.publish(&[("a", &a)]);
    let heard = [node.told().await, node.told().await];
    assert_eq!(heard, ["delete b", "add a shop/a/sa"]);
}

#[tokio::test]
async fn a_changed_pod_is_deleted_and_added() {
    let (old, new) = (pod("old"), pod("new"));
    let agent = Agent::with(&[("a", &old)]);
    let node = agent.connect_and_sync().await;
    agent.publish(&[("a", &new)]);
    assert_eq!(node.told().await, "delete a");
    assert_eq!(node.hear().await, ("add a shop/new/sa".into(), Some(id(&new))));
}

#[tokio::test]
async fn adds_go_to_the_newest_node_and_deletes_to_all() {
    let (a, b) = (pod("a"), pod("b"));
    let agent = Agent::with(&[("a", &a)]);
    let old = agent.connect_and_sync().await;
    let new = agent.connect_and_sync().await;
    agent.publish(&[("a", &a), ("b", &b)]);
    assert_eq!(new.told().await, "add b shop/b/sa");
    agent.publish(&[("b", &b)]);
    // The old node hears of the removal only: it was never told the addition.
    assert_eq!(old.told().await, "delete a");
    assert_eq!(new.told().await, "delete a");
    // When the newest leaves, the other one is the newest again.
    new.end().await.unwrap();
    assert_eq!(old.told().await, "add b shop/b/sa");
}

#[tokio::test]
async fn one_nodes_trouble_is_not_the_others() {
    let a = pod("a");
    let agent = Agent::with(&[]);
    let good = agent.connect_and_sync().await;
    let bad = agent.connect_and_sync().await;
    bad.say(&[0xff]).await;
    assert!(matches!(bad.closed_by_agent().await, Error::Unasked));
    agent.publish(&[("a", &a)]);
    assert_eq!(good.told().await, "add a shop/a/sa");
}

#[tokio::test]
async fn the_last_changes_are_told_before_the_agent_leaves() {
    let a = pod("a");
    let agent = Agent::with(&[("a", &a)]);
    let node = agent.connect_and_sync().await;
    agent.publish(&[]);
    drop(agent);
    assert_eq!(node.told().await, "delete a");
    assert!(node.channel.receive(PACKET_LIMIT).await.unwrap().is_none());
}
