//! Container runtimes, and the pods they make.

use std::fs;

use crate::containers::{self, Containers};
use crate::error::Doing as _;
use crate::node::Node;
use crate::pod::Pod;
use crate::{Error, Lab};

impl Lab {
    /// The container runtime of a node, which is made when it is asked for first.
    ///
    /// # Errors
    /// When this machine cannot run one, with what to do about it.
    pub fn containers(&self, node: &Node) -> Result<Containers, Error> {
        // Held to the end: there is one for each node.
        let mut state = self.state();
        if let Some((_, known)) = state.containers.iter().find(|(name, _)| name == node.name()) {
            return Ok(known.clone());
        }
        let directory = containers::directory(node);
        fs::create_dir(&directory).doing(|| format!("make the directory {}", directory.display()))?;
        let lab = self.directory().file_name().unwrap_or_default().to_string_lossy();
        let containers = Containers::start(node, &directory, format!("{lab}-{}", node.name()))?;
        state.containers.push((node.name().to_owned(), containers.clone()));
        Ok(containers)
    }

    /// Has the mesh file say which pods made by container runtimes there are, beside the lab's own, and which of all pods are in
    /// the mesh. Waits until the running proxies know it, but not until anything has become of it: what agents and proxies make of it
    /// is for the test to see.
    ///
    /// # Errors
    /// When a proxy does not take it over.
    pub fn describe(&self, made: &[Pod], is_enrolled: impl Fn(&Pod) -> bool) -> Result<(), Error> {
        {
            let mut state = self.state();
            let former =
                std::mem::replace(&mut state.adopted, made.iter().map(|pod| pod.uid().to_owned()).collect());
            state.pods.retain(|pod| !former.contains(pod.uid()));
            state.pods.extend(made.iter().cloned());
            let enrolled = state.pods.iter().filter(|pod| is_enrolled(pod)).map(|pod| pod.uid().to_owned());
            state.enrolled = enrolled.collect();
        }
        self.apply()
    }
}
