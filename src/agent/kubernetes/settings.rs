//! What the command line and the environment say of Kubernetes.
//!
//! Two steps: `Args` is what was written, `Settings` what is meant. The first thing that is wrong is said.

use std::collections::BTreeSet;
use std::path::PathBuf;

use culvert_kubernetes::{Client, client};
use culvert_membership::{EXCLUDED, settings as membership};
use ebpf_free_iptables::Options;

use super::decide::Enablement;
use crate::probes::Probing;

#[cfg(test)]
mod tests;

/// What is written on the command line.
#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
pub(crate) struct Args {
    /// The name of this node in Kubernetes
    #[arg(long, env = "NODE_NAME", value_name = "NAME")]
    node_name: Option<String>,

    /// How to reach the API server; without it as a pod of the cluster does
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,

    /// Which pods are in the mesh: a YAML list of podSelector and namespaceSelector
    #[arg(
        long,
        env = "AMBIENT_ENABLEMENT_SELECTOR",
        value_name = "YAML",
        default_value = "",
        hide_default_value = true
    )]
    enablement_selector: String,

    /// Namespaces whose pods are never in the mesh, separated by commas
    #[arg(long, env = "EXCLUDE_NAMESPACES", value_name = "NAMES", default_value = EXCLUDED)]
    exclude_namespaces: String,

    /// Capture the DNS queries of pods that do not say otherwise
    #[arg(long, env = "AMBIENT_DNS_CAPTURE", value_name = "BOOL", default_value = "true")]
    dns_capture: String,

    /// Capture IPv6, too
    #[arg(long, env = "AMBIENT_IPV6", value_name = "BOOL", default_value = "true")]
    ipv6: String,
}

/// What is meant.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(super) node: String,
    kubeconfig: Option<PathBuf>,
    pub(super) enablement: Enablement,
}

/// Settings that cannot be used, or an API server that cannot be asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(
        "the name of this node is not given; set --node-name or NODE_NAME (the downward API's spec.nodeName)"
    )]
    NoNode,
    #[error("--node-name (NODE_NAME): `{0}` is not the name of a node; write it as `kubectl get nodes` does")]
    Node(String),
    #[error(transparent)]
    Membership(#[from] membership::Error),
    #[error("{setting}: `{value}` is neither true nor false; write one of them")]
    Switch { setting: &'static str, value: String },
    #[error(transparent)]
    Client(#[from] client::Error),
}

impl Args {
    /// What the packet rules of a pod do that says nothing about them.
    pub(crate) fn rules(&self, probing: Probing) -> Result<Options, Error> {
        Ok(Options {
            dns: switch("--dns-capture (AMBIENT_DNS_CAPTURE)", &self.dns_capture)?,
            ipv6: switch("--ipv6 (AMBIENT_IPV6)", &self.ipv6)?,
            probes: probing.source(),
            ..Options::default()
        })
    }
}

impl Settings {
    /// Makes sense of what was written.
    pub(crate) fn read(args: &Args, probing: Probing) -> Result<Self, Error> {
        let Args { enablement_selector, exclude_namespaces, .. } = args;
        let membership = membership::Settings::read(enablement_selector, exclude_namespaces)?;
        Ok(Self {
            node: node(args.node_name.as_deref())?,
            kubeconfig: args.kubeconfig.clone(),
            enablement: Enablement { membership, rules: args.rules(probing)? },
        })
    }

    /// Namespaces whose pods are never in the mesh.
    pub(crate) fn excluded(&self) -> &BTreeSet<String> {
        self.enablement.membership.excluded()
    }

    #[cfg(test)]
    pub(super) fn new(node: &str, enablement: Enablement) -> Self {
        Self { node: node.to_owned(), kubeconfig: None, enablement }
    }

    /// The name of this node in Kubernetes.
    pub(crate) fn node(&self) -> &str {
        &self.node
    }
}

/// Makes a client. Nothing is asked yet, so it need not be possible to reach the API server.
pub(crate) async fn connect(settings: &Settings) -> Result<Client, Error> {
    Ok(client::connect(settings.kubeconfig.as_deref()).await?)
}

/// The name becomes part of a field selector, where other characters mean something.
fn node(name: Option<&str>) -> Result<String, Error> {
    let name = name.filter(|name| !name.is_empty()).ok_or(Error::NoNode)?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:".contains(&byte);
    if name.len() <= 253 && name.bytes().all(plain) {
        Ok(name.to_owned())
    } else {
        Err(Error::Node(name.to_owned()))
    }
}

fn switch(setting: &'static str, value: &str) -> Result<bool, Error> {
    match value.trim().to_ascii_lowercase().as_str() {
        "true" | "1" | "t" => Ok(true),
        "false" | "0" | "f" => Ok(false),
        _ => Err(Error::Switch { setting, value: value.to_owned() }),
    }
}
