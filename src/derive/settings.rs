//! What holds for the whole mesh.

use std::sync::Arc;

use culvert_core::workload::DEFAULT_TRUST_DOMAIN;

use crate::gateway::Networks;

/// What holds for the whole mesh.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The name of this cluster; first part of every workload's uid.
    pub cluster: Arc<str>,
    /// The trust domain of all identities.
    pub trust_domain: Arc<str>,
    /// What names of services end in: `cluster.local`.
    pub domain: Arc<str>,
    /// The namespace of the installation. Policies in it that select nothing hold everywhere, and its label
    /// `topology.istio.io/network` names the network.
    pub root_namespace: Arc<str>,
    /// What to do with traffic for a waypoint that is wanted and cannot be had.
    pub unready: Unready,
}

/// Where workloads and services are: what holds for the mesh, the network of this cluster, and the ways to others.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Here<'a> {
    pub(crate) settings: &'a Settings,
    pub(crate) networks: &'a Networks,
}

impl Here<'_> {
    pub(crate) fn network(&self) -> &Arc<str> {
        self.networks.own()
    }
}

/// What to do with traffic for a waypoint that is wanted and cannot be had: it does not exist, is not ready, or may not be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Unready {
    /// Refuse it: what the waypoint would have checked is not checked by anybody else.
    #[default]
    Refuse,
    /// Go past it, as Istio does.
    Bypass,
}

impl Settings {
    /// Gives the trust domain as it is sent: the one everybody has anyway is not written.
    pub(crate) fn trust_domain_if_special(&self) -> Arc<str> {
        Some(&self.trust_domain).filter(|it| ***it != *DEFAULT_TRUST_DOMAIN).cloned().unwrap_or_default()
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            cluster: "Kubernetes".into(),
            trust_domain: "cluster.local".into(),
            domain: "cluster.local".into(),
            root_namespace: "culvert-system".into(),
            unready: Unready::default(),
        }
    }
}
