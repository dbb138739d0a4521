//! An agent that is not ours, played by the test, with the habits of the one most clusters have. It asks one thing at a time, reads
//! answers of 1024 bytes within 5 s, holds back what happens to pods until its snapshot is taken, gives new pods to the node that
//! came last and tells all of those that go. Every 5 s without a word it looks for 10 ms whether there is one, or whether the node
//! has left. Whatever it could not live with is a complaint.

use std::collections::BTreeMap;
use std::os::fd::AsFd as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use culvert_lab::{Node, Pod, wait_until};
use culvert_sys::netns::Netns;
use culvert_sys::seqpacket::{Channel, Listener};
use prost::Message as _;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{interval, timeout};

use crate::harness::talk::SOON;
use crate::harness::zds::{
    self, Ack, Add, Delete, HELLO, Keep, LONGEST, Request, Response, SnapshotSent, WorkloadInfo,
    WorkloadResponse,
};

/// For the hello, for sending, and for each answer.
const DEADLINE: Duration = Duration::from_secs(5);
/// At most five nodes a second are taken.
const BETWEEN_NODES: Duration = Duration::from_millis(200);
const QUIET: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_millis(10);

/// The agent. It ends when it is dropped, and can be stopped and started before.
pub(super) struct Agent {
    socket: PathBuf,
    shared: Arc<Shared>,
    running: Mutex<Option<Runtime>>,
}

#[derive(Default)]
struct Shared(Mutex<State>);

#[derive(Default)]
struct State {
    pods: BTreeMap<String, Known>,
    /// In the order in which they came.
    nodes: Vec<Connected>,
    came: u64,
    looks: usize,
    /// The longest a node took for an answer.
    slowest: Duration,
    complaints: Vec<String>,
}

/// What the agent knows of a pod. It may have lost the namespace, when it has just started.
#[derive(Clone)]
struct Known {
    info: WorkloadInfo,
    netns: Option<Arc<Netns>>,
}

struct Connected {
    number: u64,
    has_snapshot: bool,
    orders: mpsc::UnboundedSender<Order>,
}

struct Order {
    what: Request,
    netns: Option<Arc<Netns>>,
    answer: oneshot::Sender<Result<(), String>>,
}

/// Why a connection is over.
enum Over {
    Left,
    Complaint(String),
}

impl Agent {
    /// Starts one for a node.
    pub(super) fn start(node: &Node) -> Self {
        let (shared, running) = (Arc::default(), Mutex::default());
        let agent = Self { socket: node.agent_socket(), shared, running };
        agent.resume();
        agent
    }

    /// Ends: all its connections break. What it knows of pods it will find again.
    pub(super) fn stop(&self) {
        drop(self.running.lock().unwrap().take());
        self.shared.state().nodes.clear();
    }

    /// Starts again.
    pub(super) fn resume(&self) {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(async { Listener::bind(&self.socket).unwrap() });
        runtime.spawn(accept(listener, Arc::clone(&self.shared)));
        *self.running.lock().unwrap() = Some(runtime);
    }

    /// Knows a pod, and tells no node: one that comes later hears of it.
    pub(super) fn know(&self, pod: &Pod) {
        let (name, namespace) = (pod.name().to_owned(), pod.namespace().to_owned());
        let info = WorkloadInfo { name, namespace, service_account: pod.service_account().to_owned() };
        let known = Known { info, netns: Some(Arc::clone(pod.netns())) };
        self.shared.state().pods.insert(pod.uid().to_owned(), known);
    }

    /// Knows a pod that is nothing but a namespace.
    pub(super) fn know_bare(&self, name: &str, netns: Netns) {
        let text = || name.to_owned();
        let info = WorkloadInfo { name: text(), namespace: text(), service_account: text() };
        self.shared.state().pods.insert(text(), Known { info, netns: Some(Arc::new(netns)) });
    }

    /// Has lost the namespace of a pod.
    pub(super) fn lose(&self, pod: &Pod) {
        self.shared.state().pods.get_mut(pod.uid()).unwrap().netns = None;
    }

    /// Gives a pod to the node that came last; what that answers.
    pub(super) fn add(&self, pod: &Pod) -> Result<(), String> {
        self.know(pod);
        let state = self.shared.state();
        let newest = state.nodes.last().ok_or("no node is connected")?;
        let (what, netns) = state.pods[pod.uid()].add(pod.uid());
        let answer = newest.order(what, netns);
        drop(state);
        wait(answer)
    }

    /// Takes a pod from all nodes; what those answer.
    pub(super) fn delete(&self, pod: &Pod) -> Vec<Result<(), String>> {
        let mut state = self.shared.state();
        state.pods.remove(pod.uid());
        let what = Request::Delete(Delete { uid: pod.uid().to_owned() });
        let answers: Vec<_> = state.nodes.iter().map(|node| node.order(what.clone(), None)).collect();
        drop(state);
        answers.into_iter().map(wait).collect()
    }

    /// Waits until this many nodes are connected and have taken their snapshots.
    #[track_caller]
    pub(super) fn wait_for_nodes(&self, count: usize) {
        let have = || self.shared.state().nodes.iter().filter(|node| node.has_snapshot).count();
        wait_until(SOON * 3, &format!("{count} nodes are there"), || have() == count).unwrap();
    }

    /// Waits until it has looked at quiet connections this many times more, and fails if they were not.
    #[track_caller]
    pub(super) fn wait_for_looks(&self, count: usize) {
        let looks = || self.shared.state().looks;
        let before = looks();
        wait_until(SOON * 3, "connections were looked at", || looks() >= before + count).unwrap();
        self.assert_content();
    }

