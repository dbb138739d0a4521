//! The node's end of the agent connection against a scripted agent on a real socket: what it answers, and when.
//!
//! Pods are real network namespaces: whether one is served is asked of the kernel, by connecting.

use std::os::fd::AsFd as _;

use culvert_proto::zds::{
    AddWorkload, DelWorkload, KeepWorkload, SnapshotSent, WorkloadInfo, WorkloadRequest, WorkloadResponse,
    workload_request::Payload, workload_response,
};
use culvert_sys::netns::Netns;
use culvert_sys::seqpacket::Listener;
use prost::Message as _;

use super::*;
use crate::capture::INBOUND_TUNNEL;
use crate::config::{Config, Environment, IssuerConfig};
use crate::dns::Dns;
use crate::drain::{self, Drain};
use crate::identity::{Identities, Trust, ca};
use crate::proxy::Shared;

mod awkward;

const DEADLINE: Duration = Duration::from_secs(10);

/// The agent's side of one test.
struct Agent {
    listener: Listener,
    node: tokio::task::JoinHandle<Pods>,
    state: State,
    drain: Option<Drain>,
}

impl Agent {
    /// Starts a node that follows this agent.
    fn start(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("culvert-zds-{name}-{}", std::process::id()));
        let listener = Listener::bind(&path).unwrap();
        let state = State::default();
        state.task(TASK);
        let (drain, guard) = drain::channel();
        let mut pods = Pods::new(shared(), state.clone());
        let (mesh, its_state) = (empty_mesh(), state.clone());
        let node = tokio::spawn(async move {
            follow(&path, &mut pods, mesh, &its_state, &guard).await;
            pods
        });
        Self { listener, node, state, drain: Some(drain) }
    }

    /// The next connection of the node, after its hello.
    async fn session(&self) -> Channel {
        let channel = soon(self.listener.accept()).await.unwrap();
        let hello = soon(channel.receive(64)).await.unwrap().unwrap();
        assert_eq!((hello.bytes.as_slice(), hello.fds.len()), (&[8, 1][..], 0), "hello, version 1");
        channel
    }

    fn is_ready(&self) -> bool {
        self.state.pending().is_empty()
    }

    async fn stop(mut self) {
        self.drain.take().unwrap().cut().await;
        soon(self.node).await.unwrap().drain(Duration::ZERO).await;
    }
}

fn empty_mesh() -> Mesh {
    crate::mesh::tests::fixed("workloads: []").unwrap()
}

fn shared() -> Shared {
    let env =
        [("LOCAL_XDS", "workloads: []"), ("CA_ADDRESS", "https://127.0.0.1:1"), ("PACKET_MARK", "1337")];
    let config = Config::read(&Environment::of(env.into_iter())).unwrap();
    let IssuerConfig::Authority(ca) = config.issuer else { panic!("it is the default") };
    let client = ca::Client::new(ca);
    Shared {
        mesh: empty_mesh(),
        identities: Identities::new(client.unwrap(), Trust::default()),
        residents: Default::default(),
        socket: config.socket,
        tunnel: config.tunnel,
        telling: config.telling,
        socks: true,
        set_aside: Default::default(),
        limits: Default::default(),
        ledger: Default::default(),
        liveness: Default::default(),
        dns: Dns::new(config.dns),
    }
}

async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, future).await.expect("in time")
}

/// A pod's namespace, loopback up.
fn pod() -> Netns {
    let netns = Netns::create().unwrap();
    let mut up = std::process::Command::new("ip");
    up.args(["link", "set", "lo", "up"]);
    assert!(culvert_sys::child::start_in(&mut up, &netns).unwrap().status().unwrap().success());
    netns
}

fn is_served(pod: &Netns) -> bool {
    pod.run(|| std::net::TcpStream::connect(("127.0.0.1", INBOUND_TUNNEL)).is_ok()).unwrap()
}

