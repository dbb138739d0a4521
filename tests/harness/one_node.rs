//! A node with everything that makes a mesh of it: the programs, a container runtime, and Kubernetes, which says who is in it.
//!
//! Pods are made as kubelet makes them. The control plane is told of them, and who takes tunnels, when the test says so: as real
//! ones it goes by the annotation that the agent writes.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use culvert_lab::api_server::{Object, pod};
use culvert_lab::{
    Container, Containers, Lab, Launch, Node, Pod, PodSpec, Program, Snapshot, Wire, http, new_uid,
};
use serde_json::Value;

use super::cluster::{lab, serve_all};
use super::command::run_in;
use super::kubernetes::{Event, Kubernetes};
use super::talk::{Ending, exchange};

/// Where the agent shows its metrics, and says whether it is ready.
const MONITORING: ([u8; 4], u16) = ([127, 0, 0, 1], 15014);
/// How long the agent may take for anything. Nothing waits this long on purpose.
pub(crate) const PATIENCE: Duration = Duration::from_secs(40);

/// The node.
pub(crate) struct OneNode {
    pub(crate) lab: Arc<Lab>,
    pub(crate) node: Node,
    pub(crate) containers: Containers,
    pub(crate) kubernetes: Kubernetes,
    agent: Mutex<Option<Program>>,
    pods: Mutex<Vec<Pod>>,
}

impl OneNode {
    /// Starts a node whose agent has its plugin in the chain.
    pub(crate) fn start(name: &str, namespaces: &[&str]) -> Self {
        Self::start_with(name, namespaces, Kubernetes::agent)
    }

    /// Starts a node whose agent is started in some way.
    pub(crate) fn start_with(
        name: &str,
        namespaces: &[&str],
        agent: impl FnOnce(&Kubernetes) -> Launch,
    ) -> Self {
        let node = Self::without_programs(name, namespaces);
        let agent = agent(&node.kubernetes);
        node.start_programs(agent);
        node
    }

    /// Makes a node on which no program of the mesh has ever run.
    pub(crate) fn without_programs(name: &str, namespaces: &[&str]) -> Self {
        let node = Self::first(name, namespaces, Kubernetes::start);
        node.lab.start_control().unwrap();
        node
    }

    /// The same, and there is no control plane either; in the cluster that the environment names, if it does.
    pub(crate) fn without_control(name: &str, namespaces: &[&str]) -> Self {
        Self::first(name, namespaces, Kubernetes::named)
    }

    fn first(
        name: &str,
        namespaces: &[&str],
        start: impl FnOnce(&Lab, &Node, &Containers) -> Kubernetes,
    ) -> Self {
        let made = Self::made(Arc::new(lab(name).unwrap()), "one", start);
        made.kubernetes.make_namespaces(namespaces.iter().copied());
        made
    }

    /// Makes another node of the same cluster, on which no program of the mesh has ever run.
    pub(crate) fn beside(&self, name: &str) -> Self {
        let joins =
            |lab: &Lab, node: &Node, containers: &Containers| self.kubernetes.on(lab, node, containers);
        Self::made(Arc::clone(&self.lab), name, joins)
    }

    fn made(lab: Arc<Lab>, name: &str, joins: impl FnOnce(&Lab, &Node, &Containers) -> Kubernetes) -> Self {
        let node = lab.node(name).unwrap();
        let containers = lab.containers(&node).unwrap();
        let kubernetes = joins(&lab, &node, &containers);
        let (agent, pods) = (Mutex::default(), Mutex::default());
        Self { lab, node, containers, kubernetes, agent, pods }
    }

    /// Starts the agent in some way, and the node's proxy.
    #[track_caller]
    pub(crate) fn start_programs(&self, agent: Launch) {
        self.start_agent(agent);
        self.lab.start_node(&self.node).unwrap();
        self.wait("the agent is ready", || self.is_ready());
    }

    /// Whether the agent says that it knows the cluster and its plugin is in place.
    pub(crate) fn is_ready(&self) -> bool {
        http::get(self.node.netns(), MONITORING, "/readyz").is_ok_and(|answer| answer.status == 200)
    }

    /// The node's own namespace, without what comes with the first of its pods, and without programs that listen.
    #[track_caller]
    pub(crate) fn look(&self) -> Vec<String> {
        let snapshot = Snapshot::of_node(&self.node).unwrap().to_string();
        let others = |line: &&str| line.contains(" dev cni0 ") || line.contains(" listens: ");
        snapshot.lines().filter(|line| !others(line)).map(str::to_owned).collect()
    }

    /// The agent that was started last.
    #[track_caller]
    pub(crate) fn agent(&self) -> Program {
        self.agent.lock().unwrap().clone().unwrap()
    }

    /// The proxy that was started last.
    #[track_caller]
    pub(crate) fn proxy(&self) -> Program {
        self.lab.proxy(&self.node).unwrap()
    }

    /// Starts an agent, in the place of one that has ended.
    #[track_caller]
    pub(crate) fn start_agent(&self, launch: Launch) {
        let started = self.lab.start_agent_as(&self.node, launch).unwrap();
        *self.agent.lock().unwrap() = Some(started);
    }

    /// Runs a pod that says nothing of the mesh.
    #[track_caller]
    pub(crate) fn run(&self, namespace: &str, name: &str) -> Container {
        self.run_as(pod(namespace, name))
    }

