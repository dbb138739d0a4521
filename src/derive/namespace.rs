//! A namespace: what it says for everything in it.

use std::sync::Arc;

use serde::Deserialize;

use crate::service::{DISTRIBUTION, Distribution};
use crate::{Key, Kind, Labels};

/// A namespace, as far as the mesh cares.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Namespace {
    pub(crate) labels: Labels,
    /// Which endpoints are preferred in services that do not say it themselves.
    pub(crate) distribution: Option<Distribution>,
}

/// Names the network of the cluster, on the namespace of the installation.
const NETWORK: &str = "topology.istio.io/network";

impl Namespace {
    /// The network that is named here.
    pub(crate) fn network(&self) -> &str {
        self.labels.get(NETWORK).unwrap_or_default()
    }
}

#[derive(Deserialize)]
pub(crate) struct Written {
    metadata: Metadata,
}

#[derive(Deserialize)]
struct Metadata {
    #[serde(default)]
    name: Arc<str>,
    #[serde(default)]
    labels: Labels,
    #[serde(default)]
    annotations: Labels,
}

impl Written {
    pub(crate) fn key(&self) -> Key {
        Key { kind: Kind::Namespace, namespace: Arc::default(), name: self.metadata.name.clone() }
    }
}

impl From<Written> for Namespace {
    fn from(Written { metadata }: Written) -> Self {
        let distribution = metadata.annotations.get(DISTRIBUTION).map(Distribution::from_text);
        Self { labels: metadata.labels, distribution }
    }
}
