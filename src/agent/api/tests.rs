//! Questions to an agent whose cluster and enrolment are played by the test.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};
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

pub(crate) mod cluster;
mod pods;

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

#[tokio::test]
async fn a_pod_starts_once_it_is_protected_in_the_very_namespace_it_was_given() {
    let (netns, other) = (Netns::create().unwrap(), Netns::create().unwrap());
    let agent = Agent::start(Some(shop(true)));
    // What was said of an earlier sandbox is about that one.
    agent.post(State::Enrolled, Some(other.id()), 1);
    let answer = agent.asking("add", &request(&netns));
    assert_eq!(agent.until_handed("u").await, netns.id());
    for (state, at, nodes) in [
        (State::Awaited, None, 0),
        (State::Programming, Some(netns.id()), 0),
        (State::Enrolled, Some(netns.id()), 0),
        (State::Enrolled, Some(other.id()), 1),
        (State::Impaired { reason: "x".into() }, Some(netns.id()), 1),
        (quarantined("of the earlier one"), Some(other.id()), 0),
    ] {
        agent.post(state.clone(), at, nodes);
        // The answer would be sent before this one is: there is one thread.
        agent.ask("check", &request(&netns)).await;
        assert!(!answer.is_finished(), "{state:?} {at:?} {nodes}");
    }
    agent.post(State::Enrolled, Some(netns.id()), 1);
    assert_eq!(soon(answer).await.unwrap(), (200, json!({"enrolled": true})));
    assert!(agent.handed.of(&"u".into()).is_some());

    let check = agent.ask("check", &request(&netns)).await;
    assert_eq!(check, (200, json!({"enrolled": true})));
    assert_eq!(agent.ask("check", &request(&other)).await.0, 503);
}

#[tokio::test]
async fn a_pod_that_cannot_be_captured_hears_why_and_its_namespace_is_forgotten() {
    let netns = Netns::create().unwrap();
    let agent = Agent::start(Some(shop(true)));
    let old = quarantined("left from the last attempt");
    agent.post(old, None, 0);
    let answer = agent.asking("add", &request(&netns));
    agent.until_handed("u").await;
    agent.ask("check", &request(&netns)).await;
    assert!(!answer.is_finished(), "that was before the namespace was known");
    agent.post(quarantined("iptables is broken"), Some(netns.id()), 0);
    let (status, refusal) = soon(answer).await.unwrap();
    assert_eq!((status, reason(&refusal), &refusal["ready"]), (503, "iptables is broken", &json!(true)));
    assert!(agent.handed.of(&"u".into()).is_none());
}

#[tokio::test]
async fn what_fails_again_in_the_new_namespace_is_told_at_once() {
    let netns = Netns::create().unwrap();
    let agent = Agent::start(Some(shop(true)));
    agent.post(quarantined("iptables is broken"), None, 0);
    let answer = agent.asking("add", &request(&netns));
    agent.until_handed("u").await;
    agent.boards.send_modify(|board| {
        let tried_again = Status { netns: Some(netns.id()), ..Status::clone(&board["u"]) };
        *board = Arc::new([(Uid::from("u"), Arc::new(tried_again))].into());
    });
    let (_, refusal) = timeout(ENOUGH, answer).await.expect("long before the deadline").unwrap();
    assert_eq!(reason(&refusal), "iptables is broken");
}

#[tokio::test]
async fn a_pod_nobody_serves_is_not_waited_for_longer_than_the_plugin_waits() {
    let netns = Netns::create().unwrap();
    let agent = Agent::start(Some(shop(true)));
    agent.post(State::Enrolled, Some(netns.id()), 0);
    let start = Instant::now();
    let (status, refusal) = agent.ask("add", &request(&netns)).await;
    assert_eq!(status, 503);
    assert!(reason(&refusal).contains("no node proxy has taken it"), "{refusal}");
    assert!(start.elapsed() < Duration::from_secs(25), "{:?}", start.elapsed());
    assert!(agent.handed.of(&"u".into()).is_none());
}

#[tokio::test]
async fn a_namespace_is_forgotten_when_the_plugin_has_gone_away() {
    let netns = Netns::create().unwrap();
    let agent = Agent::start(Some(shop(true)));
    let answer = agent.asking("add", &request(&netns));
    agent.until_handed("u").await;
    answer.abort();
    let mut changes = agent.handed.changes();
    soon(changes.wait_for(|all| all.is_empty())).await.unwrap();
}

#[tokio::test]
async fn a_pod_outside_the_mesh_starts_at_once_and_is_not_handed_over() {
    let netns = Netns::create().unwrap();
    let agent = Agent::start(Some(shop(false)));
    for what in ["add", "check"] {
        let (status, answer) = agent.ask(what, &request(&netns)).await;
        assert_eq!((status, &answer["enrolled"]), (200, &json!(false)), "{what}");
        assert!(answer["note"].as_str().unwrap().contains("labelled"), "{answer}");
    }
    assert!(agent.handed.of(&"u".into()).is_none());
}

