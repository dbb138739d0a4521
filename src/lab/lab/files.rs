//! The files of a lab's programs: the mesh, the tokens, and each agent's list of pods.

use crate::directory::replace;
use crate::mesh::Mesh;
use crate::node::Node;
use crate::pod::Pod;
use crate::{Error, Lab};

use super::State;

impl Lab {
    /// Writes the files of all programs; says whether the mesh file is another one than before.
    pub(super) fn write_files(&self) -> Result<bool, Error> {
        // Held while writing: files of two threads must not overtake each other.
        let state = self.state();
        replace(&self.directory().join("tokens.yaml"), &state.tokens_text())?;
        for node in &state.nodes {
            replace(&node.token_file(), &node_token(node))?;
            replace(&node.pods_file(), &state.pods_text(node))?;
        }
        replace(&self.mesh_file(), &state.mesh_text())
    }
}

impl State {
    fn mesh_text(&self) -> String {
        let mesh = Mesh {
            pods: &self.pods,
            is_enrolled: &|pod| self.enrolled.contains(pod.uid()),
            services: &self.services,
            additions: &self.additions,
        };
        mesh.render()
    }

    fn tokens_text(&self) -> String {
        let nodes = self
            .nodes
            .iter()
            .map(|node| format!("- {{token: \"{}\", node: \"{}\"}}\n", node_token(node), node.name()));
        let pods = self
            .pods
            .iter()
            .map(|pod| format!("- {{token: \"{}\", identity: \"{}\"}}\n", pod_token(pod), pod.identity()));
        list("tokens", nodes.chain(pods).collect())
    }

    fn pods_text(&self, node: &Node) -> String {
        let enrolled = |pod: &&Pod| pod.node() == node.name() && self.enrolled.contains(pod.uid());
        let entries = self.pods.iter().filter(enrolled).map(|pod| {
            format!(
                "- uid: \"{}\"\n  name: \"{}\"\n  namespace: \"{}\"\n  serviceAccount: \"{}\"\n  netns: \"{}\"\n  probePorts: {:?}\n",
                pod.uid(),
                pod.name(),
                pod.namespace(),
                pod.service_account(),
                pod.netns().path().display(),
                pod.spec().probe_ports
            )
        });
        list("pods", entries.collect())
    }
}

fn list(name: &str, items: String) -> String {
    if items.is_empty() { format!("{name}: []\n") } else { format!("{name}:\n{items}") }
}

fn node_token(node: &Node) -> String {
    format!("lab-token-of-node-{}", node.name())
}

pub(super) fn pod_token(pod: &Pod) -> String {
    format!("lab-token-of-pod-{}", pod.uid())
}
