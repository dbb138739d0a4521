//! A cluster without any other mesh in it: the control plane follows the API server, reviews the tokens of nodes, and keeps its root there.
//!
//! The test is everybody else: users, kubelet, and whoever mounts tokens and roots into pods.

use std::fs;
use std::path::PathBuf;

use culvert_lab::api_server::{Token, pod};
use culvert_lab::{Launch, Pod, Program};
use serde_json::{Value, json};

use super::cluster::programs;
use super::kubernetes::Kubernetes;
use super::one_node::{OneNode, PATIENCE};

/// The namespace of the installation.
pub(crate) const ROOT: &str = "culvert-system";
/// The pod of the node's proxy.
const PROXY: &str = "culvert-node-one";
/// What replicas of the control plane listen on for those who look after them.
const MONITORING: u16 = 15014;

/// The cluster, of one node.
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
        let node = OneNode::without_control(name, &[namespaces, &[ROOT]].concat());
        let tell = |launch| told.iter().fold(launch, |launch: Launch, (name, value)| launch.env(name, value));
        let control = launch_control(&node, "control-1", tell);
        let cluster = Self { node, control };
        let proxy = pod(ROOT, PROXY).service_account("culvert-node").phase("Running");
        cluster.node.kubernetes.create(proxy.ip([10, 64, 255, 254]), "of-the-proxy");
        cluster.mount();
        cluster.node.start_agent(tell(Kubernetes::agent(&cluster.node.kubernetes)));
        cluster.start_node();
        cluster.node.wait("the agent is ready", || cluster.node.is_ready());
        cluster
    }

    /// Puts the token and the roots where the node's proxy finds them, as kubelet does.
    #[track_caller]
    fn mount(&self) {
        let api = &self.node.kubernetes.api;
        let map = || api.object("configmaps", ROOT, "istio-ca-root-cert");
        self.node.wait("the roots are published", || map().is_some());
        let roots = map().unwrap()["data"]["root-cert.pem"].as_str().unwrap().to_owned();
        fs::write(self.roots(), roots).unwrap();
        let token = Token::of(ROOT, "culvert-node").pod(PROXY).audience("istio-ca");
        fs::write(self.token(), api.issue(token).unwrap()).unwrap();
    }

    pub(crate) fn roots(&self) -> PathBuf {
        self.node.node.directory().join("root-cert.pem")
    }

    pub(crate) fn token(&self) -> PathBuf {
        self.node.node.directory().join("istio-token")
    }

    #[track_caller]
    fn start_node(&self) {
        let lab = &self.node.lab;
        let launch = lab.node_launch(&self.node.node).unwrap();
        let launch = launch
            .env("AUTH_TOKEN", self.token().display())
            .env("XDS_ROOT_CA", self.roots().display())
            .env("CA_ROOT_CA", self.roots().display());
        lab.start_node_as(&self.node.node, launch).unwrap();
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

    /// Defines the policies of the mesh, as the installation does.
    pub(crate) fn define_policies(&self) {
        for (plural, kind) in
            [("authorizationpolicies", "AuthorizationPolicy"), ("peerauthentications", "PeerAuthentication")]
        {
            let definition = culvert_lab::api_server::definition("security.istio.io/v1", plural, kind);
            self.node.kubernetes.api.create(definition).unwrap();
        }
    }
}

/// Starts a replica of the control plane, where no other runs, and waits until it serves.
#[track_caller]
pub(crate) fn start_control(node: &OneNode, replica: &str) -> Program {
    launch_control(node, replica, |launch| launch)
}

#[track_caller]
fn launch_control(node: &OneNode, replica: &str, told: impl FnOnce(Launch) -> Launch) -> Program {
    let lab = &node.lab;
    let kubeconfig = lab.directory().join("kubeconfig");
    node.kubernetes.api.write_kubeconfig(&kubeconfig).unwrap();
    let launch = Launch::new(replica, programs().unwrap().control, lab.control_netns())
        .arg("cluster")
        .path_arg("--kubeconfig", &kubeconfig)
        .arg("--listen")
        .arg(lab.control_address())
        .arg("--monitoring-port")
        .arg(MONITORING)
        .arg("--namespace")
        .arg(ROOT)
        .arg("--pod")
        .arg(replica)
        .arg("--name")
        .arg(lab.control_address().ip());
    let control = lab.start(told(launch)).unwrap();
    control.wait_for_log("\tready\t", PATIENCE).unwrap();
    control
}

/// A policy of the mesh.
pub(crate) fn policy(namespace: &str, name: &str, spec: &Value) -> Value {
    json!({ "apiVersion": "security.istio.io/v1", "kind": "AuthorizationPolicy",
        "metadata": { "namespace": namespace, "name": name, "generation": 1 }, "spec": spec })
}
