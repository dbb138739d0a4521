//! A node that is not ours, played by the test, with the habits of the one most clusters have. It says hello, reads one request of
//! at most 1024 bytes at a time, answers it, and then reads the next. What makes no sense to it ends it: it is a complaint. When the
//! agent has left it connects again at once; pods it serves stay served until a snapshot does not name them.
//!
//! It serves a pod by listening in the namespace it was given.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv6Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use culvert_lab::{Node, Pod, wait_until};
use culvert_sys::netns::Netns;
use culvert_sys::seqpacket::{Channel, Packet};
use prost::Message as _;
use socket2::{Domain, Socket, Type};
use tokio::runtime::{Builder, Runtime};
use tokio::time::sleep;

use crate::harness::talk::SOON;
use crate::harness::zds::{self, Add, HELLO, LONGEST, Request, WorkloadInfo, WorkloadRequest};

const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(15);
const PORTS: [u16; 3] = [15001, 15006, 15008];

/// The node. It ends when it is dropped, and its pods are served no more.
pub(super) struct Foreign {
    shared: Arc<Shared>,
    // Dropped after what it runs could have been asked for.
    _running: Runtime,
}

#[derive(Default)]
struct Shared(Mutex<State>);

#[derive(Default)]
struct State {
    served: BTreeMap<String, Served>,
    /// Pods that cannot be served, whatever the agent says.
    impossible: BTreeSet<String>,
    /// How long it takes to serve a pod.
    slowness: Duration,
    heard: Vec<String>,
    sessions: usize,
    started: usize,
    complaints: Vec<String>,
}

struct Served {
    info: WorkloadInfo,
    netns: Netns,
    _listeners: Vec<TcpListener>,
}

/// The pods named since the hello; nothing after the snapshot.
type Named = Option<BTreeSet<String>>;

impl Foreign {
    /// Starts one that takes its time for each pod.
    pub(super) fn start_slow(node: &Node, slowness: Duration) -> Self {
        let shared = Arc::new(Shared(Mutex::new(State { slowness, ..State::default() })));
        let running = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        running.spawn(follow(node.agent_socket(), Arc::clone(&shared)));
        Self { shared, _running: running }
    }

    /// Starts one.
    pub(super) fn start(node: &Node) -> Self {
        Self::start_slow(node, Duration::ZERO)
    }

    /// From now on a pod can be served, or cannot.
    pub(super) fn can_serve(&self, pod: &Pod, can: bool) {
        let mut state = self.shared.state();
        if can {
            state.impossible.remove(pod.uid());
        } else {
            state.impossible.insert(pod.uid().to_owned());
        }
    }

    /// Waits until it serves these pods, each in its namespace and as who it is, and no others.
    #[track_caller]
    pub(super) fn wait_for(&self, pods: &[&Pod]) {
        let what = format!("{} pods are served", pods.len());
        self.wait_until(&what, |state| state.serves_just(pods));
    }

    /// Waits until it has had this many connections, on which it has said hello.
    #[track_caller]
    pub(super) fn wait_for_sessions(&self, count: usize) {
        self.wait_until(&format!("session {count} has begun"), |state| state.sessions >= count);
    }

    /// How often it has begun to serve a pod.
    pub(super) fn started(&self) -> usize {
        self.shared.state().started
    }

    /// How often it has heard this of a pod, or of all.
    pub(super) fn heard(&self, what: &str) -> usize {
        self.shared.state().heard.iter().filter(|heard| *heard == what).count()
    }

    /// Waits until it has heard this.
    #[track_caller]
    pub(super) fn wait_to_hear(&self, what: &str) {
        self.wait_until(&format!("`{what}` was heard"), |state| {
            state.heard.iter().any(|heard| heard == what)
        });
    }

