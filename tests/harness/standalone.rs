//! A cluster without any other mesh in it: the control plane follows the API server, reviews the tokens of nodes, and keeps its root there.
//!
//! [`KUBE_APISERVER`](super::kube_apiserver) names another API server than the lab's own. The test is everybody else: users, kubelet, and whoever mounts tokens and roots into pods. What runs of the control plane is a
//! [`Replica`]; a cluster has one node more for each that [joins](Standalone::join).

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use culvert_lab::api_server::pod;
use culvert_lab::{Launch, Pod, Program};
use culvert_sys::netns::Netns;
use serde_json::{Value, json};

use super::chart;
use super::cluster::programs;
use super::kubernetes::Kubernetes;
use super::one_node::{OneNode, PATIENCE};

/// The namespace of the installation.
pub(crate) const ROOT: &str = "culvert-system";
/// What replicas of the control plane listen on for those who look after them.
pub(crate) const MONITORING: u16 = 15014;

/// The cluster, of one node unless others have joined.
pub(crate) struct Standalone {
    pub(crate) node: OneNode,
    /// The control plane that was started first.
    pub(crate) control: Program,
}

impl Standalone {
    /// Starts everything, as an installation does.
    #[track_caller]
    pub(crate) fn start(name: &str, namespaces: &[&str]) -> Self {
        Self::start_told(name, namespaces, &[])
    }

    /// The same, where the agent and the control plane are told more by their environment.
    #[track_caller]
    pub(crate) fn start_told(name: &str, namespaces: &[&str], told: &[(&str, &str)]) -> Self {
        let node = defined(name, namespaces);
        let tell = |launch| told.iter().fold(launch, |launch: Launch, (name, value)| launch.env(name, value));
        let control = launch_control(&node, "control-1", tell);
        let at = node.lab.control_address();
        let cluster = Self { node, control };
        bring_up_told(&cluster.node, at, tell);
        cluster
    }

    /// Adds a node, with everything an installation runs on one.
    #[track_caller]
    pub(crate) fn join(&self, name: &str) -> OneNode {
        let node = self.node.beside(name);
        bring_up(&node, self.node.lab.control_address());
        node
    }

    /// Waits until the agent says of pods that they are in the mesh.
    #[track_caller]
    pub(crate) fn wait_until_in(&self, pods: &[&Pod]) {
        for pod in pods {
            let is_in = || self.node.kubernetes.claim(pod).as_deref() == Some("enabled");
            self.node.wait(&format!("{} is in the mesh", pod.name()), is_in);
        }
    }

    /// Applies an object, as a user does.
    #[track_caller]
    pub(crate) fn apply(&self, object: Value) {
        self.node.kubernetes.api.apply(object).unwrap();
    }

    /// A condition of an object, if it has one of that type.
    pub(crate) fn condition(
        &self,
        (resource, namespace, name): (&str, &str, &str),
        kind: &str,
    ) -> Option<Value> {
        let object = self.node.kubernetes.api.object(resource, namespace, name)?;
        let conditions = object["status"]["conditions"].as_array()?.clone();
        conditions.into_iter().find(|condition| condition["type"] == kind)
    }
}

/// A node of a cluster that has what an installation brings before its programs, and none of those yet.
#[track_caller]
pub(crate) fn defined(name: &str, namespaces: &[&str]) -> OneNode {
    let node = OneNode::without_control(name, &[namespaces, &[ROOT]].concat());
    for definition in chart::definitions() {
        node.kubernetes.api.apply(definition).unwrap();
    }
    node
}

/// Starts what an installation runs on a node; the control plane is at an address.
#[track_caller]
pub(crate) fn bring_up(node: &OneNode, control: SocketAddr) {
    bring_up_told(node, control, |launch| launch);
}

/// The same; the agent is told more.
#[track_caller]
fn bring_up_told(node: &OneNode, control: SocketAddr, tell: impl FnOnce(Launch) -> Launch) {
    node.start_agent(tell(Kubernetes::agent(&node.kubernetes)));
    let proxy = NodeProgram::of(node);
    proxy.create(unused_address(node));
    node.lab.start_node_as(&node.node, proxy.launch(node.node.netns(), control)).unwrap();
    node.wait("the agent is ready", || node.is_ready());
}

/// A pod of the node's DaemonSet: what it is told, and what is mounted into it.
pub(crate) struct NodeProgram<'n> {
    node: &'n OneNode,
    pod: String,
}

impl<'n> NodeProgram<'n> {
    /// The one a node starts with.
    pub(crate) fn of(node: &'n OneNode) -> Self {
        Self { node, pod: format!("culvert-node-{}", node.node.name()) }
    }