    /// Runs a pod as it is described, with all applications in it.
    #[track_caller]
    pub(crate) fn run_as(&self, object: Object) -> Container {
        let uid = new_uid().unwrap();
        let object = self.kubernetes.create(object, &uid);
        self.run_created(&object)
    }

    /// Runs a pod that Kubernetes knows.
    #[track_caller]
    pub(crate) fn run_created(&self, object: &Value) -> Container {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let metadata = &object["metadata"];
        let spec = PodSpec::new(&text(&metadata["name"])).namespace(&text(&metadata["namespace"]));
        let spec = spec.service_account(&text(&object["spec"]["serviceAccountName"]));
        let made = self.containers.sandbox(spec, &text(&metadata["uid"]));
        let made = made.unwrap_or_else(|error| panic!("{error:?}{}", self.lab.evidence()));
        serve_all(&self.lab, made.pod()).unwrap();
        self.kubernetes.started(made.pod());
        self.pods.lock().unwrap().push(made.pod().clone());
        made
    }

    /// Ends what runs of a pod; Kubernetes is not told.
    #[track_caller]
    pub(crate) fn end(&self, container: &Container) {
        self.containers.remove(container).unwrap();
        let netns = container.pod().netns().id();
        self.pods.lock().unwrap().retain(|pod| pod.netns().id() != netns);
    }

    /// Tells the control plane which pods there are, and who takes tunnels.
    #[track_caller]
    pub(crate) fn follow(&self) {
        let pods = self.pods.lock().unwrap().clone();
        let takes_tunnels = |pod: &Pod| self.kubernetes.claim(pod).as_deref() == Some("enabled");
        self.lab.describe(&pods, takes_tunnels).unwrap();
    }

    /// Waits until pods are in the mesh, as everybody can see, and tells the control plane.
    #[track_caller]
    pub(crate) fn wait_until_in(&self, pods: &[&Pod]) {
        for pod in pods {
            self.wait(&format!("{} is in the mesh", pod.name()), || {
                self.kubernetes.claim(pod).as_deref() == Some("enabled")
            });
        }
        self.follow();
    }

    /// Waits until pods are not in the mesh, as everybody can see, and tells the control plane.
    #[track_caller]
    pub(crate) fn wait_until_out(&self, pods: &[&Pod]) {
        for pod in pods {
            self.wait(&format!("{} is out of the mesh", pod.name()), || self.kubernetes.claim(pod).is_none());
        }
        self.follow();
    }

    /// Waits for something that needs no more than the programs.
    #[track_caller]
    pub(crate) fn wait(&self, what: &str, condition: impl FnMut() -> bool) {
        if let Err(error) = self.lab.wait_until(PATIENCE, what, condition) {
            panic!("{error:?}");
        }
    }

    /// Waits until something is said of a pod, and gives it.
    #[track_caller]
    pub(crate) fn wait_for_event(&self, pod: &Pod, reason: &str) -> Event {
        let event = || self.kubernetes.events(pod).into_iter().find(|event| event.reason == reason);
        self.wait(&format!("{reason} is said of {}", pod.name()), || event().is_some());
        event().unwrap()
    }

    /// Has one pod say something to another, and tells whether it could be read on the way.
    #[track_caller]
    pub(crate) fn is_read(&self, from: &Pod, to: impl Into<SocketAddr>) -> bool {
        let (text, to) = (something(), to.into());
        let (ending, read) = self.overhear(from, to, &text);
        assert_eq!(ending, Ending::Complete(text), "{} -> {to}", from.name());
        read
    }

    /// Has one pod say something to another, and tells whether it was answered and nobody could read it on the way.
    #[track_caller]
    pub(crate) fn is_answered_in_private(&self, from: &Pod, to: impl Into<SocketAddr>) -> bool {
        let text = something();
        self.overhear(from, to.into(), &text) == (Ending::Complete(text), false)
    }

    #[track_caller]
    fn overhear(&self, from: &Pod, to: SocketAddr, text: &[u8]) -> (Ending, bool) {
        let wire = Wire::of_host(self.node.netns()).unwrap();
        let ending = exchange(from, to, text);
        let capture = wire.stop().unwrap();
        capture.assert_lossless();
        (ending, capture.contains(text))
    }

    /// What the agent says of a pod to whoever asks on the node.
    #[track_caller]
    pub(crate) fn listed(&self, uid: &str) -> Option<Value> {
        let socket = self.kubernetes.cni_socket().display().to_string();
        let words = ["curl", "-sS", "--unix-socket", &socket, "http://agent/v1/pods"];
        let said = run_in(self.node.netns(), &words).unwrap();
        let said: Value = serde_json::from_str(&said).unwrap();
        said.as_array().unwrap().iter().find(|pod| pod["uid"] == uid).cloned()
    }

    /// A counter of the agent, with its labels as they are shown; one that was never counted is 0.
    #[track_caller]
    pub(crate) fn counted(&self, name: &str) -> u64 {
        let answer = http::get(self.node.netns(), MONITORING, "/metrics").unwrap();
        assert_eq!(answer.status, 200);
        let text = answer.text();
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.map_or(0, |value| value.parse().unwrap())
    }
}

/// What nobody has said before.
fn something() -> Vec<u8> {
    static SAID: AtomicU32 = AtomicU32::new(0);
    format!("said in confidence, for the {}th time", SAID.fetch_add(1, Ordering::Relaxed)).into_bytes()
}