    /// Waits until something is true of it; fails when it has complaints.
    #[track_caller]
    fn wait_until(&self, what: &str, is_true: impl Fn(&State) -> bool) {
        let waited = wait_until(SOON * 3, what, || {
            let state = self.shared.state();
            is_true(&state) || !state.complaints.is_empty()
        });
        let state = self.shared.state();
        waited.unwrap_or_else(|error| panic!("{error}: {}", state.describe()));
        assert_eq!(state.complaints, [""; 0], "{}", state.describe());
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn serves_just(&self, pods: &[&Pod]) -> bool {
        let is_served = |pod: &&Pod| {
            self.served.get(pod.uid()).is_some_and(|served| {
                let WorkloadInfo { name, namespace, service_account } = &served.info;
                let who = [name, namespace, service_account].map(String::as_str);
                who == [pod.name(), pod.namespace(), pod.service_account()]
                    && served.netns.id() == pod.netns().id()
            })
        };
        self.served.len() == pods.len() && pods.iter().all(is_served)
    }

    fn describe(&self) -> String {
        let served: Vec<_> = self.served.values().map(|served| &served.info.name).collect();
        format!("serving {served:?}, heard {:?}, complaints {:?}", self.heard, self.complaints)
    }

    fn add(&mut self, uid: &str, info: WorkloadInfo, netns: Netns) -> Result<(), String> {
        if self.served.get(uid).is_some_and(|served| served.netns.id() == netns.id()) {
            return Ok(());
        }
        self.served.remove(uid);
        if self.impossible.contains(uid) {
            return Err("failure to start proxy : it is impossible".to_owned());
        }
        let listeners = netns.run(listen).map_err(|error| error.to_string())?;
        let listeners = listeners.map_err(|error| format!("failure to start proxy : {error}"))?;
        self.served.insert(uid.to_owned(), Served { info, netns, _listeners: listeners });
        self.started += 1;
        Ok(())
    }
}

/// Listens as nodes do: beside another one, while it is replaced.
fn listen() -> std::io::Result<Vec<TcpListener>> {
    let one = |port| {
        let socket = Socket::new(Domain::IPV6, Type::STREAM, None)?;
        socket.set_only_v6(false)?;
        socket.set_reuse_port(true)?;
        socket.bind(&SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)).into())?;
        socket.listen(16)?;
        Ok(socket.into())
    };
    PORTS.into_iter().map(one).collect()
}

async fn follow(path: PathBuf, shared: Arc<Shared>) {
    let mut pause = FIRST_PAUSE;
    loop {
        let Some(channel) = connect(&path).await else {
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
            continue;
        };
        pause = FIRST_PAUSE;
        if let Err(complaint) = session(&channel, &shared).await {
            shared.state().complaints.push(complaint);
            return;
        }
    }
}

async fn connect(path: &Path) -> Option<Channel> {
    let channel = Channel::connect(path).ok()?;
    channel.send(&HELLO, None).await.ok()?;
    Some(channel)
}

/// Answers one request after the other until the agent has left. An error is what its process would have ended of.
async fn session(channel: &Channel, shared: &Shared) -> Result<(), String> {
    shared.state().sessions += 1;
    let mut named: Named = Some(BTreeSet::new());
    while let Ok(Some(packet)) = channel.receive(LONGEST).await {
        let slowness = shared.state().slowness;
        let (request, netns) = read(packet)?;
        if matches!(request, Request::Add(_)) {
            sleep(slowness).await;
        }
        let error = match handle(request, netns, &mut named, &mut shared.state()) {
            Ok(()) => String::new(),
            Err(Trouble::Refused(reason)) => reason,
            Err(Trouble::Nonsense(complaint)) => return Err(complaint),
        };
        if channel.send(&zds::answer(&error), None).await.is_err() {
            break;
        }
    }
    Ok(())
}

enum Trouble {
    Refused(String),
    Nonsense(String),
}

fn read(mut packet: Packet) -> Result<(Request, Option<Netns>), String> {
    if packet.truncated {
        return Err(format!("a packet longer than {LONGEST} bytes"));
    }
    let request = WorkloadRequest::decode(&packet.bytes[..]).ok().and_then(|request| request.payload);
    let Some(request) = request else { return Err(format!("{packet:?} is no request")) };
    let wanted = usize::from(matches!(request, Request::Add(_)));
    if packet.fds.len() != wanted {
        return Err(format!("{} descriptors with {request:?}", packet.fds.len()));
    }
    let netns = packet.fds.pop().map(Netns::from_fd).transpose();
    netns.map(|netns| (request, netns)).map_err(|error| format!("a descriptor that is {error}"))
}

fn handle(
    request: Request,
    netns: Option<Netns>,
    named: &mut Named,
    state: &mut State,
) -> Result<(), Trouble> {
    let nonsense = |what: &str| Err(Trouble::Nonsense(what.to_owned()));
    match (request, named) {
        (Request::Add(Add { uid, workload_info: Some(info) }), named) => {
            let Some(netns) = netns else { return nonsense("a pod without a namespace") };
            state.heard.push(format!("add {}", info.name));
            named.iter_mut().for_each(|named| named.extend([uid.clone()]));
            state.add(&uid, info, netns).map_err(Trouble::Refused)
        }
        (Request::Add(_), _) => nonsense("a pod that is nobody"),
        (Request::Keep(keep), Some(named)) => {
            state.heard.push("keep".to_owned());
            named.insert(keep.uid);
            Ok(())
        }
        (Request::Delete(delete), named) => {
            state.heard.push("delete".to_owned());
            match named {
                Some(named) => named.retain(|uid| *uid != delete.uid),
                None => state.served.retain(|uid, _| *uid != delete.uid),
            }
            Ok(())
        }
        (Request::SnapshotSent(_), named @ Some(_)) => {
            state.heard.push("end of snapshot".to_owned());
            let named = named.take().unwrap_or_default();
            state.served.retain(|uid, _| named.contains(uid));
            Ok(())
        }
        (Request::Keep(_) | Request::SnapshotSent(_), None) => nonsense("a snapshot after the snapshot"),
    }
}
