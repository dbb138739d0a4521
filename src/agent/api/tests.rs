//! Questions to an agent whose cluster and enrolment are played by the test.

use std::sync::Mutex;
use std::time::SystemTime;

use culvert_sys::netns::{Netns, NetnsId};
use futures::future::BoxFuture;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use self::cluster::{pod, view};
use super::*;
use crate::board::{Board, State, Status};
use crate::cluster::{PodView, View, Why, Wish};
use crate::durable::tests::Scratch;
use crate::pod::{Uid, Workload};
use crate::presence::Presence;

mod asking;
pub(crate) mod cluster;
mod pods;
mod starting;
mod unheard;

/// For tests that wait until the agent waits no more.
const IMPATIENT: Patience = Patience { find: Duration::from_millis(300), enrol: Duration::from_millis(300) };

/// An API server that says what it is told to.
#[derive(Debug, Default)]
struct Scripted {
    /// Nobody can be asked where there is nothing.
    says: Mutex<Option<Presence>>,
    asked: Mutex<Vec<String>>,
}

impl Registry for Scripted {
    fn presence<'a>(&'a self, namespace: &'a str, name: &'a str) -> BoxFuture<'a, Presence> {
        self.asked.lock().unwrap().push(format!("{namespace}/{name}"));
        let silence = || Presence::Silence("no route to host".to_owned());
        let says = self.says.lock().unwrap().clone().unwrap_or_else(silence);
        Box::pin(std::future::ready(says))
    }
}

/// An agent, its cluster and its enrolment.
struct Agent {
    scratch: Scratch,
    views: watch::Sender<Option<Arc<View>>>,
    registry: Arc<Scripted>,
    boards: watch::Sender<Arc<Board>>,
    handed: Handed,
    task: JoinHandle<()>,
}

impl Agent {
    fn start(view: Option<View>) -> Self {
        Self::launch(view, Patience::default())
    }

    fn impatient(view: Option<View>) -> Self {
        Self::launch(view, IMPATIENT)
    }

    fn launch(view: Option<View>, patience: Patience) -> Self {
        let scratch = Scratch::new();
        let (views, boards) = (watch::channel(view.map(Arc::new)).0, watch::channel(Arc::default()).0);
        let handed = Handed::default();
        let registry = Arc::new(Scripted::default());
        let sources = Sources {
            views: views.subscribe(),
            registry: Arc::clone(&registry) as Arc<dyn Registry>,
            boards: boards.subscribe(),
            handed: handed.clone(),
            host: Host::find(Path::new("/proc")).unwrap(),
            host_prefix: PathBuf::new(),
            patience,
        };
        let task = tokio::spawn(serve(bind(&scratch.join("run/agent.sock")).unwrap(), sources));
        Self { scratch, views, registry, boards, handed, task }
    }

    fn socket(&self) -> PathBuf {
        self.scratch.join("run/agent.sock")
    }

    async fn ask(&self, what: &str, request: &Value) -> (u16, Value) {
        ask(self.socket(), "POST", &format!("/v1/cni/{what}"), request.to_string()).await
    }

    /// Asks without waiting for the answer.
    fn asking(&self, what: &str, request: &Value) -> JoinHandle<(u16, Value)> {
        let (socket, path, body) = (self.socket(), format!("/v1/cni/{what}"), request.to_string());
        tokio::spawn(async move { ask(socket, "POST", &path, body).await })
    }

    async fn until_handed(&self, uid: &str) -> NetnsId {
        let mut changes = self.handed.changes();
        soon(changes.wait_for(|all| all.contains_key(uid))).await.unwrap().get(uid).unwrap().netns.id()
    }

    /// Says what has become of the pod `u`.
    fn post(&self, state: State, netns: Option<NetnsId>, nodes: usize) {
        let status = status(state, netns, nodes);
        self.boards.send_modify(|board| *board = Arc::new([(Uid::from("u"), Arc::new(status))].into()));
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn status(state: State, netns: Option<NetnsId>, nodes: usize) -> Status {
    let workload = Workload { name: "web".into(), namespace: "shop".into(), service_account: "web".into() };
    Status {
        refusal: None,
        workload,
        addresses: [].into(),
        capture: Arc::default(),
        state,
        since: SystemTime::now(),
        netns,
        nodes,
        repairs: 0,
    }
}

fn quarantined(reason: &str) -> State {
    State::Quarantined { reason: reason.into() }
}

/// Less than a pod is waited for.
const ENOUGH: Duration = Duration::from_secs(15);

/// Waits, but not for ever.
async fn soon<T>(work: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(50), work).await.expect("it happens in time")
}

async fn ask(socket: PathBuf, method: &str, path: &str, body: String) -> (u16, Value) {
    soon(ask_for_ever(socket, method, path, body)).await
}

async fn ask_for_ever(socket: PathBuf, method: &str, path: &str, body: String) -> (u16, Value) {
    let mut stream = UnixStream::connect(socket).await.unwrap();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: agent\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{answer:?}"));
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, serde_json::from_str(body).unwrap_or(Value::Null))
}

/// What the plugin says of the pod `u`, `shop/web`.
fn request(netns: &Netns) -> Value {
    json!({
        "containerId": "c1", "netns": netns.path(), "ifname": "eth0", "podNamespace": "shop", "podName": "web",
        "podUid": "u", "addresses": ["10.0.0.7"],
    })
}

fn shop(enrolled: bool) -> View {
    view(&[("shop", true), ("idle", false)], [pod("u", "shop/web", enrolled)])
}

fn reason(answer: &Value) -> &str {
    answer["reason"].as_str().unwrap()
}
