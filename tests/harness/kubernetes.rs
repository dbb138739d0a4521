//! A Kubernetes cluster as a node's agent sees it: an API server, and a container runtime that keeps nothing from it.
//!
//! In go labels, annotations and pods as users and kubelet write them; out come what agents have written, and how an agent is
//! started that follows all of it. The test is everybody else: users, kubelet, the scheduler.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use culvert_lab::api_server::{Object, namespace};
use culvert_lab::{Containers, Lab, Launch, Node, Pod, Program};
use serde_json::{Value, json};

use super::api::Api;
use super::cluster::programs;

/// The label of pods and namespaces that says whether they are in the mesh.
pub(crate) const MODE: &str = "istio.io/dataplane-mode";
/// What control planes read.
const CLAIM: &str = "ambient.istio.io/redirection";
/// Longer than any test, in seconds.
const FOREVER: u32 = 1_000_000;

/// The cluster, and the node the agent is of.
pub(crate) struct Kubernetes {
    pub(crate) api: Arc<Api>,
    node: Node,
    containers: Containers,
    /// The first process of the node.
    first: Program,
}

/// Something an agent has said about a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) reason: String,
    pub(crate) note: String,
}

impl Kubernetes {
    /// Starts the lab's own API server, beside the control plane, with nothing in it.
    pub(crate) fn start(lab: &Lab, node: &Node, containers: &Containers) -> Self {
        Self::of_node(Arc::new(Api::of_lab(lab)), lab, node, containers)
    }

    /// Starts the API server that the environment names, or else the lab's own.
    pub(crate) fn named(lab: &Lab, node: &Node, containers: &Containers) -> Self {
        Self::of_node(Arc::new(Api::named(lab)), lab, node, containers)
    }

    /// The same cluster, as another node's agent sees it.
    pub(crate) fn on(&self, lab: &Lab, node: &Node, containers: &Containers) -> Self {
        Self::of_node(Arc::clone(&self.api), lab, node, containers)
    }

    fn of_node(api: Arc<Api>, lab: &Lab, node: &Node, containers: &Containers) -> Self {
        let first = lab.start(Launch::new("first-process", "sleep", node.netns()).arg(FOREVER)).unwrap();
        Self { api, node: node.clone(), containers: containers.clone(), first }
    }

    /// How an agent is started that follows the cluster, and has its plugin in the chain of the node's container runtime.
    pub(crate) fn agent(&self) -> Launch {
        self.with_plugin(self.agent_without_plugin())
    }

    /// How an agent is started that follows the cluster, and of which the container runtime knows nothing.
    pub(crate) fn agent_without_plugin(&self) -> Launch {
        // To the agent, process 1 is where kubelet is. That of this machine has nothing to do with the node.
        let launch = Launch::new(&self.agent_name(), "unshare", self.node.netns())
            .arg("--mount")
            .arg("--")
            .arg("sh")
            .arg("-ec")
            .arg(r#"mount --bind "/proc/$0" /proc/1; exec "$@""#)
            .arg(self.first.pid())
            .arg(programs().unwrap().agent.display());
        self.with_options(launch)
    }

    /// [`Self::agent`] for pods that podman makes, too. Their namespaces are mounted, and who has mounts of his own does not see them;
    /// so process 1 is that of this machine.
    pub(crate) fn agent_beside_podman(&self) -> Launch {
        let launch = Launch::new(&self.agent_name(), programs().unwrap().agent, self.node.netns());
        self.with_plugin(self.with_options(launch))
    }

    fn agent_name(&self) -> String {
        format!("agent-{}", self.node.name())
    }

    fn with_options(&self, launch: Launch) -> Launch {
        let kubeconfig = self.node.directory().join("kubeconfig");
        fs::write(&kubeconfig, self.api.kubeconfig("culvert-agent")).unwrap();
        launch
            .path_arg("--socket", &self.node.agent_socket())
            .path_arg("--kubeconfig", &kubeconfig)
            .arg("--node-name")
            .arg(self.node.name())
            .path_arg("--cni-socket", &self.cni_socket())
            .path_arg("--state-dir", &self.state_directory())
    }

    fn with_plugin(&self, launch: Launch) -> Launch {
        launch
            .path_arg("--cni-bin-dir", self.containers.plugin_directory())
            .path_arg("--cni-conf-dir", self.containers.configuration_directory())
    }

    /// Where the agent answers questions.
    pub(crate) fn cni_socket(&self) -> PathBuf {
        self.node.directory().join("run").join("cni.sock")
    }

    /// Where the agent keeps what outlives it. There is no such directory until it does.
    pub(crate) fn state_directory(&self) -> PathBuf {
        self.node.directory().join("state")
    }

    /// Makes namespaces that say nothing of the mesh.
    pub(crate) fn make_namespaces<'n>(&self, names: impl IntoIterator<Item = &'n str>) {
        for name in names {
            self.api.apply(namespace(name)).unwrap();
        }
    }

    /// Makes a pod of the node, of which nothing runs yet.
    pub(crate) fn create(&self, object: Object, uid: &str) -> Value {
        self.api.create(object.uid(uid).node(self.node.name())).unwrap()
    }

    /// Says that a pod runs and is ready, as kubelet does.
    pub(crate) fn started(&self, pod: &Pod) {
        let ips = pod.ips().map(|ip| json!({"ip": ip.to_string()}));
        let ready = json!([{"type": "Ready", "status": "True"}]);
        let ip = pod.ip4().to_string();
        let status = json!({"phase": "Running", "podIP": ip, "podIPs": ips, "conditions": ready});
        self.api.patch("pods", pod.namespace(), pod.name(), json!({"status": status})).unwrap();
    }

    /// Says whether the pods of a namespace are in the mesh unless they say otherwise, or nothing at all.
    pub(crate) fn label_namespace(&self, name: &str, mode: Option<&str>) {
        let change = json!({"metadata": {"labels": {MODE: mode}}});
        self.api.patch("namespaces", "", name, change).unwrap();
    }

    /// Says whether a pod is in the mesh, or nothing at all.
    pub(crate) fn label_pod(&self, (namespace, name): (&str, &str), mode: Option<&str>) {
        let change = json!({"metadata": {"labels": {MODE: mode}}});
        self.api.patch("pods", namespace, name, change).unwrap();
    }

    /// Sets an annotation of a pod, or takes it off.
    pub(crate) fn annotate(&self, pod: &Pod, name: &str, value: Option<&str>) {
        let change = json!({"metadata": {"annotations": {name: value}}});
        self.api.patch("pods", pod.namespace(), pod.name(), change).unwrap();
    }

    /// What control planes read of a pod: whether it takes tunnels.
    pub(crate) fn claim(&self, pod: &Pod) -> Option<String> {
        let object = self.api.object("pods", pod.namespace(), pod.name())?;
        object["metadata"]["annotations"][CLAIM].as_str().map(str::to_owned)
    }

    /// What was said of a pod so far.
    pub(crate) fn events(&self, pod: &Pod) -> Vec<Event> {
        let all = self.api.objects("events.events.k8s.io");
        let of_pod = all.iter().filter(|event| event["regarding"]["uid"] == pod.uid());
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        of_pod.map(|event| Event { reason: text(&event["reason"]), note: text(&event["note"]) }).collect()
    }
}