#[tokio::test]
async fn a_pod_is_waited_for_until_the_cluster_tells_of_it() {
    let netns = Netns::create().unwrap();
    let agent = Agent::start(None);
    let answer = agent.asking("add", &request(&netns));
    // A pod of the same name that is not this one.
    agent.views.send_replace(Some(Arc::new(view(&[("shop", true)], [pod("older", "shop/web", false)]))));
    assert_eq!(agent.ask("check", &request(&netns)).await.0, 503);
    assert!(!answer.is_finished());
    agent.views.send_replace(Some(Arc::new(shop(true))));
    assert_eq!(agent.until_handed("u").await, netns.id());
    agent.post(State::Enrolled, Some(netns.id()), 1);
    assert_eq!(soon(answer).await.unwrap().0, 200);
}

#[tokio::test]
async fn an_unknown_pod_starts_only_where_nothing_is_in_the_mesh() {
    let netns = Netns::create().unwrap();
    let agent = Agent::start(Some(view(
        &[("shop", true), ("tools", false), ("idle", false)],
        [pod("t", "tools/one", true)],
    )));
    let start = Instant::now();
    let ask = |namespace: &str| {
        let mut request = request(&netns);
        request["podNamespace"] = json!(namespace);
        agent.asking("add", &request)
    };
    let answers = ["shop", "tools", "unheard-of", "idle"].map(|namespace| (namespace, ask(namespace)));
    for (namespace, answer) in answers {
        let (status, answer) = soon(answer).await.unwrap();
        if namespace == "idle" {
            assert_eq!((status, &answer["enrolled"]), (200, &json!(false)));
            assert!(answer["note"].as_str().unwrap().contains("not heard"), "{answer}");
        } else {
            assert_eq!((status, &answer["ready"]), (503, &json!(true)), "{namespace}");
            assert!(reason(&answer).contains("not heard"), "{answer}");
        }
    }
    assert!(start.elapsed() >= Duration::from_secs(5), "the cluster may be late");
    assert_eq!(*agent.registry.asked.lock().unwrap(), ["idle/web"], "nothing else would help the others");
}

#[tokio::test]
async fn an_unknown_pod_passes_only_when_nobody_can_be_asked_for_it() {
    let netns = Netns::create().unwrap();
    let refused = Presence::Refused("forbidden".to_owned());
    let cases = [
        (Presence::There, "watches are behind"),
        (Presence::Absent, "none of that name"),
        (refused, "forbidden"),
    ];
    let answers = cases.map(|(says, hint)| {
        let agent = Agent::start(Some(view(&[("shop", false)], [])));
        *agent.registry.says.lock().unwrap() = Some(says);
        let answer = agent.asking("add", &request(&netns));
        (agent, answer, hint)
    });
    for (agent, answer, hint) in answers {
        let (status, answer) = soon(answer).await.unwrap();
        assert_eq!((status, &answer["ready"]), (503, &json!(true)), "{answer}");
        assert!(reason(&answer).contains(hint), "{hint}: {answer}");
        assert_eq!(*agent.registry.asked.lock().unwrap(), ["shop/web"]);
    }
}

#[tokio::test]
async fn a_pod_that_is_heard_of_while_the_api_server_is_asked_is_taken_into_the_mesh() {
    #[derive(Debug)]
    struct Late(watch::Sender<Option<Arc<View>>>);

    impl Registry for Late {
        fn presence<'a>(&'a self, _: &'a str, _: &'a str) -> BoxFuture<'a, Presence> {
            self.0.send_replace(Some(Arc::new(shop(true))));
            Box::pin(std::future::ready(Presence::Silence("no route to host".to_owned())))
        }
    }

    let netns = Netns::create().unwrap();
    let (views, boards) =
        (watch::channel(Some(Arc::new(view(&[("shop", false)], [])))).0, watch::channel(Arc::default()).0);
    let sources = Sources {
        views: views.subscribe(),
        registry: Arc::new(Late(views)),
        boards: boards.subscribe(),
        handed: Handed::default(),
        host: Host::find(Path::new("/proc")).unwrap(),
        host_prefix: PathBuf::new(),
    };
    let mut changes = sources.handed.changes();
    let scratch = Scratch::new();
    let socket = scratch.join("agent.sock");
    let _task = tokio::spawn(serve(bind(&socket).unwrap(), sources));
    tokio::spawn(ask(socket, "POST", "/v1/cni/add", request(&netns).to_string()));
    soon(changes.wait_for(|all| all.contains_key("u"))).await.unwrap();
}

