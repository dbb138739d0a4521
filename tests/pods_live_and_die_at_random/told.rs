//! Who tells the agent which pods there are: a file, or a Kubernetes API server.

use culvert_lab::{Lab, Launch, Node, Pod};

use super::model::{Label, Trouble};

/// A pod as the cluster knows it.
#[derive(Debug, Clone)]
pub(super) struct Identity {
    pub(super) uid: String,
    pub(super) name: String,
    pub(super) namespace: &'static str,
}

/// Is told of everything that happens to pods, in the order in which a cluster would know it: of a pod, that it is made first, and that
/// nothing is left of it last.
pub(super) trait Cluster: Send + Sync {
    /// How an agent is started that follows it.
    fn agent(&self, lab: &Lab, node: &Node) -> Launch;
    fn namespace_labelled(&self, namespace: &str, in_mesh: bool);
    /// Before anything of it is started.
    fn created(&self, pod: &Identity, label: Label);
    fn labelled(&self, pod: &Identity, label: Label);
    /// It has addresses.
    fn started(&self, pod: &Identity, made: &Pod);
    /// It is to be ended; perhaps it is just being started.
    fn leaving(&self, pod: &Identity);
    /// Nothing of it is left.
    fn gone(&self, pod: &Identity);
    /// It has trouble for a moment.
    fn disturb(&self, trouble: Trouble);
    /// Whether a pod that should be in the mesh is captured before anything in it runs.
    fn has_plugin(&self) -> bool;
    /// What others are told of a pod, if it is not what they should be told.
    fn misreport(&self, pod: &Pod, is_enrolled: bool) -> Option<String>;
}

/// The agent follows a file, which the lab writes: nothing is to be told, and nobody tells others.
pub(super) struct PodsFile;

impl Cluster for PodsFile {
    fn agent(&self, lab: &Lab, node: &Node) -> Launch {
        lab.agent_launch(node).unwrap()
    }

    fn namespace_labelled(&self, _: &str, _: bool) {}
    fn created(&self, _: &Identity, _: Label) {}
    fn labelled(&self, _: &Identity, _: Label) {}
    fn started(&self, _: &Identity, _: &Pod) {}
    fn leaving(&self, _: &Identity) {}
    fn gone(&self, _: &Identity) {}

    fn disturb(&self, _: Trouble) {}

    fn has_plugin(&self) -> bool {
        false
    }

    fn misreport(&self, _: &Pod, _: bool) -> Option<String> {
        None
    }
}