    /// The longest a node took for an answer.
    pub(super) fn slowest(&self) -> Duration {
        self.shared.state().slowest
    }

    /// Fails when it has complaints.
    #[track_caller]
    pub(super) fn assert_content(&self) {
        assert_eq!(self.shared.state().complaints, [""; 0]);
    }
}

#[track_caller]
fn wait(answer: oneshot::Receiver<Result<(), String>>) -> Result<(), String> {
    answer.blocking_recv().unwrap_or_else(|_| Err("the connection broke".to_owned()))
}

impl Connected {
    fn order(&self, what: Request, netns: Option<Arc<Netns>>) -> oneshot::Receiver<Result<(), String>> {
        let (answer, answered) = oneshot::channel();
        // A connection that is over drops what it is ordered, and says so by that.
        let _ = self.orders.send(Order { what, netns, answer });
        answered
    }
}

impl Known {
    fn add(&self, uid: &str) -> (Request, Option<Arc<Netns>>) {
        let add = Add { uid: uid.to_owned(), workload_info: Some(self.info.clone()) };
        (Request::Add(add), self.netns.clone())
    }

    /// What a snapshot says of it.
    fn snapshot(&self, uid: &str) -> (Request, Option<Arc<Netns>>) {
        match self.netns {
            Some(_) => self.add(uid),
            None => (Request::Keep(Keep { uid: uid.to_owned() }), None),
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn accept(listener: Listener, shared: Arc<Shared>) {
    let mut pace = interval(BETWEEN_NODES);
    loop {
        pace.tick().await;
        let channel = listener.accept().await.unwrap();
        tokio::spawn(run(channel, Arc::clone(&shared)));
    }
}

async fn run(channel: Channel, shared: Arc<Shared>) {
    let number = {
        let mut state = shared.state();
        state.came += 1;
        state.came
    };
    let over = serve(&channel, number, &shared).await.unwrap_err();
    let mut state = shared.state();
    state.nodes.retain(|node| node.number != number);
    if let Over::Complaint(complaint) = over {
        state.complaints.push(format!("connection {number}: {complaint}"));
    }
}

async fn serve(channel: &Channel, number: u64, shared: &Shared) -> Result<(), Over> {
    let hello = hear(channel, "hello").await?;
    if hello != HELLO {
        return Err(Over::Complaint(format!("{hello:x?} is no hello")));
    }
    let (orders, mut events) = mpsc::unbounded_channel();
    // What happens to pods from here on waits in the channel.
    let snapshot: Vec<_> = {
        let mut state = shared.state();
        state.nodes.push(Connected { number, has_snapshot: false, orders });
        state.pods.iter().map(|(uid, pod)| pod.snapshot(uid)).collect()
    };
    for (what, netns) in snapshot.into_iter().chain([(Request::SnapshotSent(SnapshotSent {}), None)]) {
        let asked = Instant::now();
        let answer = ask(channel, what, netns).await?;
        let mut state = shared.state();
        state.slowest = state.slowest.max(asked.elapsed());
        if let Err(refusal) = answer {
            state.complaints.push(format!("connection {number}, in the snapshot: {refusal}"));
        }
    }
    for node in &mut shared.state().nodes {
        node.has_snapshot |= node.number == number;
    }
    loop {
        match timeout(QUIET, events.recv()).await {
            Ok(Some(order)) => {
                let answer = ask(channel, order.what, order.netns).await?;
                // The test may have given up.
                let _ = order.answer.send(answer);
            }
            Ok(None) => return Err(Over::Left),
            Err(_) => look(channel, shared).await?,
        }
    }
}

/// Sends a request, and hears the answer: done, or the node's reason.
async fn ask(
    channel: &Channel,
    what: Request,
    netns: Option<Arc<Netns>>,
) -> Result<Result<(), String>, Over> {
    let words = format!("{what:?}");
    let (bytes, fd) = (zds::request(what), netns.as_deref().map(Netns::as_fd));
    match timeout(DEADLINE, channel.send(&bytes, fd)).await {
        Ok(Ok(())) => {}
        Ok(Err(_)) => return Err(Over::Left),
        Err(_) => return Err(Over::Complaint(format!("{words} was not taken in time"))),
    }
    let bytes = hear(channel, &words).await?;
    match WorkloadResponse::decode(&bytes[..]).map(|response| response.payload) {
        Ok(Some(Response::Ack(Ack { error }))) if error.is_empty() => Ok(Ok(())),
        Ok(Some(Response::Ack(Ack { error }))) => Ok(Err(error)),
        Ok(None) | Err(_) => Err(Over::Complaint(format!("{bytes:x?} is no answer to {words}"))),
    }
}

async fn hear(channel: &Channel, what: &str) -> Result<Vec<u8>, Over> {
    match timeout(DEADLINE, channel.receive(LONGEST)).await {
        Ok(Ok(Some(packet))) if !packet.truncated && packet.fds.is_empty() => Ok(packet.bytes),
        Ok(Ok(Some(packet))) => Err(Over::Complaint(format!("{packet:?} after {what}"))),
        Ok(Ok(None) | Err(_)) => Err(Over::Left),
        Err(_) => Err(Over::Complaint(format!("no answer in time to {what}"))),
    }
}

/// A connection on which nothing is asked has to be quiet.
async fn look(channel: &Channel, shared: &Shared) -> Result<(), Over> {
    match timeout(LOOK, channel.receive(LONGEST)).await {
        Err(_) => {
            shared.state().looks += 1;
            Ok(())
        }
        Ok(Ok(Some(packet))) => Err(Over::Complaint(format!("{packet:?}, and nothing was asked"))),
        Ok(Ok(None) | Err(_)) => Err(Over::Left),
    }
}
