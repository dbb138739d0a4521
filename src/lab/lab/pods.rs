//! Pods come and go.

use crate::address::{self, Both};
use crate::error::check_name;
use crate::host::{self, End, Forwarding};
use crate::node::Node;
use crate::pod::{Place, Pod, PodSpec};
use crate::{Error, Lab, tool};

use super::LONGEST_LABEL;

impl Lab {
    /// Adds a pod to a node. It is not in the mesh until it is [enrolled](Self::enrol).
    ///
    /// # Errors
    /// When a name is unfit, or the kernel refuses.
    pub fn pod(&self, node: &Node, spec: PodSpec) -> Result<Pod, Error> {
        let index = self.next_pod_index(node);
        self.pod_at(node, index, address::pod(node.index(), index)?, spec)
    }

    /// Adds a pod to the node of one that was [deleted](Self::delete), and gives it the addresses of that one, as clusters do
    /// sooner or later. It is somebody else: it has a uid of its own.
    ///
    /// # Errors
    /// When the other one is still there; as [`pod`](Self::pod).
    pub fn successor(&self, of: &Pod, spec: PodSpec) -> Result<Pod, Error> {
        let node = {
            let state = self.state();
            if let Some(owner) = state.pods.iter().find(|pod| pod.ips() == of.ips()) {
                return Err(Error::AddressTaken { address: of.ip4(), owner: owner.name().to_owned() });
            }
            state.nodes.iter().find(|node| node.name() == of.node()).cloned()
        };
        let node = node.expect("a pod is on a node of its lab, and nodes stay");
        self.pod_at(&node, self.next_pod_index(&node), of.address(), spec)
    }

    fn pod_at(&self, node: &Node, index: usize, address: Both, spec: PodSpec) -> Result<Pod, Error> {
        check_name("pod", &spec.name, LONGEST_LABEL)?;
        check_name("namespace", &spec.namespace, LONGEST_LABEL)?;
        check_name("service account", &spec.service_account, LONGEST_LABEL)?;
        let gateway = address::gateway(node.index())?;
        let netns = host::create(&spec.name, Forwarding::Off)?;
        let node_interface = format!("pod{index}");
        let outside = End { netns: node.netns(), interface: &node_interface, address: gateway };
        let inside = End { netns: &netns, interface: "eth0", address };
        host::link(&outside, &inside)?;
        host::route(&netns, ["0.0.0.0/0", "::/0"], gateway)?;
        let uid = format!("00000000-0000-4000-8{:03x}-{index:012x}", node.index());
        let pod = Pod::new(spec, Place { uid, node: node.name().to_owned(), netns, address, node_interface });
        self.state().pods.push(pod.clone());
        Ok(pod)
    }

    fn next_pod_index(&self, node: &Node) -> usize {
        let mut state = self.state();
        let made = &mut state.pods_made[node.index()];
        *made += 1;
        *made - 1
    }

    /// Removes a pod: from the mesh, from the agent's list, and from its node. Its handle keeps an unplugged host.
    ///
    /// # Errors
    /// When the running proxies do not take it over.
    pub fn delete(&self, pod: &Pod) -> Result<(), Error> {
        let node = {
            let mut state = self.state();
            state.pods.retain(|other| other.uid() != pod.uid());
            state.enrolled.remove(pod.uid());
            state.nodes.iter().find(|node| node.name() == pod.node()).cloned()
        };
        if let Some(node) = node {
            tool::ip(node.netns(), &[format!("link del {}", pod.node_interface())])?;
        }
        self.apply()
    }
}