async fn becomes(pod: &Netns, served: bool) {
    soon(async {
        while is_served(pod) != served {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

fn info(uid: &str) -> WorkloadInfo {
    let (namespace, service_account) = ("ns".into(), "sa".into());
    WorkloadInfo { name: uid.into(), namespace, service_account, ..WorkloadInfo::default() }
}

fn add(uid: &str) -> Payload {
    Payload::Add(AddWorkload { uid: uid.into(), workload_info: Some(info(uid)) })
}

fn delete(uid: &str) -> Payload {
    Payload::Del(DelWorkload { uid: uid.into() })
}

fn keep(uid: &str) -> Payload {
    Payload::Keep(KeepWorkload { uid: uid.into() })
}

/// Sends one request and returns the text of its ack.
async fn ask(channel: &Channel, payload: Payload, netns: Option<&Netns>) -> String {
    let bytes = WorkloadRequest { payload: Some(payload) }.encode_to_vec();
    ask_bytes(channel, &bytes, netns).await
}

async fn ask_bytes(channel: &Channel, bytes: &[u8], netns: Option<&Netns>) -> String {
    channel.send(bytes, netns.map(Netns::as_fd)).await.unwrap();
    let packet = soon(channel.receive(1024)).await.unwrap().unwrap();
    assert!(!packet.truncated, "the agent reads acks into 1024 bytes");
    let response = WorkloadResponse::decode(packet.bytes.as_slice()).unwrap();
    let Some(workload_response::Payload::Ack(ack)) = response.payload else { panic!("not an ack") };
    ack.error
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_acked_pod_is_served_and_a_deleted_one_is_not() {
    let agent = Agent::start("serve");
    let (channel, one) = (agent.session().await, pod());
    assert_eq!(ask(&channel, add("one"), Some(&one)).await, "");
    assert!(is_served(&one), "listeners are open before the ack");
    assert!(!agent.is_ready(), "not ready before the snapshot is complete");
    assert_eq!(ask(&channel, Payload::SnapshotSent(SnapshotSent {}), None).await, "");
    assert!(agent.is_ready());
    assert_eq!(ask(&channel, add("one"), Some(&one)).await, "", "the same again is fine");
    assert_eq!(ask(&channel, delete("one"), None).await, "");
    becomes(&one, false).await;
    assert_eq!(ask(&channel, delete("never seen"), None).await, "");
    agent.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_ends_pods_it_does_not_name_and_keeps_those_it_does() {
    let agent = Agent::start("snapshot");
    let (first, kept, gone) = (agent.session().await, pod(), pod());
    assert_eq!(ask(&first, add("kept"), Some(&kept)).await, "");
    assert_eq!(ask(&first, add("gone"), Some(&gone)).await, "");
    assert_eq!(ask(&first, Payload::SnapshotSent(SnapshotSent {}), None).await, "");
    drop(first);
    let second = agent.session().await;
    assert!(is_served(&kept) && is_served(&gone), "an agent that went away changes nothing");
    assert!(agent.is_ready(), "an agent's restart does not make the node unready");
    assert_eq!(ask(&second, keep("kept"), None).await, "");
    assert_eq!(ask(&second, Payload::SnapshotSent(SnapshotSent {}), None).await, "");
    becomes(&gone, false).await;
    assert!(is_served(&kept));
    agent.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_that_make_no_sense_are_refused_and_the_session_goes_on() {
    let agent = Agent::start("nonsense");
    let (channel, one) = (agent.session().await, pod());
    let bare = Payload::Add(AddWorkload { uid: "bare".into(), workload_info: None });
    for (bytes, netns, part) in [
        (vec![0xff, 0xff], None, "cannot be decoded"),
        (vec![0x32, 0x00], None, "of a kind this version does not know"),
        (WorkloadRequest { payload: Some(add("x")) }.encode_to_vec(), None, "exactly one descriptor"),
        (WorkloadRequest { payload: Some(keep("x")) }.encode_to_vec(), Some(&one), "only AddWorkload"),
        (WorkloadRequest { payload: Some(bare) }.encode_to_vec(), Some(&one), "names no workload"),
        (
            WorkloadRequest { payload: Some(add(&"x".repeat(2000))) }.encode_to_vec(),
            Some(&one),
            "longer than 1024 bytes",
        ),
    ] {
        let error = ask_bytes(&channel, &bytes, netns).await;
        assert!(error.contains(part) && !error.is_empty(), "{error}");
    }
    assert_eq!(ask(&channel, Payload::SnapshotSent(SnapshotSent {}), None).await, "");
    for misplaced in [Payload::SnapshotSent(SnapshotSent {}), keep("one")] {
        assert!(ask(&channel, misplaced, None).await.contains("after the snapshot"));
    }
    assert_eq!(ask(&channel, add("one"), Some(&one)).await, "");
    assert!(is_served(&one));
    agent.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pod_that_cannot_be_served_is_set_aside_and_tried_again() {
    let agent = Agent::start("aside");
    let (channel, taken, fine) = (agent.session().await, pod(), pod());
    let squatter = taken.run(|| std::net::TcpListener::bind(("0.0.0.0", INBOUND_TUNNEL)).unwrap()).unwrap();
    let error = ask(&channel, add("taken"), Some(&taken)).await;
    assert!(error.contains("failure to start proxy") && error.contains("15008"), "{error}");
    assert_eq!(ask(&channel, add("fine"), Some(&fine)).await, "");
    assert_eq!(ask(&channel, Payload::SnapshotSent(SnapshotSent {}), None).await, "");
    assert!(agent.is_ready(), "one pod's trouble does not make the node unready");
    let states = agent.state.pods().into_iter().map(|pod| (pod.uid, pod.state)).collect::<Vec<_>>();
    assert!(
        states.contains(&("taken".into(), "Pending")) && states.contains(&("fine".into(), "Up")),
        "{states:?}"
    );
    drop(squatter);
    soon(async {
        while agent.state.pods().iter().any(|pod| pod.state == "Pending") {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert!(is_served(&taken));
    agent.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_application_at_the_port_of_socks_does_without_it_and_without_nothing_else() {
    let agent = Agent::start("socks");
    let (channel, one) = (agent.session().await, pod());
    let squatter = one.run(|| std::net::TcpListener::bind(("0.0.0.0", crate::socks::PORT)).unwrap()).unwrap();
    assert_eq!(ask(&channel, add("one"), Some(&one)).await, "");
    assert!(is_served(&one));
    drop(squatter);
    let speaks = || {
        let connected = std::net::TcpStream::connect(("127.0.0.1", crate::socks::PORT));
        connected.is_ok()
    };
    soon(async {
        while !one.run(speaks).unwrap() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    agent.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_uid_in_another_namespace_moves_there() {
    let agent = Agent::start("move");
    let (channel, old, new) = (agent.session().await, pod(), pod());
    assert_eq!(ask(&channel, add("one"), Some(&old)).await, "");
    assert_eq!(ask(&channel, add("one"), Some(&new)).await, "");
    assert!(is_served(&new));
    becomes(&old, false).await;
    agent.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_pods_in_one_namespace_are_not_both_served() {
    let agent = Agent::start("shared");
    let (channel, one) = (agent.session().await, pod());
    assert_eq!(ask(&channel, add("one"), Some(&one)).await, "");
    let error = ask(&channel, add("two"), Some(&one)).await;
    assert!(error.contains("same network namespace"), "{error}");
    agent.stop().await;
}

#[test]
fn an_agent_is_told_that_descriptors_are_used_up_and_what_to_do() {
    let bytes = WorkloadRequest { payload: Some(add("one")) }.encode_to_vec();
    let packet = Packet { bytes, fds: Vec::new(), truncated: false, lost_fds: true };
    let said = Request::read(packet).unwrap_err().to_string();
    let limit = culvert_sys::limits::open_files().unwrap();
    assert!(said.contains(&format!("may have {limit} files open")) && said.contains("ulimit -n"), "{said}");
}

#[tokio::test]
async fn an_agent_that_closes_at_once_is_not_reconnected_to_in_a_loop() {
    let agent = Agent::start("closing");
    let started = tokio::time::Instant::now();
    for _ in 0..6 {
        drop(soon(agent.listener.accept()).await.unwrap());
    }
    // Pauses of 20, 40, 80, 160 and 320 ms, each shortened by a fifth at the most.
    assert!(started.elapsed() >= Duration::from_millis(490), "{:?}", started.elapsed());
    agent.stop().await;
}