#[tokio::test]
async fn an_agent_that_knows_nothing_says_so() {
    let netns = Netns::create().unwrap();
    let agent = Agent::start(None);
    for what in ["add", "check"] {
        let (status, answer) = agent.ask(what, &request(&netns)).await;
        assert_eq!((status, &answer["ready"]), (503, &json!(false)), "{what}: {answer}");
    }
    assert_eq!(ask(agent.socket(), "GET", "/v1/hello", String::new()).await.0, 200);
}

#[tokio::test]
async fn without_a_uid_the_name_counts() {
    let netns = Netns::create().unwrap();
    let agent = Agent::start(Some(shop(true)));
    let mut request = request(&netns);
    request.as_object_mut().unwrap().remove("podUid");
    let answer = agent.asking("add", &request);
    agent.until_handed("u").await;
    agent.post(State::Enrolled, Some(netns.id()), 1);
    assert_eq!(soon(answer).await.unwrap().0, 200);
    assert_eq!(agent.ask("del", &request).await.0, 200);
    assert!(agent.handed.of(&"u".into()).is_none());
}

#[tokio::test]
async fn a_static_pod_starts_though_the_runtime_knows_it_by_another_uid() {
    let netns = Netns::create().unwrap();
    let (_, web) = pod("u", "shop/web", true);
    let mut request = request(&netns);
    request["podUid"] = json!("7d0f0e4e");
    for (wish, status) in [(Wish::Pass(Why::Static), 200), (web.wish.clone(), 503)] {
        let pod = PodView { wish, ..PodView::clone(&web) };
        let agent = Agent::start(Some(view(&[("shop", true)], [("u".into(), Arc::new(pod))])));
        assert_eq!(agent.ask("add", &request).await.0, status);
    }
}

#[tokio::test]
async fn only_the_sandbox_that_was_taken_down_is_forgotten_even_if_its_pod_is_gone() {
    let netns = Arc::new(Netns::create().unwrap());
    let agent = Agent::start(None);
    let sandbox = crate::handed::Sandbox { container: "c2".into(), netns: Arc::clone(&netns) };
    agent.handed.put("u".into(), sandbox);
    assert_eq!(agent.ask("del", &request(&netns)).await.0, 200);
    assert!(agent.handed.of(&"u".into()).is_some(), "c1 was taken down, c2 is there");
    let mut second = request(&netns);
    second["containerId"] = json!("c2");
    assert_eq!(agent.ask("del", &second).await.0, 200);
    assert!(agent.handed.of(&"u".into()).is_none());
}

#[tokio::test]
async fn what_is_no_pods_namespace_is_refused() {
    let netns = Netns::create().unwrap();
    let agent = Agent::start(Some(shop(true)));
    for (path, status, hint) in [
        ("/proc/self/ns/net", 400, "host"),
        ("/run/netns/there-is-none", 503, "mountPropagation"),
        ("/etc/passwd", 503, "not a network namespace"),
        ("/tmp", 503, "not a network namespace"),
    ] {
        let mut request = request(&netns);
        request["netns"] = json!(path);
        let (got, answer) = agent.ask("add", &request).await;
        assert_eq!(got, status, "{path}: {answer}");
        assert!(reason(&answer).contains(hint), "{answer}");
    }
    let mut request = request(&netns);
    request["netns"] = Value::Null;
    assert_eq!(agent.ask("add", &request).await.0, 400);
    assert!(agent.handed.of(&"u".into()).is_none());
}

#[tokio::test]
async fn reasons_of_any_length_are_cut_in_answers_and_in_the_list() {
    let netns = Netns::create().unwrap();
    let agent = Agent::start(Some(shop(true)));
    let answer = agent.asking("add", &request(&netns));
    agent.until_handed("u").await;
    agent.post(quarantined(&"long ".repeat(1 << 20)), Some(netns.id()), 0);
    let (_, refusal) = soon(answer).await.unwrap();
    let (_, pods) = ask(agent.socket(), "GET", "/v1/pods", String::new()).await;
    for text in [reason(&refusal), reason(&pods[0])] {
        assert!(text.starts_with("long long") && text.len() < 3000, "{} bytes", text.len());
    }
}

#[tokio::test]
async fn names_that_are_none_are_refused() {
    let netns = Netns::create().unwrap();
    let agent = Agent::start(Some(shop(true)));
    for (field, value) in
        [("podName", "../x"), ("podNamespace", "shop?a=b"), ("containerId", ""), ("ifname", "a b")]
    {
        let mut request = request(&netns);
        request[field] = json!(value);
        let (status, answer) = agent.ask("add", &request).await;
        assert_eq!(status, 400, "{field}");
        assert!(reason(&answer).contains("cannot be right"), "{answer}");
    }
}

