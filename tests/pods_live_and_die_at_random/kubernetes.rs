//! The agent watches a Kubernetes API server, and has its CNI plugin in the chain of the node's container runtime.

use culvert_lab::api_server::{self, ApiServer, namespace, pod};
use culvert_lab::{Containers, Lab, Launch, Node, Pod};
use serde_json::{Value, json};

use crate::harness::cluster::programs;

use super::model::{Label, NAMESPACES, Trouble};
use super::told::{Cluster, Identity};

const MODE: &str = "istio.io/dataplane-mode";
/// What control planes read.
const CLAIM: &str = "ambient.istio.io/redirection";
const PORT: u16 = 6443;

/// The cluster, and where the node's runtime looks for plugins.
pub(super) struct Kubernetes {
    api: ApiServer,
    node: String,
    containers: Containers,
}

impl Kubernetes {
    /// Starts an API server with empty namespaces, none of them in the mesh.
    pub(super) fn start(lab: &Lab, node: &Node, containers: &Containers) -> Self {
        let address = lab.control_address().ip();
        let api = ApiServer::start_in(lab.control_netns(), (address, PORT)).unwrap();
        for name in NAMESPACES.into_iter().chain(["fixed"]) {
            api.create(namespace(name)).unwrap();
        }
        Self { api, node: node.name().to_owned(), containers: containers.clone() }
    }
}

impl Cluster for Kubernetes {
    fn agent(&self, _: &Lab, node: &Node) -> Launch {
        let kubeconfig = node.directory().join("kubeconfig");
        self.api.write_kubeconfig(&kubeconfig).unwrap();
        Launch::new(&format!("agent-{}", node.name()), programs().unwrap().agent, node.netns())
            .path_arg("--socket", &node.agent_socket())
            .path_arg("--kubeconfig", &kubeconfig)
            .arg("--node-name")
            .arg(&self.node)
            .path_arg("--cni-bin-dir", self.containers.plugin_directory())
            .path_arg("--cni-conf-dir", self.containers.configuration_directory())
            .path_arg("--cni-socket", &node.directory().join("cni.sock"))
            .path_arg("--state-dir", &node.directory().join("state"))
    }

    fn namespace_labelled(&self, namespace: &str, in_mesh: bool) {
        let label = if in_mesh { json!("ambient") } else { Value::Null };
        let change = json!({"metadata": {"labels": {MODE: label}}});
        self.api.patch("namespaces", "", namespace, change).unwrap();
    }

    fn created(&self, identity: &Identity, label: Label) {
        let object = pod(identity.namespace, &identity.name).uid(&identity.uid).node(&self.node);
        let object = object.service_account(identity.namespace).merge(labels(label));
        self.api.create(object).unwrap();
    }

    fn labelled(&self, pod: &Identity, label: Label) {
        self.api.patch("pods", pod.namespace, &pod.name, labels(label)).unwrap();
    }

    fn started(&self, pod: &Identity, made: &Pod) {
        let ips = made.ips().map(|ip| json!({"ip": ip.to_string()}));
        let status = json!({"phase": "Running", "podIP": made.ip4().to_string(), "podIPs": ips});
        self.api.patch("pods", pod.namespace, &pod.name, json!({"status": status})).unwrap();
    }

    fn leaving(&self, pod: &Identity) {
        self.api.terminate("pods", pod.namespace, &pod.name).unwrap();
    }

    fn gone(&self, pod: &Identity) {
        self.api.remove("pods", pod.namespace, &pod.name).unwrap();
    }

    fn disturb(&self, trouble: Trouble) {
        match trouble {
            Trouble::Watches => self.api.break_watches(),
            Trouble::Connections => self.api.cut_connections(),
            Trouble::History => {
                self.api.compact();
                self.api.break_watches();
            }
            Trouble::Answers => self.api.trouble(api_server::Trouble::status(503).times(5)),
        }
    }

    fn has_plugin(&self) -> bool {
        true
    }

    fn misreport(&self, pod: &Pod, is_enrolled: bool) -> Option<String> {
        let object = self.api.object("pods", pod.namespace(), pod.name()).unwrap();
        let claim = object["metadata"]["annotations"][CLAIM].as_str();
        (claim != is_enrolled.then_some("enabled")).then(|| format!("{CLAIM} is {claim:?}"))
    }
}

fn labels(label: Label) -> Value {
    let label = match label {
        Label::Absent => Value::Null,
        Label::Ambient => json!("ambient"),
        Label::OptOut => json!("none"),
    };
    json!({"metadata": {"labels": {MODE: label}}})
}
