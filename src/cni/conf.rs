//! The plugin's entry in a CNI configuration: the installer writes it, the plugin reads it.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The plugin's type, which is the name of its executable.
pub const PLUGIN: &str = "culvert-cni";

/// All the plugin is told at installation. Paths are the host's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// [`PLUGIN`].
    #[serde(rename = "type")]
    pub kind: String,
    /// Where the agent listens.
    pub agent_socket: PathBuf,
    /// Where the agent writes down which namespaces are enrolled.
    pub state_file: PathBuf,
    /// Namespaces whose pods start without being asked about.
    #[serde(default)]
    pub excluded_namespaces: BTreeSet<String>,
    /// The agent's own pods, which must start while it is away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_pods: Option<AgentPods>,
    /// The file with a single plugin that the list around this entry was made from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made_from: Option<String>,
}

/// How the agent's own pods are known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AgentPods {
    /// Where they are.
    pub namespace: String,
    /// What their names begin with.
    pub name_prefix: String,
}

impl AgentPods {
    /// What is known from one of them: a DaemonSet adds a dash and five letters to its own name.
    pub fn like(namespace: &str, name: &str) -> Option<Self> {
        let (set, suffix) = name.rsplit_once('-')?;
        (!namespace.is_empty() && !set.is_empty() && !suffix.is_empty())
            .then(|| Self { namespace: namespace.to_owned(), name_prefix: format!("{set}-") })
    }

    /// Whether a pod is one of them; those of another set whose name is longer are not.
    fn include(&self, namespace: &str, name: &str) -> bool {
        let suffix = name.strip_prefix(&self.name_prefix);
        self.namespace == namespace
            && suffix.is_some_and(|suffix| !suffix.is_empty() && !suffix.contains('-'))
    }
}

impl Entry {
    /// Whether a pod starts whatever the agent would say.
    pub fn exempts(&self, namespace: &str, name: &str) -> bool {
        self.excluded_namespaces.contains(namespace)
            || self.agent_pods.as_ref().is_some_and(|own| own.include(namespace, name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_pods_of_the_agents_own_set_are_its_own() {
        let own = AgentPods::like("mesh", "culvert-agent-x7k2p").unwrap();
        assert!(own.include("mesh", "culvert-agent-aaaaa"));
        for (namespace, name) in [
            ("shop", "culvert-agent-aaaaa"),
            ("mesh", "culvert-agent"),
            ("mesh", "culvert-agent-"),
            ("mesh", "culvert-agent-debug-aaaaa"),
            ("mesh", "web-aaaaa"),
        ] {
            assert!(!own.include(namespace, name), "{namespace}/{name}");
        }
        for (namespace, name) in
            [("", "a-b"), ("mesh", ""), ("mesh", "agent"), ("mesh", "-b"), ("mesh", "a-")]
        {
            assert_eq!(AgentPods::like(namespace, name), None, "{namespace}/{name}");
        }
    }
}