#[test]
fn the_hosts_files_are_looked_for_below_the_prefix() {
    let seen = |prefix: &str| add::seen_from_here(Path::new(prefix), "/var/run/netns/x");
    assert_eq!(seen(""), Path::new("/var/run/netns/x"));
    assert_eq!(seen("/host"), Path::new("/host/var/run/netns/x"));
}

#[tokio::test]
async fn nonsense_is_refused_and_does_no_harm() {
    let agent = Agent::start(Some(shop(true)));
    let huge = json!({ "containerId": "x".repeat(100_000) }).to_string();
    for body in ["", "{", "[]", "{}", huge.as_str()] {
        let (status, answer) = ask(agent.socket(), "POST", "/v1/cni/add", body.to_owned()).await;
        assert_eq!((status, &answer["ready"]), (400, &json!(true)), "{answer}");
    }
    assert_eq!(ask(agent.socket(), "GET", "/v1/cni/add", String::new()).await.0, 405);
    assert_eq!(ask(agent.socket(), "GET", "/v1/nothing", String::new()).await.0, 404);
}

#[tokio::test]
async fn too_many_at_once_are_sent_away_and_hear_hello_all_the_same() {
    let netns = Netns::create().unwrap();
    let agent = Agent::start(None);
    let waiting: Vec<_> = (0..MOST_REQUESTS).map(|_| agent.asking("add", &request(&netns))).collect();
    let refused = async {
        loop {
            let (_, answer) = agent.ask("check", &request(&netns)).await;
            if reason(&answer).contains("requests") {
                return answer;
            }
        }
    };
    let answer = soon(refused).await;
    assert!(reason(&answer).contains("256 requests"), "{answer}");
    assert_eq!(agent.ask("del", &request(&netns)).await.0, 200, "what is gone is gone");
    assert_eq!(ask(agent.socket(), "GET", "/v1/hello", String::new()).await.0, 200);
    for answer in waiting {
        soon(answer).await.unwrap();
    }
    let (_, answer) = agent.ask("check", &request(&netns)).await;
    assert_eq!(reason(&answer), add::NOT_LISTED);
}

#[tokio::test]
async fn requests_are_counted_by_command_and_result() {
    let recorder = culvert_metrics::Metrics::new(culvert_metrics::Settings::default());
    // All of the agent runs on this thread.
    let _guard = metrics::set_default_local_recorder(&recorder);
    let netns = Netns::create().unwrap();
    let agent = Agent::start(Some(shop(false)));
    agent.ask("add", &request(&netns)).await;
    agent.ask("add", &json!(7)).await;
    agent.ask("del", &request(&netns)).await;
    agent.views.send_replace(Some(Arc::new(shop(true))));
    agent.ask("check", &request(&netns)).await;
    agent.views.send_replace(None);
    agent.ask("check", &request(&netns)).await;
    let text = recorder.text();
    for (command, result) in [
        ("add", "passed"),
        ("add", "invalid"),
        ("del", "passed"),
        ("check", "refused"),
        ("check", "not_ready"),
    ] {
        let line = format!("culvert_agent_cni_requests_total{{command=\"{command}\",result=\"{result}\"}} 1");
        assert!(text.contains(&line), "{line}: {text}");
    }
    assert!(text.contains("culvert_agent_cni_request_duration_seconds_count{command=\"add\"} 2"), "{text}");
}

#[tokio::test]
async fn only_root_may_call() {
    let agent = Agent::start(Some(shop(false)));
    let metadata = fs::metadata(agent.socket()).unwrap();
    assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
    // Whatever becomes of the file's mode.
    fs::set_permissions(agent.socket(), fs::Permissions::from_mode(0o666)).unwrap();
    let call = |uid: u32| {
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--max-time", "20", "--unix-socket"]).arg(agent.socket());
        curl.arg("http://agent/v1/pods").uid(uid).stderr(Stdio::null());
        tokio::task::spawn_blocking(move || curl.output().unwrap().status.success())
    };
    assert!(soon(call(0)).await.unwrap());
    assert!(!soon(call(65534)).await.unwrap());
}

#[tokio::test]
async fn a_living_agents_socket_is_not_taken_and_a_dead_ones_is() {
    let scratch = Scratch::new();
    let path = scratch.join("agent.sock");
    let first = bind(&path).unwrap();
    let error = bind(&path).unwrap_err();
    assert!(matches!(error, Error::InUse { .. }), "{error}");
    // What is left of an agent that was killed.
    std::mem::forget(first);
    let stale = scratch.join("stale.sock");
    drop(std::os::unix::net::UnixListener::bind(&stale).unwrap());
    assert!(stale.exists());
    drop(bind(&stale).unwrap());
    assert!(!stale.exists());
    scratch.write("file", "precious");
    assert!(matches!(bind(&scratch.join("file")), Err(Error::Listen { .. })));
    assert_eq!(scratch.read("file"), "precious");
}
