//! A namespace: what it says for everything in it.

use serde::Deserialize;

use crate::load_balancing::{DISTRIBUTION, Distribution};
use crate::{Key, Kind, Labels, Meta};

/// A namespace, as far as the mesh cares.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Namespace {
    /// What all objects have; of annotations those that matter.
    pub(crate) meta: Meta,
}

/// Names the network of the cluster, on the namespace of the installation.
const NETWORK: &str = "topology.istio.io/network";
/// How labels begin that say something for all objects in the namespace.
const FOR_ALL: &str = "istio.io/";

impl Namespace {
    /// The network that is named here.
    pub(crate) fn network(&self) -> &str {
        self.meta.labels.get(NETWORK).unwrap_or_default()
    }

    /// Which endpoints are preferred in services that do not say it themselves.
    pub(crate) fn distribution(&self) -> Option<Distribution> {
        Distribution::of(&self.meta.annotations)
    }

    /// Tells whether both say the same for all objects in them.
    pub(crate) fn says_the_same_as(&self, other: &Self) -> bool {
        let for_all = |it: &Self| -> Labels {
            let labels = it.meta.labels.iter().filter(|(key, _)| key.starts_with(FOR_ALL));
            labels.map(|(key, value)| (key.clone(), value.clone())).collect()
        };
        self.meta.annotations == other.meta.annotations && for_all(self) == for_all(other)
    }
}

#[derive(Deserialize)]
pub(crate) struct Written {
    metadata: Meta,
}

impl Written {
    pub(crate) fn key(&self) -> Key {
        self.metadata.key(Kind::Namespace)
    }
}

impl From<Written> for Namespace {
    fn from(Written { metadata }: Written) -> Self {
        let annotations = metadata.annotations.only(&ANNOTATIONS);
        Self { meta: Meta { annotations, ..metadata } }
    }
}

/// The annotations that matter. Others can be long.
pub(crate) const ANNOTATIONS: [&str; 2] = [DISTRIBUTION, "istio.io/use-waypoint-canary-weight"];