    /// The one that takes its place.
    pub(crate) fn next(&self) -> Self {
        Self { node: self.node, pod: format!("{}-next", self.pod) }
    }

    /// Makes the pod, and puts the token and the roots where its program finds them, as kubelet does.
    #[track_caller]
    pub(crate) fn create(&self, at: Ipv4Addr) {
        let (node, api) = (self.node, &self.node.kubernetes.api);
        let object = pod(ROOT, &self.pod).service_account("culvert-node").phase("Running");
        node.kubernetes.create(object.ip(at), &culvert_lab::new_uid().unwrap());
        let map = || api.object("configmaps", ROOT, "istio-ca-root-cert");
        node.wait("the roots are published", || map().is_some());
        fs::write(self.roots(), map().unwrap()["data"]["root-cert.pem"].as_str().unwrap()).unwrap();
        fs::write(self.token(), api.token((ROOT, "culvert-node"), &self.pod, "istio-ca")).unwrap();
    }

    /// How the program is started: in a network namespace, with the control plane at an address.
    pub(crate) fn launch(&self, netns: &Arc<Netns>, control: SocketAddr) -> Launch {
        let node = &self.node.node;
        Launch::new(&format!("node-{}", node.name()), programs().unwrap().node, netns)
            .arg("proxy")
            .arg("ztunnel")
            .env("NODE_NAME", node.name())
            .env("POD_NAME", &self.pod)
            .env("POD_NAMESPACE", ROOT)
            .env("INPOD_UDS", node.agent_socket().display())
            .env("XDS_ADDRESS", format!("https://{control}"))
            .env("CA_ADDRESS", format!("https://{control}"))
            .env("AUTH_TOKEN", self.token().display())
            .env("XDS_ROOT_CA", self.roots().display())
            .env("CA_ROOT_CA", self.roots().display())
    }

    /// The pod is about to end, as the DaemonSet wants it.
    #[track_caller]
    pub(crate) fn terminate(&self) {
        self.node.kubernetes.api.terminate("pods", ROOT, &self.pod).unwrap();
    }

    /// The pod has ended; its token dies with it.
    #[track_caller]
    pub(crate) fn remove(&self) {
        self.node.kubernetes.api.remove("pods", ROOT, &self.pod).unwrap();
    }

    /// The token the program shows.
    pub(crate) fn token(&self) -> PathBuf {
        self.node.node.directory().join(format!("{}.token", self.pod))
    }

    fn roots(&self) -> PathBuf {
        self.node.node.directory().join("root-cert.pem")
    }
}

/// One of a node's network that no pod of the lab has.
fn unused_address(node: &OneNode) -> Ipv4Addr {
    let [.., number] = node.node.ip4().octets();
    Ipv4Addr::new(10, 63 + number, 255, 254)
}

/// Starts a replica of the control plane, where no other runs, and waits until it serves.
#[track_caller]
pub(crate) fn start_control(node: &OneNode, replica: &str) -> Program {
    launch_control(node, replica, |launch| launch)
}

/// The same; it is told more.
#[track_caller]
fn launch_control(node: &OneNode, replica: &str, tell: impl FnOnce(Launch) -> Launch) -> Program {
    let listens = node.lab.control_address();
    let launch = Replica { name: replica, listens, monitoring: MONITORING }.launch(node);
    let control = node.lab.start(tell(launch)).unwrap();
    control.wait_for_log("\tready\t", PATIENCE).unwrap();
    control
}

/// One of several that are the control plane, all on one host.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Replica<'r> {
    pub(crate) name: &'r str,
    pub(crate) listens: SocketAddr,
    pub(crate) monitoring: u16,
}

impl Replica<'_> {
    /// How it is started. Nodes reach it by the address of its host.
    pub(crate) fn launch(&self, node: &OneNode) -> Launch {
        let lab = &node.lab;
        let kubeconfig = lab.directory().join("kubeconfig");
        fs::write(&kubeconfig, node.kubernetes.api.kubeconfig("culvert-control")).unwrap();
        Launch::new(self.name, programs().unwrap().control, lab.control_netns())
            .arg("cluster")
            .path_arg("--kubeconfig", &kubeconfig)
            .arg("--listen")
            .arg(self.listens)
            .arg("--monitoring-port")
            .arg(self.monitoring)
            .arg("--namespace")
            .arg(ROOT)
            .arg("--pod")
            .arg(self.name)
            .arg("--name")
            .arg(self.listens.ip())
    }
}

/// A policy of the mesh.
pub(crate) fn policy(namespace: &str, name: &str, spec: &Value) -> Value {
    json!({ "apiVersion": "security.istio.io/v1", "kind": "AuthorizationPolicy",
        "metadata": { "namespace": namespace, "name": name, "generation": 1 }, "spec": spec })
}
