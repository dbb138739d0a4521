//! The agent watches a Kubernetes API server, and has its CNI plugin in the chain of the node's container runtime.

use culvert_lab::api_server::{self, pod};
use culvert_lab::{Containers, Lab, Launch, Node, Pod};

use crate::harness::kubernetes::{Kubernetes, MODE};

use super::model::{Label, NAMESPACES, Trouble};
use super::told::{Cluster, Identity};

/// Starts a cluster with empty namespaces, none of them in the mesh.
pub(super) fn start(lab: &Lab, node: &Node, containers: &Containers) -> Kubernetes {
    let kubernetes = Kubernetes::start(lab, node, containers);
    kubernetes.make_namespaces(NAMESPACES.into_iter().chain(["fixed"]));
    kubernetes
}

impl Cluster for Kubernetes {
    fn agent(&self, _: &Lab, _: &Node) -> Launch {
        self.agent_beside_podman()
    }

    fn namespace_labelled(&self, namespace: &str, in_mesh: bool) {
        self.label_namespace(namespace, in_mesh.then_some("ambient"));
    }

    fn created(&self, identity: &Identity, label: Label) {
        let object = pod(identity.namespace, &identity.name).service_account(identity.namespace);
        let object = match mode(label) {
            Some(mode) => object.label(MODE, mode),
            None => object,
        };
        self.create(object, &identity.uid);
    }

    fn labelled(&self, pod: &Identity, label: Label) {
        self.label_pod((pod.namespace, &pod.name), mode(label));
    }

    fn started(&self, _: &Identity, made: &Pod) {
        Self::started(self, made);
    }

    fn leaving(&self, pod: &Identity) {
        self.api.terminate("pods", pod.namespace, &pod.name).unwrap();
    }

    fn gone(&self, pod: &Identity) {
        self.api.remove("pods", pod.namespace, &pod.name).unwrap();
    }

    fn disturb(&self, trouble: Trouble) {
        match trouble {
            Trouble::Watches => self.api.lab().break_watches(),
            Trouble::Connections => self.api.lab().cut_connections(),
            Trouble::History => {
                self.api.lab().compact();
                self.api.lab().break_watches();
            }
            Trouble::Answers => self.api.lab().trouble(api_server::Trouble::status(503).times(5)),
        }
    }

    fn has_plugin(&self) -> bool {
        true
    }

    fn misreport(&self, pod: &Pod, is_enrolled: bool) -> Option<String> {
        let claim = self.claim(pod);
        (claim.as_deref() != is_enrolled.then_some("enabled")).then(|| format!("it is said to be {claim:?}"))
    }
}

fn mode(label: Label) -> Option<&'static str> {
    match label {
        Label::Absent => None,
        Label::Ambient => Some("ambient"),
        Label::OptOut => Some("none"),
    }
}
